/* conv_wide_product.h - the product of prepared rows (conv_wide.h) with weights, on the device.
 *
 * A block's warp groups multiply and send as product_hopper.h says, but through two rings: rows, 64
 * channels of a tile and of what the taps reach, stay for all taps of these; weights pass by, a
 * stage for each tap. As many blocks as the card holds share out the tiles; while sums go to
 * memory, the warps that send are stages ahead in the next tile. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_PRODUCT_H
#define MILL_KERNELS_CUDA_CONV_WIDE_PRODUCT_H

#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_wide.h"
#include "kernels/cuda/product_hopper.h"

enum { ROW_STAGES = 4 /* at most */, PIECE_OUTS = GROUP_OUTS / 4, PIECE_PITCH = PIECE_OUTS + 4 };

/* Rows of y and of the residual for a sum; y -1 where it is nobody's. */
struct row_pair {
    int32_t y, residual;
};

/* GROUPS warp groups of 64 outputs, rows of one instruction and of another (or 0), so many stages
 * of weights. */
template <int GROUPS_, int ROWS_A_, int ROWS_B_, int STAGES_, int BLOCKS_> struct conv_wide_tile {
    static constexpr int GROUPS = GROUPS_, ROWS_A = ROWS_A_, ROWS_B = ROWS_B_, STAGES = STAGES_;
    static constexpr int ROWS = ROWS_A + ROWS_B;
    static constexpr int BLOCKS = BLOCKS_; /* of a multiprocessor */
    static constexpr int OUTS = GROUP_OUTS * GROUPS;
    static constexpr int MULTIPLIERS = GROUP_THREADS * GROUPS;
    static constexpr int THREADS = MULTIPLIERS + GROUP_THREADS;
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

/* What a block has of shared memory. */
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

template <class TILE> WIDE_FN void rings_open(wide_rings<TILE> &rings) {
    if (threadIdx.x == 0) {
        for (int i = 0; i < TILE::STAGES; i++) {
            mbarrier_init(&rings.weights.full[i], TILE::GROUPS);
            mbarrier_init(&rings.weights.empty[i], TILE::MULTIPLIERS / 32);
        }
        for (int i = 0; i < ROW_STAGES; i++) {
            mbarrier_init(&rings.rows.full[i], 1);
            mbarrier_init(&rings.rows.empty[i], TILE::MULTIPLIERS / 32);
        }
        fence_barrier_init();
    }
    __syncthreads();
}

WIDE_FN void next_rows(ring_place &place, int32_t n_stages) {
    place.stage = place.stage + 1 < n_stages ? place.stage + 1 : 0;
    place.parity ^= place.stage == 0;
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
            next_rows(place, run.n_row_stages);
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
                ring_next<TILE::STAGES>(place);
            }
        }
    });
}

/* ------------------------------------------------------------------ multiplying */

/* Of a lane: instructions of more columns want more registers at once than three groups have. */
template <class TILE> struct wide_sums {
    float a[TILE::ROWS_A / 2], b[TILE::ROWS_B ? TILE::ROWS_B / 2 : 1];
    __device__ __forceinline__ float at(int k) const {
        return k < TILE::ROWS_A / 2 ? a[k] : b[k - TILE::ROWS_A / 2];
    }
};

/* Where a warp that multiplies is in the rings. */
struct wide_place {
    ring_place weights, rows;
};

/* Where a warp that multiplies is in an item: a stage of rows, in it a tap. */
struct wide_step {
    int32_t group, tap;
    int32_t rows_before; /* stage to hand back when what reads it is done; -1 = none */
};

/* sums += the products of the next tap. While those of the one before run, from weights in other
 * registers, its own are taken. */
