/* conv_wide_item.h - what a block of conv_wide works on: tiles of rows and outputs, one after the
 * other. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_ITEM_H
#define MILL_KERNELS_CUDA_CONV_WIDE_ITEM_H

#include "kernels/cuda/conv_wide_tile.h"

#if CU_HOPPER

#define WIDE_FN static __device__ __forceinline__

struct conv_item {
    int32_t row, sums_end; /* flat: the tile's first, and behind the last sum that is anybody's */
    int32_t end;           /* ... and where another's rows begin */
    int32_t span;          /* of all rows that count; -1 = of several */
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
    at.span = run.by_span ? span : -1;
    at.n_taps = TILE::DOES_UNITS ? n_taps : (n_taps - 1 - at.phase) / run.stride + 1;
    at.first_tap = at.phase;
    at.tap_step = TILE::DOES_UNITS ? 1 : run.stride;
    at.shift = is_transposed ? run.reach : 0;
    at.shift_step = is_transposed ? -1 : run.conv.dilation;
    return at;
}

/* The span of a flat row that an item reads: the last that begins there or before. */
WIDE_FN int32_t span_of(const wide_run &run, const conv_item &at, int32_t row) {
    if (at.span >= 0)
        return at.span;
    int32_t span = 0, behind = run.n_spans;
    while (behind - span > 1) {
        int32_t middle = (span + behind) / 2;
        if (run.first_row[middle] <= row)
            span = middle;
        else
            behind = middle;
    }
    return span;
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

#endif
#endif
