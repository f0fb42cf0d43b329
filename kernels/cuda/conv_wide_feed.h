/* conv_wide_feed.h - what a block of conv_wide works on, and how weights and rows come in.
 *
 * A block's warp groups multiply and send as product_hopper.h says, but through two rings: rows, 64
 * channels of a tile and of what the taps reach, stay for all taps of these; weights pass by, a
 * stage for each tap. As many blocks as the card holds share out the tiles; while sums go to
 * memory, the warps that send are stages ahead in the next tile. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_FEED_H
#define MILL_KERNELS_CUDA_CONV_WIDE_FEED_H

#include "kernels/cuda/conv_wide.h"
#include "kernels/cuda/product_hopper.h"

enum { ROW_STAGES = 4 /* at most */ };

/* Rows of y and of the residual for a sum; y -1 where it is nobody's. */
struct row_pair {
    int32_t y, residual;
};

/* GROUPS warp groups of 64 outputs, rows of one instruction and of another (or 0), so many stages
 * of weights. */
template <int GROUPS_, int ROWS_A_, int ROWS_B_, int STAGES_, int BLOCKS_>
struct conv_wide_tile : product_groups<GROUPS_> {
    static constexpr int MULTIPLIERS = product_groups<GROUPS_>::MULTIPLIERS;
    static constexpr int GROUPS = GROUPS_, ROWS_A = ROWS_A_, ROWS_B = ROWS_B_, STAGES = STAGES_;
    static constexpr int ROWS = ROWS_A + ROWS_B;
    static constexpr int BLOCKS = BLOCKS_;           /* of a multiprocessor */
    static constexpr int STAGE = GROUPS * GROUP_RUN; /* of weights, chunks */
    /* Sums leave by way of shared memory, so many rows of a warp at a time. */
    static constexpr int PIECE_ROWS = ROWS % 40 ? 32 : 40, PIECE = PIECE_ROWS * PIECE_PITCH;
    static constexpr int PIECE_QUADS = PIECE_ROWS / 8; /* of a lane */
    static_assert(ROWS % PIECE_ROWS == 0, "rows leave in whole pieces");
    static constexpr int MULTIPLIERS_HAVE = GROUPS > 2 ? 160 : 240; /* registers */
    static constexpr int PIECES = MULTIPLIERS / 32 * PIECE, PAIRS = GROUPS * ROWS;
    static constexpr int FIXED_BYTES =
        STAGES * STAGE * CHUNK_BYTES + PIECES * (int)sizeof(float) + PAIRS * (int)sizeof(row_pair);
};

#if CU_HOPPER

#define WIDE_FN static __device__ __forceinline__

template <class TILE> struct wide_rings {
    product_ring<TILE::STAGES> weights;
    product_ring<ROW_STAGES> rows;
};

/* What a block has of shared memory beside its rings, and what orders its uses. No copy or product
 * touches what threads store, so that nothing is fenced.
 *   rings    made by thread 0; then fence_barrier_init and __syncthreads.
 *   rows     copied in, read by products. There: full, which counts the bytes. Free: wgmma_wait in
 *            every warp, and its arrival at empty.
 *   weights  copied in, read by lanes. There: full. Free: in every warp __syncwarp behind the
 *            loads, and one lane's arrival at empty.
 *   pieces   of a warp: __syncwarp before and behind its stores. What add_bias and activate_piece
 *            change, and store_piece reads, is the lane's own.
 *   pairs    of a warp group: its barrier before and behind its stores.
 * Planes and wide_rows in device memory come from launches in front: whoever reads them, or copies
 * from them, has come through grid_wait, and what a launch stored is seen by threads and copies
 * behind it. */
struct wide_shared {
    uint4 *rows, *weights;
    float *pieces;
    row_pair *pairs;
};

template <class TILE> WIDE_FN wide_shared share(const wide_run &run, uint4 *shared) {
    wide_shared to;
    to.rows = shared;
    to.weights = shared + run.n_row_stages * WIDE_PLANES * (TILE::ROWS + run.reach);
    to.pieces = reinterpret_cast<float *>(to.weights + TILE::STAGES * TILE::STAGE);
    to.pairs = reinterpret_cast<row_pair *>(to.pieces + TILE::PIECES);
    return to;
}

/* ------------------------------------------------------------------ tiles */