template <class TILE>
WIDE_FN void multiply_step(wide_sums<TILE> &sums, product_weights &w, wide_step &step,
                           const wide_run &run, const conv_item &at, wide_rings<TILE> &rings,
                           wide_place &place, const wide_shared &shared) {
    int32_t n_rows = TILE::ROWS + run.reach, n_groups = weight_groups(&run.conv.w.shape);
    mbarrier_wait(&rings.weights.full[place.weights.stage], place.weights.parity);
    take_weights(w,
                 shared.weights + place.weights.stage * TILE::STAGE +
                     threadIdx.x / GROUP_THREADS * GROUP_RUN,
                 n_groups - step.group);
    hand_back(&rings.weights.empty[place.weights.stage]);
    ring_next<TILE::STAGES>(place.weights);
    wgmma_wait<0>();
    if (step.tap == 0) {
        if (step.rows_before >= 0)
            hand_back(&rings.rows.empty[step.rows_before]);
        mbarrier_wait(&rings.rows.full[place.rows.stage], place.rows.parity);
    }
    const uint4 *rows = shared.rows + place.rows.stage * WIDE_PLANES * n_rows + at.shift +
                        step.tap * at.shift_step;
    multiply_weights<false>(sums.a, w, rows, n_rows);
    if constexpr (TILE::ROWS_B > 0)
        multiply_weights<false>(sums.b, w, rows + TILE::ROWS_A, n_rows);
    if (++step.tap < at.n_taps)
        return;
    step.tap = 0;
    step.group += STAGE_BRICKS;
    step.rows_before = place.rows.stage;
    next_rows(place.rows, run.n_row_stages);
}

/* sums += the item's products. */
template <class TILE>
WIDE_FN void multiply_item(wide_sums<TILE> &sums, const wide_run &run, const conv_item &at,
                           wide_rings<TILE> &rings, wide_place &place, const wide_shared &shared) {
    product_weights even, odd; /* a product reads registers until wgmma_wait */
    wide_step step = {0, 0, -1};
    int32_t left = run.n_stages * at.n_taps;
#pragma unroll 1
    for (; left > 1; left -= 2) {
        multiply_step<TILE>(sums, even, step, run, at, rings, place, shared);
        multiply_step<TILE>(sums, odd, step, run, at, rings, place, shared);
    }
    if (left > 0)
        multiply_step<TILE>(sums, even, step, run, at, rings, place, shared);
    wgmma_wait<0>();
    hand_back(&rings.rows.empty[step.rows_before]);
}

/* ------------------------------------------------------------------ the end */

/* Into `to`, by the warp group. */
template <class TILE>
WIDE_FN void find_rows(row_pair *to, const wide_run &run, const conv_item &at) {
    int32_t group = threadIdx.x / GROUP_THREADS;
    barrier_sync(1 + group, GROUP_THREADS); /* nobody needs those of before */
    for (int32_t i = threadIdx.x % GROUP_THREADS; i < TILE::ROWS; i += GROUP_THREADS) {
        row_pair pair = {-1, 0};
        if (at.row + i < at.end) {
            const wide_row row = run.rows[at.row + i];
            if (at.phase >= row.first_phase && at.phase < row.end_phase)
                pair = {row.y + at.phase, row.residual + at.phase};
        }
        to[i] = pair;
    }
    barrier_sync(1 + group, GROUP_THREADS);
}

/* The lane's quad k of a piece: four outputs of every eighth row. */
WIDE_FN float *piece_quad(float *piece, int k) {
    return piece + (8 * k + threadIdx.x % 32 / 4) * PIECE_PITCH + threadIdx.x % 4 * 4;
}

/* What outputs do beside adding, in shared memory: there it is one piece of code for all. */
template <class TILE>
WIDE_FN void add_bias(const struct conv_args &conv, int32_t out, float *piece) {
    quad<float> bias = load_quad<false>(conv.w.bias, out, conv.w.shape.n_out, 0.0f);
#pragma unroll 1
    for (int k = 0; k < TILE::PIECE_QUADS; k++) {
        quad<float> v = load_quad<true>(piece_quad(piece, k), 0, 4, 0.0f);
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] += bias.v[i];
        store_quad<true>(piece_quad(piece, k), 0, 4, v);
    }
}
template <class TILE> WIDE_FN void activate_piece(enum mill_activation act, float *piece) {
#pragma unroll 1
    for (int k = 0; k < 4 * TILE::PIECE_QUADS; k++) {
        float *v = piece_quad(piece, k / 4) + k % 4;
        *v = activate(act, *v);
    }
}

