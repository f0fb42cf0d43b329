/* linear_finish.h - from sums to y: bias, activation and residual, four outputs of a row at a time,
 * of several rows side by side. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FINISH_H
#define MILL_KERNELS_CUDA_LINEAR_FINISH_H

#include "kernels/cuda/activation.h"
#include "kernels/cuda/linear_tile.h"
#include "kernels/cuda/quads.h"

/* What is added to a row's sums, if there is any. */
LINEAR_FN const float *bias_row(const struct linear_run &run, int32_t row) {
    return run.bias + (run.bias_group ? run.bias_group[row] * run.bias_step : 0);
}

/* That of four outputs of N rows, `step` apart; the last row's beyond it. */
template <bool WHOLE, int N>
LINEAR_FN void load_biases(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                           quad<float> (&bias)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        int32_t at = min(row + i * step, run.n_rows - 1);
        bias[i] = load_quad<WHOLE>(bias_row(run, at), out, run.n_out, 0.0f);
    }
}
/* Of a pair only the second is activated; it is then one number, so that a quad is two. */
template <int N> LINEAR_FN void activate_pairs(const struct linear_run &run, quad<float> (&v)[N]) {
    float second[2 * N];
#pragma unroll
    for (int i = 0; i < 2 * N; i++)
        second[i] = v[i / 2].v[i % 2 * 2 + 1];
    activate(run.act, second);
#pragma unroll
    for (int i = 0; i < 2 * N; i++) {
        float a = v[i / 2].v[i % 2 * 2], b = second[i];
        v[i / 2].v[i % 2] = run.pairs == MILL_PAIRS_GATE ? a * b : sqrtf(a * a + b * b);
    }
}
template <int N> LINEAR_FN void activate_quads(const struct linear_run &run, quad<float> (&v)[N]) {
    float all[4 * N];
#pragma unroll
    for (int i = 0; i < 4 * N; i++)
        all[i] = v[i / 4].v[i % 4];
    activate(run.act, all);
#pragma unroll
    for (int i = 0; i < 4 * N; i++)
        v[i / 4].v[i % 4] = all[i];
}

template <int N> LINEAR_FN void add_quads(quad<float> (&to)[N], const quad<float> (&v)[N]) {
#pragma unroll
    for (int i = 0; i < 4 * N; i++)
        to[i / 4].v[i % 4] += v[i / 4].v[i % 4];
}

/* With bias, activated. */
template <int N>
LINEAR_FN void activate_rows(const struct linear_run &run, const quad<float> (&bias)[N],
                             quad<float> (&v)[N]) {
    if (run.bias)
        add_quads(v, bias);
    if (run.pairs)
        activate_pairs(run, v);
    else
        activate_quads(run, v);
}
LINEAR_FN quad<float> activate_quad(const struct linear_run &run, const quad<float> &bias,
                                    const quad<float> &v) {
    const quad<float> biases[1] = {bias};
    quad<float> one[1] = {v};
    activate_rows(run, biases, one);
    return one[0];
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

template <bool WHOLE, int N>
LINEAR_FN void load_residuals(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                              quad<float> (&residual)[N]) {
    const float *from = run.residual + row * run.residual_step;
#pragma unroll
    for (int i = 0; i < N; i++, from += step * run.residual_step)
        if (row + i * step < run.n_rows)
            residual[i] = load_result<WHOLE>(run, from, out);
}
template <bool WHOLE, int N>
LINEAR_FN void store_results(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                             const quad<float> (&v)[N]) {
    float *to = run.y + row * run.y_step;
#pragma unroll
    for (int i = 0; i < N; i++, to += step * run.y_step)
        if (row + i * step < run.n_rows)
            store_result<WHOLE>(run, to, out, v[i]);
}

/* The sums of N rows, `step` apart, as far as there are, with bias, activated. */
template <int N>
LINEAR_FN void activate_sums(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                             quad<float> (&v)[N]) {
    quad<float> bias[N] = {};
    if (run.bias && run.whole_y)
        load_biases<true>(run, row, step, out, bias);
    else if (run.bias)
        load_biases<false>(run, row, step, out, bias);
    activate_rows(run, bias, v);
}

/* ... to y. All residuals are asked for first: before anything is stored, which may be in the same
 * place. */
template <int N>
LINEAR_FN void finish(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                      quad<float> (&v)[N]) {
    quad<float> residual[N] = {};
    if (run.residual && run.whole_y)
        load_residuals<true>(run, row, step, out, residual);
    else if (run.residual)
        load_residuals<false>(run, row, step, out, residual);
    activate_sums(run, row, step, out, v);
    if (run.residual)
        add_quads(v, residual);
    if (run.whole_y)
        store_results<true>(run, row, step, out, v);
    else
        store_results<false>(run, row, step, out, v);
}

LINEAR_FN void finish(const struct linear_run &run, int32_t row, int32_t out,
                      const quad<float> &v) {
    quad<float> one[1] = {v};
    finish(run, row, 0, out, one);
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

#endif
