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

/* That of four outputs, if there is any. */
LINEAR_FN quad<float> load_bias(const struct linear_run &run, int32_t row, int32_t out) {
    if (!run.bias)
        return quad<float>{};
    const float *from = run.bias + (run.bias_group ? run.bias_group[row] * run.bias_step : 0);
    return run.whole_y ? load_quad<true>(from, out, run.n_out, 0.0f)
                       : load_quad<false>(from, out, run.n_out, 0.0f);
}

/* Four outputs: with bias, activated; a pair is then one number, so that they are two. */
LINEAR_FN quad<float> activate_quad(const struct linear_run &run, const quad<float> &bias,
                                    quad<float> v) {
    if (run.bias)
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] += bias.v[i];
#pragma unroll
    for (int i = 0; i < 4; i++) /* of a pair only the second */
        v.v[i] = run.pairs && i % 2 == 0 ? v.v[i] : activate(run.act, v.v[i]);
    if (run.pairs)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float a = v.v[2 * i], b = v.v[2 * i + 1];
            v.v[i] = run.pairs == MILL_PAIRS_GATE ? a * b : sqrtf(a * a + b * b);
        }
    return v;
}
LINEAR_FN quad<float> activate_quad(const struct linear_run &run, int32_t row, int32_t out,
                                    const quad<float> &v) {
    return activate_quad(run, load_bias(run, row, out), v);
}

/* Two or four numbers of a row of n. */
template <bool WHOLE>
LINEAR_FN quad<float> load_result(const struct linear_run &run, const float *row, int32_t out) {
    if (!run.pairs)
        return load_quad<WHOLE>(row, out, run.n_out, 0.0f);
    quad<float> two = {};
#pragma unroll
    for (int i = 0; i < 2; i++)
        if (WHOLE || out + 2 * i < run.n_out)
            two.v[i] = row[out / 2 + i];
    return two;
}
template <bool WHOLE>
LINEAR_FN void store_result(const struct linear_run &run, float *row, int32_t out,
                            const quad<float> &v) {
    if (!run.pairs) {
        store_quad<WHOLE>(row, out, run.n_out, v);
    } else if (WHOLE) {
        *reinterpret_cast<float2 *>(row + out / 2) = make_float2(v.v[0], v.v[1]);
    } else {
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (out + 2 * i < run.n_out)
                row[out / 2 + i] = v.v[i];
    }
}

/* What activate_quad gave for N rows, `step` apart, as far as there are: with residual to y. All
 * residuals are asked for before anything is stored, which may be in the same place. */
template <bool WHOLE, int N>
LINEAR_FN void finish_results_as(const struct linear_run &run, int32_t row, int32_t step,
                                 int32_t out, quad<float> (&v)[N]) {
    if (run.residual) {
        const float *from = run.residual + row * run.residual_step;
        quad<float> residual[N] = {};
#pragma unroll
        for (int i = 0; i < N; i++, from += step * run.residual_step)
            if (row + i * step < run.n_rows)
                residual[i] = load_result<WHOLE>(run, from, out);
#pragma unroll
        for (int i = 0; i < N; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                v[i].v[j] += residual[i].v[j];
    }
    float *to = run.y + row * run.y_step;
#pragma unroll
    for (int i = 0; i < N; i++, to += step * run.y_step)
        if (row + i * step < run.n_rows)
            store_result<WHOLE>(run, to, out, v[i]);
}
template <int N>
LINEAR_FN void finish_results(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                              quad<float> (&v)[N]) {
    if (run.whole_y)
        finish_results_as<true>(run, row, step, out, v);
    else
        finish_results_as<false>(run, row, step, out, v);
}

LINEAR_FN void finish(const struct linear_run &run, int32_t row, int32_t out,
                      const quad<float> &v) {
    quad<float> one[1] = {activate_quad(run, row, out, v)};
    finish_results(run, row, 0, out, one);
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