/* A piece's rows to y. */
template <class TILE, bool WHOLE>
WIDE_FN void store_piece(const struct conv_args &conv, int32_t out, float *piece,
                         const row_pair *pairs) {
    int32_t row = threadIdx.x % 32 / 4, n_out = conv.w.shape.n_out;
    out += threadIdx.x % 4 * 4;
    if (out >= n_out)
        return;
    quad<float> residual[TILE::PIECE_QUADS] = {};
    if (conv.residual.data) {
#pragma unroll
        for (int k = 0; k < TILE::PIECE_QUADS; k++) {
            const row_pair pair = pairs[8 * k + row];
            if (pair.y >= 0)
                residual[k] =
                    load_quad<WHOLE>(matrix_row(conv.residual, pair.residual), out, n_out, 0.0f);
        }
    }
    if (conv.w.bias)
        add_bias<TILE>(conv, out, piece);
    if (conv.act != MILL_ACT_NONE)
        activate_piece<TILE>(conv.act, piece);
#pragma unroll
    for (int k = 0; k < TILE::PIECE_QUADS; k++) {
        int32_t y = pairs[8 * k + row].y;
        quad<float> v = load_quad<true>(piece_quad(piece, k), 0, 4, 0.0f);
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.v[i] = conv.residual.data ? v.v[i] + residual[k].v[i] : v.v[i];
        if (y >= 0)
            store_quad<WHOLE>(matrix_row(conv.y, y), out, n_out, v);
    }
}

/* A piece's rows snaked and rounded, to planes: a lane has words j of the warp's two chunks of
 * every eighth row. */
template <class TILE>
WIDE_FN void store_hidden(const wide_run &run, int32_t out, const float *piece, int32_t row,
                          int32_t n_rows) {
    const struct mill_weight &w = run.conv.w;
    int32_t lane = threadIdx.x % 32, j = lane / 8, n_out = w.shape.n_out;
    if (out >= wide_stages(&w.shape) * WIDE_CHANNELS)
        return;
    float alpha[4], inverse[4], bias[4]; /* of each chunk's two */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int32_t o = out + i / 2 * 8 + 2 * j + i % 2;
        alpha[i] = o < n_out ? run.hidden_alpha[o] : 0;
        bias[i] = o < n_out && w.bias ? w.bias[o] : 0;
        inverse[i] = snake_inverse(alpha[i]);
    }
    uint4 *plane = run.hidden + (int64_t)(out / GROUP_CHANNELS * 4 + j) * run.pitch + row;
    piece += 2 * j;
#pragma unroll
    for (int k = 0; k < TILE::PIECE_QUADS; k++) {
        int32_t r = 8 * k + lane % 8;
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i] =
                snake(piece[r * PIECE_PITCH + i / 2 * 8 + i % 2] + bias[i], alpha[i], inverse[i]);
            v[i] = out + i / 2 * 8 + 2 * j + i % 2 < n_out ? v[i] : 0;
        }
        if (r < n_rows)
            reinterpret_cast<uint2 *>(plane + r)[out / PIECE_OUTS % 2] =
                make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
    }
}

/* Piece by piece through the warp's own shared memory. */
template <class TILE>
WIDE_FN void finish_item(const wide_sums<TILE> &sums, const wide_run &run, const conv_item &at,
                         float *piece, const row_pair *pairs) {
    constexpr int N = TILE::PIECE_ROWS / 2;
    int32_t lane = threadIdx.x % 32, out = at.out + threadIdx.x / 32 * PIECE_OUTS;
    float *to = piece + lane % 4 * 2 * PIECE_PITCH + lane / 4;
#pragma unroll /* so that the registers of a piece that is through are free */
    for (int p = 0; p < TILE::ROWS / TILE::PIECE_ROWS; p++) {
        int32_t first = p * TILE::PIECE_ROWS;
        __syncwarp();
#pragma unroll
        for (int k = 0; k < N; k++)
            to[(k / 4 * 8 + k % 2) * PIECE_PITCH + k / 2 % 2 * 8] = sums.at(p * N + k);
        __syncwarp();
        if (run.hidden_alpha)
            store_hidden<TILE>(run, out, piece, at.row + first, at.end - at.row - first);
        else if (run.conv.whole_y)
            store_piece<TILE, true>(run.conv, out, piece, pairs + first);
        else
            store_piece<TILE, false>(run.conv, out, piece, pairs + first);
    }
}

template <class TILE>
WIDE_FN void multiply_items(const wide_run &run, wide_rings<TILE> &rings,
                            const wide_shared &shared) {
    wide_place place = {{0, 0}, {0, 0}};
    float *piece = shared.pieces + threadIdx.x / 32 * TILE::PIECE;
    row_pair *of_group = shared.pairs + threadIdx.x / GROUP_THREADS * TILE::ROWS;
    grid_wait();
    each_item<TILE>(run, [&](const conv_item &at) {
        wide_sums<TILE> sums = {};
        find_rows<TILE>(of_group, run, at);
        multiply_item<TILE>(sums, run, at, rings, place, shared);
        finish_item<TILE>(sums, run, at, piece, of_group);
    });
}

#endif
#endif
