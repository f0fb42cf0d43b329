/* engine.h - the engine: a model folder on one or more devices, shared by any number of requests.
 *
 * A request is one utterance: text and a voice in, samples out. Many run at once; the audio of one
 * depends on (model, text, voice, parameters, seed) alone, never on what runs beside it, on which
 * device of a kind, or whether a device failed under way.
 *
 *     struct mill_engine_options options = {.model = "models/spark"};
 *     mill_engine_open(&engine, &options, &err);        sizes and tokenizer: tens of milliseconds
 *     mill_engine_start(engine, NULL, &err);            weights and devices: seconds
 *     struct mill_engine_request wish;
 *     mill_engine_request_init(&wish);
 *     wish.text = "Good morning.", wish.text_bytes = 13;
 *     mill_engine_submit(engine, &wish, &request, NULL, &err);
 *     while (mill_request_read(request, samples, 4096, -1, &n, &err) == MILL_OK)
 *         ... n samples, mono, mill_engine_get_info(engine)->sample_rate a second ...
 *     mill_request_free(request);
 *     mill_engine_close(engine);
 *
 * Functions return a mill_status (runtime/base/status.h) and may be called from any thread, except
 * that open, start and close of one engine do not overlap with anything else on it, and free of a
 * request not with anything else on that request. `err` may be NULL. No function ends the process,
 * prints, or reads the environment. */
#ifndef MILL_ENGINE_ENGINE_H
#define MILL_ENGINE_ENGINE_H

#include "runtime/base/status.h"
#include "runtime/engine/result.h"
#include "runtime/engine/stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the shared library lets out. */
#pragma GCC visibility push(default)

struct mill_engine;
struct mill_request;

/* ------------------------------------------------------------------ open, start, close */

/* Zero means the value in brackets. */
struct mill_engine_options {
    const char *model; /* folder of a checkpoint */
    /* Devices, one replica each, with commas between ["auto"]: "auto" (every GPU, else the
     * processor), "cuda" (every GPU), "cuda:1" or "1" (one), "cpu", "cpu:4" (threads), "reference".
     * Replicas on the processor share weights. */
    const char *devices;
    const char *precision; /* "fp32", "bf16", "int8" ["auto": int8 on the processor, else bf16] */
    const char *cache;     /* folder for converted weights and the compiled tokenizer [none] */
    bool full_head;        /* also load what unrestricted drawing needs */
    /* Of a replica, as far as a GPU has memory for it: */
    int32_t max_running;  /* utterances at once [8; on a GPU 256] */
    int32_t max_tokens;   /* of one utterance, prompt included [what the model holds] */
    int32_t cache_tokens; /* tokens that a replica's pages hold [2048 for each running utterance,
                             but at least max_tokens] */
    int32_t max_window;   /* frames that become sound at a time [128; with a GPU 512] */
    int32_t max_queue;    /* requests that wait [256] */
    double max_backlog_s; /* seconds of estimated work that may wait [no limit] */
    double max_unread_s;  /* seconds of audio kept for a reader before its request pauses [10] */
    double stuck_s;       /* a step that takes longer than this, and than 20 times what it should,
                             counts as a failure of its device [30] */
};

/* Reads sizes and tokenizer. Requests may be submitted from now on; they wait for start. */
mill_status mill_engine_open(struct mill_engine **out, const struct mill_engine_options *options,
                             struct mill_error *err);

struct mill_engine_progress {
    void (*update)(void *context, size_t done_bytes, size_t all_bytes); /* of the weights */
    void *context;
};
/* Opens the devices, converts or maps the weights, starts a thread for each replica. `progress`
 * NULL = silent; it is called on this thread. After a failure only close may follow. */
mill_status mill_engine_start(struct mill_engine *engine,
                              const struct mill_engine_progress *progress, struct mill_error *err);

/* Cancels what runs, waits for the threads and frees everything but requests that were not freed
 * yet: those stay readable until they are. NULL is fine. */
void mill_engine_close(struct mill_engine *engine);

/* No new requests from now on; wait until none is left, and no place. MILL_AGAIN when timeout_s is
 * over first (negative = wait for ever); it may be called again. */
mill_status mill_engine_drain(struct mill_engine *engine, double timeout_s);

struct mill_engine_info {
    int32_t sample_rate;       /* a second */
    int32_t samples_per_frame; /* a frame is one semantic token */
    int32_t n_voice_tokens;    /* global tokens that make a voice */
    int32_t n_voice_codes;     /* each of them in 0 .. n_voice_codes - 1 */
    int32_t n_semantic_codes;
    int32_t max_tokens;    /* of one utterance */
    bool synthetic;        /* a checkpoint of random numbers: noise, not speech */
    const char *precision; /* "fp32", "bf16" or "int8"; "auto" is final once started */
    const char *no_gpu;    /* what is wrong with a GPU that "auto" goes without; "" = nothing */
};
/* Borrowed until close. */
const struct mill_engine_info *mill_engine_get_info(const struct mill_engine *engine);

/* ------------------------------------------------------------------ requests */

