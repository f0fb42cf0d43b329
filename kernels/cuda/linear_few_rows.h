/* linear_few_rows.h - what a block of linear_few.h works on, and its rows of x: where they are
 * read, for bf16 products normed and rounded by the block first. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FEW_ROWS_H
#define MILL_KERNELS_CUDA_LINEAR_FEW_ROWS_H

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
    at.w = weight_chunks(run, at.out);
    return at;
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

#endif
