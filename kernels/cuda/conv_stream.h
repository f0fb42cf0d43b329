/* conv_stream.h - weights on their way through shared memory, for convolutions by tensor cores.
 *
 * They pass through a ring of stages, each the bricks (weights.h) of a tap's group of 32 channels
 * for all outputs of the block: groups two by two, as the input's tile holds them; for each two all
 * taps; for each tap the one and the other.
 *
 * A stage is written while the one before is multiplied; one barrier a stage says both that it has
 * arrived and that nobody reads the next one to be written. */
#ifndef MILL_KERNELS_CUDA_CONV_STREAM_H
#define MILL_KERNELS_CUDA_CONV_STREAM_H

#include "kernels/cuda/conv_rows.h"

/* A block of M outputs by N rows, cut into warps of 16 * M16 by 8 * N8. */
template <int WARPS_M_, int WARPS_N_, int M16_, int N8_, int STAGES_, int BLOCKS_> struct mma_tile {
    static constexpr int BLOCKS = BLOCKS_; /* of a multiprocessor, as planned */
    static constexpr int WARPS_M = WARPS_M_, WARPS_N = WARPS_N_, M16 = M16_, N8 = N8_;
    static constexpr int M = WARPS_M * M16 * 16, N = WARPS_N * N8 * 8;
    static constexpr int THREADS = WARPS_M * WARPS_N * 32;
    static constexpr int STAGES = STAGES_, STAGE = M / BRICK_OUTS * BRICK_CHUNKS; /* chunks */
    static constexpr int COPIES = (STAGE + THREADS - 1) / THREADS; /* of a thread, for a stage */
    /* Rows of sums in shared memory at a time, and floats from one to the next: 4 more than a
     * multiple of 16, so that lanes that hold 8 outputs of 4 rows meet all banks. */
    static constexpr int STAGED = N < 64 ? N : 64, STAGED_PITCH = M + 4;
};

/* The way of a thread's copies through the weights, stage by stage. */
template <class TILE> struct weight_stream {
    const uint4 *image;
    int32_t from[TILE::COPIES]; /* its chunks of tap 0, group 0; -1 beyond the outputs */
    int32_t n_groups, n_taps, first_tap, tap_step;
    int32_t group, tap; /* the next stage's */
    int32_t stage;      /* where it goes */
};

/* Begin to copy the next stage, if there is one. */
template <class TILE>
static __device__ __forceinline__ void stream_fetch(weight_stream<TILE> &stream, uint4 *ring) {
    if (stream.group < stream.n_groups) {
        int32_t tap = stream.first_tap + stream.tap * stream.tap_step;
        int32_t at = (tap * stream.n_groups + stream.group) * BRICK_CHUNKS;
        uint4 *to = ring + stream.stage * TILE::STAGE + threadIdx.x;
#pragma unroll
        for (int i = 0; i < TILE::COPIES; i++)
            if (threadIdx.x + i * TILE::THREADS < TILE::STAGE)
                cp_async_16(to + i * TILE::THREADS, stream.image + stream.from[i] + at,
                            stream.from[i] >= 0);
        if (stream.group % TILE_GROUPS == 0 && stream.group + 1 < stream.n_groups) {
            stream.group++;
        } else {
            stream.group -= stream.group % TILE_GROUPS;
            if (++stream.tap == stream.n_taps) {
                stream.tap = 0;
                stream.group += TILE_GROUPS;
            }
        }
    }
    cp_async_commit();
    stream.stage = stream.stage + 1 == TILE::STAGES ? 0 : stream.stage + 1;
}

/* The taps first_tap, first_tap + tap_step, ... of the outputs from `out` on, the first stages on
 * their way into a ring that nobody uses. */
template <class TILE>
static __device__ __forceinline__ weight_stream<TILE>
stream_begin(const struct mill_weight &w, int32_t out, int32_t n_taps, int32_t first_tap,
             int32_t tap_step, uint4 *ring) {
    weight_stream<TILE> stream;
    stream.image = static_cast<const uint4 *>(w.image);
#pragma unroll
    for (int i = 0; i < TILE::COPIES; i++) {
        int32_t chunk = threadIdx.x + i * TILE::THREADS;
        int32_t o = out + chunk / BRICK_CHUNKS * BRICK_OUTS;
        stream.from[i] =
            o < w.shape.n_out
                ? (int32_t)weight_brick_at(&w.shape, o, 0, 0) * BRICK_CHUNKS + chunk % BRICK_CHUNKS
                : -1;
    }
    stream.n_groups = weight_groups(&w.shape);
    stream.n_taps = n_taps;
    stream.first_tap = first_tap;
    stream.tap_step = tap_step;
    stream.group = stream.tap = stream.stage = 0;
    for (int i = 0; i < TILE::STAGES - 1; i++)
        stream_fetch(stream, ring);
    return stream;
}

/* Wait until the next stage is there for all, and begin to copy one more. */
template <class TILE>
static __device__ __forceinline__ const uint4 *stream_next(weight_stream<TILE> &stream,
                                                           uint4 *ring) {
    cp_async_wait<TILE::STAGES - 2>();
    __syncthreads();
    stream_fetch(stream, ring);
    return ring + stream.stage * TILE::STAGE;
}

/* At its end: nothing is on its way, nobody reads the ring or the tile. */
static __device__ __forceinline__ void stream_end() {
    cp_async_wait<0>();
    __syncthreads();
}

#endif
