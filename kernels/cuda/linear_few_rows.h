/* linear_few_rows.h - what a block of linear_few.h works on, and its rows of x: where they are
 * read, for bf16 products normed and rounded by the block first. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FEW_ROWS_H
#define MILL_KERNELS_CUDA_LINEAR_FEW_ROWS_H

#include "kernels/cuda/linear_tensor.h"

/* RB bricks of rows, OB of outputs, up to WARPS warps; BLOCKS: with so many, of a multiprocessor.
 * AHEAD: a warp asks for two units at once. */
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

/* What a thread multiplies its first quad of a row by, if rows are to be normed. */
template <class TILE> LINEAR_FN quad<float> ask_gain(const struct linear_run &run) {
    return TILE::KIND::ID == LINEAR_BF16 && run.gain ? load_four(run, run.gain, 4 * threadIdx.x)
                                                     : quad<float>{};
}

/* Four inputs of a row in bf16, normed if they are to be. */
LINEAR_FN uint2 round_four(const struct linear_run &run, quad<float> v, float inverse,
                           const quad<float> &gain) {
    if (run.gain)
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] = v.v[i] * inverse * gain.v[i];
    return make_uint2(pack_bf16(v.v[0], v.v[1]), pack_bf16(v.v[2], v.v[3]));
}

/* The tile's rows in bf16. A thread has the same quad of N rows under way at once. */
template <int N, class TILE>
LINEAR_FN void round_few(const struct linear_run &run, const few_place<TILE> &at, quad<float> gain,
                         const float *inverse, uint4 *rows) {
    const int32_t n_quads = run.n_groups * BRICK_ROW_CHUNKS * 2;
    const int32_t pitch = few_pitch(run.n_groups) * 2;
    uint2 *to = reinterpret_cast<uint2 *>(rows);
    for (int32_t i = threadIdx.x; i < n_quads; i += blockDim.x) {
        for (int32_t r = 0; r < at.n_rows; r += N) {
            quad<float> x[N];
#pragma unroll
            for (int k = 0; k < N; k++)
                x[k] = load_four(run, few_row(run, at, min(r + k, at.n_rows - 1)), 4 * i);
#pragma unroll
            for (int k = 0; k < N; k++)
                if (r + k < at.n_rows)
                    to[(r + k) * pitch + i] =
                        round_four(run, x[k], run.gain ? inverse[r + k] : 1, gain);
        }
        if (run.gain)
            gain = load_four(run, run.gain, 4 * (i + (int32_t)blockDim.x));
    }
    __syncthreads();
}

/* Where the tile's rows are read: for bf16 in `shared`. */
template <class TILE>
LINEAR_FN few_rows take_few(const struct linear_run &run, const few_place<TILE> &at,
                            const quad<float> &gain, uint4 *shared) {
    int32_t lane_chunk = at.lane % 4, g = at.lane / 4;
    if constexpr (TILE::KIND::ID == LINEAR_BF16) {
        CU_SHARED(float, inverse, [TILE::ROWS]);
        int32_t pitch = few_pitch(run.n_groups);
        if (run.gain)
            norm_few(run, at, inverse);
        if (at.n_rows == 1)
            round_few<1>(run, at, gain, inverse, shared);
        else
            round_few<4>(run, at, gain, inverse, shared);
        return {shared + g * pitch + lane_chunk, pitch, 0, at.n_rows};
    } else {
        int32_t pitch = (int32_t)(run.x_step / CHUNK_BYTES);
        const uint4 *codes = reinterpret_cast<const uint4 *>(run.x + at.row * run.x_step);
        return {codes + g * pitch + lane_chunk, pitch, run.x_plane / CHUNK_BYTES, at.n_rows};
    }
}

#endif