/* Everything is copied by submit. */
struct mill_engine_request {
    const char *text; /* UTF-8 */
    size_t text_bytes;
    /* A voice: its global tokens; with a transcript and the semantic tokens of its recording the
     * utterance continues that recording. Transcript and text are then read as one: with one space
     * between them where the transcript ends with one of A-Z a-z 0-9 . , ; : ! ? and the text
     * begins with a letter or digit of ASCII, otherwise with nothing. */
    const int32_t *global; /* [n_voice_tokens]; NULL = create a voice from the labels below */
    int32_t n_global;
    const char *transcript;
    size_t transcript_bytes;
    const int32_t *semantic;
    int32_t n_semantic;
    int32_t gender;                   /* 0 female, 1 male */
    int32_t pitch, speed;             /* 0 very low .. 4 very high */
    int32_t pitch_value, speed_value; /* mel and syllables a second, both or neither (-1) */

    float temperature, top_p; /* temperature 0 = always the likeliest token; top_p 1 = off */
    int32_t top_k;            /* 0 = off */
    uint64_t seed;
    int32_t max_frames;  /* audio at most; less where the model has no room for so much */
    int32_t max_redraws; /* attempts more when the quality gate finds fault */
    bool unrestricted;   /* draw from the whole vocabulary; needs full_head */
    /* Deliver audio as soon as it can be, in small pieces first. Otherwise nothing is delivered
     * before the last token is drawn and judged, and the pieces are large. */
    bool stream;
    /* Frames that must be known behind a frame before it becomes sound; -1 = as many as the decoder
     * looks ahead. With fewer the first sound comes earlier and is not quite that of the model. */
    int32_t lookahead;

    bool later;        /* streamed, and its listener hears another first: mill_request_listen */
    bool in_place;     /* see mill_engine_take_place */
    int32_t priority;  /* higher goes first [0] */
    uint64_t fair_key; /* requests of one key share one share of the devices [0] */
    double deadline_s; /* seconds from submit until it must be done; 0 = none */

    /* NULL = the samples are kept for mill_request_read. Otherwise called with every piece in
     * order, on a thread of the engine, one at a time for one request; it must not block, since all
     * that run beside it wait. A negative status ends the request with that status. */
    mill_status (*deliver)(void *context, const float *samples, size_t n_samples,
                           struct mill_error *err);
    /* Called behind every piece that was kept for mill_request_read, on a thread of the engine; may
     * be NULL. It must not block and may not free the request. */
    void (*readable)(void *context);
    /* Called once, after the last piece, on any thread of the engine; may be NULL. It must not
     * block and may not free the request. */
    void (*ended)(void *context, const struct mill_request_result *result);
    void *context;
};
/* Usual values: no voice, middle labels, temperature 0.8, top_p 0.95, top_k 50, 60 s, 2 redraws. */
void mill_engine_request_init(struct mill_engine_request *request);

/* Check a request and queue it; its handle is the caller's to free. MILL_AGAIN, with *retry_after_s
 * (may be NULL) set, when the queue is full or too much work waits; MILL_E_INPUT for what can never
 * be done; MILL_E_DEVICE when no replica is left; MILL_E_CANCELLED after drain began. */
mill_status mill_engine_submit(struct mill_engine *engine, const struct mill_engine_request *wish,
                               struct mill_request **out, double *retry_after_s,
                               struct mill_error *err);

/* For work of many requests, one behind the other: a place that is kept for them. Who has one may
 * have one request in the engine that is not refused for other work, nor for a drain, which waits
 * until the place is put back; `in_place` marks that request. Statuses as of submit. A place counts
 * as a request that waits. */
mill_status mill_engine_take_place(struct mill_engine *engine, double *retry_after_s,
                                   struct mill_error *err);
void mill_engine_put_place(struct mill_engine *engine);

/* Up to `capacity` samples, in order; waits up to timeout_s (negative = for ever, 0 = not at all).
 * MILL_OK with *n_read > 0; MILL_AGAIN when there are none yet; MILL_DONE when there will be no
 * more; the request's own failure when it failed. */
mill_status mill_request_read(struct mill_request *request, float *samples, size_t capacity,
                              double timeout_s, size_t *n_read, struct mill_error *err);
/* Wait for the end. MILL_OK when it has come, whatever it was; MILL_AGAIN when not in time. A
 * request that is read must be read to its end by someone, or it never ends. */
mill_status mill_request_wait(struct mill_request *request, double timeout_s);
/* End it: nothing more is delivered and what it holds is free at its replica's next step. Returns
 * at once; harmless when it has ended; allowed inside `deliver`. */
void mill_request_cancel(struct mill_request *request);
/* Its listener has come to it: it is `later`, behind all others of its priority, no longer. */
void mill_request_listen(struct mill_request *request);
/* As far as it has come. */
void mill_request_get_result(struct mill_request *request, struct mill_request_result *result);
int32_t mill_request_get_progress(struct mill_request *request); /* semantic tokens so far */
/* The voice's global tokens, [n_voice_tokens], as given or as created; MILL_AGAIN while they are
 * not known: one that is created, before its first sound. */
mill_status mill_request_get_voice(struct mill_request *request, int32_t *global);
/* Cancels it where it still runs; no callback comes after the return. Not inside a callback. NULL
 * is fine. */
void mill_request_free(struct mill_request *request);

/* The name of bit 0, 1, ... of a result's findings; NULL behind the last. */
const char *mill_engine_finding_name(int bit);
const char *mill_engine_version(void); /* "0.1.0": of the library that is loaded */

void mill_engine_get_stats(struct mill_engine *engine, struct mill_engine_stats *stats);

#pragma GCC visibility pop
#endif
