/* linear_finish.h - from sums to y: what blocks that share a tile leave for one another, and bias,
 * activation and residual, four outputs of a row at a time. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FINISH_H
#define MILL_KERNELS_CUDA_LINEAR_FINISH_H

#include "kernels/cuda/activation.h"
#include "kernels/cuda/linear_tile.h"
#include "kernels/cuda/quads.h"

/* ------------------------------------------------------------------ sums that blocks exchange */

/* Outputs of a row of sums in memory, which are whole quads. */
LINEAR_FN int32_t partial_pitch(const struct linear_run &run) {
    return (run.n_out + 3) / 4 * 4;
}
LINEAR_FN int64_t partial_at(const struct linear_run &run, int32_t planes, int32_t slot,
                             int32_t plane, int32_t row, int32_t out) {
    int64_t rows = ((int64_t)slot * planes + plane) * run.n_rows + row;
    return rows * partial_pitch(run) + out;
}

/* ------------------------------------------------------------------ the end of a sum */

/* Two pairs, of outputs from `out` on. */
template <bool WHOLE>
LINEAR_FN void finish_pairs(const struct linear_run &run, int32_t row, int32_t out,
                            const quad<float> &v) {
    float *y = run.y + row * run.y_step + out / 2;
    float of_pair[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float a = v.v[2 * i], b = v.v[2 * i + 1];
        bool inside = WHOLE || out + 2 * i < run.n_out;
        of_pair[i] = run.pairs == MILL_PAIRS_GATE ? a * b : sqrtf(a * a + b * b);
        if (run.residual && inside)
            of_pair[i] += run.residual[row * run.residual_step + out / 2 + i];
        if (!WHOLE && inside)
            y[i] = of_pair[i];
    }
    if (WHOLE)
        *reinterpret_cast<float2 *>(y) = make_float2(of_pair[0], of_pair[1]);
}

template <bool WHOLE>
LINEAR_FN void finish_quad(const struct linear_run &run, int32_t row, int32_t out, quad<float> v) {
    if (run.bias) {
        const float *from = run.bias + (run.bias_group ? run.bias_group[row] * run.bias_step : 0);
        quad<float> bias = load_quad<WHOLE>(from, out, run.n_out, 0.0f);
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] += bias.v[i];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) /* of a pair only the second */
        v.v[i] = run.pairs && i % 2 == 0 ? v.v[i] : activate(run.act, v.v[i]);
    if (run.pairs) {
        finish_pairs<WHOLE>(run, row, out, v);
        return;
    }
    if (run.residual) {
        const float *from = run.residual + row * run.residual_step;
        quad<float> residual = load_quad<WHOLE>(from, out, run.n_out, 0.0f);
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] += residual.v[i];
    }
    store_quad<WHOLE>(run.y + row * run.y_step, out, run.n_out, v);
}

LINEAR_FN void finish(const struct linear_run &run, int32_t row, int32_t out, quad<float> v) {
    if (run.whole_y)
        finish_quad<true>(run, row, out, v);
    else
        finish_quad<false>(run, row, out, v);
}

/* What four sums stand for. */
template <class KIND>
LINEAR_FN quad<float> value_quad(const struct linear_run &run,
                                 const typename KIND::word (&sum)[KIND::PLANES][4], int32_t row,
                                 int32_t out) {
    quad<float> v = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        typename KIND::word words[KIND::PLANES];
#pragma unroll
        for (int plane = 0; plane < KIND::PLANES; plane++)
            words[plane] = sum[plane][i];
        if (out + i < run.n_out)
            v.v[i] = KIND::value(run, words, row, out + i);
    }
    return v;
}

/* Adds up, in order, what the blocks of a tile have left, and finishes it. */
template <class TILE>
LINEAR_FN void finish_splits(const struct linear_run &run, int32_t first_row, int32_t first_out) {
    typedef typename TILE::KIND KIND;
    typedef typename KIND::word word;
    int32_t n_slots =
        KIND::EXACT ? run.n_splits : (run.n_groups - 1) / (LINEAR_CHUNK * LINEAR_SEGMENT) + 1;
    for (int32_t i = threadIdx.x; i < TILE::QUADS; i += TILE::THREADS) {
        int32_t row = first_row + i / (TILE::OUTS / 4);
        int32_t out = first_out + i % (TILE::OUTS / 4) * 4;
        if (row >= run.n_rows || out >= run.n_out)
            continue;
        word sum[KIND::PLANES][4] = {};
        for (int32_t slot = 0; slot < n_slots; slot++)
            for (int plane = 0; plane < KIND::PLANES; plane++) {
                const word *from = static_cast<const word *>(run.partial) +
                                   partial_at(run, KIND::PLANES, slot, plane, row, out);
                quad<word> q = load_quad<true>(from, 0, 4, word(0));
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[plane][j] += q.v[j];
            }
        finish(run, row, out, value_quad<KIND>(run, sum, row, out));
    }
}

#endif
