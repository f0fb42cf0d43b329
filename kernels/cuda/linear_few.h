/* linear_few.h - the kernel of `linear` for few rows, where all is a matter of reading the weights
 * once and of starting soon.
 *
 * A block takes OB bricks of outputs and all inputs, each warp a run of units of inputs. Their
 * weights are asked for before anything waits for x, and wait in registers or in shared memory,
 * where a lane copies what it will read itself: what waits there leaves registers to the launches
 * before and behind (docs/kernels.md says which fit together). Rows of bf16 products are normed and
 * rounded by the block, once, into shared memory; codes come from memory, where linear_prepare.cu
 * has put them (to quantise in every block too took longer: docs/kernels-log.md). The sums of the
 * units meet in shared memory, once, and are added up in the order that linear.h demands.
 *
 * Weights do not depend on the launch before: they are on their way while that one ends
 * (device.h). */
#ifndef MILL_KERNELS_CUDA_LINEAR_FEW_H
#define MILL_KERNELS_CUDA_LINEAR_FEW_H

#include "kernels/cuda/linear_few_units.h"
#include "kernels/cuda/linear_finish.h"

/* ------------------------------------------------------------------ the end of a sum */

/* What is added to the sums waits in shared memory too, a thread copies its quads: two slots behind
 * those of sums, bias and residual. */
template <class TILE> LINEAR_FN float *end_slot(const few_place<TILE> &at, int which) {
    int32_t n_slots = TILE::KIND::EXACT ? at.n_warps : at.n_whole;
    return reinterpret_cast<float *>(at.slots + (n_slots + which) * at.slot);
}

/* Begins to copy what load_result would load, zeros behind it. */
LINEAR_FN void copy_result(const struct linear_run &run, float *to, const float *row, int32_t out,
                           bool pairs) {
    if (run.whole_y && !pairs) {
        cp_async_16(to, row + out, true);
        return;
    }
    const int32_t step = pairs ? 2 : 1, n = pairs ? 2 : 4;
    for (int32_t k = 0; k < 4; k++)
        cp_async_4(to + k, row + out / step + k, k < n && out + k * step < run.n_out);
}

template <class TILE>
LINEAR_FN void ask_ends(const struct linear_run &run, const few_place<TILE> &at, bool bias,
                        bool residual) {
#pragma unroll 1
    for (int32_t i = threadIdx.x; i < at.n_rows * (TILE::OUTS / 4); i += few_threads<TILE>()) {
        int32_t row = at.row + i / (TILE::OUTS / 4), out = at.out + i % (TILE::OUTS / 4) * 4;
        if (out >= run.n_out)
            continue;
        if (bias)
            copy_result(run, end_slot(at, 0) + 4 * i, bias_row(run, row), out, false);
        if (residual)
            copy_result(run, end_slot(at, 1) + 4 * i, run.residual + row * run.residual_step, out,
                        run.pairs);
    }
}

/* The sums of a quad of outputs, all slots in order. */
template <class TILE>
LINEAR_FN void finish_few(const struct linear_run &run, const few_place<TILE> &at, int32_t i) {
    typedef typename TILE::KIND KIND;
    typedef typename KIND::word word;
    int32_t r = i / (TILE::OUTS / 4), out = at.out + i % (TILE::OUTS / 4) * 4;
    int32_t n_slots = KIND::EXACT ? at.n_warps : at.n_units;
    if (out >= run.n_out)
        return;
    word total[KIND::PLANES][4] = {};
    for (int32_t first = 0; first < n_slots; first += LINEAR_SEGMENT) {
        word segment[KIND::PLANES][4] = {};
#pragma unroll
        for (int32_t slot = first; slot < first + LINEAR_SEGMENT; slot++)
            for (int plane = 0; plane < KIND::PLANES && slot < n_slots; plane++) {
                quad<word> q = load_quad<true>(
                    at.slots + slot * at.slot + plane * at.n_rows * TILE::OUTS, 4 * i, 0, word(0));
                for (int k = 0; k < 4; k++)
                    segment[plane][k] += q.v[k];
            }
        for (int plane = 0; plane < KIND::PLANES; plane++)
            for (int k = 0; k < 4; k++)
                total[plane][k] += segment[plane][k];
    }
    quad<float> bias = {}, residual = {};
    if (run.bias)
        bias = load_quad<true>(end_slot(at, 0), 4 * i, 0, 0.0f);
    if (run.residual)
        residual = load_quad<true>(end_slot(at, 1), 4 * i, 0, 0.0f);
    quad<float> y = activate_quad(run, bias, value_quad<KIND>(run, total, at.row + r, out));
    for (int k = 0; k < 4 && run.residual; k++)
        y.v[k] += residual.v[k];
    float *to = run.y + (at.row + r) * run.y_step;
    if (run.whole_y)
        store_result<true>(run, to, out, y);
    else
        store_result<false>(run, to, out, y);
}

