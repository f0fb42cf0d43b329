/* conv_wide_feed.h - what a block of conv_wide works on, and how weights and rows come in.
 *
 * A block's warp groups multiply and send as product_hopper.h says, but through two rings: rows, 64
 * channels of a tile and of what the taps reach, stay for all taps of these; weights pass by, a
 * stage for each tap. As many blocks as the card holds share out the tiles; while sums go to
 * memory, the warps that send are stages ahead in the next tile. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_FEED_H
#define MILL_KERNELS_CUDA_CONV_WIDE_FEED_H

#include "kernels/cuda/conv_wide_tile.h"

#if CU_HOPPER

#define WIDE_FN static __device__ __forceinline__

template <class TILE> struct wide_rings {
    product_ring<TILE::STAGES> weights;
    product_ring<ROW_STAGES> rows;
};

/* What a block has of shared memory beside its rings, and what orders its uses. Of what threads
 * store, copies and products touch hidden rows alone.
 *   rings    made by thread 0; then fence_barrier_init and __syncthreads.
 *   rows     copied in, read by products. There: full, which counts the bytes. Free: wgmma_wait in
 *            every warp, and its arrival at empty.
 *   weights  copied in, read by lanes. There: full. Free: in every warp __syncwarp behind the
 *            loads, and one lane's arrival at empty. That arrival releases what came before it in
 *            its own lane, and by __syncwarp in the others. The machine code has no instruction for
 *            __syncwarp where a warp is known to be together, nor does it wait there for the loads:
 *            they and the arrival go through shared memory in order.
 *   pieces   of a warp: __syncwarp before and behind its stores. What add_bias and activate_piece
 *            change, and store_piece reads, is the lane's own.
 *   hidden   of a unit, in the place of the pieces: stored by all warps that multiply, read by
 *            products of all. Before the stores their barrier, as pieces of the tile before may
 *            still be read; behind them fence_async and that barrier; behind the products
 *            wgmma_wait and that barrier, and it is pieces.
 *   pairs    of a warp group: its barrier before and behind its stores.
 * Planes and wide_rows in device memory come from launches in front: whoever reads them, or copies
 * from them, has come through grid_wait, and what a launch stored is seen by threads and copies
 * behind it. */
struct wide_shared {
    uint4 *rows, *weights, *hidden;
    float *pieces;
    row_pair *pairs;
};

template <class TILE> WIDE_FN wide_shared share(const wide_run &run, uint4 *shared) {
    wide_shared to;
    to.rows = shared;
    to.weights = shared + run.n_row_stages * WIDE_PLANES * (TILE::ROWS + run.reach);
    to.hidden = to.weights + TILE::STAGES * TILE::STAGE;
    to.pieces = reinterpret_cast<float *>(to.hidden);
    to.pairs = reinterpret_cast<row_pair *>(to.hidden + TILE::END_BYTES / CHUNK_BYTES);
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

/* Of a unit: all outputs, one phase, taps forward. */
template <class TILE> WIDE_FN conv_item item_of(const wide_run &run, int32_t i) {
    int32_t n_tiles = wide_row_tiles(&run), out_tiles = wide_out_tiles(&run, TILE::OUTS);
    int32_t tile = TILE::DOES_UNITS ? i : i % n_tiles, n_taps = run.conv.w.shape.n_taps;
    bool is_transposed = !TILE::DOES_UNITS && run.conv.stride > 0;
    conv_item at;
    at.out = TILE::DOES_UNITS ? 0 : i / n_tiles % out_tiles * TILE::OUTS;
    at.phase = TILE::DOES_UNITS ? 0 : i / n_tiles / out_tiles;
    int32_t span = run.by_span ? tile / run.n_row_tiles : 0;
    at.row = run.first_row[span] + (run.by_span ? tile % run.n_row_tiles : tile) * TILE::ROWS;
    int32_t behind = run.by_span ? span + 1 : run.n_spans;
    at.sums_end = run.first_row[behind] - run.n_behind;
    at.end = behind < run.n_spans ? run.first_row[behind] : run.pitch;
    at.n_taps = TILE::DOES_UNITS ? n_taps : (n_taps - 1 - at.phase) / run.stride + 1;
    at.first_tap = at.phase;
    at.tap_step = TILE::DOES_UNITS ? 1 : run.stride;
    at.shift = is_transposed ? run.reach : 0;
    at.shift_step = is_transposed ? -1 : run.conv.dilation;
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

/* A layer's weights, as a warp group is sent them for an item: its taps first, first + step, ... */
struct sent_weights {
    const uint4 *image; /* of the group's first outputs */
    int64_t step;       /* chunks, from 8 outputs to the next 8 */
    int32_t last;       /* the last such 8, from the group's first on */
    int32_t n_groups, n_taps, first, tap_step;
};

template <class TILE>
WIDE_FN sent_weights sent_for(const wide_run &run, const conv_item &at, int32_t group,
                              bool is_pointwise) {
    const struct mill_weight &w = is_pointwise ? run.pointwise : run.conv.w;
    int32_t end = (w.shape.n_out + BRICK_OUTS - 1) / BRICK_OUTS;
    int32_t brick = min((at.out + group * GROUP_OUTS) / BRICK_OUTS, end - 1);
    sent_weights sent;
    sent.n_groups = weight_groups(&w.shape);
    sent.step = (int64_t)w.shape.n_taps * sent.n_groups * BRICK_CHUNKS;
    sent.image = static_cast<const uint4 *>(w.image) + brick * sent.step;
    sent.last = end - 1 - brick;
    sent.n_taps = is_pointwise ? 1 : at.n_taps;
    sent.first = is_pointwise ? 0 : at.first_tap;
    sent.tap_step = at.tap_step;
    return sent;
}

template <class TILE>
WIDE_FN void send_layer(const sent_weights &sent, wide_rings<TILE> &rings, ring_place &place,
                        uint4 *to) {
    for (int32_t g = 0; g < sent.n_groups; g += STAGE_BRICKS) {
        int32_t n_bricks = min(sent.n_groups - g, (int32_t)STAGE_BRICKS);
        for (int32_t j = 0; j < sent.n_taps; j++) {
            int32_t tap = sent.first + j * sent.tap_step;
            uint64_t *full =
                send_begin(rings.weights, place, n_bricks * BRICK_BYTES * GROUP_OUTS / BRICK_OUTS);
            send_bricks(to + place.stage * TILE::STAGE,
                        sent.image + (tap * sent.n_groups + g) * BRICK_CHUNKS, sent.step, sent.last,
                        n_bricks, full);
            ring_next(place, TILE::STAGES);
        }
    }
}

template <class TILE>
WIDE_FN void send_weights(const wide_run &run, wide_rings<TILE> &rings, uint4 *shared,
                          int32_t group) {
    ring_place place = {0, 0};
    each_item<TILE>(run, [&](const conv_item &at) {
#pragma unroll 1 /* one piece of code: a sender has few registers */
        for (int layer = 0; layer < 1 + TILE::DOES_UNITS; layer++)
            send_layer<TILE>(sent_for<TILE>(run, at, group, TILE::DOES_UNITS && layer > 0), rings,
                             place, shared + group * GROUP_RUN);
    });
}

#endif
#endif
