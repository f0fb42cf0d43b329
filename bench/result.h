/* result.h - the figures of a bench as a thing: points of load, each run a few times, on a machine
 * that is described; written as CSV (one line a point), JSON (every repetition) and pictures.
 *
 * What is a figure, its unit and which direction is better stands in one table, from which the
 * writers, the comparison and the screen are all made. */
#ifndef MILL_BENCH_RESULT_H
#define MILL_BENCH_RESULT_H

#include "bench/load.h"
#include "bench/machine.h"
#include "bench/statistics.h"

#include <stdio.h>

enum { BENCH_MAX_POINTS = 32, BENCH_MAX_REPETITIONS = 16 };

enum bench_direction { BENCH_NEUTRAL, BENCH_MORE_IS_BETTER, BENCH_LESS_IS_BETTER };

struct bench_figure {
    const char *name; /* also the column of the CSV */
    enum bench_direction better;
    size_t offset; /* of a double in struct bench_outcome */
};
extern const struct bench_figure bench_figures[];
extern const size_t bench_n_figures;

struct bench_point {
    int32_t concurrency; /* 0 = open loop at `rate` */
    double rate;
    int n_repetitions;
    struct bench_outcome outcomes[BENCH_MAX_REPETITIONS];
    double predicted_frames_per_s; /* by the paper model; 0 = not predicted */
    double bare_frames_per_s;      /* by the bare kernels, right behind it; 0 = not measured */
};

struct bench_result {
    const char *kind; /* "engine", "serve" */
    struct bench_machine machine;
    char settings[1024]; /* "model=... precision=..." as one line */
    struct bench_point points[BENCH_MAX_POINTS];
    int n_points;
    double peak_memory_mb;
};

struct bench_mean bench_point_mean(const struct bench_point *point,
                                   const struct bench_figure *figure);

/* One line for people: what a point gave. A header first. */
void bench_result_print_header(FILE *out);
void bench_result_print_point(FILE *out, const struct bench_point *point);

/* FOLDER/KIND.csv, FOLDER/KIND.json, FOLDER/KIND-throughput.svg and FOLDER/KIND-latency.svg (the
 * latter two where there are points to draw). Whole or not at all, each. */
mill_status bench_result_write(const struct bench_result *result, const char *folder,
                               struct mill_error *err);

/* Two JSON files side by side, on `out`: settings where they differ, and every figure of every
 * point that both have, of which there must be one; *n_worse counts figures that got worse beyond
 * noise and by more than `least` (0.05 = 5 %). */
mill_status bench_result_compare(const char *before, const char *after, double least, FILE *out,
                                 int *n_worse, struct mill_error *err);

#endif
