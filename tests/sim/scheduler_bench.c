/* scheduler_bench.c - what a step costs the scheduler itself: see sim_bench. All sequences decode,
 * all are listened to, the queue behind them is long, and whoever ends is followed by another. */
#include "tests/sim/simulation.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <stdlib.h>

struct bench {
    struct mill_scheduler *scheduler;
    int32_t *n_ids, *n_frames, *total; /* by slot */
    int32_t n_added;
    double seconds; /* inside the scheduler, in this step */
};

static mill_status fill(struct bench *b, struct mill_error *err) {
    struct mill_scheduler_counts counts;
    for (;;) {
        mill_scheduler_get_counts(b->scheduler, &counts);
        if (counts.n_waiting >= 500)
            return MILL_OK;
        int32_t slot, n_frames = 100 + b->n_added % 300;
        struct mill_job job = {.n_ids = 60 + b->n_added % 100,
                               .max_ids = 600,
                               .estimate_frames = 250,
                               .streamed = true,
                               .first_window = 10,
                               .lookahead = 67,
                               .fair_key = (uint64_t)(b->n_added % 16)};
        b->n_added++;
        mill_status status = mill_scheduler_add(b->scheduler, &job, &slot, err);
        if (status != MILL_OK)
            return status;
        b->n_ids[slot] = job.n_ids;
        b->n_frames[slot] = 0;
        b->total[slot] = n_frames;
    }
}

static mill_status step(struct bench *b, double now_s, struct mill_error *err) {
    struct mill_step_plan plan;
    struct mill_window_plan batch;
    double start_s = mill_clock_seconds();
    MILL_TRY(mill_scheduler_plan_step(b->scheduler, now_s, &plan, err));
    for (int32_t i = 0; i < plan.n_sequences; i++) {
        int32_t slot = plan.sequences[i].slot;
        bool ended = plan.sequences[i].draws && b->n_frames[slot] == b->total[slot];
        if (plan.sequences[i].draws && !ended)
            b->n_ids[slot]++, b->n_frames[slot]++;
        mill_scheduler_accept(b->scheduler, &plan.sequences[i], b->n_ids[slot], b->n_frames[slot],
                              ended);
    }
    mill_scheduler_plan_windows(b->scheduler, now_s, &batch);
    for (int32_t i = 0; i < batch.n_windows; i++)
        if (mill_scheduler_voiced(b->scheduler, &batch.windows[i], now_s))
            mill_scheduler_remove(b->scheduler, batch.windows[i].slot);
    b->seconds = mill_clock_seconds() - start_s;
    return MILL_OK;
}

static mill_status run(struct bench *b, int32_t n_steps, double *microseconds,
                       struct mill_error *err) {
    const int32_t n_warm = 500;
    for (int32_t i = 0; i < n_warm + n_steps; i++) {
        MILL_TRY(fill(b, err));
        MILL_TRY(step(b, i * 2.5e-3, err));
        if (i >= n_warm)
            microseconds[i - n_warm] = b->seconds * 1e6;
    }
    return MILL_OK;
}

mill_status sim_bench(int32_t n_sequences, int32_t n_steps, struct sim_samples *microseconds,
                      struct mill_error *err) {
    struct mill_scheduler_options options = sim_options_default().scheduler;
    options.max_running = options.max_sequences = n_sequences;
    options.max_rows = n_sequences + options.max_prefill_rows;
    options.max_jobs = n_sequences + 1024;
    options.n_pages = 40 * n_sequences;
    size_t n_jobs = (size_t)options.max_jobs;
    struct bench b = {.n_ids = mill_alloc_array(n_jobs, sizeof *b.n_ids),
                      .n_frames = mill_alloc_array(n_jobs, sizeof *b.n_frames),
                      .total = mill_alloc_array(n_jobs, sizeof *b.total)};
    struct mill_kv_pool *pool = NULL;
    void *memory = mill_alloc_aligned(mill_scheduler_bytes(&options));
    *microseconds = (struct sim_samples){.n = n_steps, .capacity = n_steps};
    microseconds->values = mill_alloc_array((size_t)n_steps, sizeof *microseconds->values);
    mill_status status = MILL_E_MEMORY;
    if (b.n_ids && b.n_frames && b.total && memory && microseconds->values)
        status = mill_kv_pool_open(&pool, options.n_pages, options.page_tokens, err);
    if (status == MILL_OK)
        status = mill_scheduler_init(&b.scheduler, &options, pool, memory, err);
    if (status == MILL_OK)
        status = run(&b, n_steps, microseconds->values, err);
    free(b.n_ids);
    free(b.n_frames);
    free(b.total);
    free(memory);
    mill_kv_pool_close(pool);
    return status;
}
