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

/* With one more. */
static __device__ __forceinline__ attn_taken take_one(const attn_taken &taken,
                                                      const attn_taken &next) {
    attn_taken t;
    t.largest = fmaxf(taken.largest, next.largest);
    float keep = fast_exp2(taken.largest - t.largest), take = fast_exp2(next.largest - t.largest);
    for (int c = 0; c < 4; c++)
        t.sum.v[c] = fmaf(next.sum.v[c], take, taken.sum.v[c] * keep);
    t.total = fmaf(next.total, take, taken.total * keep);
    return t;
}

/* Takes the slot's next n partial results (attn_paged.h), in order; `at` is its first column. N are
 * asked for at a time, the last one more than once if there are fewer. */
template <int D, int N>
static __device__ __forceinline__ void take_partials(attn_taken *taken, const float *partials,
                                                     int32_t at, int32_t n) {
    for (int32_t first = 0; first < n; first += N) {
        attn_taken next[N];
#pragma unroll
        for (int i = 0; i < N; i++) {
            const float *from = partials + min(first + i, n - 1) * ATTN_PARTIAL_FLOATS(D);
            const float2 rest = *reinterpret_cast<const float2 *>(from + D);
            next[i].sum = load_quad<true>(from, at, D, 0.0f);
            next[i].total = rest.x;
            next[i].largest = rest.y;
        }
#pragma unroll
        for (int i = 0; i < N; i++)
            *taken = first + i < n ? take_one(*taken, next[i]) : *taken;
    }
}

#endif
