/* conv_wide_finish.h - the end of conv_wide: a lane's sums, by way of its warp's shared memory,
 * become rows of y or a second convolution's prepared rows. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_FINISH_H
#define MILL_KERNELS_CUDA_CONV_WIDE_FINISH_H

#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_wide_feed.h"

#if CU_HOPPER

/* Of a lane: instructions of more columns want more registers at once than three groups have. */
template <class TILE> struct wide_sums {
    float a[TILE::ROWS_A / 2], b[TILE::ROWS_B ? TILE::ROWS_B / 2 : 1];
    __device__ __forceinline__ float at(int k) const {
        return k < TILE::ROWS_A / 2 ? a[k] : b[k - TILE::ROWS_A / 2];
    }
};

/* Of a unit's flat row. */
WIDE_FN row_pair pair_of(const wide_run &run, int32_t span, int32_t row) {
    int32_t i = row - run.first_row[span];
    return {i < run.conv.spans[span].n_y ? run.conv.spans[span].y_first + i : -1,
            run.conv.residual_first[span] + i};
}

/* Into `to`, by the warp group. */
template <class TILE>
WIDE_FN void find_rows(row_pair *to, const wide_run &run, const conv_item &at) {
    int32_t group = threadIdx.x / GROUP_THREADS;
    barrier_sync(1 + group, GROUP_THREADS); /* nobody needs those of before */
    for (int32_t i = threadIdx.x % GROUP_THREADS; i < TILE::ROWS; i += GROUP_THREADS) {
        row_pair pair = {-1, 0};
        if (TILE::DOES_UNITS) {
            pair = pair_of(run, span_of(run, at, at.row + i), at.row + i);
        } else if (at.row + i < at.end) {
            const wide_row row = run.rows[at.row + i];
            if (at.phase >= row.first_phase && at.phase < row.end_phase)
                pair = {row.y + at.phase, row.residual + at.phase};
        }
        to[i] = pair;
    }
    barrier_sync(1 + group, GROUP_THREADS);
}

/* The lane's quad k of a piece: four outputs of every eighth row. */
WIDE_FN float *piece_quad(float *piece, int k) {
    return piece + (8 * k + threadIdx.x % 32 / 4) * PIECE_PITCH + threadIdx.x % 4 * 4;
}

/* What outputs do beside adding, in shared memory: there it is one piece of code for all. */
template <class TILE>
WIDE_FN void add_bias(const float *from, int32_t n_out, int32_t out, float *piece) {
    quad<float> bias = load_quad<false>(from, out, n_out, 0.0f);
#pragma unroll 1
    for (int k = 0; k < TILE::PIECE_QUADS; k++) {
        quad<float> v = load_quad<true>(piece_quad(piece, k), 0, 4, 0.0f);
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] += bias.v[i];
        store_quad<true>(piece_quad(piece, k), 0, 4, v);
    }
}
template <class TILE> WIDE_FN void activate_piece(enum mill_activation act, float *piece) {
#pragma unroll 1
    for (int k = 0; k < 4 * TILE::PIECE_QUADS; k++) {
        float *v = piece_quad(piece, k / 4) + k % 4;
        *v = activate(act, *v);
    }
}

/* A piece's rows to y. */
template <class TILE, bool WHOLE>
WIDE_FN void store_piece(const wide_run &run, int32_t out, float *piece, const row_pair *pairs) {
    const struct conv_args &conv = run.conv;
    int32_t row = threadIdx.x % 32 / 4, n_out = conv.w.shape.n_out;
    out += threadIdx.x % 4 * 4;
    if (out >= n_out)
        return;
    quad<float> residual[TILE::PIECE_QUADS] = {};
    if (conv.residual.data) {
#pragma unroll
        for (int k = 0; k < TILE::PIECE_QUADS; k++) {
            const row_pair pair = pairs[8 * k + row];
            if (pair.y >= 0)
                residual[k] =
                    load_quad<WHOLE>(matrix_row(conv.residual, pair.residual), out, n_out, 0.0f);
        }
    }
    if (run.bias)
        add_bias<TILE>(run.bias, n_out, out, piece);
    if (!TILE::DOES_UNITS && conv.act != MILL_ACT_NONE)
        activate_piece<TILE>(conv.act, piece);
#pragma unroll
    for (int k = 0; k < TILE::PIECE_QUADS; k++) {
        int32_t y = pairs[8 * k + row].y;
        quad<float> v = load_quad<true>(piece_quad(piece, k), 0, 4, 0.0f);
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] = conv.residual.data ? v.v[i] + residual[k].v[i] : v.v[i];
        if (y >= 0)
            store_quad<WHOLE>(matrix_row(conv.y, y), out, n_out, v);
    }
}

/* A piece's rows snaked and rounded, to planes: a lane has words j of the warp's two chunks of
 * every eighth row. */
template <class TILE>
WIDE_FN void store_hidden(const wide_run &run, int32_t out, const float *piece, int32_t row,
                          int32_t n_rows) {
    const struct mill_weight &w = run.conv.w;
    int32_t lane = threadIdx.x % 32, j = lane / 8, n_out = w.shape.n_out;
    if (out >= wide_stages(&w.shape) * WIDE_CHANNELS)
        return;
    float alpha[4], inverse[4], bias[4]; /* of each chunk's two */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int32_t o = out + i / 2 * 8 + 2 * j + i % 2;
        alpha[i] = o < n_out ? run.hidden_alpha[o] : 0;
        bias[i] = o < n_out && w.bias ? w.bias[o] : 0;
        inverse[i] = snake_inverse(alpha[i]);
    }
    uint4 *plane = run.hidden + (int64_t)(out / GROUP_CHANNELS * 4 + j) * run.pitch + row;
    piece += 2 * j;
#pragma unroll
    for (int k = 0; k < TILE::PIECE_QUADS; k++) {
        int32_t r = 8 * k + lane % 8;
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i] =
                snake(piece[r * PIECE_PITCH + i / 2 * 8 + i % 2] + bias[i], alpha[i], inverse[i]);
            v[i] = out + i / 2 * 8 + 2 * j + i % 2 < n_out ? v[i] : 0;
        }
        if (r < n_rows)
            reinterpret_cast<uint2 *>(plane + r)[out / PIECE_OUTS % 2] =
                make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
    }
}

/* Piece by piece through the warp's own shared memory. */
template <class TILE>
WIDE_FN void finish_item(const wide_sums<TILE> &sums, const wide_run &run, const conv_item &at,
                         float *piece, const row_pair *pairs) {
    constexpr int N = TILE::PIECE_ROWS / 2;
    int32_t lane = threadIdx.x % 32, out = at.out + threadIdx.x / 32 * PIECE_OUTS;
    float *to = piece + lane % 4 * 2 * PIECE_PITCH + lane / 4;
#pragma unroll /* so that the registers of a piece that is through are free */
    for (int p = 0; p < TILE::ROWS / TILE::PIECE_ROWS; p++) {
        int32_t first = p * TILE::PIECE_ROWS;
        __syncwarp();
#pragma unroll
        for (int k = 0; k < N; k++)
            to[(k / 4 * 8 + k % 2) * PIECE_PITCH + k / 2 % 2 * 8] = sums.at(p * N + k);
        __syncwarp();
        if (!TILE::DOES_UNITS && run.hidden_alpha)
            store_hidden<TILE>(run, out, piece, at.row + first, at.end - at.row - first);
        else if (TILE::DOES_UNITS || run.conv.whole_y)
            store_piece<TILE, true>(run, out, piece, pairs + first);
        else
            store_piece<TILE, false>(run, out, piece, pairs + first);
    }
}

#endif
#endif
