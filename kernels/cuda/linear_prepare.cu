/* linear_prepare.cu - rows of x as the products read them: normed, if asked for; then as they are,
 * rounded to bf16, or quantised to 16 bits (kernels/README.md) and cut into two planes of bytes. A
 * block a row, each of whose warps sums the squares for itself; into tiles a block a few.
 *
 * Bytes: 4 in, 2 out an input (f32: 4). Planned: 40 registers, 2 blocks' worth of shared memory for
 * the largest value, all warps: memory's speed, or for few rows the latency of two passes, of three
 * with the norm; those behind the first find the row in L1. Into tiles: 52 registers, the latency
 * of one. */
#include "kernels/cuda/codes.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/row_norm.h"

enum { PREPARE_THREADS = 128 };

template <bool WHOLE> struct input_row {
    const float *x, *gain;
    int32_t n;
    float inverse;

    /* By whole warps. */
    __device__ __forceinline__ input_row(const struct linear_preparation &p, int32_t row)
        : x(matrix_row(p.x, row)), gain(p.gain), n(p.x.columns), inverse(1) {
        if (gain)
            inverse = inverse_deviation<WHOLE>(x, n, 0, p.eps);
    }
    /* Four inputs; zeros behind the last. */
    __device__ __forceinline__ quad<float> at(int32_t i) const {
        if (i >= n)
            return quad<float>{};
        quad<float> q = load_quad<WHOLE>(x, i, n, 0.0f);
        if (!gain)
            return q;
        const quad<float> g = load_quad<WHOLE>(gain, i, n, 0.0f);
        for (int j = 0; j < 4; j++)
            q.v[j] = q.v[j] * inverse * g.v[j];
        return q;
    }
};

template <bool WHOLE>
__global__ void __launch_bounds__(PREPARE_THREADS)
    linear_norm_rows(const struct linear_preparation p) {
    grid_start_next();
    grid_wait();
    const input_row<WHOLE> x(p, blockIdx.x);
    float *to = reinterpret_cast<float *>(p.to + (int64_t)blockIdx.x * p.row_bytes);
    for (int32_t i = 4 * threadIdx.x; i < p.row_bytes / 4; i += 4 * PREPARE_THREADS)
        store_quad<true>(to, i, 0, x.at(i));
}

/* Where word i of a row goes. */
static __device__ __forceinline__ int32_t word_place(int32_t i, bool transposed) {
    int32_t chunk = i / 4 % 4, word = i % 4;
    return transposed ? i / 16 * 16 + word * 4 + chunk : i;
}

template <bool WHOLE>
__global__ void __launch_bounds__(PREPARE_THREADS) linear_round(const struct linear_preparation p) {
    int32_t n_quads = p.row_bytes / 8;
    grid_start_next();
    grid_wait();
    const input_row<WHOLE> x(p, blockIdx.x);
    uint32_t *to = reinterpret_cast<uint32_t *>(p.to + (int64_t)blockIdx.x * p.row_bytes);
    for (int32_t i = threadIdx.x; i < n_quads; i += PREPARE_THREADS) {
        quad<float> q = x.at(4 * i);
        to[word_place(2 * i, p.transposed)] = pack_bf16(q.v[0], q.v[1]);
        to[word_place(2 * i + 1, p.transposed)] = pack_bf16(q.v[2], q.v[3]);
    }
}

/* Into tiles: a thread takes a piece of 16 bytes, a block PLANES_GROUPS groups of PLANES_ROWS rows;
 * of a warp's loads four lanes read 32 bytes side by side, of its stores four write 64. All is
 * asked for at once, gain before the launch in front has ended. The first warps have the norms of
 * the rows, one each. */
enum {
    PLANES_ROWS = 4,
    PLANES_THREADS = 512,
    PLANES_GROUPS = PLANES_THREADS / PLANES_ROWS / BRICK_ROW_CHUNKS,
    PIECE_INPUTS = 8,
};

/* The inputs of a piece: two of each eight, from `first` on; zeros behind the last. */
template <bool WHOLE>
static __device__ __forceinline__ void load_piece(float (&v)[PIECE_INPUTS], const float *row,
                                                  int32_t first, int32_t n) {
#pragma unroll
    for (int i = 0; i < PIECE_INPUTS; i += 2) {
        const int32_t at = first + 4 * i;
        float2 two = make_float2(0, 0);
        if (WHOLE && at < n)
            two = *reinterpret_cast<const float2 *>(row + at);
        if (!WHOLE)
            two = make_float2(at < n ? row[at] : 0, at + 1 < n ? row[at + 1] : 0);
        v[i] = two.x, v[i + 1] = two.y;
    }
}

template <bool WHOLE>
static __device__ __forceinline__ void norm_piece(float (&v)[PIECE_INPUTS],
                                                  const struct linear_preparation &p,
                                                  const float (&gain)[PIECE_INPUTS]) {
    CU_SHARED(float, inverse, [PLANES_ROWS]);
    const int32_t warp = threadIdx.x / 32;
    if (warp < PLANES_ROWS) {
        int32_t row = min((int32_t)blockIdx.x * PLANES_ROWS + warp, p.x.rows - 1);
        float of_row = input_row<WHOLE>(p, row).inverse;
        if (threadIdx.x % 32 == 0)
            inverse[warp] = of_row;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < PIECE_INPUTS; i++)
        v[i] = v[i] * inverse[threadIdx.x % PLANES_ROWS] * gain[i];
}

