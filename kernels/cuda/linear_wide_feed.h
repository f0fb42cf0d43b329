/* linear_wide_feed.h - what a block of linear_wide.h works on, and how its weights and rows come
 * in. */
#ifndef MILL_KERNELS_CUDA_LINEAR_WIDE_FEED_H
#define MILL_KERNELS_CUDA_LINEAR_WIDE_FEED_H

#include "kernels/cuda/linear_kind.h"
#include "kernels/cuda/product_hopper.h"

enum {
    CHUNK_STAGES = LINEAR_CHUNK / STAGE_BRICKS,
    PIECE_ROWS = 32, /* that a warp finishes at a time */
    PIECE = PIECE_ROWS * PIECE_PITCH,
};

/* ROW_BLOCKS_ by OUT_BLOCKS_ tiles beside each other are a cluster's, whose blocks share weights
 * where they have the same outputs, and rows where they have the same rows. */
template <int GROUPS_, int ROWS_, int STAGES_, int ROW_BLOCKS_ = 1, int OUT_BLOCKS_ = 1>
struct wide_tile : product_shape<GROUPS_, ROWS_, STAGES_> {
    typedef product_shape<GROUPS_, ROWS_, STAGES_> SHAPE;
    static constexpr int ROW_BLOCKS = ROW_BLOCKS_, OUT_BLOCKS = OUT_BLOCKS_;
    static constexpr int CLUSTER = ROW_BLOCKS * OUT_BLOCKS;
    static constexpr int ALL_ROWS = ROWS_ * ROW_BLOCKS, ALL_OUTS = SHAPE::OUTS * OUT_BLOCKS;
    static constexpr int SUMS = ROWS_ / 2, QUADS = SUMS / 4; /* of a lane */
    /* Splits whose sums are asked for at a time: as registers allow. */
    static constexpr int AHEAD = 96 / SUMS;
    static constexpr int RING_BYTES = STAGES_ * SHAPE::STAGE * CHUNK_BYTES;
    static constexpr int PIECES_BYTES = SHAPE::MULTIPLIERS / 32 * PIECE * (int)sizeof(float);
    static_assert(ROWS_ % PIECE_ROWS == 0, "rows are finished in whole pieces");
};

#if CU_HOPPER

LINEAR_FN int32_t chunks_of(const struct linear_run &run) {
    return (run.n_groups + LINEAR_CHUNK - 1) / LINEAR_CHUNK;
}
/* Of whole clusters: some may lie beyond the rows or outputs, and are finished by nobody. */
template <class TILE> LINEAR_FN int32_t tiles_of(const struct linear_run &run) {
    return (run.n_out + TILE::ALL_OUTS - 1) / TILE::ALL_OUTS * run.n_row_tiles * TILE::CLUSTER;
}

/* An item is a segment of a tile, or all of them. A block takes every gridDim.x-th, so that those
 * of a cluster take a cluster's tiles at the same time. */
struct wide_item {
    int32_t tile, row, out, split, group, n_groups; /* row, out, group: the first */
};

template <class TILE> LINEAR_FN int32_t items_of(const struct linear_run &run) {
    return tiles_of<TILE>(run) * run.n_splits;
}
template <class TILE> LINEAR_FN wide_item item_of(const struct linear_run &run, int32_t i) {
    int32_t n_tiles = tiles_of<TILE>(run);
    int32_t split_groups = run.split_segments * LINEAR_SEGMENT * LINEAR_CHUNK;
    wide_item at;
    at.tile = i % n_tiles, at.split = i / n_tiles;
    int32_t cluster = at.tile / TILE::CLUSTER, rank = at.tile % TILE::CLUSTER;
    at.row = cluster % run.n_row_tiles * TILE::ALL_ROWS + rank % TILE::ROW_BLOCKS * TILE::ROWS;
    at.out = cluster / run.n_row_tiles * TILE::ALL_OUTS + rank / TILE::ROW_BLOCKS * TILE::OUTS;
    at.group = at.split * split_groups;
    at.n_groups = min(run.n_groups - at.group, split_groups);
    return at;
}

/* ------------------------------------------------------------------ sending */

