/* numbers.h - the numbers that weights and inputs of tests consist of. */
#ifndef MILL_TESTS_KERNELS_NUMBERS_H
#define MILL_TESTS_KERNELS_NUMBERS_H

#include "runtime/base/memory.h"
#include "runtime/base/philox.h"

#include <stdlib.h>

/* n of them from [-1, 1), the same for the same seed. The caller frees them; without memory it
 * ends. */
static inline float *numbers(size_t n, uint64_t seed) {
    float *out = mill_alloc_array(n, sizeof *out);
    if (!out)
        abort();
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(2 * mill_philox_uniform(seed, i) - 1);
    return out;
}

#endif
