/* linear_wide_finish.h - from a lane's sums of linear_wide.h to y: what warp groups leave for one
 * another where they share a tile, and rows written in order. */
#ifndef MILL_KERNELS_CUDA_LINEAR_WIDE_FINISH_H
#define MILL_KERNELS_CUDA_LINEAR_WIDE_FINISH_H

#include "kernels/cuda/arrival.h"
#include "kernels/cuda/linear_finish.h"
#include "kernels/cuda/linear_wide_feed.h"

#if CU_HOPPER

template <int N> LINEAR_FN void add_sums(float (&to)[N], const float (&sum)[N]) {
#pragma unroll
    for (int k = 0; k < N; k++)
        to[k] += sum[k];
}

/* The place of the lane's first quad of sums that the warp group leaves for others. */
template <class TILE>
LINEAR_FN float4 *sums_left(const struct linear_run &run, const wide_item &at, int32_t split) {
    int64_t place = ((int64_t)split * tiles_of<TILE>(run) + at.tile) * TILE::GROUPS +
                    threadIdx.x / GROUP_THREADS;
    return static_cast<float4 *>(run.partial) + place * TILE::QUADS * GROUP_THREADS +
           threadIdx.x % GROUP_THREADS;
}

template <int N> LINEAR_FN void take_left(float (&left)[N], const float4 *from) {
#pragma unroll
    for (int k = 0; k < N; k += 4) {
        float4 q = from[k / 4 * GROUP_THREADS];
        left[k] = q.x, left[k + 1] = q.y, left[k + 2] = q.z, left[k + 3] = q.w;
    }
}

/* Leaves sums; whether this warp group is the last of the tile's, and then has those of all. */
template <class TILE>
LINEAR_FN bool meet_splits(float (&sum)[TILE::SUMS], const struct linear_run &run,
                           const wide_item &at) {
    CU_SHARED(bool, last, [TILE::GROUPS]);
    int32_t group = threadIdx.x / GROUP_THREADS;
    float4 *to = sums_left<TILE>(run, at, at.split);
#pragma unroll
    for (int k = 0; k < TILE::QUADS; k++)
        to[k * GROUP_THREADS] =
            make_float4(sum[4 * k], sum[4 * k + 1], sum[4 * k + 2], sum[4 * k + 3]);
    if (!arrive_last(run.arrived + at.tile * TILE::GROUPS + group, run.n_splits, &last[group],
                     threadIdx.x % GROUP_THREADS == 0,
                     [&] { barrier_sync(1 + group, GROUP_THREADS); }))
        return false;
#pragma unroll
    for (int k = 0; k < TILE::SUMS; k++)
        sum[k] = 0;
#pragma unroll 1
    for (int32_t split = 0; split < run.n_splits; split += TILE::AHEAD) {
        float left[TILE::AHEAD][TILE::SUMS];
#pragma unroll
        for (int i = 0; i < TILE::AHEAD; i++)
            take_left(left[i], sums_left<TILE>(run, at, min(split + i, run.n_splits - 1)));
#pragma unroll
        for (int i = 0; i < TILE::AHEAD; i++)
            if (split + i < run.n_splits)
                add_sums(sum, left[i]);
    }
    return true;
}

/* Numbers i and i + 1 of a row, i even, to where the next product reads its x (linear_prepare.cu).
 */
LINEAR_FN void store_rounded(const struct linear_run &run, int32_t row, int32_t i, float a,
                             float b) {
    const int32_t group = i / 32, word = i % 32 / 8, plane = i % 8 / 2;
    int64_t place = (int64_t)(row / run.planes_rows) * run.planes_groups + group;
    place = (place * BRICK_ROW_CHUNKS + plane) * run.planes_rows + row % run.planes_rows;
    run.planes[4 * place + word] = pack_bf16(a, b);
}

/* What stands for y, which has no residual and whole quads; rows behind its last are zeros. */
template <int N>
LINEAR_FN void finish_rounded(const struct linear_run &run, int32_t row, int32_t step, int32_t out,
                              quad<float> (&v)[N]) {
    activate_sums(run, row, step, out, v);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const int32_t at = row + i * step;
        if (at >= run.planes_end)
            continue;
        if (at >= run.n_rows)
            v[i] = {};
        store_rounded(run, at, run.pairs ? out / 2 : out, v[i].v[0], v[i].v[1]);
        if (!run.pairs)
            store_rounded(run, at, out + 2, v[i].v[2], v[i].v[3]);
    }
}

/* A lane's quads of a piece, every eighth row of 4 outputs. */
LINEAR_FN void finish_piece(const struct linear_run &run, int32_t row, int32_t out,
                            const float *piece) {
    if (row >= (run.planes ? run.planes_end : run.n_rows) || out >= run.n_out)
        return;
    quad<float> v[PIECE_ROWS / 8];
#pragma unroll
    for (int i = 0; i < PIECE_ROWS / 8; i++)
        v[i] = load_quad<true>(piece + 8 * i * PIECE_PITCH, 0, 0, 0.0f);
    if (run.planes)
        finish_rounded(run, row, 8, out, v);
    else
        finish(run, row, 8, out, v);
}

/* Piece by piece through the warp's own shared memory, so that rows of y are written in order. */
template <class TILE>
LINEAR_FN void finish_item(const float (&sum)[TILE::SUMS], const struct linear_run &run,
                           const wide_item &at, float *pieces) {
    const int thread = thread_of_end();
    const int lane = thread % 32, piece_sums = PIECE_ROWS / 2;
    const int32_t out = at.out + thread / 32 * PIECE_OUTS + lane % 4 * 4;
    float *piece = pieces + thread / 32 * PIECE;
    float *to = piece + lane % 4 * 2 * PIECE_PITCH + lane / 4;
#pragma unroll 1
    for (int p = 0; p < TILE::ROWS / PIECE_ROWS; p++) {
        __syncwarp();
#pragma unroll
        for (int i = 0; i < TILE::ROWS / PIECE_ROWS; i++)
            if (i == p)
#pragma unroll
                for (int k = 0; k < piece_sums; k++)
                    to[(k / 4 * 8 + k % 2) * PIECE_PITCH + k / 2 % 2 * 8] = sum[i * piece_sums + k];
        __syncwarp();
        finish_piece(run, at.row + p * PIECE_ROWS + lane / 4, out,
                     piece + lane / 4 * PIECE_PITCH + lane % 4 * 4);
    }
}

#endif
#endif
