/* simulate.c - the simulator's program: replays random arrivals against the scheduler and says what
 * listeners would have noticed. How it is called: `help` below, which --help prints. */
#include "tests/sim/simulation.h"
#include "tools/command.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const priority_names[SIM_N_PRIORITIES] = {"low", "normal", "high"};

static void print_samples(const char *name, const char *kind, struct sim_samples *samples) {
    printf("  %-12s %-7s n %6d   p50 %8.1f   p90 %8.1f   p99 %8.1f ms\n", name, kind, samples->n,
           1e3 * sim_quantile(samples, 0.5), 1e3 * sim_quantile(samples, 0.9),
           1e3 * sim_quantile(samples, 0.99));
}

static void print_result(const char *name, const struct sim_options *options,
                         struct sim_result *result) {
    double audio_s = (double)result->n_frames * options->scheduler.frame_s;
    printf("%s: %d arrivals, load %.2f, %d pages\n", name, options->n_arrivals, options->load,
           options->scheduler.n_pages);
    printf("  completed %d, refused %d, cancelled %d, expired %d, fell silent %d of %d streams\n",
           result->n_completed, result->n_refused, result->n_cancelled, result->n_expired,
           result->n_underruns, result->n_streamed);
    printf("  %.0f s of audio in %.0f s: %.0f x real time of %.0f possible, %.1f rows a step\n",
           audio_s, result->duration_s, audio_s / result->duration_s, sim_capacity(options),
           (double)result->n_frames / (double)result->counts.n_steps);
    printf("  steps %llu, preemptions %llu, pages shared %llu, longest idle %d steps, "
           "longest wait %d steps, plans %016llx\n",
           (unsigned long long)result->counts.n_steps,
           (unsigned long long)result->counts.n_preemptions,
           (unsigned long long)result->counts.n_shared_pages, result->longest_idle_steps,
           result->longest_wait_steps, (unsigned long long)result->hash);
    for (int i = SIM_N_PRIORITIES - 1; i >= 0; i--)
        print_samples("first audio", priority_names[i], &result->first_audio_s[i]);
    for (int i = SIM_N_PRIORITIES - 1; i >= 0; i--)
        print_samples("wait", priority_names[i], &result->wait_s[i]);
    print_samples("total", "all", &result->total_s);
}

/* False, with a line, where the run failed. */
static bool run(const char *name, const struct sim_options *options, struct sim_result *result) {
    struct mill_error err = {""};
    if (sim_run(options, result, &err) != MILL_OK) {
        printf("%s: FAILED: %s\n", name, err.text);
        return false;
    }
    print_result(name, options, result);
    return true;
}

static bool expect(bool holds, const char *what) {
    if (!holds)
        printf("  FAILED: %s\n", what);
    return holds;
}

/* ------------------------------------------------------------------ checks */

/* With half of the work it could do, nobody waits and no player runs dry. The first audio cannot
 * come before its prompt ran and its first frames and what must be known behind them were drawn. */
static bool check_half_load(int32_t n_arrivals) {
    struct sim_options options = sim_options_default();
    struct sim_result result;
    options.n_arrivals = n_arrivals;
    bool ok = run("half load", &options, &result);
    if (ok) {
        double full_step_s = sim_cost_s(&options.costs.step, options.scheduler.max_rows) +
                             sim_cost_s(&options.costs.batch, options.scheduler.max_batch_frames);
        double bound_s = (2 + 10 + options.scheduler.lookahead) * full_step_s;
        for (int i = 0; i < SIM_N_PRIORITIES; i++)
            ok &= expect(sim_quantile(&result.first_audio_s[i], 0.99) < bound_s,
                         "first audio within the steps that it takes");
        ok &= expect(result.n_underruns * 1000 < result.n_streamed,
                     "one stream in 1000 falls silent");
        ok &= expect(result.n_refused == 0 && result.n_expired == 0, "everybody is served in time");
    }
    sim_result_deinit(&result);
    return ok;
}

/* With more than it can do, what is over is refused, priorities hold, those that are listened to
 * hear no gaps, and the replica works at its capacity. */
static bool check_overload(int32_t n_arrivals) {
    struct sim_options options = sim_options_default();
    struct sim_result result;
    options.n_arrivals = n_arrivals;
    options.load = 1.5;
    bool ok = run("overload", &options, &result);
    if (ok) {
        double audio_s = (double)result.n_frames * options.scheduler.frame_s;
        ok &=
            expect(sim_quantile(&result.wait_s[2], 0.99) < sim_quantile(&result.wait_s[1], 0.99) &&
                       sim_quantile(&result.wait_s[1], 0.5) < sim_quantile(&result.wait_s[0], 0.5),
                   "higher priorities wait less");
        ok &= expect(sim_quantile(&result.wait_s[2], 0.99) < 1, "the highest hardly waits");
        ok &= expect(result.wait_s[0].n > 0, "the lowest is served too");
        ok &= expect(audio_s / result.duration_s > 0.9 * sim_capacity(&options),
                     "nine tenths of the capacity are used");
        ok &= expect(result.n_underruns * 50 < result.n_streamed, "one stream in 50 falls silent");
        ok &= expect(result.n_refused > 0, "what is too much is refused");
    }
    sim_result_deinit(&result);
    return ok;
}

