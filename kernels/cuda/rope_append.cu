/* rope_append.cu - turns queries and keys by their position and writes keys and values into their
 * pages, a block a row.
 *
 * The turns of a position are worked out once a row, into shared memory; then a thread takes four
 * pairs of a head. For pages of 8-bit codes a warp then takes a head, whose largest magnitude it
 * needs first. Bytes of a row of 14 + 2 + 2 heads of 64: 4.6 KB in, 4.1 KB back, 0.5 KB to bf16
 * pages; 6 operations a pair. Planned: 40 registers, 1 KB shared, all warps: one row is the latency
 * of its sequence, position, turn and page, many rows are memory's speed. */
#include "kernels/cuda/batch.h"
#include "kernels/cuda/codes.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quads.h"
#include "kernels/cuda/rope.h"

enum { ROPE_THREADS = 128, MAX_PAIRS = 128 };

static __device__ __forceinline__ void to_page(float v, float *page) {
    *page = v;
}

static __device__ __forceinline__ void to_page(float v, uint16_t *page) {
    *page = f32_to_bf16(v);
}

template <bool WHOLE, class T>
static __device__ __forceinline__ void store_page(T *row, int32_t at, int32_t n, quad<float> q) {
    quad<T> page;
    for (int i = 0; i < 4; i++)
        to_page(q.v[i], &page.v[i]);
    store_quad<WHOLE>(row, at, n, page);
}

/* The elements at .. at + 3 of a head's two halves, turned. */
template <bool WHOLE>
static __device__ __forceinline__ void turn(float *head, int32_t half, int32_t at,
                                            const float *cosine, const float *sine,
                                            quad<float> *low, quad<float> *high) {
    quad<float> u = load_quad<WHOLE>(head, at, half, 0.0f);
    quad<float> v = load_quad<WHOLE>(head + half, at, half, 0.0f);
    for (int i = 0; i < 4; i++) {
        low->v[i] = u.v[i];
        high->v[i] = v.v[i];
        turn_pair(&low->v[i], &high->v[i], cosine[at + i], sine[at + i]);
    }
    store_quad<WHOLE>(head, at, half, *low);
    store_quad<WHOLE>(head + half, at, half, *high);
}

/* The values of a row: heads `values` on of x. */
template <bool WHOLE, class T>
static __device__ __forceinline__ void append_values(const struct mill_kv_pages &kv,
                                                     const float *values, T *page) {
    int32_t d = kv.head_dim, quads = (d + 3) / 4;
    for (int32_t i = (int32_t)threadIdx.x; i < kv.n_heads * quads; i += ROPE_THREADS) {
        int32_t head = i / quads, at = i % quads * 4;
        quad<float> v = load_quad<WHOLE>(values + (int64_t)head * d, at, d, 0.0f);
        store_page<WHOLE>(page + (int64_t)head * kv.page_tokens * d, at, d, v);
    }
}

/* A head's d elements as codes, by a warp. */
template <bool WHOLE>
static __device__ __forceinline__ void store_codes(const float *head, int32_t d, int8_t *codes,
                                                   float *scale) {
    int32_t lane = (int32_t)threadIdx.x % 32;
    float most = 0;
#pragma unroll 1
    for (int32_t at = 4 * lane; at < d; at += 128) {
        quad<float> q = load_quad<WHOLE>(head, at, d, 0.0f);
        for (int i = 0; i < 4; i++)
            most = fmaxf(most, code_magnitude(q.v[i]));
    }
    const code_range range = code_range_of(warp_max(most), 127.0f);
    if (lane == 0)
        *scale = range.scale;
#pragma unroll 1
    for (int32_t at = 4 * lane; at < d; at += 128) {
        quad<float> q = load_quad<WHOLE>(head, at, d, 0.0f);
        quad<int8_t> page;
        for (int i = 0; i < 4; i++)
            page.v[i] = (int8_t)code_of(range, q.v[i]);
        store_quad<WHOLE>(codes, at, d, page);
    }
}

