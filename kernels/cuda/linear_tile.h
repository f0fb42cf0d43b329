/* linear_tile.h - the kernel of `linear`: a block computes a tile of y.
 *
 * Bricks of weights and of x flow through a ring of stages in shared memory, copied asynchronously
 * STAGES - 1 ahead, and from there to registers, where a lane's 16 bytes are its fragment already.
 *
 * Many rows are a matter of products a byte: all warps are one slice that shares its stages, and a
 * warp keeps its sums in registers. Few, where linear_few.h has no kernel for them, are one of
 * bytes in flight: a block takes few outputs, and its warps, each a slice with a ring of its own,
 * take the chunks of the inputs in turn; their sums meet in shared memory in the order of the
 * chunks. Where there are too few tiles for the card, several blocks share one, each some segments
 * of its inputs; the last of them to be done adds up what all have left in memory. */
#ifndef MILL_KERNELS_CUDA_LINEAR_TILE_H
#define MILL_KERNELS_CUDA_LINEAR_TILE_H

#include "kernels/cuda/linear_kind.h"

/* WR x WO warps of RB x OB bricks a slice. A stage is GROUPS groups of each slice. BLOCKS: that are
 * to fit a multiprocessor's registers. MANY: more than one segment. */
template <class KIND_, int WR_, int RB_, int WO_, int OB_, int SLICES_, int GROUPS_, int STAGES_,
          int BLOCKS_, bool MANY_ = true>
struct linear_tile {
    typedef KIND_ KIND;
    static constexpr int WR = WR_, RB = RB_, WO = WO_, OB = OB_, SLICES = SLICES_;
    static constexpr int GROUPS = GROUPS_, STAGES = STAGES_, BLOCKS = BLOCKS_;
    static constexpr bool MANY = MANY_;

    static constexpr int ROWS = WR * RB * 8, OUTS = WO * OB * 8;
    static constexpr int SLICE_THREADS = WR * WO * 32, THREADS = SLICES * SLICE_THREADS;
    static constexpr int STAGES_A_CHUNK = LINEAR_CHUNK / GROUPS;
    static constexpr int W_PITCH = GROUPS * BRICK_CHUNKS, X_PITCH = GROUPS * KIND::X_CHUNKS;
    static constexpr int W_STAGE = WO * OB * W_PITCH, STAGE = W_STAGE + WR * RB * X_PITCH;
    static constexpr int W_COPIES = W_STAGE / SLICE_THREADS;
    static constexpr int X_COPIES = (STAGE - W_STAGE) / SLICE_THREADS;
    static constexpr int QUADS = ROWS * OUTS / 4;
    /* One slice: rows of y as lanes write them, which must not meet in the same bank. */
    static constexpr int EXCHANGE_PITCH = SLICES == 1 ? OUTS + 8 : OUTS;
    static constexpr int EXCHANGE =
        SLICES == 1 ? ROWS * EXCHANGE_PITCH : KIND::PLANES * SLICES * ROWS * OUTS; /* words */

    static_assert(W_COPIES * SLICE_THREADS == W_STAGE, "threads share out a stage evenly");
    static_assert(X_COPIES * SLICE_THREADS == STAGE - W_STAGE, "... also of x");
    static_assert(SLICES == 1 || WR * WO == 1, "slices are one warp, or all of them are one");
    static_assert(SLICES == 1 || QUADS <= THREADS, "slices' sums are added up by a thread a quad");
};

/* What a block, and a thread in it, works on. */
template <class TILE> struct linear_place {
    int32_t row, out;         /* the tile's first */
    int32_t chunk, end_chunk; /* inputs */
    int32_t end_group;
    int32_t slice, thread; /* in the slice */
    uint4 *ring;           /* the slice's first stage */
    /* Where the thread's copies of a stage come from, of the first group; NULL: zeros. */
    const char *w[TILE::W_COPIES], *x[TILE::X_COPIES];
};

