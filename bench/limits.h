/* limits.h - what this machine can do at most, measured in the same run as what is compared with
 * it.
 *
 * Read bandwidth with every processor reading its own part of a region far larger than the caches;
 * and the rate at which oneDNN, the library that is best at it, multiplies large square matrices.
 * One thread calls; the work uses all processors. */
#ifndef MILL_BENCH_LIMITS_H
#define MILL_BENCH_LIMITS_H

#include "runtime/base/dtype.h"
#include "runtime/base/pool.h"

/* Bytes a second; 0 when memory is short. */
double bench_read_bandwidth(struct mill_pool *pool);

/* Operations a second (2 per multiply-add) of oneDNN's matmul with MILL_F32, MILL_BF16 or MILL_I8
 * operands; 0 = not measured (built without oneDNN, or this processor has no such instructions). */
double bench_onednn_peak(enum mill_dtype dtype);
/* "2.6.3"; empty when built without it. */
enum { BENCH_VERSION_BYTES = 32 };
void bench_onednn_version(char text[BENCH_VERSION_BYTES]);

#endif