template <bool WHOLE>
__global__ void __launch_bounds__(PLANES_THREADS, 2)
    linear_round_planes(const struct linear_preparation p) {
    const int32_t row = blockIdx.x * PLANES_ROWS + threadIdx.x % PLANES_ROWS;
    const int32_t plane = threadIdx.x / PLANES_ROWS % BRICK_ROW_CHUNKS;
    const int32_t group =
        blockIdx.y * PLANES_GROUPS + threadIdx.x / (PLANES_ROWS * BRICK_ROW_CHUNKS);
    const int32_t n_groups = p.row_bytes / BRICK_ROW_BYTES, first = 32 * group + 2 * plane;
    float gain[PIECE_INPUTS] = {}, v[PIECE_INPUTS];
    grid_start_next();
    if (p.gain)
        load_piece<WHOLE>(gain, p.gain, first, p.x.columns);
    grid_wait();
    load_piece<WHOLE>(v, matrix_row(p.x, min(row, p.x.rows - 1)), first, p.x.columns);
    if (p.gain)
        norm_piece<WHOLE>(v, p, gain);
    if (group >= n_groups)
        return;
    uint4 piece = {};
    if (row < p.x.rows)
        piece = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]),
                           pack_bf16(v[6], v[7]));
    int64_t place = (int64_t)(row / p.tile_rows) * n_groups + group;
    reinterpret_cast<uint4 *>(
        p.to)[(place * BRICK_ROW_CHUNKS + plane) * p.tile_rows + row % p.tile_rows] = piece;
}

/* The largest magnitude of the row; infinity where a value is not finite. */
template <bool WHOLE> static __device__ float largest(const input_row<WHOLE> &x) {
    float most = 0;
    for (int32_t at = 4 * threadIdx.x; at < x.n; at += 4 * PREPARE_THREADS) {
        quad<float> q = x.at(at);
        for (int i = 0; i < 4; i++)
            most = fmaxf(most, code_magnitude(q.v[i]));
    }
    return block_max(most);
}

template <bool WHOLE>
__global__ void __launch_bounds__(PREPARE_THREADS)
    linear_quantise(const struct linear_preparation p) {
    int32_t row = blockIdx.x, n_quads = p.row_bytes / 4;
    grid_start_next();
    grid_wait();
    const input_row<WHOLE> x(p, row);
    const code_range range = code_range_of(largest(x), 32767.0f);
    if (threadIdx.x == 0)
        p.scale[row] = range.scale;
    uint32_t *high = reinterpret_cast<uint32_t *>(p.to + (int64_t)row * p.row_bytes);
    uint32_t *low = high + (int64_t)p.x.rows * n_quads;
    for (int32_t i = threadIdx.x; i < n_quads; i += PREPARE_THREADS) {
        quad<float> q = x.at(4 * i);
        uint32_t highs = 0, lows = 0;
        for (int j = 0; j < 4; j++) {
            int32_t code = code_of(range, q.v[j]);
            highs |= (uint32_t)(code >> 8 & 0xff) << 8 * j;
            lows |= (uint32_t)(code & 0xff) << 8 * j;
        }
        high[word_place(i, p.transposed)] = highs;
        low[word_place(i, p.transposed)] = lows;
    }
}

/* ------------------------------------------------------------------ launch */

template <bool WHOLE>
static void (*kernel_for(const struct linear_preparation *p))(struct linear_preparation) {
    if (p->tile_rows)
        return linear_round_planes<WHOLE>;
    return p->dtype == MILL_I8     ? linear_quantise<WHOLE>
           : p->dtype == MILL_BF16 ? linear_round<WHOLE>
                                   : linear_norm_rows<WHOLE>;
}

mill_status mill_cuda_linear_prepare(struct mill_backend *backend,
                                     const struct linear_preparation *p) {
    bool whole = quads_are_whole(&p->x) && quads_are_whole(p->gain, 0, p->x.columns);
    auto linear_prepare = whole ? kernel_for<true>(p) : kernel_for<false>(p);
    dim3 grid((uint32_t)p->x.rows), block(PREPARE_THREADS);
    if (p->tile_rows) {
        uint32_t tiles = ((uint32_t)p->x.rows + p->tile_rows - 1) / p->tile_rows;
        uint32_t n_groups = (uint32_t)p->row_bytes / BRICK_ROW_BYTES;
        grid = dim3(tiles * p->tile_rows / PLANES_ROWS,
                    (n_groups + PLANES_GROUPS - 1) / PLANES_GROUPS);
        block = dim3(PLANES_THREADS);
    }
    MILL_TRY(mill_cuda_prefer_shared(backend, reinterpret_cast<const void *>(linear_prepare)));
    CU_LAUNCH_EARLY(linear_prepare, grid, block, 0, backend, *p);
    return MILL_OK;
}
