/* linear_few.h - the kernel of `linear` for few rows, where all is a matter of reading the weights
 * once and of starting soon.
 *
 * A block takes OB bricks of outputs and all inputs. Its warps take units of inputs in turn, a
 * unit's weights straight into registers, asked for before anything waits for x. Rows of bf16
 * products are normed and rounded by the block, once, into shared memory; codes come from memory,
 * where linear_prepare.cu has put them (to quantise in every block too took longer:
 * docs/kernels.md). The sums of the units meet in shared memory, once, and are added up in the
 * order that linear.h demands.
 *
 * Weights do not depend on the launch before: they are on their way while that one ends
 * (device.h). */
#ifndef MILL_KERNELS_CUDA_LINEAR_FEW_H
#define MILL_KERNELS_CUDA_LINEAR_FEW_H

#include "kernels/cuda/linear_few_rows.h"
#include "kernels/cuda/linear_finish.h"

/* ------------------------------------------------------------------ weights */

template <class TILE> struct few_weights { uint4 of[TILE::UNIT][TILE::OB]; };

/* In the place of groups and outputs that there are not come the last ones, whose sums nobody
 * takes: loads without a condition go straight to their registers, and all at once. */
template <class TILE>
LINEAR_FN void load_unit(few_weights<TILE> &w, const struct linear_run &run,
                         const few_place<TILE> &at, int32_t unit) {
    if (unit >= at.n_units)
        return;
#pragma unroll
    for (int j = 0; j < TILE::UNIT; j++)
#pragma unroll
        for (int o = 0; o < TILE::OB; o++) {
            int32_t brick = min(o, (run.n_out - 1 - at.out) / BRICK_OUTS);
            int32_t group = min(unit * TILE::UNIT + j, run.n_groups - 1);
            w.of[j][o] = at.w[(brick * run.n_groups + group) * BRICK_CHUNKS];
        }
}

/* ------------------------------------------------------------------ sums */

/* A unit's products with its rows of x. */
template <class TILE>
LINEAR_FN void multiply_unit(typename TILE::KIND::template sums<TILE::RB, TILE::OB> &sums,
                             const struct linear_run &run, const few_rows &rows, int32_t unit,
                             const few_weights<TILE> &w) {
#pragma unroll
    for (int j = 0; j < TILE::UNIT; j++) {
        int32_t group = unit * TILE::UNIT + j;
        if (group < run.n_groups)
            sums.add_few(rows, group, w.of[j]);
    }
}

/* Sums of a warp to the slot of a unit (of the warp, where there is no order to keep). */
template <class TILE>
LINEAR_FN void leave_few(const typename TILE::KIND::template sums<TILE::RB, TILE::OB> &sums,
                         const few_place<TILE> &at, typename TILE::KIND::word *slot) {
    typedef typename TILE::KIND KIND;
#pragma unroll
    for (int plane = 0; plane < KIND::PLANES; plane++)
#pragma unroll
        for (int rb = 0; rb < TILE::RB; rb++)
#pragma unroll
            for (int o = 0; o < TILE::OB; o++)
#pragma unroll
                for (int i = 0; i < 2; i++)
                    slot[(plane * TILE::ROWS + rb * 8 + KIND::row(at.lane, i)) * TILE::OUTS +
                         o * 8 + KIND::out(at.lane, i)] = sums.part(o, rb, i, plane);
}

/* What is added to a quad of outputs, which is asked for before the sums are there. */
struct few_end {
    quad<float> bias, residual;
};

template <class TILE>
LINEAR_FN few_end ask_end(const struct linear_run &run, const few_place<TILE> &at, int32_t i) {
    few_end end = {};
    int32_t r = i / (TILE::OUTS / 4), out = at.out + i % (TILE::OUTS / 4) * 4;
    if (r >= at.n_rows || out >= run.n_out)
        return end;
    end.bias = load_bias(run, at.row + r, out);
    if (run.residual) {
        const float *from = run.residual + (at.row + r) * run.residual_step;
        end.residual =
            run.whole_y ? load_result<true>(run, from, out) : load_result<false>(run, from, out);
    }
    return end;
}

