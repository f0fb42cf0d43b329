/* bench.h - what the parts of `sparkmill bench` share: bench.c (options, kernels, compare, paper)
 * and bench_engine.c (loads on the engine of this process). */
#ifndef MILL_TOOLS_BENCH_H
#define MILL_TOOLS_BENCH_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { MILL_BENCH_MAX_LOADS = 16 };

struct mill_bench_options {
    /* As given: borrowed from the command line, NULL where not given. */
    const char *model, *devices, *precision, *text, *output, *concurrency_list, *rate_list;
    long long n_requests, n_warmup, n_repetitions, n_threads, seed, context;
    double bandwidth_gb, peak_tflop, least;
    bool whole, no_cache, help;
    /* What follows from it. */
    int32_t concurrencies[MILL_BENCH_MAX_LOADS];
    double rates[MILL_BENCH_MAX_LOADS];
    int n_concurrencies, n_rates;
};

/* Runs every load, prints a line for each as it is done, writes the files. */
mill_status mill_bench_engine(const struct mill_bench_options *options, struct mill_error *err);

#endif