/* The keys and values of a row: heads `keys` on of x, which other threads have turned. */
template <bool WHOLE>
static __device__ __forceinline__ void
append_codes(const struct mill_kv_pages &kv, const float *keys, int8_t *page, float *scales) {
    __syncthreads();
#pragma unroll 1 /* there are as many warps as heads; registers are for many blocks */
    for (int32_t head = (int32_t)threadIdx.x / 32; head < 2 * kv.n_heads; head += ROPE_THREADS / 32)
        store_codes<WHOLE>(keys + (int64_t)head * kv.head_dim, kv.head_dim,
                           page + (int64_t)head * kv.page_tokens * kv.head_dim,
                           scales + (int64_t)head * kv.page_tokens);
}

template <bool WHOLE, class T>
__global__ void __launch_bounds__(ROPE_THREADS) rope_rows(const struct mill_rope_append_args a) {
    CU_SHARED(float, cosine, [MAX_PAIRS]);
    CU_SHARED(float, sine, [MAX_PAIRS]);
    struct row_tile row;
    grid_start_next();
    grid_wait();
    if (!find_tile(a.batch, (int32_t)blockIdx.x, 1, &row))
        return;
    int32_t d = a.kv.head_dim, half = d / 2, thread = (int32_t)threadIdx.x;
    for (int32_t j = thread; j < (half + 3) / 4 * 4; j += ROPE_THREADS)
        cosine_sine(j < half ? (float)row.position * a.frequency[j] : 0, &cosine[j], &sine[j]);
    __syncthreads();
    float *x = matrix_row(a.x, row.first);
    const int32_t *pages = a.batch.page_table + (int64_t)row.sequence * a.batch.max_pages;
    T *page = static_cast<T *>(a.kv.data) + kv_element(a.kv, pages, row.position, 0);
    int64_t head_stride = (int64_t)a.kv.page_tokens * d;
    int32_t quads = (half + 3) / 4, n = a.n_heads + a.kv.n_heads;
    for (int32_t i = thread; i < n * quads; i += ROPE_THREADS) {
        int32_t head = i / quads, at = i % quads * 4;
        quad<float> low, high;
        turn<WHOLE>(x + (int64_t)head * d, half, at, cosine, sine, &low, &high);
        if (head < a.n_heads)
            continue;
        if constexpr (!has_scales<T>) {
            T *key = page + (head - a.n_heads) * head_stride;
            store_page<WHOLE>(key, at, half, low);
            store_page<WHOLE>(key + half, at, half, high);
        }
    }
    if constexpr (has_scales<T>)
        append_codes<WHOLE>(a.kv, x + (int64_t)a.n_heads * d, page,
                            static_cast<float *>(a.kv.data) +
                                kv_scale(a.kv, pages, row.position, 0));
    else
        append_values<WHOLE>(a.kv, x + (int64_t)n * d, page + kv_part(a.kv));
}

/* ------------------------------------------------------------------ launch */

template <class T>
static void rope_append(struct mill_backend *backend, const struct mill_rope_append_args *args) {
    dim3 grid((uint32_t)args->batch.n_rows), block(ROPE_THREADS);
    if (quads_are_whole(&args->x) && args->kv.head_dim % 8 == 0 &&
        quads_are_whole(static_cast<const T *>(args->kv.data), args->kv.page_stride,
                        args->kv.head_dim))
        CU_LAUNCH_EARLY((rope_rows<true, T>), grid, block, 0, backend, *args);
    else
        CU_LAUNCH_EARLY((rope_rows<false, T>), grid, block, 0, backend, *args);
}

mill_status mill_cuda_rope_append(struct mill_backend *backend,
                                  const struct mill_rope_append_args *args) {
    enum mill_dtype dtype = args->kv.dtype;
    if (args->kv.head_dim > 2 * MAX_PAIRS ||
        (dtype != MILL_F32 && dtype != MILL_BF16 && dtype != MILL_I8))
        return MILL_E_UNSUPPORTED;
    if (args->batch.n_rows == 0)
        return MILL_OK;
    if (dtype == MILL_F32)
        rope_append<float>(backend, args);
    else if (dtype == MILL_BF16)
        rope_append<uint16_t>(backend, args);
    else
        rope_append<int8_t>(backend, args);
    return mill_cuda_launched(backend, "rope_append");
}
