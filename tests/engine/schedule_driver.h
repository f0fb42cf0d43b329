/* schedule_driver.h - a replica without a model: carries out the scheduler's plans on numbers
 * instead of tensors, and checks that they could have been carried out on tensors.
 *
 * Every position of every page holds a number that stands for the keys and values of one token
 * behind all tokens in front of it. A step first writes the rows of all its sequences, then wants
 * to find the tokens of each in its pages. A page must not be written by two; a vocoder stream must
 * have been started for the one that uses it. What is wrong is told in `error`. */
#ifndef MILL_TESTS_SCHEDULE_DRIVER_H
#define MILL_TESTS_SCHEDULE_DRIVER_H

#include "runtime/engine/scheduler.h"

/* What a job is going to say. */
struct drive_job {
    struct mill_job job;
    uint64_t id;
    int32_t total_frames;
    int32_t n_before; /* tokens that it draws before its first frame: those of its voice */
    bool limited;     /* its last frame is known to be the last; else a draw more ends it */
    bool active;      /* in the scheduler */
    bool ended;       /* it knows all its frames */
    int32_t n_ids, n_drawn, n_frames, n_voiced;
    int32_t n_ahead; /* tokens known or expected */
    int32_t stream;
    int32_t n_rows_run;   /* recomputed ones included */
    int32_t n_steps_idle; /* steps since it last ran, was added or stopped being held */
    double first_audio_s; /* 0 = none yet */
};

struct drive {
    struct mill_scheduler_options options;
    struct mill_kv_pool *pool;
    void *memory;
    struct mill_scheduler *scheduler;
    struct drive_job *jobs;  /* [max_jobs] by slot */
    int32_t max_ids;         /* of a job */
    uint64_t *contents;      /* [n_pages][page_tokens]; NULL = not looked at */
    uint64_t *chains;        /* [max_jobs][max_ids]: of prompts, what contents are to be */
    uint64_t *written;       /* [n_pages]: the step it was last written in */
    uint64_t n_steps, n_ids; /* ids given to jobs */
    bool ahead;              /* a step's draws are looked at when the next one has been planned */
    struct mill_plan_sequence *flight; /* [max_sequences]: whose draws are not looked at yet */
    int32_t n_flight;
    struct mill_step_plan step; /* the last ones */
    struct mill_window_plan batch;
    int32_t n_finished; /* in the last step or batch; their slots */
    int32_t *finished;  /* [max_jobs] */
    struct mill_error error;
};

mill_status drive_open(struct drive *drive, const struct mill_scheduler_options *options,
                       bool with_contents);
void drive_close(struct drive *drive);

/* As mill_scheduler_add; the prompt is the caller's. */
mill_status drive_add(struct drive *drive, const struct mill_job *job, int32_t total_frames,
                      int32_t *slot);
void drive_remove(struct drive *drive, int32_t slot);
/* Say it again from its first n_ids tokens. */
void drive_restart(struct drive *drive, int32_t slot);

/* Plan and do a step of the language model, or a batch of the vocoder. Jobs that are through are
 * removed and named in `finished`. A failure's cause is in `error`. */
mill_status drive_step(struct drive *drive, double now_s);
mill_status drive_windows(struct drive *drive, double now_s);

/* The scheduler's books, and none of the pages is held when no job is left. */
mill_status drive_audit(struct drive *drive);

#endif
