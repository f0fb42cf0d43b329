/* philox.c - see philox.h; constants and rounds from the paper's section 4.3. No state. */
#include "runtime/base/philox.h"

struct mill_philox mill_philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
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
    return (struct mill_philox){{c0, c1, c2, c3}};
}

double mill_philox_uniform(uint64_t seed, uint64_t position) {
    struct mill_philox r = mill_philox(seed, position, 0);
    uint64_t bits = ((uint64_t)r.word[1] << 32 | r.word[0]) >> 11;
    return (double)bits * 0x1p-53;
}
