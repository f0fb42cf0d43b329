/* replica_state.h - what the parts of a replica share: replica.c (its life, thread and what others
 * see), replica_step.c (the steps), replica_job.c (one request's way through them). */
#ifndef MILL_ENGINE_REPLICA_STATE_H
#define MILL_ENGINE_REPLICA_STATE_H

#include "runtime/engine/replica.h"
#include "runtime/engine/scheduler.h"
#include "runtime/model/bicodec_stream.h"

/* A step on its way: what was planned, to be looked at when its tokens are there. */
struct mill_replica_flight {
    struct mill_plan_sequence *sequences; /* [max_running] */
    int32_t n_sequences, n_rows;
    double since_s;
};

/* A request on its way; known by the scheduler's slot. */
struct mill_replica_job {
    struct mill_request *request; /* one reference; NULL = the slot is empty */
    int32_t slot;
    struct mill_utterance utterance;
    struct mill_quality quality;
    int32_t n_judged; /* frames of sound that `quality` has seen */
    bool judged;      /* its audio is withheld until it was judged as a whole */
    float *withheld;  /* owned: [n_semantic * hop] of an utterance that is all said */
    bool held, started;
    struct mill_request_result result;
};

struct mill_replica {
    struct mill_replica_options options;
    struct mill_device device;
    struct mill_backend *sound; /* the decoder's: the device's own, or one beside it */
    struct mill_qwen2 *lm;
    struct mill_bicodec_streams *streams;
    struct mill_kv_pool *pool;
    void *scheduler_memory;
    struct mill_scheduler *scheduler;
    int32_t max_rows;   /* of a step */
    int32_t max_tokens; /* of a request that there is room for */
    double frame_s;     /* of audio */

    /* The thread's own. */
    struct mill_replica_job *jobs; /* [max_jobs], by slot */
    int32_t n_jobs;
    /* Whether steps go out before the tokens of the one before are seen: where the backend computes
     * while its caller goes on. */
    bool ahead;
    struct mill_replica_flight flights[MILL_QWEN2_SLOTS]; /* step number n in n % their number */
    uint64_t n_launched, n_collected;
    int32_t *ids; /* [max_rows] of a step, and so on */
    struct mill_draw *draws;
    int32_t *tokens;
    struct mill_bicodec_piece *pieces;
    struct mill_plan_window *windows; /* of the pieces */
    int32_t n_pieces;                 /* on their way */
    double pieces_since_s;
    float *wave; /* host_alloc's: [max_window * hop]: the pieces one behind the other */
    struct mill_request **arrivals;
    struct mill_scheduler_costs costs; /* as measured */
    double decode_s, step_s; /* recent averages: of steps without prompts; of all without theirs */
    double collected_s;      /* when anything was collected last */
    struct mill_replica_calls {
        double weight, n, nn, s, ns; /* sums over calls of the vocoder, of frames and seconds, and
                                        of their products; older ones count less */
    } calls;

    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stop;
    enum mill_replica_state state;
    struct mill_request **assigned; /* [max_jobs]: one reference each */
    int32_t n_assigned, n_inbox;    /* the last n_inbox are not seen by the thread yet */
    struct mill_request **returned; /* [max_jobs]: one reference each; what it had when given up */
    int32_t n_returned;
    struct mill_watchdog watchdog;
    double skipped_s; /* see mill_replica_skip_time */
    double since_s;   /* its last sign of life */
    double backlog_frames, inbox_frames;
    double rate_frames, rate_s; /* frames made in seconds of work, older ones counting less */
    struct mill_replica_stats stats;
};

/* Prompts are run PROMPT_ROWS rows a step at most, which use a device as well as any larger number.
 * With less look-ahead than the decoder wants, sound comes STREAM_STEP frames at a time, whoever
 * waits. */
enum { MILL_REPLICA_PROMPT_ROWS = 256, MILL_REPLICA_STREAM_STEP = 10 };

/* ------------------------------------------------------------------ replica_step.c */

/* One turn; *worked: whether there was anything to compute. MILL_E_CANCELLED when the replica was
 * given up meanwhile; any other failure is its device's. */
mill_status mill_replica_turn(struct mill_replica *replica, bool *worked, struct mill_error *err);

/* Of a replica that was given up: wait for what is on its way, watched, and look at none of it. */
mill_status mill_replica_collect_all(struct mill_replica *replica, struct mill_error *err);

/* ------------------------------------------------------------------ replica_job.c */

/* A request arrives: it gets a slot, or ends with a failure. */
void mill_replica_job_start(struct mill_replica *replica, struct mill_request *request);
/* The model drew a token for a sequence of the plan. */
void mill_replica_job_draw(struct mill_replica *replica, const struct mill_plan_sequence *sequence,
                           int32_t token);
/* The vocoder made a window. */
void mill_replica_job_voice(struct mill_replica *replica, const struct mill_plan_window *window,
                            const struct mill_bicodec_piece *piece);
/* The job is over, for its request too. `in_scheduler`: it still has its slot there. */
void mill_replica_job_end(struct mill_replica *replica, struct mill_replica_job *job,
                          enum mill_request_end end, mill_status status,
                          const struct mill_error *err, bool in_scheduler);
/* The job is over here alone. */
void mill_replica_job_drop(struct mill_replica *replica, struct mill_replica_job *job);

/* ------------------------------------------------------------------ replica.c */

/* What the watchdog's times are on. Under the lock. */
double mill_replica_clock(const struct mill_replica *replica);

/* The request is assigned to this replica no longer. */
void mill_replica_forget(struct mill_replica *replica, struct mill_request *request);

#endif
