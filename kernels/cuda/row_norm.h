/* row_norm.h - the sums of a row's normalisation, by a warp, in one order whoever needs them:
 * `norm` and every kernel of `linear` that normalises x give the same bits. A lane takes every 32nd
 * quad of the row. */
#ifndef MILL_KERNELS_CUDA_ROW_NORM_H
#define MILL_KERNELS_CUDA_ROW_NORM_H

#include "kernels/cuda/quads.h"

/* Sum over the row of (x - centre)^2, or of x. Every lane gets it. */
template <bool WHOLE, bool SQUARES>
static __device__ float row_sum(const float *x, int32_t n, float centre) {
    float sum[4] = {0, 0, 0, 0};
    for (int32_t at = 4 * (threadIdx.x % 32); at < n; at += 4 * 32) {
        quad<float> q = load_quad<WHOLE>(x, at, n, centre);
        for (int i = 0; i < 4; i++)
            sum[i] = SQUARES ? fmaf(q.v[i] - centre, q.v[i] - centre, sum[i]) : sum[i] + q.v[i];
    }
    return warp_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* 1 / sqrt(mean((x - centre)^2) + eps) */
template <bool WHOLE>
static __device__ float inverse_deviation(const float *x, int32_t n, float centre, float eps) {
    return 1.0f / sqrtf(row_sum<WHOLE, true>(x, n, centre) / (float)n + eps);
}

#endif
