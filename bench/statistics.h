/* statistics.h - what many times say: percentiles of one run, and how far the mean of a few
 * repetitions can be trusted. Pure functions. */
#ifndef MILL_BENCH_STATISTICS_H
#define MILL_BENCH_STATISTICS_H

#include <stddef.h>

/* Ascending, in place. */
void bench_sort(double *values, size_t n);

/* The p-th percentile (0 .. 100) of sorted values by linear interpolation between ranks; 0 for
 * none. */
double bench_percentile(const double *sorted, size_t n, double p);

/* Mean of n repetitions and the half width of its 95 % confidence interval by Student's t. With
 * one repetition nothing is known about the spread: half_width is then 0 and `n` says why. */
struct bench_mean {
    double mean, half_width;
    size_t n;
};
struct bench_mean bench_mean_of(const double *values, size_t n);

/* How likely equal runs differ as these two do: beyond_noise is set where the difference is larger
 * than both intervals together allow, |a - b| > sqrt(ha^2 + hb^2), and than `least` of a. Of a
 * single run nobody knows how far the next one is: noise_known is not set. */
struct bench_change {
    double share; /* (b - a) / a; 0 where a is 0 */
    int beyond_noise, noise_known;
};
struct bench_change bench_change_of(struct bench_mean a, struct bench_mean b, double least);

#endif