template <class TILE>
LINEAR_FN linear_place<TILE> place_of(const struct linear_run &run, uint4 *shared) {
    typedef typename TILE::KIND KIND;
    linear_place<TILE> at;
    at.row = blockIdx.x % run.n_row_tiles * TILE::ROWS;
    at.out = blockIdx.x / run.n_row_tiles * TILE::OUTS;
    int32_t split_chunks = run.split_segments * LINEAR_SEGMENT;
    int32_t n_chunks = (run.n_groups + LINEAR_CHUNK - 1) / LINEAR_CHUNK;
    at.chunk = blockIdx.y * split_chunks;
    at.end_chunk = min(at.chunk + split_chunks, n_chunks);
    at.end_group = min(at.end_chunk * LINEAR_CHUNK, run.n_groups);
    at.slice = threadIdx.x / TILE::SLICE_THREADS;
    at.thread = threadIdx.x % TILE::SLICE_THREADS;
    at.ring = shared + at.slice * TILE::STAGE;
#pragma unroll
    for (int i = 0; i < TILE::W_COPIES; i++) {
        int c = i * TILE::SLICE_THREADS + at.thread;
        int64_t brick = (at.out / BRICK_OUTS + c / TILE::W_PITCH) * (int64_t)run.n_groups;
        at.w[i] = at.out + c / TILE::W_PITCH * BRICK_OUTS < run.n_out
                      ? static_cast<const char *>(run.weights) + brick * BRICK_BYTES +
                            c % TILE::W_PITCH * CHUNK_BYTES
                      : NULL;
    }
#pragma unroll
    for (int i = 0; i < TILE::X_COPIES; i++) {
        int c = i * TILE::SLICE_THREADS + at.thread, group = c % TILE::X_PITCH / KIND::X_CHUNKS;
        const char *from =
            KIND::chunk_of_x(run, at.row + c / TILE::X_PITCH * 8, c % KIND::X_CHUNKS);
        at.x[i] = from ? from + group * KIND::X_ROW_BYTES : NULL;
    }
    return at;
}

/* ------------------------------------------------------------------ stages */

/* The first group of a slice's stage. */
template <class TILE> LINEAR_FN int32_t stage_group(const linear_place<TILE> &at, int32_t stage) {
    int32_t chunk = at.chunk + stage / TILE::STAGES_A_CHUNK * TILE::SLICES + at.slice;
    return chunk * LINEAR_CHUNK + stage % TILE::STAGES_A_CHUNK * TILE::GROUPS;
}

template <class TILE> LINEAR_FN uint4 *stage_data(const linear_place<TILE> &at, int32_t stage) {
    return at.ring + stage % TILE::STAGES * (TILE::SLICES * TILE::STAGE);
}

/* Begins to copy a stage, if there is one. */
template <class TILE>
LINEAR_FN void fetch(const struct linear_run &run, const linear_place<TILE> &at, int32_t stage) {
    typedef typename TILE::KIND KIND;
    int32_t group = stage_group(at, stage);
    if (group < at.end_group) {
        uint4 *to = stage_data(at, stage);
#pragma unroll
        for (int i = 0; i < TILE::W_COPIES; i++) {
            int c = i * TILE::SLICE_THREADS + at.thread;
            bool inside = at.w[i] && group + c % TILE::W_PITCH / BRICK_CHUNKS < at.end_group;
            cp_async_16(to + c, at.w[i] + (int64_t)group * BRICK_BYTES, inside);
        }
        to += TILE::W_STAGE;
#pragma unroll
        for (int i = 0; i < TILE::X_COPIES; i++) {
            int c = i * TILE::SLICE_THREADS + at.thread, in_brick = c % KIND::X_CHUNKS;
            const char *from = at.x[i] ? at.x[i] + (int64_t)group * KIND::X_ROW_BYTES : NULL;
            KIND::copy_x(to + c - in_brick, in_brick, from, run,
                         group + c % TILE::X_PITCH / KIND::X_CHUNKS);
        }
    }
    cp_async_commit();
}

/* A stage has arrived for all of the slice, and all are through with the one before. */
template <class TILE> LINEAR_FN void stage_wait() {
    cp_async_wait<TILE::STAGES - 2>();
    if constexpr (TILE::SLICES == 1)
        __syncthreads();
    else
        __syncwarp();
}

template <class TILE>
LINEAR_FN void multiply(typename TILE::KIND::template sums<TILE::RB, TILE::OB> &sums,
                        const linear_place<TILE> &at, int32_t stage) {
    typedef typename TILE::KIND KIND;
    int32_t group = stage_group(at, stage), warp = at.thread / 32;
    const uint4 *w = stage_data(at, stage), *x = w + TILE::W_STAGE;
    w += warp % TILE::WO * TILE::OB * TILE::W_PITCH;
    x += warp / TILE::WO * TILE::RB * TILE::X_PITCH;
#pragma unroll
    for (int j = 0; j < TILE::GROUPS; j++)
        if (group + j < at.end_group)
            sums.add(x + j * KIND::X_CHUNKS, TILE::X_PITCH, w + j * BRICK_CHUNKS, TILE::W_PITCH);
}

/* Whether a chunk is the last of its segment, or of the block's. */
template <class TILE> LINEAR_FN bool ends_segment(const linear_place<TILE> &at, int32_t chunk) {
    return (chunk + 1) % LINEAR_SEGMENT == 0 || chunk + 1 == at.end_chunk;
}

template <class TILE> LINEAR_FN int32_t stages_of(const linear_place<TILE> &at) {
    int32_t rounds = (at.end_chunk - at.chunk + TILE::SLICES - 1) / TILE::SLICES;
    return rounds * TILE::STAGES_A_CHUNK;
}

#endif
