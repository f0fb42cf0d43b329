/* passage_state.h - what the files of a passage share. passage.c: open to close; passage_plan.c:
 * from a text to pieces and speakers; passage_submit.c: pieces into the engine; passage_keep.c:
 * what is kept of them on the disk; passage_read.c: their sound as one. Private to runtime/passage.
 *
 * The reader's thread owns everything but what `lock` guards, which the engine's threads, cancel
 * and the getters look at. */
#ifndef MILL_PASSAGE_PASSAGE_STATE_H
#define MILL_PASSAGE_PASSAGE_STATE_H

#include "runtime/audio/time_stretch.h"
#include "runtime/base/buffer.h"
#include "runtime/passage/kept.h"
#include "runtime/passage/passage.h"
#include "runtime/text/script.h"

#include <pthread.h>

/* A voice of the passage. */
struct mill_passage_speaker {
    struct mill_engine_request wish; /* what it points to is owned, but `global` */
    int32_t *global;                 /* owned; the wish's, once they are known */
    int32_t inventor;                /* the piece that creates the voice; -1 = it is known */
};

/* A segment of the text. */
struct mill_passage_piece {
    size_t at, bytes; /* of the text */
    int32_t speaker;
    double speed, pitch;       /* factors of its sound */
    enum mill_segment_end end; /* what it ends with */
    double pause_s;            /* behind it */
};

/* A piece that is under way, or made and not read yet. */
struct mill_passage_flight {
    struct mill_passage *passage;
    int32_t piece; /* -1 = free */
    bool invents;  /* it creates its speaker's voice */
    bool is_kept;  /* its sound is on the disk, or not to be there */
    char key[MILL_SHA256_HEX_BYTES];
    /* Guarded. */
    struct mill_request *request; /* owned */
    float *wave;                  /* owned; kept for the next piece */
    size_t n, capacity;           /* samples */
    bool ended;
    struct mill_request_result result;
    /* Where its sound begins and ends, as far as it was looked at. */
    size_t n_looked, first_loud, loud_end;
};

enum mill_passage_phase {
    MILL_PASSAGE_BEGIN, /* of the current piece: its first sound is not known yet */
    MILL_PASSAGE_SOUND
};

struct mill_passage {
    struct mill_engine *engine; /* borrowed */
    struct mill_passage_options options;
    struct mill_buffer text;           /* what pieces are of */
    struct mill_passage_piece *pieces; /* owned */
    int32_t n_pieces;
    struct mill_passage_speaker *speakers; /* owned; the first is that of the options */
    int32_t n_speakers;
    double first_pause_s; /* before the first piece; < 0 = as the model begins */
    double last_pause_s;  /* behind the last one; < 0 = as the model ends */
    double opened_s;
    int32_t sample_rate, n_voice_tokens;
    bool has_place;         /* of the engine: for passages of more than one piece */
    struct mill_kept *kept; /* owned; NULL = nothing is kept */
    char *kept_model;       /* owned: the options' */
    int32_t n_found, n_kept, n_found_frames; /* guarded: as in the progress */

    /* Reading. */
    int32_t current, next; /* pieces: the one that is read, the next to submit */
    enum mill_passage_phase phase;
    double pause_s;   /* that is still to come before the sound of the current piece; < 0 = none */
    uint64_t n_zeros; /* of it, to be given next */
    size_t position;  /* of the current flight's next sample */
    struct mill_time_stretch *stretch; /* owned; NULL = the current piece is not changed */
    bool flushed;                      /* the stretch was told that no more comes */

    pthread_mutex_t lock; /* guards what is marked so, and what follows */
    pthread_cond_t changed;
    struct mill_passage_flight *flights; /* owned: n_ahead + 1 */
    int32_t n_flights;
    uint64_t n_events; /* things that a reader may wait for */
    bool waiting;      /* it wants to be told of the next */
    bool cancelled;
    struct mill_request_result total; /* of the pieces that were read; how it ended */
    int32_t n_limited;                /* pieces that were read and had no end */
    int32_t n_done;                   /* pieces that the engine has made */
    uint64_t n_read;                  /* samples */
};

/* Fills text, pieces, speakers and pauses from the options. */
mill_status mill_passage_plan(struct mill_passage *passage, struct mill_error *err);

/* Submits what may be under way now. MILL_AGAIN when the engine had no room for the current piece;
 * failures are the passage's. */
mill_status mill_passage_submit(struct mill_passage *passage, double *retry_after_s,
                                struct mill_error *err);
/* Under the lock: samples behind those that the flight has. */
mill_status mill_passage_hold(struct mill_passage_flight *flight, const float *samples, size_t n,
                              struct mill_error *err);
/* The voice that the flight's piece creates, as soon as it is known. */
void mill_passage_learn_voice(struct mill_passage *passage, struct mill_passage_flight *flight);
/* The request of a piece, as it is submitted; its text is put into `spoken`. */
mill_status mill_passage_wish(struct mill_passage *passage, int32_t piece,
                              struct mill_engine_request *wish, struct mill_buffer *spoken,
                              struct mill_error *err);
/* The flight's piece is taken from the disk: MILL_OK; MILL_AGAIN where it is not there. */
mill_status mill_passage_take_kept(struct mill_passage *passage, struct mill_passage_flight *flight,
                                   const struct mill_engine_request *wish, struct mill_error *err);
/* What was made meanwhile goes to the disk. */
mill_status mill_passage_keep(struct mill_passage *passage, struct mill_error *err);
/* Which pieces are there, as far as their voices are known. */
mill_status mill_passage_count_kept(struct mill_passage *passage, struct mill_error *err);

/* The current piece's flight is done with: counts it, frees it. */
void mill_passage_land(struct mill_passage *passage, struct mill_passage_flight *flight);
static inline struct mill_passage_flight *mill_passage_flight(struct mill_passage *passage,
                                                              int32_t piece) {
    return &passage->flights[piece % passage->n_flights];
}

/* Samples that are there: MILL_OK with some, MILL_AGAIN, MILL_DONE, or a failure. */
mill_status mill_passage_join(struct mill_passage *passage, float *samples, size_t capacity,
                              size_t *n_read, struct mill_error *err);

#endif
