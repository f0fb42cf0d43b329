/* small_world.h - what the tests of the scheduler's rules share: a world with room for everything,
 * from which a test takes away what it is about, and plans written as text. */
#ifndef MILL_TESTS_SMALL_WORLD_H
#define MILL_TESTS_SMALL_WORLD_H

#include "tests/engine/schedule_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Room for everything; tests take away what they are about. */
static inline struct mill_scheduler_options roomy(void) {
    return (struct mill_scheduler_options){.max_jobs = 32,
                                           .max_running = 32,
                                           .max_sequences = 32,
                                           .max_rows = 256,
                                           .max_prefill_rows = 200,
                                           .n_pages = 400,
                                           .page_tokens = 4,
                                           .max_pages = 40,
                                           .max_windows = 32,
                                           .max_batch_frames = 1000,
                                           .max_window = 8,
                                           .max_streams = 32,
                                           .lookahead = 3,
                                           .max_idle_steps = 1000,
                                           .patience_steps = 1000000,
                                           .urgent_s = 1,
                                           .frame_s = 0.02,
                                           .audit = true};
}

static inline struct mill_job plain(int32_t n_ids) {
    return (struct mill_job){
        .n_ids = n_ids, .max_ids = n_ids + 100, .estimate_frames = 10, .lookahead = 3};
}

static inline struct mill_job streamed(int32_t n_ids, int32_t first_window) {
    struct mill_job job = plain(n_ids);
    job.streamed = true;
    job.first_window = first_window;
    return job;
}

static inline void open_world(struct drive *d, const struct mill_scheduler_options *options) {
    if (drive_open(d, options, true) != MILL_OK)
        fail_msg("%s", d->error.text);
}

static inline void close_world(struct drive *d) {
    if (drive_audit(d) != MILL_OK)
        fail_msg("%s", d->error.text);
    drive_close(d);
}

static int32_t must_add(struct drive *d, const struct mill_job *job, int32_t total_frames) {
    int32_t slot = -1;
    if (drive_add(d, job, total_frames, &slot) != MILL_OK)
        fail_msg("%s", d->error.text);
    return slot;
}

static inline void step(struct drive *d, double now_s) {
    if (drive_step(d, now_s) != MILL_OK)
        fail_msg("%s", d->error.text);
}

static inline void voice(struct drive *d, double now_s) {
    if (drive_windows(d, now_s) != MILL_OK)
        fail_msg("%s", d->error.text);
}

/* The step's sequences as "slot:rows slot:rows ...", in order. */
static inline void assert_step(const struct drive *d, const char *wanted) {
    char text[512] = "";
    size_t at = 0;
    for (int32_t i = 0; i < d->step.n_sequences; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d:%d", i ? " " : "",
                               d->step.sequences[i].slot, d->step.sequences[i].n_rows);
    assert_string_equal(text, wanted);
}

/* The batch's windows as "slot:first-end ...", a "." behind the last of a job. */
static inline void assert_batch(const struct drive *d, const char *wanted) {
    char text[512] = "";
    size_t at = 0;
    for (int32_t i = 0; i < d->batch.n_windows; i++) {
        const struct mill_plan_window *w = &d->batch.windows[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d:%d-%d%s", i ? " " : "", w->slot,
                               w->first, w->end, w->last ? "." : "");
    }
    assert_string_equal(text, wanted);
}

static inline struct mill_scheduler_counts counts_of(const struct drive *d) {
    struct mill_scheduler_counts counts;
    mill_scheduler_get_counts(d->scheduler, &counts);
    return counts;
}

#endif
