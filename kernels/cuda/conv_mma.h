/* conv_mma.h - convolution by tensor cores, on the device: the parts that conv_mma.cu and
 * residual_unit.cu are made of.
 *
 * Weights, a stage of their stream (conv_stream.h), are the A side, 16 outputs a fragment, the rows
 * of the input's tile the B side, 8 a fragment. Bricks and tile being alike, a lane's chunk is its
 * share of two products on both sides. */
#ifndef MILL_KERNELS_CUDA_CONV_MMA_H
#define MILL_KERNELS_CUDA_CONV_MMA_H

#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_stream.h"

template <class TILE> struct mma_sums { float of[TILE::M16][TILE::N8][4]; };

/* This lane's chunk of the first of the rows that its warp multiplies, in one group of a tile. */
template <class TILE> static __device__ __forceinline__ const uint4 *lane_rows(const uint4 *group) {
    int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return group + warp / TILE::WARPS_M * (TILE::N8 * 8) * 4 + lane;
}

/* sums += a stage of weights x a group of the lane's rows. */
template <class TILE>
static __device__ __forceinline__ void multiply(mma_sums<TILE> &sums, const uint4 *w,
                                                const uint4 *x) {
#if CU_ARCH >= 800
    int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    w += warp % TILE::WARPS_M * (TILE::M16 * 2 * BRICK_CHUNKS) + lane;
    uint4 a[TILE::M16][2], b[TILE::N8];
#pragma unroll
    for (int i = 0; i < TILE::M16; i++) {
        a[i][0] = w[2 * i * BRICK_CHUNKS];
        a[i][1] = w[(2 * i + 1) * BRICK_CHUNKS];
    }
#pragma unroll
    for (int j = 0; j < TILE::N8; j++)
        b[j] = x[j * BRICK_CHUNKS];
#pragma unroll
    for (int j = 0; j < TILE::N8; j++)
#pragma unroll
        for (int i = 0; i < TILE::M16; i++) {
            const uint32_t af[4] = {a[i][0].x, a[i][1].x, a[i][0].y, a[i][1].y};
            const uint32_t bf[2] = {b[j].x, b[j].y};
            mma_bf16(sums.of[i][j], af, bf);
        }
#pragma unroll
    for (int j = 0; j < TILE::N8; j++)
#pragma unroll
        for (int i = 0; i < TILE::M16; i++) {
            const uint32_t af[4] = {a[i][0].z, a[i][1].z, a[i][0].w, a[i][1].w};
            const uint32_t bf[2] = {b[j].z, b[j].w};
            mma_bf16(sums.of[i][j], af, bf);
        }
#endif
}

/* sums += all channels and taps of the rows' input. */
template <class TILE>
static __device__ __forceinline__ void
convolve(mma_sums<TILE> &sums, weight_stream<TILE> &stream, uint4 *ring, uint4 *tile,
         const struct conv_args &args, const conv_rows &rows) {
    int32_t n_rows = TILE::N + conv_reach(&args);
    const tile_bricks places = {n_rows};
    for (int32_t group = 0; group < stream.n_groups; group += TILE_GROUPS) {
        int32_t left = stream.n_groups - group, n = left < TILE_GROUPS ? left : TILE_GROUPS;
        __syncthreads(); /* nobody reads the tile's channels of before */
        load_tile<chunk_bf16, TILE::THREADS, 2>(tile, places, n_rows, args, rows,
                                                group * GROUP_CHANNELS, threadIdx.x);
        for (int32_t tap = 0; tap < rows.n_taps; tap++)
            for (int32_t i = 0; i < n; i++) {
                const uint4 *w = stream_next(stream, ring);
                int32_t row = i * n_rows + rows.shift + tap * rows.shift_step;
                multiply(sums, w, lane_rows<TILE>(tile + row * 4));
            }
    }
}

/* ------------------------------------------------------------------ the end */

template <class TILE> static __device__ __forceinline__ void clear(mma_sums<TILE> &sums) {
#pragma unroll
    for (int i = 0; i < TILE::M16; i++)
#pragma unroll
        for (int j = 0; j < TILE::N8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sums.of[i][j][e] = 0;
}

/* Sums to rows of y, by way of `staged`, which nobody reads or writes any more. */
template <class TILE>
static __device__ __forceinline__ void finish(const mma_sums<TILE> &sums, float *staged,
                                              const struct conv_output &to, int32_t out) {
    constexpr int PITCH = TILE::STAGED_PITCH, ROWS = TILE::STAGED;
    int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int32_t row = warp / TILE::WARPS_M * (TILE::N8 * 8);
    int32_t column = warp % TILE::WARPS_M * (TILE::M16 * 16) + lane / 4;
    for (int32_t first = 0; first < TILE::N; first += ROWS) {
        if (row >= first && row < first + ROWS) {
            float *at = staged + (row - first + lane % 4 * 2) * PITCH + column;
#pragma unroll
            for (int i = 0; i < TILE::M16; i++)
#pragma unroll
                for (int j = 0; j < TILE::N8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        at[(8 * j + e % 2) * PITCH + 16 * i + 8 * (e / 2)] = sums.of[i][j][e];
        }
        __syncthreads();
        finish_rows<TILE::M, ROWS, PITCH, TILE::THREADS>(to, staged, first, out);
        __syncthreads();
    }
}

#endif