/* Too few pages for the batch: jobs are forced out, and all end all the same; the same seed gives
 * the same plans. */
static bool check_few_pages(int32_t n_arrivals) {
    struct sim_options options = sim_options_default();
    struct sim_result result, again;
    options.n_arrivals = n_arrivals;
    options.load = 0.7;
    options.scheduler.n_pages = 1200;
    bool ok = run("few pages", &options, &result);
    ok = run("few pages", &options, &again) && ok;
    if (ok) {
        ok &= expect(result.counts.n_preemptions > 0, "jobs are forced out");
        ok &=
            expect(result.n_completed + result.n_refused + result.n_cancelled + result.n_expired ==
                       n_arrivals,
                   "everybody ends somehow");
        ok &= expect(result.hash == again.hash, "the same plans for the same seed");
    }
    sim_result_deinit(&result);
    sim_result_deinit(&again);
    return ok;
}

/* A slow device, eight at once: a prompt that took a whole step would silence those that are
 * listened to. */
static bool check_slow_device(int32_t n_arrivals) {
    struct sim_options options = sim_options_default();
    struct sim_result result, blind;
    options.n_arrivals = n_arrivals;
    options.costs = (struct sim_costs){.step = {2, {{0, 8e-3}, {1000, 1.008}}},
                                       .batch = {2, {{0, 1e-3}, {1000, 0.201}}}};
    options.scheduler.max_running = options.scheduler.max_sequences = 8;
    options.scheduler.max_rows = 264;
    options.scheduler.max_prefill_rows = 256;
    options.scheduler.max_batch_frames = 128;
    options.load = 0.3;
    bool ok = run("slow device", &options, &result);
    options.knows_costs = false;
    ok = run("slow device, costs not known", &options, &blind) && ok;
    if (ok) {
        ok &=
            expect(result.n_underruns * 100 < result.n_streamed, "one stream in 100 falls silent");
        ok &= expect(blind.n_underruns > 4 * result.n_underruns + blind.n_streamed / 100,
                     "many more where prompts take what they can");
    }
    sim_result_deinit(&result);
    sim_result_deinit(&blind);
    return ok;
}

static bool check_fair_shares(void) {
    struct sim_options options = sim_options_default();
    struct sim_result result;
    const int32_t backlog[SIM_N_KEYS] = {300, 100, 50, 20};
    memcpy(options.backlog, backlog, sizeof backlog);
    options.load = 0;
    options.duration_s = 120;
    bool ok = run("fair shares", &options, &result);
    int64_t sum = 0;
    for (int i = 0; i < SIM_N_KEYS; i++)
        sum += result.key_frames[i];
    for (int i = 0; ok && i < SIM_N_KEYS; i++) {
        double share = (double)result.key_frames[i] * SIM_N_KEYS / (double)sum;
        printf("  key %d, %3d waiting: %.3f of its share\n", i, backlog[i], share);
        ok &= expect(share > 0.97 && share < 1.03, "shares are equal within 3 %");
    }
    sim_result_deinit(&result);
    return ok;
}

/* Whoever is alone hears the first frame as soon as it and what must be known behind it are drawn
 * and looked at, a step late, and one turn more. */
static bool check_alone(void) {
    struct sim_options options = sim_options_bench(1, 0);
    struct sim_result result;
    options.given_voices = true;
    bool ok = run("alone", &options, &result);
    if (ok) {
        double step_s = sim_cost_s(&options.costs.step, 1),
               prompt_s = sim_cost_s(&options.costs.step, 200),
               sound_s = sim_cost_s(&options.costs.batch, 10);
        double least_s = prompt_s + options.scheduler.lookahead * step_s;
        ok &= expect(sim_quantile(&result.first_audio_s[1], 1) < least_s + 3 * step_s + sound_s,
                     "the first audio comes with the first frame");
        ok &= expect(result.n_underruns == 0, "nobody falls silent");
    }
    sim_result_deinit(&result);
    return ok;
}

