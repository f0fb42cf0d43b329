/* philox.h - counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011).
 *
 * A number is a pure function of (key, counter): no state to keep, so a request draws the same
 * numbers alone or in a batch, first try or recomputed, on any device. */
#ifndef MILL_BASE_PHILOX_H
#define MILL_BASE_PHILOX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mill_philox {
    uint32_t word[4];
};

/* Ten rounds over the 128-bit counter (low, high) with a 64-bit key. */
struct mill_philox mill_philox(uint64_t key, uint64_t counter_low, uint64_t counter_high);

/* The uniform number of draw `position` of stream `seed`: a multiple of 2^-53 in [0, 1). */
double mill_philox_uniform(uint64_t seed, uint64_t position);

#ifdef __cplusplus
}
#endif

#endif
