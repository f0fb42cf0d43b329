/* attn_taken.h - splits taken together: four columns of a slot, by a thread. Device code. */
#ifndef MILL_KERNELS_CUDA_ATTN_TAKEN_H
#define MILL_KERNELS_CUDA_ATTN_TAKEN_H

#include "kernels/cuda/attn_paged.h"
#include "kernels/cuda/quads.h"

#include <math.h>

struct attn_taken {
    quad<float> sum;
    float total, largest;
};

static __device__ __forceinline__ attn_taken attn_nothing_taken() {
    return {{{0, 0, 0, 0}}, 0, -INFINITY};
}

/* Takes the slot's next n partial results (attn_paged.h), in order; `at` is its first column. */
template <int D>
static __device__ __forceinline__ void take_partials(attn_taken *taken, const float *partial,
                                                     int32_t at, int32_t n) {
    attn_taken t = *taken;
#pragma unroll 8
    for (int32_t split = 0; split < n; split++, partial += ATTN_PARTIAL_FLOATS(D)) {
        quad<float> next = load_quad<true>(partial, at, D, 0.0f);
        float peak = fmaxf(t.largest, partial[D + 1]);
        float keep = fast_exp2(t.largest - peak), take = fast_exp2(partial[D + 1] - peak);
        for (int c = 0; c < 4; c++)
            t.sum.v[c] = fmaf(next.v[c], take, t.sum.v[c] * keep);
        t.total = fmaf(partial[D], take, t.total * keep);
        t.largest = peak;
    }
    *taken = t;
}

#endif
