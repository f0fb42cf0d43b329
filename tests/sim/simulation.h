/* simulation.h - a replica under load without a model: random arrivals, a clock that steps by a
 * cost model, the scheduler's plans carried out by tests/engine/schedule_driver.c.
 *
 * A world of 256 sequences at once, with the step times of a fast card. Jobs come from several
 * keys, in three priorities; some have deadlines, some are cancelled, some have readers that stop
 * for a while, some come as n-best of one prompt. What happened is kept per kind for statistics;
 * what must never happen is told in `error`. */
#ifndef MILL_TESTS_SIMULATION_H
#define MILL_TESTS_SIMULATION_H

#include "tests/engine/schedule_driver.h"

/* What the device takes, as a line through points of rising size: seconds of a step by its rows, of
 * a vocoder batch by its frames. Before the first point as much as at it, behind the last on as
 * between the last two. `together`: how much of both is done in a second in which both run; 1 = no
 * more than one behind the other; 0 = they never do, one waits for the other. */
enum { SIM_MAX_POINTS = 16 };
struct sim_curve {
    int32_t n;
    struct sim_point {
        double size, seconds;
    } points[SIM_MAX_POINTS];
};
struct sim_costs {
    struct sim_curve step, batch;
    double together;
};
double sim_cost_s(const struct sim_curve *curve, double size);
/* Those that bench_card measured: a networks.csv; see docs/benchmarking.md. */
mill_status sim_costs_read(struct sim_costs *costs, const char *path, struct mill_error *err);

enum { SIM_N_KEYS = 4, SIM_N_PRIORITIES = 3 };

struct sim_options {
    struct mill_scheduler_options scheduler;
    struct sim_costs costs;
    bool knows_costs; /* the scheduler is told what a row takes */
    int32_t n_arrivals;
    double load; /* arrivals in audio seconds a second, as a part of what the replica can do */
    uint64_t seed;
    /* Not 0: no random arrivals; every key always has so many jobs waiting, all of one priority and
     * undisturbed: for fair shares. */
    int32_t backlog[SIM_N_KEYS];
    double duration_s; /* with backlog */
    /* One of them not 0: the loads of `bench engine` instead: so many clients, or so many requests
     * a second; streamed, the same texts, and draws that are looked at a step late. Voices are
     * created, unless given. */
    int32_t n_clients;
    double rate;
    bool given_voices;
};

/* Samples of one kind, in the order they came. */
struct sim_samples {
    double *values;
    int32_t n, capacity;
};

struct sim_result {
    struct sim_samples first_audio_s[SIM_N_PRIORITIES]; /* of streamed jobs; by priority + 1 */
    struct sim_samples wait_s[SIM_N_PRIORITIES];        /* until the first row ran */
    struct sim_samples total_s;
    int64_t key_frames[SIM_N_KEYS]; /* of jobs that ended */
    int64_t n_frames, n_windows, n_batches;
    double batch_s; /* of busy_s: the vocoder's */
    int32_t n_completed, n_refused, n_cancelled, n_expired;
    int32_t n_underruns, n_streamed; /* streams whose player fell silent, of all */
    int32_t longest_idle_steps;      /* of jobs that had begun and were not held */
    int32_t longest_wait_steps;      /* until a job first ran */
    double duration_s, busy_s;
    double full_s; /* closed loop: from the first end to the last arrival, all clients are busy */
    int64_t full_frames;
    uint64_t hash; /* of everything that was planned */
    struct mill_scheduler_counts counts;
};

/* Batch 256, room for 1024 jobs; half the load that the costs allow. */
struct sim_options sim_options_default(void);
/* `bench engine` on a card, with --concurrency n_clients or --rate, the other 0: the sizes of a
 * replica, as many requests. */
struct sim_options sim_options_bench(int32_t n_clients, double rate);
/* Audio seconds a second at full batches, by the cost model. */
double sim_capacity(const struct sim_options *options);

mill_status sim_run(const struct sim_options *options, struct sim_result *result,
                    struct mill_error *err);
void sim_result_deinit(struct sim_result *result);
/* Sorts. part in 0 .. 1; 0 where there are no samples. */
double sim_quantile(struct sim_samples *samples, double part);

/* Microseconds that the scheduler takes for a step of n_sequences and the vocoder's batch behind
 * it: the median and the 99th of a hundred over n_steps. */
mill_status sim_bench(int32_t n_sequences, int32_t n_steps, struct sim_samples *microseconds,
                      struct mill_error *err);

#endif