struct conv_item {
    int32_t row, sums_end; /* flat: the tile's first, and behind the last sum that is anybody's */
    int32_t end;           /* ... and where another's rows begin */
    int32_t out, phase;
    int32_t n_taps, first_tap, tap_step; /* in the order of the sum */
    int32_t shift, shift_step;           /* tap j of sum i reads flat row i + shift + j * step */
};

template <class TILE> WIDE_FN conv_item item_of(const wide_run &run, int32_t i) {
    int32_t n_tiles = wide_row_tiles(&run), out_tiles = wide_out_tiles(&run, TILE::OUTS);
    int32_t tile = i % n_tiles, n_taps = run.conv.w.shape.n_taps;
    conv_item at;
    at.out = i / n_tiles % out_tiles * TILE::OUTS;
    at.phase = i / n_tiles / out_tiles;
    int32_t span = run.by_span ? tile / run.n_row_tiles : 0;
    at.row = run.first_row[span] + (run.by_span ? tile % run.n_row_tiles : tile) * TILE::ROWS;
    int32_t behind = run.by_span ? span + 1 : run.n_spans;
    at.sums_end = run.first_row[behind] - run.n_behind;
    at.end = behind < run.n_spans ? run.first_row[behind] : run.pitch;
    at.n_taps = (n_taps - 1 - at.phase) / run.stride + 1;
    at.first_tap = at.phase;
    at.tap_step = run.stride;
    at.shift = run.conv.stride > 0 ? run.reach : 0;
    at.shift_step = run.conv.stride > 0 ? -1 : run.conv.dilation;
    return at;
}

/* Calls visit(item) for each of the block's. */
template <class TILE, class VISIT> WIDE_FN void each_item(const wide_run &run, VISIT visit) {
#pragma unroll 1
    for (int32_t i = blockIdx.x; i < wide_items(&run, TILE::OUTS); i += gridDim.x) {
        const conv_item at = item_of<TILE>(run, i);
        if (at.row < at.sums_end)
            visit(at);
    }
}

/* ------------------------------------------------------------------ sending */

template <class TILE>
WIDE_FN void send_rows(const wide_run &run, wide_rings<TILE> &rings, uint4 *shared) {
    int32_t n_rows = TILE::ROWS + run.reach;
    ring_place place = {0, 0};
    grid_wait();
    each_item<TILE>(run, [&](const conv_item &at) {
        const uint4 *from = run.planes + at.row;
        for (int32_t i = 0; i < run.n_stages; i++) {
            uint64_t *full = send_begin(rings.rows, place, WIDE_PLANES * n_rows * CHUNK_BYTES);
            uint4 *to = shared + place.stage * WIDE_PLANES * n_rows;
            for (int p = 0; p < WIDE_PLANES; p++, from += run.pitch)
                bulk_copy(to + p * n_rows, from, n_rows * CHUNK_BYTES, full);
            ring_next(place, run.n_row_stages);
        }
    });
}

template <class TILE>
WIDE_FN void send_weights(const wide_run &run, wide_rings<TILE> &rings, uint4 *shared,
                          int32_t group) {
    const struct mill_weight_shape &shape = run.conv.w.shape;
    int32_t n_groups = weight_groups(&shape), end = (shape.n_out + BRICK_OUTS - 1) / BRICK_OUTS;
    int64_t step = (int64_t)shape.n_taps * n_groups * BRICK_CHUNKS;
    ring_place place = {0, 0};
    each_item<TILE>(run, [&](const conv_item &at) {
        int32_t brick = min((at.out + group * GROUP_OUTS) / BRICK_OUTS, end - 1);
        const uint4 *image = static_cast<const uint4 *>(run.conv.w.image) + brick * step;
        for (int32_t g = 0; g < n_groups; g += STAGE_BRICKS) {
            int32_t n_bricks = min(n_groups - g, (int32_t)STAGE_BRICKS);
            for (int32_t j = 0; j < at.n_taps; j++) {
                int32_t tap = at.first_tap + j * at.tap_step;
                uint64_t *full = send_begin(rings.weights, place,
                                            n_bricks * BRICK_BYTES * GROUP_OUTS / BRICK_OUTS);
                send_bricks(shared + place.stage * TILE::STAGE + group * GROUP_RUN,
                            image + (tap * n_groups + g) * BRICK_CHUNKS, step, end - 1 - brick,
                            n_bricks, full);
                ring_next(place, TILE::STAGES);
            }
        }
    });
}

#endif
#endif
