/* conv_rows.h - device code that every convolution kernel shares: which rows a block works on, and
 * its tile of the input.
 *
 * The tile is in shared memory, a row's inputs in chunks of 16 bytes. A tap is the same tile read
 * some rows further, without another copy of it. Rows outside the span's input are zeros, channels
 * beyond the last too. */
#ifndef MILL_KERNELS_CUDA_CONV_ROWS_H
#define MILL_KERNELS_CUDA_CONV_ROWS_H

#include "kernels/cuda/conv.h"
#include "kernels/cuda/quads.h"
#include "kernels/cuda/weights.h"

/* ------------------------------------------------------------------ rows */

/* A block's output rows i < n, of one span and one phase. */
struct conv_rows {
    const float *x;  /* the span's first input row */
    int32_t n_x;     /* input rows of the span */
    int32_t x_first; /* the one that is row 0 of the tile; may lie before the span's first */
    int32_t n;
    int64_t y, residual;                 /* rows of output 0 */
    int32_t y_step;                      /* rows of y from output to output */
    int32_t n_taps, first_tap, tap_step; /* taps in the order of the sum */
    int32_t shift, shift_step; /* tap j of output i reads row i + shift + j * shift_step */
};

static __device__ __forceinline__ conv_rows conv1d_rows(const struct conv_args &args,
                                                        const struct mill_span &span,
                                                        int32_t first) {
    conv_rows rows;
    rows.n = span.n_y - first;
    rows.x_first = span.y_place + first - args.padding - span.x_place;
    rows.y = (int64_t)span.y_first + first;
    rows.y_step = 1;
    rows.n_taps = args.w.shape.n_taps;
    rows.first_tap = rows.shift = 0;
    rows.tap_step = 1;
    rows.shift_step = args.dilation;
    return rows;
}

static __device__ __forceinline__ conv_rows transposed_rows(const struct conv_args &args,
                                                            const struct mill_span &span,
                                                            int32_t phase, int32_t first) {
    conv_rows rows;
    int32_t stride = args.stride, shifted = span.y_place + args.padding;
    int32_t in_phase = phase - floor_rest(shifted, stride);
    in_phase += in_phase < 0 ? stride : 0; /* the span's first row of this phase */
    rows.n = floor_divide(span.n_y - in_phase + stride - 1, stride) - first;
    rows.n_taps = (args.w.shape.n_taps - 1 - phase) / stride + 1;
    rows.first_tap = phase;
    rows.tap_step = stride;
    rows.shift = rows.n_taps - 1;
    rows.shift_step = -1;
    int32_t newest = floor_divide(shifted + in_phase, stride) + first;
    rows.x_first = newest - rows.shift - span.x_place;
    rows.y = (int64_t)span.y_first + in_phase + (int64_t)first * stride;
    rows.y_step = stride;
    return rows;
}

/* Output rows first .. first + most - 1 of a span's phase, as far as there are any. */
static __device__ __forceinline__ conv_rows conv_rows_of(const struct conv_args &args,
                                                         int32_t of_span, int32_t phase,
                                                         int32_t first, int32_t most) {
    const struct mill_span &span = args.spans[of_span];
    conv_rows rows = args.stride > 0 ? transposed_rows(args, span, phase, first)
                                     : conv1d_rows(args, span, first);
    rows.x = matrix_row(args.x, span.x_first);
    rows.n_x = span.n_x;
    rows.n = rows.n < most ? rows.n : most;
    rows.residual = rows.y - span.y_first + args.residual_first[of_span];
    return rows;
}

/* ------------------------------------------------------------------ chunks */

/* bf16, for tensor cores. */
struct chunk_bf16 {
    enum { CHANNELS = 8 };
    static __device__ __forceinline__ uint4 make(const float (&v)[8]) {
        return make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]),
                          pack_bf16(v[6], v[7]));
    }
};

/* f32, rounded to bf16 where the weights are. */
template <bool ROUND> struct chunk_f32 {
    enum { CHANNELS = 4 };
    static __device__ __forceinline__ uint32_t value(float v) {
        return __float_as_uint(ROUND ? bf16_to_f32(f32_to_bf16(v)) : v);
    }
    static __device__ __forceinline__ uint4 make(const float (&v)[4]) {
        return make_uint4(value(v[0]), value(v[1]), value(v[2]), value(v[3]));
    }
};

/* ------------------------------------------------------------------ the tile */

