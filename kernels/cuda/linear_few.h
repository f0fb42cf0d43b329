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

#include "kernels/cuda/linear_finish.h"
#include "kernels/cuda/linear_tensor.h"

/* RB bricks of rows, OB of outputs, up to WARPS warps; BLOCKS: with so many, of a multiprocessor.
 * AHEAD: a warp asks for its next unit before it multiplies. */
template <class KIND_, int RB_, int OB_, bool AHEAD_, int WARPS_, int BLOCKS_> struct few_tile {
    typedef KIND_ KIND;
    static constexpr int RB = RB_, OB = OB_;
    static constexpr bool AHEAD = AHEAD_;
    static constexpr int WARPS = WARPS_, BLOCKS = BLOCKS_;
    static constexpr int ROWS = 8 * RB, OUTS = 8 * OB, QUADS = ROWS * OUTS / 4;
    static constexpr int UNIT = KIND::EXACT ? LINEAR_CHUNK / 2 : LINEAR_CHUNK; /* groups */
    static constexpr int SLOT = KIND::PLANES * ROWS * OUTS;                    /* words */
};

/* What a warp works on. */
template <class TILE> struct few_place {
    int32_t row, out, n_rows; /* the tile's first, and those that there are */
    int32_t n_units, n_warps, warp, lane;
    const uint4 *w; /* the lane's chunk of the block's first brick */
};

template <class TILE> LINEAR_FN few_place<TILE> few_place_of(const struct linear_run &run) {
    few_place<TILE> at;
    at.row = blockIdx.x % run.n_row_tiles * TILE::ROWS;
    at.out = blockIdx.x / run.n_row_tiles * TILE::OUTS;
    at.n_rows = min(run.n_rows - at.row, (int32_t)TILE::ROWS);
    at.n_units = (run.n_groups + TILE::UNIT - 1) / TILE::UNIT;
    at.n_warps = blockDim.x / 32;
    at.warp = threadIdx.x / 32;
    at.lane = threadIdx.x % 32;
    at.w = static_cast<const uint4 *>(run.weights) +
           (int64_t)(at.out / BRICK_OUTS) * run.n_groups * BRICK_CHUNKS + at.lane;
    return at;
}

template <class TILE> struct few_weights { uint4 of[TILE::UNIT][TILE::OB]; };

template <class TILE>
LINEAR_FN void load_unit(few_weights<TILE> &w, const struct linear_run &run,
                         const few_place<TILE> &at, int32_t unit) {
#pragma unroll
    for (int j = 0; j < TILE::UNIT; j++)
#pragma unroll
        for (int o = 0; o < TILE::OB; o++) {
            int32_t group = unit * TILE::UNIT + j;
            bool inside = group < run.n_groups && at.out + o * BRICK_OUTS < run.n_out;
            w.of[j][o] =
                inside ? at.w[(o * run.n_groups + group) * BRICK_CHUNKS] : make_uint4(0, 0, 0, 0);
        }
}

/* ------------------------------------------------------------------ rows of x */

/* Chunks from row to row in shared memory: neighbours lie in other banks. */
static MILL_HOST_DEVICE inline int32_t few_pitch(int32_t n_groups) {
    return (n_groups | 1) * BRICK_ROW_CHUNKS;
}

/* Four f32 of a row, from input `input` on; zeros behind the last. */
LINEAR_FN quad<float> load_four(const struct linear_run &run, const float *row, int32_t input) {
    if (input >= run.n_in)
        return quad<float>{};
    return run.whole_x ? load_quad<true>(row, input, run.n_in, 0.0f)
                       : load_quad<false>(row, input, run.n_in, 0.0f);
}

template <class TILE>
LINEAR_FN const float *few_row(const struct linear_run &run, const few_place<TILE> &at, int r) {
    return reinterpret_cast<const float *>(run.x + (at.row + r) * run.x_step);
}

/* The deviations of the tile's rows, a warp a row. */
template <class TILE>
LINEAR_FN void norm_few(const struct linear_run &run, const few_place<TILE> &at, float *inverse) {
    for (int r = at.warp; r < at.n_rows; r += at.n_warps) {
        const float *x = few_row(run, at, r);
        float of_row = run.whole_x ? inverse_deviation<true>(x, run.n_in, 0, run.eps)
                                   : inverse_deviation<false>(x, run.n_in, 0, run.eps);
        if (at.lane == 0)
            inverse[r] = of_row;
    }
    __syncthreads();
}

