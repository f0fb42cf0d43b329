/* row_norm.h - the sums of a row's normalisation, by a warp, in one order whoever needs them:
 * `norm` and every kernel of `linear` that normalises x give the same bits. A lane takes every 32nd
 * quad of the row, and asks for eight at once. */
#ifndef MILL_KERNELS_CUDA_ROW_NORM_H
#define MILL_KERNELS_CUDA_ROW_NORM_H

#include "kernels/cuda/quads.h"

/* Sum over the row of (x - centre)^2, or of x. Every lane gets it. */
template <bool WHOLE, bool SQUARES>
static __device__ float row_sum(const float *x, int32_t n, float centre) {
    enum { AHEAD = WHOLE ? 8 : 1, STEP = 4 * 32 };
    const int32_t last = (n - 1) / 4 * 4;
    float sum[4] = {0, 0, 0, 0};
    for (int32_t at = 4 * (int32_t)(threadIdx.x % 32); at < n; at += AHEAD * STEP) {
        quad<float> q[AHEAD]; /* of the last one again, rather than a load that may not be */
#pragma unroll
        for (int k = 0; k < AHEAD; k++)
            q[k] = load_quad<WHOLE>(x, min(at + k * STEP, last), n, centre);
#pragma unroll
        for (int k = 0; k < AHEAD; k++)
            for (int i = 0; i < 4 && at + k * STEP < n; i++) {
                float v = q[k].v[i];
                sum[i] = SQUARES ? fmaf(v - centre, v - centre, sum[i]) : sum[i] + v;
            }
    }
    return warp_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* 1 / sqrt(mean((x - centre)^2) + eps) */
template <bool WHOLE>
static __device__ float inverse_deviation(const float *x, int32_t n, float centre, float eps) {
    return 1.0f / sqrtf(row_sum<WHOLE, true>(x, n, centre) / (float)n + eps);
}

#endif
