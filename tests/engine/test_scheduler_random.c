/* test_scheduler_random.c - ten thousand random schedules: small worlds of random sizes in which
 * jobs come, are held, restarted and cancelled at random, share beginnings and run out of pages.
 * In half of them a step is planned before the draws of the one before are seen. Every plan is
 * carried out and checked (schedule_driver.c), the books are audited in every step,
 * every job that is left alone ends, and no page is held after the last. */
#include "runtime/base/philox.h"
#include "tests/engine/schedule_driver.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N_SCHEDULES = 10000, N_TURNS = 60, MAX_TURNS = 5000 };

struct chance {
    uint64_t seed, position;
};

/* Beginnings of all lengths are common to some of them. */
static const int32_t prompts[][20] = {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                      {1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                      {1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1},
                                      {1, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1},
                                      {2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

/* 0 .. n - 1 */
static int32_t below(struct chance *chance, int32_t n) {
    return (int32_t)(mill_philox_uniform(chance->seed, chance->position++) * n);
}

static struct mill_scheduler_options random_options(struct chance *c) {
    struct mill_scheduler_options o = {.max_jobs = 1 + below(c, 12),
                                       .max_running = 1 + below(c, 8),
                                       .max_sequences = 1 + below(c, 6),
                                       .max_rows = 1 + below(c, 20),
                                       .max_prefill_rows = 1 + below(c, 12),
                                       .page_tokens = 1 + below(c, 5),
                                       .max_windows = 1 + below(c, 4),
                                       .max_batch_frames = 1 + below(c, 20),
                                       .max_window = 1 + below(c, 10),
                                       .max_streams = 1 + below(c, 5),
                                       .lookahead = below(c, 4),
                                       .max_idle_steps = 1 + below(c, 20),
                                       .patience_steps = 1 + below(c, 60),
                                       .urgent_s = below(c, 3),
                                       .frame_s = 0.5,
                                       .audit = true};
    o.max_pages = (40 + o.page_tokens - 1) / o.page_tokens;
    o.n_pages = o.max_pages + below(c, 3 * o.max_pages);
    return o;
}

static struct mill_job random_job(struct chance *c, const struct mill_scheduler_options *o,
                                  double now_s) {
    int32_t n_ids = 1 + below(c, 20), first_window = below(c, 6);
    struct mill_job job = {.n_ids = n_ids,
                           .max_ids = 40,
                           .estimate_frames = 1 + below(c, 20),
                           .first_window = first_window,
                           .streamed = below(c, 2),
                           .later = below(c, 4) == 0,
                           .lookahead = below(c, 3) == 0 ? below(c, 4) : o->lookahead,
                           .priority = below(c, 7) - 3,
                           .fair_key = (uint64_t)below(c, 20)};
    if (below(c, 5) == 0)
        job.deadline_s = now_s + 1 + below(c, 40);
    if (below(c, 3) > 0) {
        job.prompt = prompts[below(c, N_PROMPTS)];
        job.n_prompt = below(c, n_ids + 1);
    }
    if (below(c, 8) == 0)
        job.first_frame = below(c, 4);
    return job;
}

static void happen(struct drive *d, struct chance *c, bool *held, double now_s) {
    int32_t slot = below(c, d->options.max_jobs);
    if (below(c, 3) == 0) {
        struct mill_job job = random_job(c, &d->options, now_s);
        if (drive_add(d, &job, job.first_frame + 1 + below(c, 15), &slot) == MILL_OK) {
            held[slot] = false;
            d->jobs[slot].limited = below(c, 3) == 0;
        }
        return;
    }
    if (!d->jobs[slot].active)
        return;
    switch (below(c, 12)) {
    case 0:
        drive_remove(d, slot);
        break;
    case 1:
    case 2:
        held[slot] = !held[slot];
        mill_scheduler_hold(d->scheduler, slot, held[slot]);
        break;
    case 3:
        drive_restart(d, slot);
        break;
    case 4:
        mill_scheduler_listen(d->scheduler, slot, now_s);
        break;
    default:
        break;
    }
}

/* With others than those that are held. */
static bool is_busy(const struct drive *d, const bool *held) {
    for (int32_t i = 0; i < d->options.max_jobs; i++)
        if (d->jobs[i].active && !(held && held[i]))
            return true;
    return false;
}

static void run_schedule(uint64_t seed, uint64_t *n_preemptions, uint64_t *n_shared) {
    struct chance c = {.seed = seed};
    struct mill_scheduler_options options = random_options(&c);
    struct drive d;
    bool held[16] = {false};
    mill_status status = drive_open(&d, &options, true);
    d.ahead = seed % 2 == 1;
    if (status == MILL_OK && seed % 3 == 1) /* turns as long as theirs: who is later stands back */
        mill_scheduler_set_costs(d.scheduler, &(struct mill_scheduler_costs){.turn_s = 0.3});
    int32_t turn = 0;
    /* Those that stay held stop nobody else. */
    int32_t end = MAX_TURNS;
    for (; status == MILL_OK && (turn < N_TURNS || is_busy(&d, NULL)) && turn < end; turn++) {
        double now_s = turn * 0.3;
        if (turn < N_TURNS)
            happen(&d, &c, held, now_s);
        else if (end == MAX_TURNS && !is_busy(&d, held))
            end = turn + MAX_TURNS;
        for (int32_t i = 0; end > MAX_TURNS && i < options.max_jobs; i++)
            if (d.jobs[i].active)
                mill_scheduler_hold(d.scheduler, i, false);
        status = drive_step(&d, now_s);
        if (status == MILL_OK)
            status = drive_windows(&d, now_s);
    }
    if (status == MILL_OK)
        status = drive_audit(&d);
    if (status != MILL_OK || is_busy(&d, NULL))
        fail_msg("schedule %llu, turn %d: %s", (unsigned long long)seed, turn,
                 status != MILL_OK ? d.error.text : "jobs are left");
    struct mill_scheduler_counts counts;
    mill_scheduler_get_counts(d.scheduler, &counts);
    *n_preemptions += counts.n_preemptions;
    *n_shared += counts.n_shared_pages;
    drive_close(&d);
}

static void test_random_schedules(void **state) {
    (void)state;
    uint64_t n_preemptions = 0, n_shared = 0;
    for (uint64_t seed = 0; seed < N_SCHEDULES; seed++)
        run_schedule(seed, &n_preemptions, &n_shared);
    print_message("%d schedules, %llu preemptions, %llu pages shared\n", N_SCHEDULES,
                  (unsigned long long)n_preemptions, (unsigned long long)n_shared);
    assert_true(n_preemptions > N_SCHEDULES && n_shared > N_SCHEDULES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
