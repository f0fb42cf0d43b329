/* conv_finish.h - the end of every convolution kernel: sums in shared memory, outputs of a row side
 * by side, become rows of y: bias, activation, residual, four outputs a thread at a time. */
#ifndef MILL_KERNELS_CUDA_CONV_FINISH_H
#define MILL_KERNELS_CUDA_CONV_FINISH_H

#include "kernels/cuda/activation.h"
#include "kernels/cuda/conv_rows.h"

/* Where sums go. Row 0 is the block's first. */
struct conv_output {
    float *y;
    int64_t y_step; /* elements from row to row */
    const float *residual;
    int64_t residual_step;
    const float *bias;
    int32_t n_rows, n_out; /* of the block's first row on; of the layer */
    enum mill_activation act;
    bool whole;
};

static __device__ __forceinline__ conv_output conv_output_of(const struct conv_args &args,
                                                             const conv_rows &rows) {
    conv_output to;
    to.y = matrix_row(args.y, rows.y);
    to.y_step = args.y.stride * rows.y_step;
    to.residual = args.residual.data ? matrix_row(args.residual, rows.residual) : NULL;
    to.residual_step = args.residual.stride * rows.y_step;
    to.bias = args.w.bias;
    to.n_rows = rows.n;
    to.n_out = args.w.shape.n_out;
    to.act = args.act;
    to.whole = args.whole_y;
    return to;
}

/* ROWS rows of M outputs each, PITCH floats apart: those from `row` and from `out` on. */
template <int M, int ROWS, int PITCH, int THREADS>
static __device__ __forceinline__ void finish_rows(const struct conv_output &to,
                                                   const float *staged, int32_t row, int32_t out) {
    for (int32_t i = threadIdx.x; i < ROWS * (M / 4); i += THREADS) {
        int32_t r = row + i / (M / 4), at = i % (M / 4) * 4, o = out + at;
        if (r >= to.n_rows || o >= to.n_out)
            continue;
        quad<float> v = load_quad<true>(staged + i / (M / 4) * PITCH, at, M, 0.0f);
        quad<float> bias = {}, residual = {};
        if (to.bias)
            bias = load_quad<false>(to.bias, o, to.n_out, 0.0f);
        if (to.residual) {
            const float *from = to.residual + r * to.residual_step;
            residual = to.whole ? load_quad<true>(from, o, to.n_out, 0.0f)
                                : load_quad<false>(from, o, to.n_out, 0.0f);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v.v[j] = activate(to.act, v.v[j] + bias.v[j]);
            v.v[j] = to.residual ? v.v[j] + residual.v[j] : v.v[j];
        }
        if (to.whole)
            store_quad<true>(to.y + r * to.y_step, o, to.n_out, v);
        else
            store_quad<false>(to.y + r * to.y_step, o, to.n_out, v);
    }
}

#endif
