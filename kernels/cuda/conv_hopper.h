/* conv_hopper.h - convolution by the products of warp groups (sm_90a), on the device: the parts
 * that conv_hopper.cu and residual_unit_hopper.cu are made of.
 *
 * A block's warps have three trades. Some load: the input's tile, 64 channels at a time, two tiles
 * in turn. Some send: weights, a stage for each tap of a tile's channels, through a ring, of which
 * each warp fills a place in turn. The others multiply, a warp group 64 rows by all outputs of the
 * block. Barriers that count hand tiles and stages over and back; nobody waits for all.
 *
 * Rows are the A side, weights the B side. Both lie in planes of chunks (hopper.h): row r of a tile
 * is 16 bytes behind row r - 1 in each of 8 planes, so a tap's rows begin anywhere. Products go
 * through channels 16 at a time in their own order, 96 outputs an instruction: one order of sums
 * for tiles of every size. */
#ifndef MILL_KERNELS_CUDA_CONV_HOPPER_H
#define MILL_KERNELS_CUDA_CONV_HOPPER_H

#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_rows.h"
#include "kernels/cuda/hopper.h"

/* GROUPS warp groups of 64 rows, 96 * N96 outputs. */
template <int GROUPS_, int N96_, int BLOCKS_> struct hopper_tile {
    static constexpr int GROUPS = GROUPS_, N96 = N96_;
    static constexpr int BLOCKS = BLOCKS_; /* of a multiprocessor, as planned */
    static constexpr int ROWS = 64 * GROUPS, OUTS = 96 * N96;
    static constexpr int MULTIPLIERS = 128 * GROUPS;
    /* Eight warps load or send; 256 rows are more to load than to send weights for. */
    static constexpr int LOADERS = GROUPS > 2 ? 192 : 128, SENDERS = 8 - LOADERS / 32 /* warps */;
    static constexpr int STAGES = 4;
    static constexpr int THREADS = MULTIPLIERS + LOADERS + 32 * SENDERS;
    static constexpr int W_PITCH = OUTS + 2, STAGE = TILE_ROW_CHUNKS * W_PITCH; /* chunks */
    static constexpr int STAGED_PITCH = OUTS + 8; /* floats from row to row of sums */
};

/* Rows of a tile, and what is between its planes: see tile_bricks. */
static __host__ __device__ inline int32_t planes_pitch(int32_t n_rows) {
    return n_rows + ((2 - n_rows) & 3);
}

struct tile_planes {
    int32_t pitch;
    __device__ __forceinline__ int32_t at(int32_t group, int32_t chunk, int32_t row) const {
        return (group * 4 + chunk) * pitch + row;
    }
};

/* In chunks. */
template <class TILE>
static __host__ __device__ inline int32_t hopper_tile_chunks(const struct conv_args *args) {
    return TILE_ROW_CHUNKS * planes_pitch(TILE::ROWS + conv_reach(args));
}

#if CU_HOPPER

/* Of this header and of conv_hopper_feed.h, which ends it. */
#define HOPPER_PART template <class TILE> static __device__ __forceinline__

/* ------------------------------------------------------------------ handing over */

/* In phases: the i-th use of tile or stage i % n is phase i / n of its barriers. */
template <class TILE> struct hopper_pipes {
    uint64_t tile_full[2], tile_empty[2];
    uint64_t stage_full[TILE::STAGES], stage_empty[TILE::STAGES];
};

HOPPER_PART void pipes_open(hopper_pipes<TILE> &pipes) {
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; i++) {
            mbarrier_init(&pipes.tile_full[i], TILE::LOADERS);
            mbarrier_init(&pipes.tile_empty[i], TILE::MULTIPLIERS / 32);
        }
        for (int i = 0; i < TILE::STAGES; i++) {
            mbarrier_init(&pipes.stage_full[i], 32);
            mbarrier_init(&pipes.stage_empty[i], TILE::MULTIPLIERS / 32);
        }
        fence_barrier_init();
    }
    __syncthreads();
}