/* The sums of a quad of outputs, all slots in order. */
template <class TILE>
LINEAR_FN void finish_few(const struct linear_run &run, const few_place<TILE> &at,
                          const typename TILE::KIND::word *slots, int32_t i, const few_end &end) {
    typedef typename TILE::KIND KIND;
    typedef typename KIND::word word;
    int32_t r = i / (TILE::OUTS / 4), out = at.out + i % (TILE::OUTS / 4) * 4;
    int32_t n_slots = KIND::EXACT ? at.n_warps : at.n_units;
    if (r >= at.n_rows || out >= run.n_out)
        return;
    word total[KIND::PLANES][4] = {};
    for (int32_t first = 0; first < n_slots; first += LINEAR_SEGMENT) {
        word segment[KIND::PLANES][4] = {};
#pragma unroll
        for (int32_t slot = first; slot < first + LINEAR_SEGMENT; slot++)
            for (int plane = 0; plane < KIND::PLANES && slot < n_slots; plane++) {
                quad<word> q = load_quad<true>(
                    slots + slot * TILE::SLOT + plane * TILE::ROWS * TILE::OUTS, 4 * i, 0, word(0));
                for (int k = 0; k < 4; k++)
                    segment[plane][k] += q.v[k];
            }
        for (int plane = 0; plane < KIND::PLANES; plane++)
            for (int k = 0; k < 4; k++)
                total[plane][k] += segment[plane][k];
    }
    quad<float> y = activate_quad(run, end.bias, value_quad<KIND>(run, total, at.row + r, out));
    for (int k = 0; k < 4 && run.residual; k++)
        y.v[k] += end.residual.v[k];
    float *to = run.y + (at.row + r) * run.y_step;
    if (run.whole_y)
        store_result<true>(run, to, out, y);
    else
        store_result<false>(run, to, out, y);
}

/* On other cards than sm_90 fewer blocks fit, rather than that registers are spilled. */
template <class TILE>
__global__ void __launch_bounds__(32 * TILE::WARPS, CU_ARCH == 900 ? TILE::BLOCKS : 1)
    linear_few(const __grid_constant__ struct linear_run run) {
    typedef typename TILE::KIND KIND;
    typedef typename KIND::word word;
    CU_DYN_SHARED(uint4, shared);
    const few_place<TILE> at = few_place_of<TILE>(run);
    int32_t held = KIND::ID == LINEAR_BF16 ? at.n_rows * few_pitch(run.n_groups) : 0;
    word *slots = reinterpret_cast<word *>(shared + held);
    few_weights<TILE> w, next;
    load_unit(w, run, at, at.warp);
    if (TILE::AHEAD)
        load_unit(next, run, at, at.warp + at.n_warps);
    const quad<float> gain = ask_gain<TILE>(run);
    grid_start_next();
    grid_wait();
    const few_rows rows = take_few(run, at, gain, shared);
    few_end end = ask_end(run, at, threadIdx.x);
    typename KIND::template sums<TILE::RB, TILE::OB> sums;
    sums.clear();
    for (int32_t unit = at.warp; unit < at.n_units; unit += at.n_warps) {
        multiply_unit<TILE>(sums, run, rows, unit, w);
        if (!KIND::EXACT) {
            leave_few(sums, at, slots + unit * TILE::SLOT);
            sums.clear();
        }
        if (TILE::AHEAD)
            w = next;
        load_unit(TILE::AHEAD ? next : w, run, at, unit + (TILE::AHEAD ? 2 : 1) * at.n_warps);
    }
    if (KIND::EXACT)
        leave_few(sums, at, slots + at.warp * TILE::SLOT);
    __syncthreads();
    for (int32_t i = threadIdx.x; i < TILE::QUADS; i += blockDim.x) {
        finish_few(run, at, slots, i, end);
        end = ask_end(run, at, i + (int32_t)blockDim.x);
    }
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static void launch_few(struct mill_backend *backend, const struct linear_plan *plan,
                       const struct linear_run *run) {
    CU_LAUNCH_EARLY(linear_few<TILE>, dim3((uint32_t)plan->n_tiles),
                    dim3(32 * (uint32_t)plan->n_warps), (size_t)plan->shared_bytes, backend, *run);
}

template <class TILE> static constexpr struct linear_kernel few_of(struct linear_pace pace) {
    struct linear_kernel kernel = {};
    kernel.kind = TILE::KIND::ID;
    kernel.n_rows = TILE::ROWS;
    kernel.n_outs = TILE::OUTS;
    kernel.n_warps = TILE::WARPS;
    kernel.unit_groups = TILE::UNIT;
    kernel.is_exact = TILE::KIND::EXACT;
    kernel.exchange_bytes = TILE::SLOT * (int32_t)sizeof(typename TILE::KIND::word);
    kernel.max_segments = INT32_MAX;
    kernel.pace = pace;
    kernel.function = linear_few<TILE>;
    kernel.launch = launch_few<TILE>;
    return kernel;
}

#endif
