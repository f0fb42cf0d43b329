/* golden_compare.h - how far numbers are from golden ones, and the table that says so.
 *
 * The measures are pure functions. The table prints a line for each figure and counts misses;
 * one thread. */
#ifndef MILL_TOOLS_GOLDEN_COMPARE_H
#define MILL_TOOLS_GOLDEN_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Signal to noise, 10 log10(sum golden^2 / sum (golden - ours)^2); infinite where all are equal,
 * NaN where one of ours is not a finite number. */
double golden_snr_db(const float *golden, const float *ours, size_t n);
/* Largest |golden - ours|, NaN where one of ours is not a finite number. */
double golden_largest_difference(const float *golden, const float *ours, size_t n);
/* Largest less smallest. */
double golden_spread(const float *values, size_t n);
/* sum P log(P / Q) in nats, P and Q the softmax of golden and our logits. */
double golden_divergence(const float *golden, const float *ours, size_t n);

/* How golden draws were made: temperature, then top-k, then top-p. */
#define GOLDEN_TEMPERATURE 0.8f
#define GOLDEN_TOP_P 0.95f
enum { GOLDEN_TOP_K = 50 };

/* The column that u draws from logits, in float64, ties by rising column; *margin is how far u is
 * from the nearest edge of the distribution. -1 where logits are not numbers. */
int32_t golden_draw(const float *logits, int32_t n, double u, double *margin);

/* Could `column` have been drawn with the uniform number u from some logits that each lie within
 * `error` of ours? Bounds on the probability before the column and on the kept mass; true may be
 * too generous, false is certain. */
bool golden_draw_possible(const float *logits, int32_t n, int32_t column, double u, double error);

struct golden_table {
    int n_compared; /* arrays */
    int n_missed;   /* figures past their limit */
};

enum golden_limit { GOLDEN_RECORDED, GOLDEN_AT_LEAST, GOLDEN_AT_MOST };

/* One figure of an array. RECORDED ones are shown and have no limit. A figure that is NaN is a
 * miss. */
void golden_table_figure(struct golden_table *table, const char *array, const char *measure,
                         double figure, enum golden_limit kind, double limit);

#endif