enum { TILE_GROUPS = 2, TILE_ROW_CHUNKS = 4 * TILE_GROUPS, GROUP_CHANNELS = 32 /* bf16 */ };

/* Where a row's chunk of a group is. As weights do (weights.h), the groups of all rows side by
 * side: eight lanes that read two rows of a group, or store them, meet all banks once. */
struct tile_bricks {
    int32_t n_rows;
    __device__ __forceinline__ int32_t at(int32_t group, int32_t chunk, int32_t row) const {
        return (group * n_rows + row) * 4 + chunk;
    }
};

static inline size_t conv_tile_bytes(int32_t n_rows) {
    return (size_t)n_rows * TILE_ROW_CHUNKS * CHUNK_BYTES;
}

/* x + sin^2(alpha x) / (alpha + 1e-9), given the inverse of the divisor. */
static __device__ __forceinline__ float snake(float x, float alpha, float inverse) {
    float wave = fast_sin(alpha * x);
    return fmaf(wave * wave, inverse, x);
}

static __device__ __forceinline__ float snake_inverse(float alpha) {
    return 1.0f / (alpha + 1e-9f);
}

/* Channels at .. at + N - 1 of a row of n; zeros beyond. */
template <bool WHOLE, int N>
static __device__ __forceinline__ void load_channels(float (&v)[N], const float *row, int32_t at,
                                                     int32_t n) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        quad<float> q = {};
        if (!WHOLE || at + i < n)
            q = load_quad<WHOLE>(row, at + i, n, 0.0f);
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[i + j] = q.v[j];
    }
}

/* See load_tile. BATCH rows are on their way from memory at a time. */
template <class CHUNK, int THREADS, int BATCH, bool WHOLE, class PLACES>
static __device__ __forceinline__ void
load_tile_rows(uint4 *tile, const PLACES &places, int32_t n_rows, const struct conv_args &args,
               const conv_rows &rows, int32_t first_channel, uint32_t thread) {
    constexpr int N = CHUNK::CHANNELS, STEP = THREADS / (4 * TILE_GROUPS);
    int32_t lane = thread % 32, warp = thread / 32, n_in = args.x.columns;
    int32_t group = warp % TILE_GROUPS, channel = first_channel + (group * 4 + lane % 4) * N;
    int32_t n_wanted = rows.n + (rows.n_taps - 1) * (rows.shift_step < 0 ? 1 : rows.shift_step);
    float alpha[N], inverse[N];
    if (args.alpha) {
        load_channels<false>(alpha, args.alpha, channel, n_in);
#pragma unroll
        for (int i = 0; i < N; i++)
            inverse[i] = snake_inverse(alpha[i]);
    }
#pragma unroll 1
    for (int32_t row = warp / TILE_GROUPS * 8 + lane / 4; row < n_rows; row += BATCH * STEP) {
        float v[BATCH][N] = {};
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            int32_t r = row + b * STEP, at = rows.x_first + r;
            if (r < n_wanted && at >= 0 && at < rows.n_x)
                load_channels<WHOLE>(v[b], rows.x + at * args.x.stride, channel, n_in);
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            if (args.alpha) {
#pragma unroll
                for (int i = 0; i < N; i++)
                    v[b][i] = snake(v[b][i], alpha[i], inverse[i]);
            }
            if (row + b * STEP < n_rows)
                tile[places.at(group, lane % 4, row + b * STEP)] = CHUNK::make(v[b]);
        }
    }
}

/* Channels first_channel and on, TILE_ROW_CHUNKS chunks of them, of the rows that `rows` reaches;
 * zeros in the rows behind, up to n_rows. By THREADS threads, of which this is `thread`: a warp
 * takes 8 rows of a group, 128 or 64 bytes of each. */
template <class CHUNK, int THREADS, int BATCH, class PLACES>
static __device__ __forceinline__ void
load_tile(uint4 *tile, const PLACES &places, int32_t n_rows, const struct conv_args &args,
          const conv_rows &rows, int32_t first_channel, uint32_t thread) {
    if (args.whole_x)
        load_tile_rows<CHUNK, THREADS, BATCH, true>(tile, places, n_rows, args, rows, first_channel,
                                                    thread);
    else
        load_tile_rows<CHUNK, THREADS, BATCH, false>(tile, places, n_rows, args, rows,
                                                     first_channel, thread);
}

#endif
