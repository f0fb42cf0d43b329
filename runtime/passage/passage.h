/* passage.h - a text of any length, spoken as one stream of samples.
 *
 * A passage is cut into segments (text/segment.h), each a request of the engine. While one is read,
 * the next ones are under way. Their sound is put together: what the model left silent at the edges
 * becomes the rest that the text asks for, speed and pitch are changed where that is wanted. A
 * voice that the first segment creates speaks all others. A passage of one segment sounds as its
 * request would, sample by sample.
 *
 *     mill_passage_options_init(&options);
 *     options.text = text, options.text_bytes = n;
 *     mill_passage_open(&passage, engine, &options, NULL, &err);
 *     while (mill_passage_read(passage, samples, 4096, -1, &n, &err) == MILL_OK)
 *         ... n samples, mono, at the engine's rate ...
 *     mill_passage_close(passage);
 *
 * Sound is a function of (model, text, voice, parameters, seed) alone, as the engine's is. One
 * thread reads; cancel and the getters may be called from any. Segments are submitted by `read`, so
 * who does not read gets no further than n_ahead segments. Close it before the engine. */
#ifndef MILL_PASSAGE_PASSAGE_H
#define MILL_PASSAGE_PASSAGE_H

#include "runtime/base/buffer.h"
#include "runtime/engine/engine.h"
#include "runtime/text/dictionary.h"
#include "runtime/text/segment.h"

struct mill_passage;

struct mill_passage_options {
    const char *text; /* UTF-8, at most 2^24 bytes */
    size_t text_bytes;
    bool markup;          /* it is SSML: see docs/text.md */
    const char *language; /* as BCP 47 has it; NULL = the markup's, else as detected */
    const struct mill_dictionary *dictionary; /* NULL = none */
    /* Voice and parameters of every segment: seeds are derived from its seed, max_frames and
     * max_redraws hold for each, the deadline for all. Its text and its callbacks count for
     * nothing. */
    struct mill_engine_request wish;
    /* For voices that markup names: puts the voice into a wish that is as the one above, or fails.
     * What it points to must stay until the next call. NULL = there are none. */
    mill_status (*find_voice)(void *context, const char *name, struct mill_engine_request *wish,
                              struct mill_error *err);
    double speed; /* 0.25 .. 4 at the voice's pitch; made of the sound, not by the model */
    struct mill_segment_limits limits;
    int32_t clause_ms, sentence_ms, paragraph_ms; /* rests; shorter at higher speed */
    /* What little text may ask for much by: all rests together, beyond those that it has with the
     * three above as init makes them; what is spoken once markup and dictionary were applied. */
    double max_rests_s;
    size_t max_spoken_bytes;
    int32_t n_ahead; /* segments under way behind the one that is read */
    /* A folder in which the sound of segments is kept, before speed and joining, until
     * mill_passage_clear_kept, where there are several or the folder is there already: a passage
     * that is opened with it later takes over those that it would make again. NULL = none. */
    const char *kept;
    const char *kept_model; /* what sound depends on beside the wish: model, precision, version */
    /* Called behind a read that returned MILL_AGAIN when reading is worth another try, on a thread
     * of the engine or the one that cancels. It must not block and may not close the passage. */
    void (*readable)(void *context);
    void *context;
};
/* A wish as mill_engine_request_init makes it, speed 1, 150, 300 and 700 ms, a day of rests, as
 * many bytes as a text may have, 2 segments ahead. */
void mill_passage_options_init(struct mill_passage_options *options);

/* Everything is copied. Plans the segments and submits the first. Statuses as of
 * mill_engine_submit; MILL_E_INPUT also for a text that has nothing to say. */
mill_status mill_passage_open(struct mill_passage **out, struct mill_engine *engine,
                              const struct mill_passage_options *options, double *retry_after_s,
                              struct mill_error *err);
/* As mill_request_read. */
mill_status mill_passage_read(struct mill_passage *passage, float *samples, size_t capacity,
                              double timeout_s, size_t *n_read, struct mill_error *err);
/* End it; returns at once. */
void mill_passage_cancel(struct mill_passage *passage);
/* No callback comes after the return. NULL is fine. */
void mill_passage_close(struct mill_passage *passage);

struct mill_passage_progress {
    int32_t n_segments, n_done; /* done: the engine has made all of it */
    int32_t n_frames;           /* made so far */
    int32_t n_limited;          /* read, and stopped at their limit: it is not all said */
    int32_t n_found;            /* segments that were kept when it was opened */
    int32_t n_kept;             /* segments that are kept now */
    int32_t n_found_frames;     /* of n_frames */
};
void mill_passage_get_progress(struct mill_passage *passage, struct mill_passage_progress *out);

/* All segments as one, as far as they were read: sums of numbers and times, the findings of all,
 * the first one's seed and first sound. RUNNING until the last sample was read. */
void mill_passage_get_result(struct mill_passage *passage, struct mill_request_result *result);

/* The global tokens of the voice that `wish` names or creates; MILL_AGAIN while they are not known.
 */
mill_status mill_passage_get_voice(struct mill_passage *passage, int32_t *global);

/* It was read to its end, and its sound is where it is to be: nothing is kept any longer. */
void mill_passage_clear_kept(struct mill_passage *passage);

/* What the sound of a wish depends on, but for its text, in words that cannot be read in two ways:
 * for keys of what was made. */
mill_status mill_passage_describe(struct mill_buffer *out, const struct mill_engine_request *wish,
                                  struct mill_error *err);
#endif