static int check(int32_t n_arrivals) {
    bool ok = check_half_load(n_arrivals);
    ok = check_overload(n_arrivals) && ok;
    ok = check_few_pages(n_arrivals / 5) && ok;
    ok = check_slow_device(n_arrivals / 20) && ok;
    ok = check_fair_shares() && ok;
    ok = check_alone() && ok;
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ------------------------------------------------------------------ the program */

/* What `bench engine` would say. */
static int bench_load(const struct sim_options *wanted, const char *costs) {
    struct sim_options options = sim_options_bench(wanted->n_clients, wanted->rate);
    struct mill_error err = {""};
    options.given_voices = wanted->given_voices;
    options.seed = wanted->seed;
    if (costs && sim_costs_read(&options.costs, costs, &err) != MILL_OK) {
        printf("FAILED: %s\n", err.text);
        return EXIT_FAILURE;
    }
    options.costs.together = wanted->costs.together;
    struct sim_result result;
    bool ok = run("bench", &options, &result);
    if (ok)
        printf(
            "  %.0f frames/s; %.0f while all are busy; %.0f frames a batch of sound, %.2f of the "
            "time\n",
            (double)result.n_frames / result.duration_s,
            result.full_s > 0 ? (double)result.full_frames / result.full_s : 0,
            (double)result.n_frames / result.n_batches, result.batch_s / result.duration_s);
    sim_result_deinit(&result);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int bench(void) {
    const int32_t sizes[] = {8, 32, 64, 128, 256, 512};
    struct mill_error err = {""};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sim_samples samples;
        if (sim_bench(sizes[i], 20000, &samples, &err) != MILL_OK) {
            printf("FAILED: %s\n", err.text);
            return EXIT_FAILURE;
        }
        printf("batch %3d: p50 %6.2f   p99 %6.2f us a step (plan, accept, windows, voiced)\n",
               sizes[i], sim_quantile(&samples, 0.5), sim_quantile(&samples, 0.99));
        free(samples.values);
    }
    return EXIT_SUCCESS;
}

static const char help[] =
    "Usage: simulate [OPTION]...\n"
    "Replay random arrivals against the scheduler, without a model, and print what listeners\n"
    "would have noticed.\n"
    "\n"
    "  --arrivals N    requests that come, at random                      [20000]\n"
    "  --load PART     of what the device can do                          [0.5]\n"
    "  --pages N       of keys and values                                 [8192]\n"
    "  --seed N\n"
    "  --clients N     instead: N requests at once, as `bench engine --concurrency N` sends them\n"
    "  --rate X        instead: X requests a second, as its --rate X does\n"
    "  --given-voices  with one of these two: voices are given, not created\n"
    "  --costs FILE    with one of these two: what steps take on a card, a networks.csv\n"
    "  --together X    with one of these two: how much of a step and of sound is done in a\n"
    "                  second in which both run; 0 = they never do\n"
    "  --check         half load, overload, few pages, a slow device, fair shares, one alone:\n"
    "                  fails where a promise of the scheduler does not hold\n"
    "  --bench         what the scheduler itself takes for a step";

struct request {
    long long n_arrivals, n_pages, seed, n_clients;
    double load, rate, together;
    const char *costs; /* NULL = those that are built in */
    bool given_voices, checks, benches;
};

#define ROW(...) MILL_OPTION(request, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("arrivals", 0, WHOLE, n_arrivals, 1, 1e8),
    ROW("load", 0, NUMBER, load, 0.001, 1000),
    ROW("pages", 0, WHOLE, n_pages, 1, 1e7),
    ROW("seed", 0, WHOLE, seed, 0, 1LL << 53),
    ROW("clients", 0, WHOLE, n_clients, 1, 65536),
    ROW("rate", 0, NUMBER, rate, 0.001, 1e5),
    ROW("given-voices", 0, FLAG, given_voices, 0, 0),
    ROW("costs", 0, TEXT, costs, 0, 0),
    ROW("together", 0, NUMBER, together, 0, 10),
    ROW("check", 0, FLAG, checks, 0, 0),
    ROW("bench", 0, FLAG, benches, 0, 0),
};
#undef ROW

static int run_random(const struct sim_options *options) {
    struct sim_result result;
    bool ok = run("run", options, &result);
    sim_result_deinit(&result);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    static const struct mill_command_line line = {"simulate", help, rows,
                                                  sizeof rows / sizeof *rows};
    struct sim_options options = sim_options_default();
    struct request r = {.n_arrivals = options.n_arrivals,
                        .n_pages = options.scheduler.n_pages,
                        .seed = (long long)options.seed,
                        .load = options.load,
                        .together = options.costs.together};
    int first, result = mill_options_read(&line, argc, argv, &r, &first);
    if (result != MILL_GO_ON)
        return result;
    if (first < argc)
        return mill_command_usage(line.command, "'%s': there are only options", argv[first]);
    options.n_arrivals = (int32_t)r.n_arrivals;
    options.scheduler.n_pages = (int32_t)r.n_pages;
    options.seed = (uint64_t)r.seed;
    options.load = r.load;
    options.n_clients = (int32_t)r.n_clients;
    options.rate = r.rate;
    options.given_voices = r.given_voices;
    options.costs.together = r.together;
    return r.benches                       ? bench()
           : r.n_clients > 0 || r.rate > 0 ? bench_load(&options, r.costs)
           : r.checks                      ? check(options.n_arrivals)
                                           : run_random(&options);
}
