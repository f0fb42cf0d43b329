/* conv_wide_feed.h - how weights and rows come into a block of conv_wide.
 *
 * A block's warp groups multiply and send as product_hopper.h says, but through two rings: rows, 64
 * channels of a tile and of what the taps reach, stay for all taps of these; weights pass by, a
 * stage for each tap. As many blocks as the card holds share out the tiles; while sums go to
 * memory, the warps that send are stages ahead in the next tile. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_FEED_H
#define MILL_KERNELS_CUDA_CONV_WIDE_FEED_H

#include "kernels/cuda/conv_wide_item.h"

#if CU_HOPPER

template <class TILE> struct wide_rings {
    product_ring<TILE::STAGES> weights;
    product_ring<ROW_STAGES> rows;
};

/* What a block has of shared memory beside its rings, and what orders its uses. Of what threads
 * store, copies and products touch hidden rows and a unit's rows alone.
 *   rings    made by thread 0; then fence_barrier_init and __syncthreads.
 *   rows     copied in, read by products. There: full, which counts the bytes. Free: wgmma_wait in
 *            every warp, and its arrival at empty. Of a unit at once: stored by the warps that
 *            prepare them. There: in every lane fence_async behind its stores, __syncwarp, and the
 *            warp's arrival at full.
 *   snakes   of such a unit: stored by all threads before that __syncthreads.
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
 * Planes, wide_rows and a unit's x in device memory come from launches in front: whoever reads
 * them, or copies from them, has come through grid_wait, and what a launch stored is seen by
 * threads and copies behind it. */
struct wide_shared {
    uint4 *rows, *weights, *hidden;
    float4 *snakes;
    float *pieces;
    row_pair *pairs;
};

template <class TILE> WIDE_FN wide_shared share(const wide_run &run, uint4 *shared) {
    wide_shared to;
    to.rows = shared;
    to.weights = shared + run.n_row_stages * WIDE_PLANES * (TILE::ROWS + run.reach);
    to.hidden = to.weights + TILE::STAGES * TILE::STAGE;
    to.pieces = reinterpret_cast<float *>(to.hidden);
    to.snakes = reinterpret_cast<float4 *>(to.hidden + TILE::END_BYTES / CHUNK_BYTES);
    to.pairs = reinterpret_cast<row_pair *>(to.snakes + TILE::SNAKES);
    return to;
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

/* For one warp group; or for several, one brick after the other: so many at once want more
 * registers than there are. */
template <int N_GROUPS>
WIDE_FN void send_outs(uint4 *to, const uint4 *from, const sent_weights &sent, int32_t n_bricks,
                       uint64_t *full) {
    if constexpr (N_GROUPS == 1) {
        send_bricks(to, from, sent.step, sent.last, n_bricks, full);
    } else {
        int32_t n = min(sent.last + 1, N_GROUPS * GROUP_BRICKS);
#pragma unroll 4
        for (int32_t b = 0; b < n; b++, from += sent.step, to += BRICK_RUN)
            bulk_copy(to, from, n_bricks * BRICK_BYTES, full);
#pragma unroll 1
        for (int32_t b = n; b < N_GROUPS * GROUP_BRICKS; b++, to += BRICK_RUN)
            bulk_copy(to, from - sent.step, n_bricks * BRICK_BYTES, full);
    }
}

/* By a warp for so many warp groups. */
template <class TILE>
WIDE_FN void send_layer(const sent_weights &sent, wide_rings<TILE> &rings, ring_place &place,
                        uint4 *to) {
    constexpr int N_GROUPS = TILE::GROUPS / TILE::WEIGHT_WARPS;
    for (int32_t g = 0; g < sent.n_groups; g += STAGE_BRICKS) {
        int32_t n_bricks = min(sent.n_groups - g, (int32_t)STAGE_BRICKS);
        for (int32_t j = 0; j < sent.n_taps; j++) {
            int32_t tap = sent.first + j * sent.tap_step;
            uint64_t *full =
                send_begin(rings.weights, place, N_GROUPS * GROUP_BRICKS * n_bricks * BRICK_BYTES);
            send_outs<N_GROUPS>(to + place.stage * TILE::STAGE,
                                sent.image + (tap * sent.n_groups + g) * BRICK_CHUNKS, sent,
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
