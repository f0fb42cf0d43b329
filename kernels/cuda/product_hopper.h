/* product_hopper.h - what a kernel is made of whose matrix products are those of warp groups, fed
 * by bulk copies (sm_90a).
 *
 * A block's warp groups have two trades. All but the last multiply: each 64 outputs, the A side, by
 * all rows of the tile, the B side. The last one sends: a warp of it rows, one warp more for each
 * group that multiplies the weights of that group, 64 inputs a stage, through a ring of stages in
 * shared memory. Bulk copies and products are both asynchronous, so barriers that count are all
 * that is between them: no thread stores what a product reads, and nothing is fenced. Blocks of a
 * cluster may share weights or rows: each sends a part to all, when all have handed back the stage.
 *
 * Weights come as they lie in memory, in bricks, of which a lane's 16 bytes are its part of A in
 * two instructions; they pass through registers while the products of the stage before run. Rows
 * come as planes (hopper.h): whoever prepared them has put, for each group of 32 inputs, word j of
 * the four chunks into plane j. A row may begin anywhere in a plane. */
#ifndef MILL_KERNELS_CUDA_PRODUCT_HOPPER_H
#define MILL_KERNELS_CUDA_PRODUCT_HOPPER_H

#include "kernels/cuda/hopper.h"
#include "kernels/cuda/weights.h"

enum {
    STAGE_BRICKS = 2,                                /* groups of 32 inputs */
    STAGE_PLANES = STAGE_BRICKS * BRICK_ROW_CHUNKS,  /* of 8 inputs */
    GROUP_OUTS = 64,                                 /* of a warp group */
    WARP_BRICKS = GROUP_OUTS / BRICK_OUTS / 4,       /* beside each other */
    BRICK_RUN = STAGE_BRICKS * BRICK_CHUNKS,         /* chunks of 16 bytes of 8 outputs */
    GROUP_RUN = GROUP_OUTS / BRICK_OUTS * BRICK_RUN, /* ... of a warp group */
    GROUP_THREADS = 128,
    SENDERS_HAVE = 24, /* registers */
    /* Of a warp, whose sums leave by way of shared memory: floats from row to row. */
    PIECE_OUTS = GROUP_OUTS / 4,
    PIECE_PITCH = PIECE_OUTS + 4,
};

/* GROUPS warp groups multiply. */
template <int GROUPS_> struct product_groups {
    static constexpr int GROUPS = GROUPS_, OUTS = GROUP_OUTS * GROUPS;
    static constexpr int MULTIPLIERS = GROUP_THREADS * GROUPS;
    static constexpr int THREADS = MULTIPLIERS + GROUP_THREADS;
};

/* A stage is their weights, then rows. */
template <int GROUPS_, int ROWS_, int STAGES_> struct product_shape : product_groups<GROUPS_> {
    static constexpr int GROUPS = GROUPS_, ROWS = ROWS_, STAGES = STAGES_;
    static constexpr int ROWS_AT = GROUPS * GROUP_RUN, STAGE = ROWS_AT + STAGE_PLANES * ROWS;
    /* Registers that ROWS columns of sums, twice or three times, leave no room for otherwise. */
    static constexpr int MULTIPLIERS_HAVE = 240;
};

#if CU_HOPPER

#define PRODUCT_FN static __device__ __forceinline__

/* ------------------------------------------------------------------ the ring */

template <int STAGES> struct product_ring { uint64_t full[STAGES], empty[STAGES]; };

/* Where a warp is in it. */
struct ring_place {
    int32_t stage, parity;
};

/* By one thread, before fence_barrier_init and a barrier: so many warps send, and multiply. */
template <int STAGES>
PRODUCT_FN void ring_init(product_ring<STAGES> &ring, int n_senders, int n_multipliers) {
    for (int i = 0; i < STAGES; i++) {
        mbarrier_init(&ring.full[i], n_senders);
        mbarrier_init(&ring.empty[i], n_multipliers);
    }
}

PRODUCT_FN void ring_next(ring_place &place, int32_t n_stages) {
    place.stage = place.stage + 1 < n_stages ? place.stage + 1 : 0;
    place.parity ^= place.stage == 0;
}

/* ------------------------------------------------------------------ trades */

/* threadIdx.x, for the end of a tile, as a number that the compiler cannot know before: it would
 * work out places of the end ahead of the products, which leave no registers for them. */
PRODUCT_FN int thread_of_end() {
    return __shfl_sync(0xffffffff, (int)threadIdx.x, threadIdx.x % 32);
}

/* The warp's number, the same in all lanes and seen to be. */
PRODUCT_FN int32_t warp_of_block() {
    return __shfl_sync(0xffffffff, threadIdx.x / 32, 0);
}

/* Every warp does what is its: multiply(), or by one lane send(0), of rows, or send(1 + group), of
 * that group's weights. */