template <class TILE> LINEAR_FN sharers<TILE::ROW_BLOCKS> weight_sharers() {
    const int32_t rank = blockIdx.x % TILE::CLUSTER, part = rank % TILE::ROW_BLOCKS;
    return {part, ((1 << TILE::ROW_BLOCKS) - 1) << (rank - part)};
}
template <class TILE> LINEAR_FN sharers<TILE::OUT_BLOCKS> row_sharers() {
    const int32_t rank = blockIdx.x % TILE::CLUSTER, part = rank / TILE::ROW_BLOCKS;
    int32_t blocks = 0;
    for (int i = 0; i < TILE::OUT_BLOCKS; i++)
        blocks |= 1 << (rank % TILE::ROW_BLOCKS + i * TILE::ROW_BLOCKS);
    return {part, blocks};
}

template <class TILE>
LINEAR_FN void send_rows(const struct linear_run &run, product_ring<TILE::STAGES> &ring,
                         uint4 *shared) {
    const int32_t n_chunks = STAGE_PLANES * TILE::ROWS; /* of 16 bytes, a stage */
    const int32_t n_sent = n_chunks / TILE::OUT_BLOCKS;
    const sharers<TILE::OUT_BLOCKS> all = row_sharers<TILE>();
    ring_place place = {0, 0};
#pragma unroll 1
    for (int32_t i = blockIdx.x; i < items_of<TILE>(run); i += gridDim.x) {
        const wide_item at = item_of<TILE>(run, i);
        /* Beyond the rows there are none: the last ones once more. */
        int32_t row_tile = min(at.row, run.n_rows - 1) / TILE::ROWS;
        int64_t group = (int64_t)row_tile * chunks_of(run) * LINEAR_CHUNK + at.group;
        const uint4 *from = reinterpret_cast<const uint4 *>(run.x) +
                            group * BRICK_ROW_CHUNKS * TILE::ROWS + all.part * n_sent;
        if (i == (int32_t)blockIdx.x) /* by then it is known where the first are */
            grid_wait();
        for (int32_t left = at.n_groups; left > 0; left -= LINEAR_CHUNK)
#pragma unroll
            for (int j = 0; j < CHUNK_STAGES; j++, from += n_chunks) {
                uint64_t *full = send_begin(ring, place, n_chunks * CHUNK_BYTES);
                uint4 *to = shared + place.stage * TILE::STAGE + TILE::ROWS_AT;
                send_part(all, to + all.part * n_sent, from, n_sent * CHUNK_BYTES, full);
                ring_next(place, TILE::STAGES);
            }
    }
    if constexpr (TILE::CLUSTER > 1) /* others arrive here till all stages are handed back */
        for (int i = 0; i < TILE::STAGES; i++, ring_next(place, TILE::STAGES))
            mbarrier_wait(&ring.empty[place.stage], place.parity ^ 1);
}

template <class TILE>
LINEAR_FN void send_weights(const struct linear_run &run, product_ring<TILE::STAGES> &ring,
                            uint4 *shared, int32_t warp_group) {
    const int64_t step = (int64_t)run.n_groups * BRICK_CHUNKS;
    const int32_t last = (run.n_out - 1) / BRICK_OUTS; /* bricks side by side */
    const sharers<TILE::ROW_BLOCKS> all = weight_sharers<TILE>();
    ring_place place = {0, 0};
#pragma unroll 1
    for (int32_t i = blockIdx.x; i < items_of<TILE>(run); i += gridDim.x) {
        const wide_item at = item_of<TILE>(run, i);
        int32_t brick = min((at.out + warp_group * GROUP_OUTS) / BRICK_OUTS, last);
        const uint4 *from = static_cast<const uint4 *>(run.weights) + brick * step;
        int32_t group = at.group, end = at.group + at.n_groups;
        for (; group < end; group += LINEAR_CHUNK)
#pragma unroll 1
            for (int j = 0; j < LINEAR_CHUNK; j += STAGE_BRICKS) {
                int32_t first = min(group + j, end - 1),
                        n_bricks = min(end - first, (int32_t)STAGE_BRICKS);
                uint64_t *full =
                    send_begin(ring, place, n_bricks * BRICK_BYTES * GROUP_OUTS / BRICK_OUTS);
                send_bricks(shared + place.stage * TILE::STAGE + warp_group * GROUP_RUN,
                            from + first * BRICK_CHUNKS, step, last - brick, n_bricks, full, all);
                ring_next(place, TILE::STAGES);
            }
    }
}

#endif
#endif
