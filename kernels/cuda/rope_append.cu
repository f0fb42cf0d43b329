/* rope_append.cu - turns queries and keys by their position and writes keys and values into their
 * pages, a block a row.
 *
 * The turns of a position are worked out once a row, into shared memory; then a thread takes four
 * pairs of a head. Bytes of a row of 14 + 2 + 2 heads of 64: 4.6 KB in, 4.1 KB back, 0.5 KB to bf16
 * pages; 6 operations a pair. Planned: 40 registers, 1 KB shared, all warps: one row is the latency
 * of its sequence, position, turn and page, many rows are memory's speed. */
#include "kernels/cuda/batch.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/quads.h"

#include <math.h>

enum { ROPE_THREADS = 128, MAX_PAIRS = 128 };

/* Cosine and sine of an angle below 2^31. The quarter turns come off in double, which leaves at
 * most pi / 4 and 2^-24 wrong at most; that goes through the Taylor series. */
static __device__ void cosine_sine(float angle, float *cosine, float *sine) {
    double quarters = rint((double)angle * 0.63661977236758134);
    float r = (float)fma(-quarters, 1.5707963267948966, (double)angle), z = r * r;
    float s = fmaf(z, 1.0f / 362880, -1.0f / 5040), c = fmaf(z, -1.0f / 3628800, 1.0f / 40320);
    s = fmaf(z, fmaf(z, s, 1.0f / 120), -1.0f / 6);
    c = fmaf(z, fmaf(z, fmaf(z, c, -1.0f / 720), 1.0f / 24), -0.5f);
    s = fmaf(r * z, s, r);
    c = fmaf(z, c, 1.0f);
    int32_t quadrant = (int32_t)quarters & 3;
    float across = quadrant & 1 ? s : c, up = quadrant & 1 ? c : s;
    *cosine = quadrant == 1 || quadrant == 2 ? -across : across;
    *sine = quadrant >= 2 ? -up : up;
}

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
        float c = cosine[at + i], s = sine[at + i];
        low->v[i] = u.v[i] * c - v.v[i] * s;
        high->v[i] = v.v[i] * c + u.v[i] * s;
    }
    store_quad<WHOLE>(head, at, half, *low);
    store_quad<WHOLE>(head + half, at, half, *high);
}

template <bool WHOLE, class T>
__global__ void __launch_bounds__(ROPE_THREADS) rope_rows(const struct mill_rope_append_args a) {
    CU_SHARED(float, cosine, [MAX_PAIRS]);
    CU_SHARED(float, sine, [MAX_PAIRS]);
    struct row_tile row;
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
        if (head >= a.n_heads) {
            T *key = page + (head - a.n_heads) * head_stride;
            store_page<WHOLE>(key, at, half, low);
            store_page<WHOLE>(key + half, at, half, high);
        }
    }
    quads = (d + 3) / 4;
    for (int32_t i = thread; i < a.kv.n_heads * quads; i += ROPE_THREADS) {
        int32_t head = i / quads, at = i % quads * 4;
        quad<float> v = load_quad<WHOLE>(x + (int64_t)(n + head) * d, at, d, 0.0f);
        store_page<WHOLE>(page + kv_part(a.kv) + head * head_stride, at, d, v);
    }
}

/* ------------------------------------------------------------------ launch */

template <class T>
static void rope_append(struct mill_backend *backend, const struct mill_rope_append_args *args) {
    dim3 grid((uint32_t)args->batch.n_rows), block(ROPE_THREADS);
    if (quads_are_whole(&args->x) && args->kv.head_dim % 8 == 0 &&
        quads_are_whole(static_cast<const T *>(args->kv.data), args->kv.page_stride,
                        args->kv.head_dim))
        CU_LAUNCH((rope_rows<true, T>), grid, block, 0, backend->stream, *args);
    else
        CU_LAUNCH((rope_rows<false, T>), grid, block, 0, backend->stream, *args);
}

mill_status mill_cuda_rope_append(struct mill_backend *backend,
                                  const struct mill_rope_append_args *args) {
    if (args->kv.head_dim > 2 * MAX_PAIRS ||
        (args->kv.dtype != MILL_F32 && args->kv.dtype != MILL_BF16))
        return MILL_E_UNSUPPORTED;
    if (args->batch.n_rows == 0)
        return MILL_OK;
    if (args->kv.dtype == MILL_F32)
        rope_append<float>(backend, args);
    else
        rope_append<uint16_t>(backend, args);
    return mill_cuda_launched(backend, "rope_append");
}
