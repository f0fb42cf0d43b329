/* linear_few_rows.h - what a block of linear_few.h works on, and its rows of x: where they are
 * read, for bf16 products normed and rounded by the block first. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FEW_ROWS_H
#define MILL_KERNELS_CUDA_LINEAR_FEW_ROWS_H

#include "kernels/cuda/linear_tensor.h"

/* RB bricks of rows, OB of outputs, up to WARPS warps of so many REGISTERS a thread. Of a unit's
 * weights those of HELD bricks wait in registers, those of the others in shared memory. A warp
 * multiplies UNITS units side by side; more than one where none is held, and it then has a multiple
 * of UNITS, zeros behind the last: conditions would part what shall run side by side. */
template <class KIND_, int RB_, int OB_, int HELD_, int UNITS_, int WARPS_, int REGISTERS_>
struct few_tile {
    typedef KIND_ KIND;
    static constexpr int RB = RB_, OB = OB_, HELD = HELD_, UNITS = UNITS_;
    static constexpr int WARPS = WARPS_, REGISTERS = REGISTERS_;
    static constexpr int ROWS = 8 * RB, OUTS = 8 * OB;
    static constexpr int UNIT = KIND::EXACT ? LINEAR_CHUNK / 2 : LINEAR_CHUNK; /* groups */
    static_assert(UNITS == 1 || (HELD == 0 && !KIND::EXACT), "zeros stand in shared memory");
    /* Quads of x that a thread has under way at once: of so many rows so many. */
    static constexpr int AHEAD_ROWS = UNITS > 2 ? 1 : HELD ? 4 : 2;
    static constexpr int AHEAD = UNITS > 2 ? 2 * UNITS : UNITS;
    static constexpr bool ROUNDS = KIND::ID == LINEAR_BF16; /* x is f32 */
};

/* With zeros a block has all its warps. */
template <class TILE> LINEAR_FN int32_t few_threads() {
    return TILE::UNITS > 1 ? 32 * TILE::WARPS : (int32_t)blockDim.x;
}

/* What a warp works on. */
template <class TILE> struct few_place {
    int32_t row, out, n_rows; /* the tile's first, and those that there are */
    int32_t n_units, n_warps, warp, lane;
    int32_t share, n_whole; /* units of each warp, and of all, in shared memory */
    int32_t first, end;     /* the warp's */
    int32_t slot;           /* words of a slot of sums */
    const uint4 *w;         /* the lane's chunk of the block's first brick */
    /* In shared memory: the lane's chunk of the first weights, rows of bf16, gain, sums. */
    uint4 *waiting, *rows, *gain;
    typename TILE::KIND::word *slots;
};

/* Chunks from row to row in shared memory: whole units, and neighbours lie in other banks. */
template <class TILE> LINEAR_FN int32_t few_pitch(int32_t n_units) {
    return (n_units * TILE::UNIT | 1) * BRICK_ROW_CHUNKS;
}

/* Quads of a row that is rounded, f32. */
template <class TILE> LINEAR_FN int32_t few_quads(int32_t n_units) {
    return n_units * TILE::UNIT * BRICK_ROW_CHUNKS * 2;
}

/* few_shared_bytes of linear_plan.c counts the same. */
template <class TILE>
LINEAR_FN few_place<TILE> few_place_of(const struct linear_run &run, uint4 *shared) {
    few_place<TILE> at;
    at.row = blockIdx.x * TILE::ROWS;
    at.out = blockIdx.y * TILE::OUTS;
    at.n_rows = min(run.n_rows - at.row, (int32_t)TILE::ROWS);
    at.n_units = (run.n_groups + TILE::UNIT - 1) / TILE::UNIT;
    at.n_warps = few_threads<TILE>() / 32;
    at.warp = threadIdx.x / 32;
    at.lane = threadIdx.x % 32;
    at.share = (at.n_units + at.n_warps - 1) / at.n_warps;
    at.share = (at.share + TILE::UNITS - 1) / TILE::UNITS * TILE::UNITS;
    at.n_whole = at.n_warps * at.share;
    at.first = at.warp * at.share;
    at.end = TILE::HELD ? min(at.first + at.share, at.n_units) : at.first + at.share;
    at.slot = TILE::KIND::PLANES * at.n_rows * TILE::OUTS;
    at.w = weight_chunks(run, at.out);
    at.waiting = shared + at.lane;
    at.rows = shared + at.n_whole * TILE::UNIT * (TILE::OB - TILE::HELD) * BRICK_CHUNKS;
    at.gain = at.rows + (TILE::ROUNDS ? at.n_rows * few_pitch<TILE>(at.n_whole) : 0);
    at.slots = reinterpret_cast<typename TILE::KIND::word *>(
        at.gain + (TILE::ROUNDS && run.gain ? few_quads<TILE>(at.n_whole) : 0));
    return at;
}

/* ------------------------------------------------------------------ rows of x */