template <class TILE, class MULTIPLY, class SEND>
PRODUCT_FN void take_trades(int32_t warp, MULTIPLY multiply, SEND send) {
    if (warp < TILE::MULTIPLIERS / 32) {
        if constexpr (TILE::GROUPS > 1)
            registers_more<TILE::MULTIPLIERS_HAVE>();
        multiply();
    } else {
        if constexpr (TILE::GROUPS > 1)
            registers_fewer<SENDERS_HAVE>();
        int32_t sender = warp - TILE::MULTIPLIERS / 32;
        if (sender <= TILE::GROUPS && is_elected())
            send(sender);
    }
}

/* ------------------------------------------------------------------ sending */

/* A stage is empty, and so many bytes are to come; by one lane of a warp that sends. */
template <int STAGES>
PRODUCT_FN uint64_t *send_begin(product_ring<STAGES> &ring, const ring_place &place,
                                int32_t bytes) {
    mbarrier_wait(&ring.empty[place.stage], place.parity ^ 1);
    mbarrier_arrive_expect(&ring.full[place.stage], bytes);
    return &ring.full[place.stage];
}

/* N blocks of a cluster that share something, as bits; this one sends part `part` of N to all. */
template <int N> struct sharers { int32_t part, blocks; };

template <int N>
PRODUCT_FN void send_part(const sharers<N> &all, uint4 *to, const uint4 *from, int32_t bytes,
                          uint64_t *full) {
    if constexpr (N > 1)
        bulk_copy_to(all.blocks, to, from, bytes, full);
    else
        bulk_copy(to, from, bytes, full);
}

/* n_bricks groups of 8 outputs each, `step` chunks from those of 8 to the next 8; what is beyond
 * the last 8 is they once more. Of sharers, a part of the outputs. */
template <int N = 1>
PRODUCT_FN void send_bricks(uint4 *to, const uint4 *from, int64_t step, int32_t last,
                            int32_t n_bricks, uint64_t *full, const sharers<N> &all = {}) {
    const int n = GROUP_OUTS / BRICK_OUTS / N, first = all.part * n;
#pragma unroll
    for (int b = first; b < first + n; b++)
        send_part(all, to + b * BRICK_RUN, from + min(b, last) * step, n_bricks * BRICK_BYTES,
                  full);
}

/* ------------------------------------------------------------------ multiplying */

/* A warp's weights of a stage: bricks beside each other, groups. */
struct product_weights {
    uint4 of[WARP_BRICKS][STAGE_BRICKS];
};

/* From the warp group's weights; zeros for groups from n_bricks on, of which only the first need
 * have been sent. */
PRODUCT_FN void take_weights(product_weights &w, const uint4 *from, int32_t n_bricks) {
    from += threadIdx.x % GROUP_THREADS / 32 * WARP_BRICKS * BRICK_RUN + threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < STAGE_BRICKS; j++) {
        const bool is_there = j < n_bricks;
        const uint4 *at = from + (is_there ? j : 0) * BRICK_CHUNKS;
#pragma unroll
        for (int o = 0; o < WARP_BRICKS; o++) {
            const uint4 four = at[o * BRICK_RUN];
            w.of[o][j] = make_uint4(is_there ? four.x : 0, is_there ? four.y : 0,
                                    is_there ? four.z : 0, is_there ? four.w : 0);
        }
    }
}

/* sum += 64 inputs of the rows, whose planes are `pitch` chunks apart, x weights; FIRST: sum =. */
template <bool FIRST, int N>
PRODUCT_FN void multiply_weights(float (&sum)[N], const product_weights &w, const uint4 *planes,
                                 int32_t pitch) {
    wgmma_fence();
#pragma unroll
    for (int j = 0; j < STAGE_BRICKS; j++) {
        const uint4 low = w.of[0][j], high = w.of[1][j];
        const uint32_t first[4] = {low.x, high.x, low.y, high.y};
        const uint32_t second[4] = {low.z, high.z, low.w, high.w};
        const uint4 *at = planes + j * BRICK_ROW_CHUNKS * pitch;
        if (FIRST && j == 0)
            wgmma_bf16_first(sum, first, wgmma_planes(at, 16 * pitch));
        else
            wgmma_bf16(sum, first, wgmma_planes(at, 16 * pitch));
        wgmma_bf16(sum, second, wgmma_planes(at + 2 * pitch, 16 * pitch));
    }
    wgmma_commit();
}

/* The warp is through with a stage, which all blocks of its cluster send to. */
template <int BLOCKS = 1> PRODUCT_FN void hand_back(uint64_t *empty) {
    const int lane = threadIdx.x % 32;
    __syncwarp();
    if (BLOCKS > 1 && lane < BLOCKS)
        mbarrier_arrive_at(empty, lane);
    if (BLOCKS == 1 && lane == 0)
        mbarrier_arrive(empty);
}

#endif
#endif
