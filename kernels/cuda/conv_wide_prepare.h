/* conv_wide_prepare.h - the last warp group of a block that does a unit at once: its first warps
 * prepare rows, its last one sends the weights of all groups that multiply.
 *
 * Rows are those of x, each read once a tile: snaked, rounded, and stored in the ring as planes,
 * where products read them. They are stages ahead: while one of 64 channels is multiplied the next
 * one is made, and while a tile ends the first ones of the next. Their loads are many and at once,
 * and are waited for by warps that have time. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_PREPARE_H
#define MILL_KERNELS_CUDA_CONV_WIDE_PREPARE_H

#include "kernels/cuda/conv_wide_feed.h"
#include "kernels/cuda/conv_words.h"

#if CU_HOPPER

/* Of all channels up to a whole stage, two by two; by the block. */
template <class TILE> WIDE_FN void find_snakes(const wide_run &run, float4 *snakes) {
    for (int32_t i = threadIdx.x; i < run.n_stages * WIDE_CHANNELS / 2; i += TILE::THREADS)
        snakes[i] = snake_of_two(run.conv.alpha, 2 * i, run.conv.x.columns);
}

/* A flat row's row of x; -1 where the convolution pads. */
WIDE_FN int32_t input_row(const wide_run &run, const conv_item &at, int32_t row) {
    int32_t s = span_of(run, at, row);
    const struct mill_span &span = run.conv.spans[s];
    int32_t i = span.y_place - run.conv.padding - span.x_place + row - run.first_row[s];
    return i >= 0 && i < span.n_x ? span.x_first + i : -1;
}

/* A stage of rows: a warp takes 8 at a time, 256 bytes of each, and has several such on their way.
 */
template <class TILE>
WIDE_FN void prepare_stage(const wide_run &run, const conv_item &at, int32_t stage, uint4 *planes,
                           const float4 *snakes) {
    constexpr int BATCH = TILE::BATCH, STEP = 8 * TILE::ROW_WARPS;
    int32_t lane = threadIdx.x % 32, j = lane % 4, n_rows = TILE::ROWS + run.reach;
    int32_t channel = stage * WIDE_CHANNELS + 2 * j, n_in = run.conv.x.columns;
    snakes += channel / 2;
    planes += j * n_rows;
#pragma unroll 1
    for (int32_t row = (threadIdx.x - TILE::MULTIPLIERS) / 32 * 8 + lane / 4; row < n_rows;
         row += BATCH * STEP) {
        float2 words[BATCH][STAGE_BRICKS][ROW_WORDS];
        int32_t x[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; b++)
            x[b] = row + b * STEP < n_rows ? input_row(run, at, at.row + row + b * STEP) : -1;
#pragma unroll
        for (int b = 0; b < BATCH; b++) /* no branch among loads: all are under way at once */
#pragma unroll
            for (int g = 0; g < STAGE_BRICKS; g++)
                load_words<true>(words[b][g], matrix_row(run.conv.x, max(x[b], 0)),
                                 channel + g * GROUP_CHANNELS, x[b] >= 0 ? n_in : 0);
#pragma unroll
        for (int g = 0; g < STAGE_BRICKS; g++) {
#pragma unroll
            for (int c = 0; c < ROW_WORDS; c++) {
                const float4 snake = snakes[(g * GROUP_CHANNELS + 8 * c) / 2];
#pragma unroll
                for (int b = 0; b < BATCH; b++)
                    words[b][g][c] = snake_two(words[b][g][c], snake);
            }
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                if (row + b * STEP < n_rows)
                    planes[g * BRICK_ROW_CHUNKS * n_rows + row + b * STEP] =
                        round_words(words[b][g]);
        }
    }
}

template <class TILE>
WIDE_FN void prepare_rows(const wide_run &run, wide_rings<TILE> &rings, const wide_shared &shared) {
    ring_place place = {0, 0};
    grid_wait();
    each_item<TILE>(run, [&](const conv_item &at) {
#pragma unroll 1
        for (int32_t i = 0; i < run.n_stages; i++) {
            mbarrier_wait(&rings.rows.empty[place.stage], place.parity ^ 1);
            prepare_stage<TILE>(run, at, i,
                                shared.rows + place.stage * WIDE_PLANES * (TILE::ROWS + run.reach),
                                shared.snakes);
            fence_async();
            hand_back(&rings.rows.full[place.stage]);
            ring_next(place, run.n_row_stages);
        }
    });
}

/* As take_trades: multiply(), prepare(), or by one lane send(). */
template <class TILE, class MULTIPLY, class PREPARE, class SEND>
WIDE_FN void take_unit_trades(int32_t warp, MULTIPLY multiply, PREPARE prepare, SEND send) {
    if (warp < TILE::MULTIPLIERS / 32) {
        registers_more<TILE::MULTIPLIERS_HAVE>();
        multiply();
    } else {
        registers_fewer<TILE::PREPARERS_HAVE>();
        if (warp < TILE::MULTIPLIERS / 32 + TILE::ROW_WARPS)
            prepare();
        else if (is_elected())
            send();
    }
}

#endif
#endif
