/* philox.h - counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011; constants and rounds from section 4.3).
 *
 * A number is a pure function of (key, counter): no state to keep, so a request draws the same
 * numbers alone or in a batch, first try or recomputed, on any device: the functions stand here
 * because device code calls them too. */
#ifndef MILL_BASE_PHILOX_H
#define MILL_BASE_PHILOX_H

#include <stdint.h>

#ifdef __CUDACC__
#define MILL_PHILOX static inline __host__ __device__
#else
#define MILL_PHILOX static inline
#endif

struct mill_philox {
    uint32_t word[4];
};

/* Ten rounds over the 128-bit counter (low, high) with a 64-bit key. */
MILL_PHILOX struct mill_philox mill_philox_words(uint64_t key, uint64_t counter_low,
                                                 uint64_t counter_high) {
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0, p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    struct mill_philox out = {{c0, c1, c2, c3}};
    return out;
}

/* The uniform number of draw `position` of stream `seed`: a multiple of 2^-53 in [0, 1). */
MILL_PHILOX double mill_philox_uniform(uint64_t seed, uint64_t position) {
    struct mill_philox r = mill_philox_words(seed, position, 0);
    uint64_t bits = ((uint64_t)r.word[1] << 32 | r.word[0]) >> 11;
    return (double)bits * 0x1p-53;
}

/* The seed of the n-th stream that is derived from `seed`; the 0th is its own. Draws use counters
 * (position, 0): a high word of its own, `kind`, keeps derived streams apart from them and from
 * those of other kinds. */
MILL_PHILOX uint64_t mill_philox_derive(uint64_t seed, uint64_t n, uint64_t kind) {
    struct mill_philox r = mill_philox_words(seed, n, kind);
    return n == 0 ? seed : (uint64_t)r.word[1] << 32 | r.word[0];
}

#undef MILL_PHILOX

#endif
