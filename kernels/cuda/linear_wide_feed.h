/* linear_wide_feed.h - what a block of linear_wide.h works on, and how its weights and rows come
 * in. */
#ifndef MILL_KERNELS_CUDA_LINEAR_WIDE_FEED_H
#define MILL_KERNELS_CUDA_LINEAR_WIDE_FEED_H

#include "kernels/cuda/hopper.h"
#include "kernels/cuda/linear_bf16.h"

/* GROUPS warp groups of 64 outputs; AHEAD: chunks of weights on their way. */
template <int GROUPS_, int ROWS_, int AHEAD_, int BLOCKS_> struct wide_tile {
    typedef kind_bf16_rows KIND;
    static constexpr int GROUPS = GROUPS_, ROWS = ROWS_, AHEAD = AHEAD_, BLOCKS = BLOCKS_;
    static constexpr int OUTS = 64 * GROUPS, THREADS = 128 * GROUPS, QUADS = ROWS * OUTS / 4;
    static constexpr int STAGES = 4;
    static constexpr int PIECES = LINEAR_CHUNK * BRICK_ROW_CHUNKS; /* of a row and a chunk */
    static constexpr int PITCH = ROWS + 1; /* pieces from plane to plane: in another bank */
    static constexpr int STAGE = PIECES * PITCH;
    static constexpr int COPIES = PIECES * ROWS / THREADS;
    static constexpr int STAGED_PITCH = OUTS + 4; /* floats from row to row of sums */
    static_assert(COPIES * THREADS == PIECES * ROWS, "threads share out a stage evenly");
};

#if CU_HOPPER

template <class TILE> struct wide_place {
    int32_t row, out, chunk, n_chunks; /* chunk: the first of the block's segment */
    const uint4 *w;                    /* the lane's, of the warp's first brick */
    bool inside[2];                    /* the warp's bricks */
};

template <class TILE> LINEAR_FN wide_place<TILE> wide_place_of(const struct linear_run &run) {
    wide_place<TILE> at;
    at.row = blockIdx.x % run.n_row_tiles * TILE::ROWS;
    at.out = blockIdx.x / run.n_row_tiles * TILE::OUTS;
    at.chunk = blockIdx.y * LINEAR_SEGMENT;
    int32_t all = (run.n_groups + LINEAR_CHUNK - 1) / LINEAR_CHUNK;
    at.n_chunks = min(all - at.chunk, (int32_t)LINEAR_SEGMENT);
    int32_t out = at.out + threadIdx.x / 32 * 16;
    at.w = weight_chunks(run, out);
    for (int o = 0; o < 2; o++)
        at.inside[o] = out + o * BRICK_OUTS < run.n_out;
    return at;
}

struct wide_weights {
    uint4 of[2][LINEAR_CHUNK];
};

/* Chunk i of the segment, of the warp's two bricks. */
template <class TILE>
LINEAR_FN void load_chunk(wide_weights &w, const struct linear_run &run, const wide_place<TILE> &at,
                          int32_t i) {
#pragma unroll
    for (int o = 0; o < 2; o++)
#pragma unroll
        for (int j = 0; j < LINEAR_CHUNK; j++)
            w.of[o][j] = weight_chunk(at.w, run, o, (at.chunk + i) * LINEAR_CHUNK + j,
                                      at.inside[o] && i < at.n_chunks);
}

/* Begins to copy the rows of chunk i, if there is one. */
template <class TILE>
LINEAR_FN void copy_rows_of(uint4 *ring, const struct linear_run &run, const wide_place<TILE> &at,
                            int32_t i) {
    uint4 *stage = ring + i % TILE::STAGES * TILE::STAGE;
    if (i < at.n_chunks)
#pragma unroll
        for (int c = 0; c < TILE::COPIES; c++) {
            int k = c * TILE::THREADS + threadIdx.x, piece = k % TILE::PIECES;
            int32_t row = at.row + k / TILE::PIECES;
            int32_t group = (at.chunk + i) * LINEAR_CHUNK + piece / BRICK_ROW_CHUNKS;
            const char *from = run.x + row * run.x_step + (int64_t)group * BRICK_ROW_BYTES +
                               piece % BRICK_ROW_CHUNKS * CHUNK_BYTES;
            cp_async_16(stage + piece * TILE::PITCH + k / TILE::PIECES, from,
                        row < run.n_rows && group < run.n_groups);
        }
    cp_async_commit();
}

#endif
#endif