/* Where no launch begins beside another there are registers for all. */
template <class TILE>
__global__ void __maxnreg__(CU_ARCH == 900 ? TILE::REGISTERS : 128)
    linear_few(const __grid_constant__ struct linear_run run) {
    typedef typename TILE::KIND KIND;
    CU_DYN_SHARED(uint4, shared);
    const few_place<TILE> at = few_place_of<TILE>(run, shared);
    few_weights<TILE> w;
    bool is_fixed = run.bias && !run.bias_group;
    if (TILE::ROUNDS)
        ask_gain(run, at);
    cp_async_commit();
    ask_units(run, at);
    load_unit(w, run, at, at.first);
    if (is_fixed)
        ask_ends(run, at, true, false);
    cp_async_commit();
    grid_start_next();
    grid_wait();
    const few_rows rows = take_few(run, at);
    ask_ends(run, at, run.bias_group != NULL, run.residual != NULL);
    cp_async_commit();
    few_sums<TILE> sums;
    sums.clear();
    cp_async_wait<1>();
#pragma unroll 1
    for (int32_t first = at.first; first < at.end; first += TILE::UNITS) {
        multiply_units(sums, run, at, rows, first, w);
        load_unit(w, run, at, first + TILE::UNITS);
        if (!KIND::EXACT)
            leave_units(sums, at, first);
    }
    if (KIND::EXACT)
        leave_few(sums.of[0], at, at.warp);
    cp_async_wait<0>();
    __syncthreads();
    for (int32_t i = threadIdx.x; i < at.n_rows * (TILE::OUTS / 4); i += few_threads<TILE>())
        finish_few(run, at, i);
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static void launch_few(struct mill_backend *backend, const struct linear_plan *plan,
                       const struct linear_run *run) {
    dim3 grid((uint32_t)plan->n_row_tiles, (uint32_t)(plan->n_tiles / plan->n_row_tiles));
    CU_LAUNCH_EARLY(linear_few<TILE>, grid, dim3(32 * (uint32_t)plan->n_warps),
                    (size_t)plan->shared_bytes, backend, *run);
}

template <class TILE> static constexpr struct linear_kernel few_of(struct linear_pace pace) {
    struct linear_kernel kernel = {};
    kernel.kind = TILE::KIND::ID;
    kernel.n_rows = TILE::ROWS;
    kernel.n_outs = TILE::OUTS;
    kernel.n_warps = TILE::WARPS;
    kernel.n_blocks = 1;
    kernel.unit_groups = TILE::UNIT;
    kernel.whole_units = TILE::UNITS;
    kernel.waiting_bricks = TILE::OB - TILE::HELD;
    kernel.is_exact = TILE::KIND::EXACT;
    kernel.exchange_bytes =
        TILE::KIND::PLANES * TILE::OUTS * (int32_t)sizeof(typename TILE::KIND::word);
    kernel.max_segments = INT32_MAX;
    kernel.pace = pace;
    kernel.function = linear_few<TILE>;
    kernel.launch = launch_few<TILE>;
    return kernel;
}

#endif