template <class TILE>
LINEAR_FN const float *few_row(const struct linear_run &run, const few_place<TILE> &at, int r) {
    return reinterpret_cast<const float *>(run.x + (at.row + r) * run.x_step);
}

/* Begins to copy the quads of `gain` that this thread will multiply by. */
template <class TILE>
LINEAR_FN void ask_gain(const struct linear_run &run, const few_place<TILE> &at) {
    for (int32_t i = threadIdx.x; run.gain && 4 * i < run.n_in; i += few_threads<TILE>())
        copy_four(at.gain + i, reinterpret_cast<const char *>(run.gain + 4 * i), run, 4 * i);
}

/* The deviations of the tile's rows, a warp a row. */
template <bool WHOLE, class TILE>
LINEAR_FN void norm_few(const struct linear_run &run, const few_place<TILE> &at, float *inverse) {
    for (int r = at.warp; r < at.n_rows; r += at.n_warps) {
        float of_row = inverse_deviation<WHOLE>(few_row(run, at, r), run.n_in, 0, run.eps);
        if (at.lane == 0)
            inverse[r] = of_row;
    }
    __syncthreads();
}

/* Four inputs of a row in bf16, normed if they are to be. */
template <bool NORMED>
LINEAR_FN uint2 round_four(quad<float> v, float inverse, const quad<float> *gain) {
    if constexpr (NORMED) {
        const quad<float> by = *gain;
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] = v.v[i] * inverse * by.v[i];
    }
    return make_uint2(pack_bf16(v.v[0], v.v[1]), pack_bf16(v.v[2], v.v[3]));
}

/* The tile's rows in bf16, zeros behind the last input. A thread has the same quads, as many as its
 * warp has units, of every row; N of R rows are under way at once. */
template <bool WHOLE, bool NORMED, int R, int N, class TILE>
LINEAR_FN void round_few(const struct linear_run &run, const few_place<TILE> &at,
                         const float *inverse) {
    const int32_t last = (run.n_in - 1) / 4 * 4, pitch = few_pitch<TILE>(at.n_whole) * 2;
    for (int32_t r = 0; r < at.n_rows; r += R)
        for (int32_t turn = 0; turn < at.share; turn += N) {
            int32_t i = turn * few_threads<TILE>() + threadIdx.x;
            quad<float> x[R][N];
#pragma unroll
            for (int a = 0; a < R; a++)
#pragma unroll
                for (int b = 0; b < N; b++)
                    x[a][b] = load_quad<WHOLE>(few_row(run, at, min(r + a, at.n_rows - 1)),
                                               min(4 * (i + b * few_threads<TILE>()), last),
                                               run.n_in, 0.0f);
            uint2 *to = reinterpret_cast<uint2 *>(at.rows) + r * pitch + i;
            const quad<float> *gain = reinterpret_cast<const quad<float> *>(at.gain) + i;
#pragma unroll
            for (int b = 0; b < N; b++, i += few_threads<TILE>(), to += few_threads<TILE>(),
                     gain += few_threads<TILE>())
#pragma unroll
                for (int a = 0; a < R; a++)
                    if (r + a < at.n_rows && turn + b < at.share)
                        to[a * pitch] =
                            4 * i > last
                                ? make_uint2(0, 0)
                                : round_four<NORMED>(x[a][b], NORMED ? inverse[r + a] : 1, gain);
        }
}

template <bool WHOLE, class TILE>
LINEAR_FN void norm_and_round(const struct linear_run &run, const few_place<TILE> &at) {
    constexpr int R = WHOLE ? TILE::AHEAD_ROWS : 1, N = WHOLE ? TILE::AHEAD : 1;
    CU_SHARED(float, inverse, [TILE::ROWS]);
    if (run.gain) {
        norm_few<WHOLE>(run, at, inverse);
        cp_async_wait<1>(); /* gain */
        round_few<WHOLE, true, R, N>(run, at, inverse);
    } else {
        round_few<WHOLE, false, R, N>(run, at, inverse);
    }
    __syncthreads();
}

/* Where the tile's rows are read: for bf16 in shared memory. */
template <class TILE>
LINEAR_FN few_rows take_few(const struct linear_run &run, const few_place<TILE> &at) {
    int32_t lane_chunk = at.lane % 4;
    if constexpr (TILE::ROUNDS) {
        if (run.whole_x)
            norm_and_round<true>(run, at);
        else
            norm_and_round<false>(run, at);
        return {at.rows + lane_chunk, few_pitch<TILE>(at.n_whole), 0, at.n_rows};
    } else {
        int32_t pitch = (int32_t)(run.x_step / CHUNK_BYTES);
        const uint4 *codes = reinterpret_cast<const uint4 *>(run.x + at.row * run.x_step);
        return {codes + lane_chunk, pitch, run.x_plane / CHUNK_BYTES, at.n_rows};
    }
}

#endif