/* Four inputs of a row as the product takes them: normed, if they are to be. */
LINEAR_FN quad<float> take_four(const struct linear_run &run, const float *row, float inverse,
                                int32_t input) {
    quad<float> v = load_four(run, row, input);
    if (!run.gain)
        return v;
    const quad<float> gain = load_four(run, run.gain, input);
#pragma unroll
    for (int i = 0; i < 4; i++)
        v.v[i] = v.v[i] * inverse * gain.v[i];
    return v;
}

/* The tile's rows in bf16. */
template <class TILE>
LINEAR_FN void round_few(const struct linear_run &run, const few_place<TILE> &at,
                         const float *inverse, uint4 *rows) {
    int32_t n_chunks = run.n_groups * BRICK_ROW_CHUNKS, pitch = few_pitch(run.n_groups);
    for (int r = 0; r < at.n_rows; r++) {
        const float *x = few_row(run, at, r);
        float of_row = run.gain ? inverse[r] : 1;
        for (int32_t i = threadIdx.x; i < n_chunks; i += blockDim.x) {
            const quad<float> low = take_four(run, x, of_row, 8 * i);
            const quad<float> high = take_four(run, x, of_row, 8 * i + 4);
            rows[r * pitch + i] =
                make_uint4(pack_bf16(low.v[0], low.v[1]), pack_bf16(low.v[2], low.v[3]),
                           pack_bf16(high.v[0], high.v[1]), pack_bf16(high.v[2], high.v[3]));
        }
    }
    __syncthreads();
}

/* Where the tile's rows are read: for bf16 in `shared`. */
template <class TILE>
LINEAR_FN few_rows take_few(const struct linear_run &run, const few_place<TILE> &at,
                            uint4 *shared) {
    int32_t lane_chunk = at.lane % 4, g = at.lane / 4;
    if constexpr (TILE::KIND::ID == LINEAR_BF16) {
        CU_SHARED(float, inverse, [TILE::ROWS]);
        int32_t pitch = few_pitch(run.n_groups);
        if (run.gain)
            norm_few(run, at, inverse);
        round_few(run, at, inverse, shared);
        return {shared + g * pitch + lane_chunk, pitch, 0, at.n_rows};
    } else {
        int32_t pitch = (int32_t)(run.x_step / CHUNK_BYTES);
        const uint4 *codes = reinterpret_cast<const uint4 *>(run.x + at.row * run.x_step);
        return {codes + g * pitch + lane_chunk, pitch, run.x_plane / CHUNK_BYTES, at.n_rows};
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

/* The sums of a quad of outputs, all slots in order. */
template <class TILE>
LINEAR_FN void finish_few(const struct linear_run &run, const few_place<TILE> &at,
                          const typename TILE::KIND::word *slots, int32_t i) {
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
    finish(run, at.row + r, out, value_quad<KIND>(run, total, at.row + r, out));
}

template <class TILE>
__global__ void __launch_bounds__(32 * TILE::WARPS, TILE::BLOCKS)
    linear_few(const __grid_constant__ struct linear_run run) {
    typedef typename TILE::KIND KIND;
    typedef typename KIND::word word;
    CU_DYN_SHARED(uint4, shared);
    const few_place<TILE> at = few_place_of<TILE>(run);
    int32_t held = KIND::ID == LINEAR_BF16 ? at.n_rows * few_pitch(run.n_groups) : 0;
    word *slots = reinterpret_cast<word *>(shared + held);
    few_weights<TILE> w, next;
    load_unit(w, run, at, at.warp);
    grid_start_next();
    grid_wait();
    const few_rows rows = take_few(run, at, shared);
    typename KIND::template sums<TILE::RB, TILE::OB> sums;
    sums.clear();
    for (int32_t unit = at.warp; unit < at.n_units; unit += at.n_warps) {
        if (TILE::AHEAD)
            load_unit(next, run, at, unit + at.n_warps);
        multiply_unit<TILE>(sums, run, rows, unit, w);
        if (!KIND::EXACT) {
            leave_few(sums, at, slots + unit * TILE::SLOT);
            sums.clear();
        }
        if (TILE::AHEAD)
            w = next;
        else
            load_unit(w, run, at, unit + at.n_warps);
    }
    if (KIND::EXACT)
        leave_few(sums, at, slots + at.warp * TILE::SLOT);
    __syncthreads();
    for (int32_t i = threadIdx.x; i < TILE::QUADS; i += blockDim.x)
        finish_few(run, at, slots, i);
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static void launch_few(cudaStream_t stream, const struct linear_plan *plan,
                       const struct linear_run *run) {
    CU_LAUNCH_EARLY(linear_few<TILE>, dim3((uint32_t)plan->n_tiles),
                    dim3(32 * (uint32_t)plan->n_warps), (size_t)plan->shared_bytes, stream, *run);
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
