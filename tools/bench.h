/* bench.h - what the parts of `sparkmill bench` share: bench.c (options, kernels, compare, paper),
 * bench_engine.c (loads on the engine of this process), bench_serve.c (loads on a server) and
 * bench_points.c (the loads of both). */
#ifndef MILL_TOOLS_BENCH_H
#define MILL_TOOLS_BENCH_H

#include "bench/result.h"
#include "runtime/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { MILL_BENCH_MAX_LOADS = 16 };

struct mill_bench_options {
    /* As given: borrowed from the command line, NULL where not given. */
    const char *model, *devices, *precision, *text, *output, *concurrency_list, *rate_list;
    const char *url, *voice, *fields, *key_file;
    long long n_requests, n_warmup, n_repetitions, n_threads, seed, context, sample_rate;
    double bandwidth_gb, peak_tflop, least, deadline_s;
    bool whole, no_cache;
    /* What follows from it. */
    int32_t concurrencies[MILL_BENCH_MAX_LOADS];
    double rates[MILL_BENCH_MAX_LOADS];
    int n_concurrencies, n_rates;
};

mill_status mill_bench_engine(const struct mill_bench_options *options, struct mill_error *err);
mill_status mill_bench_serve(const struct mill_bench_options *options, struct mill_error *err);

/* Runs every load, prints a line for each as it is done, writes the files. `result` has kind,
 * machine and settings; `judge` fills in what would be possible at a point, or is NULL. */
mill_status
mill_bench_run_points(const struct mill_bench_options *options, const struct bench_target *target,
                      const struct bench_passages *passages,
                      mill_status (*judge)(void *, struct bench_point *, struct mill_error *),
                      void *context, struct bench_result *result, struct mill_error *err);

#endif
