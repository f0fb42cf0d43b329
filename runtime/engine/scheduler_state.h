/* scheduler_state.h - the inside of the scheduler, for its own files only: scheduler.c (jobs come
 * and go), scheduler_queue.c (who waits), scheduler_step.c (the language model's step) and
 * scheduler_windows.c (the vocoder's batch). */
#ifndef MILL_ENGINE_SCHEDULER_STATE_H
#define MILL_ENGINE_SCHEDULER_STATE_H

#include "runtime/engine/index_heap.h"
#include "runtime/engine/scheduler.h"

/* Two for each priority, the highest first: an odd one is that of jobs that are `later`. */
enum { MILL_N_LEVELS = 2 * (2 * MILL_SCHEDULER_MAX_PRIORITY + 1) };

enum mill_job_state { MILL_JOB_FREE, MILL_JOB_WAITING, MILL_JOB_RUNNING, MILL_JOB_VOICING };

/* What every step looks at stands first and fills a line of the cache: a step touches one line of
 * each job that runs, and its table. */
struct mill_entry {
    _Alignas(64) uint8_t state; /* enum mill_job_state */
    uint8_t level;              /* of the priority, and whether it is later */
    bool ended, held;
    bool streamed;
    bool heard;              /* a listener has some of it and waits for more: play_start_s counts */
    bool started;            /* it has run before: it waits for its pages to be computed again */
    bool charged;            /* its fair key has paid for it */
    int32_t n_ids, n_cached; /* tokens known, or expected; tokens in the pages */
    int32_t n_prompt, lookahead, first_window; /* the job's */
    int32_t n_frames, n_voiced;
    int32_t live_place;  /* index in live */
    int32_t stream;      /* of the vocoder, -1 = none */
    int64_t ran_step;    /* when it last ran; the one before it started */
    double play_start_s; /* when a player would have begun that has heard all of it */

    struct mill_job job;
    uint32_t attempt;      /* how often the slot was emptied or its job restarted */
    int32_t key;           /* index of the fair key */
    uint64_t arrival;      /* 1, 2, ... in order of coming */
    int64_t added_step;    /* steps planned when it came */
    int64_t voiced_turn;   /* batch that it was last in */
    int32_t n_ready_turns; /* batches that went by while it had a window ready */
    int32_t n_preemptions;
    int32_t previous, next; /* in its key's list, -1 = none */
};

/* Who waits, and whose turn it is. */
struct mill_fair_key {
    uint64_t id;
    int32_t n_jobs;                                    /* in the scheduler, in whatever state */
    int32_t first[MILL_N_LEVELS], last[MILL_N_LEVELS]; /* not yet started ones; -1 = none */
    double served;                                     /* frames charged, ahead of virtual_frames */
};
struct mill_queue {
    struct mill_index_heap arrivals;                /* all that wait, by arrival */
    struct mill_index_heap resumed[MILL_N_LEVELS];  /* those that have run before, by arrival */
    struct mill_index_heap deadline[MILL_N_LEVELS]; /* those that have one */
    struct mill_index_heap fair[MILL_N_LEVELS];     /* keys with jobs not yet started, by served */
    struct mill_fair_key *keys;                     /* [max_jobs] */
    int32_t n_keys;                                 /* that were ever used */
    double virtual_frames;                          /* `served` of the key whose turn it was last */
};

struct mill_scheduler {
    struct mill_scheduler_options options;
    struct mill_kv_pool *pool;
    struct mill_entry *entries;   /* [max_jobs] */
    struct mill_kv_table *tables; /* [max_jobs] */
    int32_t *free_slots;          /* [max_jobs]; the first n_free_slots count */
    int32_t *live;                /* [max_jobs]: slots that run or are voiced, in no order */
    int32_t *free_streams;        /* [max_streams]; the first n_free_streams count */
    int32_t *stream_slots;        /* [max_streams]: whose each is that is not free */
    int32_t n_free_slots, n_live, n_running, n_free_streams;
    int32_t n_running_of[MILL_N_LEVELS], n_held; /* of the running ones: of a level; held */
    int32_t elder;                               /* slot, -1 = none */
    uint64_t n_arrivals, n_preemptions, n_shared_pages;
    int64_t n_steps, n_batches;
    struct mill_scheduler_costs costs;
    struct mill_queue queue;
    struct mill_index_heap deadlines; /* of all jobs that have one */

    uint64_t *ranks;       /* [max_jobs]: order of a step or batch; its low half is the slot */
    uint64_t *other_ranks; /* [max_jobs]: the sort's other side */
    struct mill_plan_sequence *sequences;
    int32_t *row_first, *n_cached, *expired;
    const int32_t **pages;
    struct mill_plan_window *windows;
};

/* ------------------------------------------------------------------ scheduler_queue.c */

/* Carve the queue's memory; with an arena that only counts nothing is written. */
void mill_queue_init(struct mill_queue *queue, struct mill_arena *arena, int32_t max_jobs);
/* The index of a fair key with one job more; there are always enough. */
int32_t mill_queue_join_key(struct mill_scheduler *scheduler, uint64_t id);
void mill_queue_leave_key(struct mill_scheduler *scheduler, int32_t key);
/* A waiting job gets in line, or out of it. */
void mill_queue_put(struct mill_scheduler *scheduler, int32_t slot);
void mill_queue_take(struct mill_scheduler *scheduler, int32_t slot);
/* Who may start next; -1 = nobody waits. */
int32_t mill_queue_best(const struct mill_scheduler *scheduler, double now_s);
/* The job's key pays so many frames, negative = gets back. */
void mill_queue_charge(struct mill_scheduler *scheduler, int32_t slot, int32_t n_frames);
/* It is the job's turn: its key pays the estimate, once. */
void mill_queue_start(struct mill_scheduler *scheduler, int32_t slot);

/* ------------------------------------------------------------------ scheduler.c */

static inline int32_t mill_pages_of(const struct mill_scheduler *scheduler, int32_t n_tokens) {
    return (n_tokens + scheduler->options.page_tokens - 1) / scheduler->options.page_tokens;
}
/* A waiting job becomes a running one, and back: then its pages are put back. */
void mill_scheduler_start(struct mill_scheduler *scheduler, int32_t slot);
void mill_scheduler_preempt(struct mill_scheduler *scheduler, int32_t slot);

static inline bool mill_is_later(const struct mill_entry *entry) {
    return entry->level % 2 == 1;
}

/* Seconds of audio delivered ahead of real time. */
static inline double mill_buffered_s(const struct mill_scheduler *scheduler,
                                     const struct mill_entry *entry, double now_s) {
    return entry->n_voiced * scheduler->options.frame_s - (now_s - entry->play_start_s);
}

/* ------------------------------------------------------------------ scheduler_rank.c
 * A rank packs the policy into one number, least first:
 * elder, overdue, others (2 bits) | level (4) | class (2) | value (24) | slot (32). */

enum mill_rank_class { MILL_RANK_URGENT, MILL_RANK_NEWCOMER, MILL_RANK_HEARD, MILL_RANK_UNHEARD };

/* n_idle: steps or batches that went by without the job. */
uint64_t mill_rank(const struct mill_scheduler *scheduler, int32_t slot, int64_t n_idle,
                   double now_s);
/* The first n ranks in order, ties as they came; borrowed until the next call. */
const uint64_t *mill_rank_sort(struct mill_scheduler *scheduler, int32_t n);
static inline int32_t mill_rank_slot(uint64_t rank) {
    return (int32_t)(uint32_t)rank;
}

#endif