/* For use i: a full one is waited for in its phase, an empty one in the phase before. */
static __device__ __forceinline__ void wait_full(uint64_t *full, int32_t i, int32_t n) {
    mbarrier_wait(&full[i % n], i / n % 2);
}
static __device__ __forceinline__ void wait_empty(uint64_t *empty, int32_t i, int32_t n) {
    mbarrier_wait(&empty[i % n], (i / n + 1) % 2);
}
/* What the thread stored for use i. */
static __device__ __forceinline__ void hand_over(uint64_t *full, int32_t i, int32_t n) {
    fence_async();
    mbarrier_arrive(&full[i % n]);
}
/* By a warp. */
static __device__ __forceinline__ void hand_back(uint64_t *empty, int32_t i, int32_t n) {
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        mbarrier_arrive(&empty[i % n]);
}

/* ------------------------------------------------------------------ multiplying */

template <class TILE> struct hopper_sums { float of[TILE::N96][48]; };

HOPPER_PART void clear(hopper_sums<TILE> &sums) {
#pragma unroll
    for (int j = 0; j < TILE::N96; j++)
#pragma unroll
        for (int i = 0; i < 48; i++)
            sums.of[j][i] = 0;
}

/* sums += GROUPS groups of channels of 64 rows, whose first chunk is at `rows`, x the stage of use
 * i. The stage of the use before is handed back. (How many products a commit has is known when
 * compiled: else the compiler waits for all of them.) */
template <int GROUPS, class TILE>
static __device__ __forceinline__ void multiply_stage(hopper_sums<TILE> &sums,
                                                      hopper_pipes<TILE> &pipes, uint4 *ring,
                                                      int32_t i, const uint4 *rows, int32_t pitch) {
    const uint4 *w = ring + i % TILE::STAGES * TILE::STAGE;
    wait_full(pipes.stage_full, i, TILE::STAGES);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 2 * GROUPS; k++) {
        uint64_t a = wgmma_planes(rows + 2 * k * pitch, 16 * pitch);
#pragma unroll
        for (int j = 0; j < TILE::N96; j++)
            wgmma_bf16(sums.of[j], a,
                       wgmma_planes(w + 2 * k * TILE::W_PITCH + 96 * j, 16 * TILE::W_PITCH));
    }
    wgmma_commit();
    wgmma_wait<1>();
    if (i > 0)
        hand_back(pipes.stage_empty, i - 1, TILE::STAGES);
}

/* sums += all channels and taps of this warp group's rows; returns the stages used. Where the last
 * tile has one group alone, the other is zeros, of rows and of weights. */
HOPPER_PART int32_t multiply_tiles(hopper_sums<TILE> &sums, hopper_pipes<TILE> &pipes,
                                   const uint4 *tiles, uint4 *ring, const struct conv_args &args,
                                   const conv_rows &rows) {
    int32_t pitch = planes_pitch(TILE::ROWS + conv_reach(&args)), stage = 0;
    int32_t n_groups = weight_groups(&args.w.shape), row = threadIdx.x / 128 * 64 + rows.shift;
    for (int32_t i = 0; i * TILE_GROUPS < n_groups; i++) {
        const uint4 *tile = tiles + i % 2 * TILE_ROW_CHUNKS * pitch;
        wait_full(pipes.tile_full, i, 2);
        for (int32_t tap = 0; tap < rows.n_taps; tap++)
            multiply_stage<TILE_GROUPS>(sums, pipes, ring, stage++,
                                        tile + row + tap * rows.shift_step, pitch);
        wgmma_wait<0>();
        hand_back(pipes.tile_empty, i, 2);
    }
    return stage;
}

/* ------------------------------------------------------------------ the end */

/* Sums to shared memory that nobody uses any more. */
HOPPER_PART void stage_sums(const hopper_sums<TILE> &sums, float *staged) {
    int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float *at = staged + (16 * warp + lane / 4) * TILE::STAGED_PITCH + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < TILE::N96; j++)
#pragma unroll
        for (int i = 0; i < 48; i += 2)
            *reinterpret_cast<float2 *>(at + i / 2 % 2 * 8 * TILE::STAGED_PITCH + 96 * j +
                                        i / 4 * 8) = make_float2(sums.of[j][i], sums.of[j][i + 1]);
}

#endif
#endif
