/* linear_prepare.cu - rows of x as the products read them: rounded to bf16, or quantised to 16 bits
 * (kernels/README.md) and cut into two planes of bytes, a block a row.
 *
 * Bytes: 4 in, 2 out an input. Planned: 40 registers, 2 blocks' worth of shared memory for the
 * largest value, all warps: memory's speed, or for few rows the latency of two passes. */
#include "kernels/cuda/linear.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/quads.h"

#include <math.h>

enum { PREPARE_THREADS = 128 };

/* Below this a largest value counts as zero: its inverse would not be finite. */
#define SMALLEST_MAXIMUM 0x1p-100f

template <bool WHOLE>
static __device__ __forceinline__ quad<float> load_inputs(const float *row, int32_t at, int32_t n) {
    if (at >= n)
        return quad<float>{};
    return load_quad<WHOLE>(row, at, n, 0.0f);
}

/* Where word i of a row goes. */
static __device__ __forceinline__ int32_t word_place(int32_t i, bool transposed) {
    int32_t chunk = i / 4 % 4, word = i % 4;
    return transposed ? i / 16 * 16 + word * 4 + chunk : i;
}

template <bool WHOLE>
__global__ void __launch_bounds__(PREPARE_THREADS) linear_round(const struct linear_preparation p) {
    int32_t n = p.x.columns, n_quads = p.row_bytes / 8;
    const float *x = matrix_row(p.x, blockIdx.x);
    uint32_t *to = reinterpret_cast<uint32_t *>(p.to + (int64_t)blockIdx.x * p.row_bytes);
    for (int32_t i = threadIdx.x; i < n_quads; i += PREPARE_THREADS) {
        quad<float> q = load_inputs<WHOLE>(x, 4 * i, n);
        to[word_place(2 * i, p.transposed)] = pack_bf16(q.v[0], q.v[1]);
        to[word_place(2 * i + 1, p.transposed)] = pack_bf16(q.v[2], q.v[3]);
    }
}

/* The largest magnitude of the row; infinity where a value is not finite. */
template <bool WHOLE> static __device__ float largest(const float *x, int32_t n) {
    float most = 0;
    for (int32_t at = 4 * threadIdx.x; at < n; at += 4 * PREPARE_THREADS) {
        quad<float> q = load_quad<WHOLE>(x, at, n, 0.0f);
        for (int i = 0; i < 4; i++)
            most = fmaxf(most, isfinite(q.v[i]) ? fabsf(q.v[i]) : INFINITY);
    }
    return block_max(most);
}

template <bool WHOLE>
__global__ void __launch_bounds__(PREPARE_THREADS)
    linear_quantise(const struct linear_preparation p) {
    int32_t n = p.x.columns, row = blockIdx.x, n_quads = p.row_bytes / 4;
    const float *x = matrix_row(p.x, row);
    float most = largest<WHOLE>(x, n);
    bool has_codes = most >= SMALLEST_MAXIMUM && isfinite(most);
    float inverse = has_codes ? 32767.0f / most : 0;
    if (threadIdx.x == 0)
        p.scale[row] = isfinite(most) ? (has_codes ? most / 32767.0f : 0) : NAN;
    uint32_t *high = reinterpret_cast<uint32_t *>(p.to + (int64_t)row * p.row_bytes);
    uint32_t *low = high + (int64_t)p.x.rows * n_quads;
    for (int32_t i = threadIdx.x; i < n_quads; i += PREPARE_THREADS) {
        quad<float> q = load_inputs<WHOLE>(x, 4 * i, n);
        uint32_t highs = 0, lows = 0;
        for (int j = 0; j < 4; j++) {
            int32_t code = has_codes ? (int32_t)rintf(q.v[j] * inverse) : 0;
            highs |= (uint32_t)(code >> 8 & 0xff) << 8 * j;
            lows |= (uint32_t)(code & 0xff) << 8 * j;
        }
        high[word_place(i, p.transposed)] = highs;
        low[word_place(i, p.transposed)] = lows;
    }
}

/* ------------------------------------------------------------------ launch */

template <bool WHOLE> static void prepare(cudaStream_t stream, const struct linear_preparation *p) {
    dim3 grid((uint32_t)p->x.rows), block(PREPARE_THREADS);
    if (p->scale)
        CU_LAUNCH(linear_quantise<WHOLE>, grid, block, 0, stream, *p);
    else
        CU_LAUNCH(linear_round<WHOLE>, grid, block, 0, stream, *p);
}

void mill_cuda_linear_prepare(cudaStream_t stream, const struct linear_preparation *p) {
    if (quads_are_whole(&p->x))
        prepare<true>(stream, p);
    else
        prepare<false>(stream, p);
}
