/* conv_wide_tile.h - the tiles of conv_wide: what a block computes, and its memory. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_TILE_H
#define MILL_KERNELS_CUDA_CONV_WIDE_TILE_H

#include "kernels/cuda/conv_wide.h"
#include "kernels/cuda/product_hopper.h"

enum { ROW_STAGES = 4 /* at most */, GROUP_BRICKS = GROUP_OUTS / BRICK_OUTS };

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
    static constexpr int STEPS = 2; /* of a turn of the loop of taps */
    static constexpr int PAIRS = GROUPS * ROWS, SNAKES = 0;
    static constexpr bool DOES_UNITS = false;
    static constexpr int ROW_WARPS = 1, WEIGHT_WARPS = GROUPS; /* that bring them */
    static constexpr int END_BYTES = MULTIPLIERS / 32 * PIECE * (int)sizeof(float);
};

/* The same for a unit at once, whose block prepares its rows: so many 8 of them a warp at a time.
 * Hidden rows, planes of all outputs, lie where pieces do before. */
template <int GROUPS_, int ROWS_A_, int ROWS_B_, int STAGES_, int BATCH_>
struct unit_wide_tile : conv_wide_tile<GROUPS_, ROWS_A_, ROWS_B_, STAGES_, 1> {
    typedef conv_wide_tile<GROUPS_, ROWS_A_, ROWS_B_, STAGES_, 1> ONE;
    static constexpr bool DOES_UNITS = true;
    static constexpr int ROW_WARPS = 3, WEIGHT_WARPS = 1, BATCH = BATCH_;
    static constexpr int MULTIPLIERS_HAVE = GROUPS_ > 2 ? 144 : 184; /* registers */
    static constexpr int PREPARERS_HAVE = GROUPS_ > 2 ? 80 : 136;
    static constexpr int STEPS = GROUPS_ > 2 ? 1 : 2; /* 144 registers are too few for two */
    static constexpr int SNAKES = ONE::OUTS / 2;      /* of two channels each */
    static constexpr int END_BYTES = ONE::OUTS / 8 * ONE::ROWS * CHUNK_BYTES;
    static_assert(END_BYTES >= ONE::END_BYTES, "pieces lie where hidden rows do");
};

/* Of shared memory beside the ring of rows. */
template <class TILE> constexpr int wide_fixed_bytes() {
    return TILE::STAGES * TILE::STAGE * CHUNK_BYTES + TILE::END_BYTES +
           TILE::SNAKES * (int)sizeof(float4) + TILE::PAIRS * (int)sizeof(row_pair);
}

#endif
