/* statistics.c - see statistics.h. */
#include "bench/statistics.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *values, size_t n) {
    if (n > 1)
        qsort(values, n, sizeof *values, by_value);
}

double bench_percentile(const double *sorted, size_t n, double p) {
    if (n == 0)
        return 0;
    double rank = p / 100 * (double)(n - 1);
    size_t below = (size_t)rank;
    if (below + 1 >= n)
        return sorted[n - 1];
    return sorted[below] + (rank - (double)below) * (sorted[below + 1] - sorted[below]);
}

/* Student's t, two-sided 95 %, for 1 .. 10 degrees of freedom; beyond these the limit of many is
 * near enough. */
static double t_factor(size_t degrees) {
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571,
                               2.447,  2.365, 2.306, 2.262, 2.228};
    return degrees <= sizeof t / sizeof *t ? t[degrees - 1] : 2.0;
}

struct bench_mean bench_mean_of(const double *values, size_t n) {
    struct bench_mean result = {.n = n};
    for (size_t i = 0; i < n; i++)
        result.mean += values[i] / (double)n;
    if (n < 2)
        return result;
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - result.mean) * (values[i] - result.mean);
    double deviation = sqrt(squares / (double)(n - 1));
    result.half_width = t_factor(n - 1) * deviation / sqrt((double)n);
    return result;
}

struct bench_change bench_change_of(struct bench_mean a, struct bench_mean b, double least) {
    struct bench_change change = {0};
    double difference = b.mean - a.mean;
    if (a.mean != 0)
        change.share = difference / a.mean;
    change.noise_known = a.n > 1 && b.n > 1;
    change.beyond_noise = change.noise_known &&
                          fabs(difference) > hypot(a.half_width, b.half_width) &&
                          fabs(difference) > least * fabs(a.mean);
    return change;
}
