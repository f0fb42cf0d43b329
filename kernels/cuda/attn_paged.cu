/* attn_paged.cu - attention of a ragged batch over paged keys and values, prompts and single rows
 * alike.
 *
 * A block takes a tile of rows with all query heads of a kv head and deals the sequence's splits to
 * its warps (attn_paged.h has the words). A warp copies the keys and values of its split into
 * shared memory itself, the next split's keys while it works on the values and the other way round,
 * and waits for no other warp but when results are taken together.
 *
 * Bytes: keys and values of a sequence once a tile, 256 a position and kv head (bf16, head of 64),
 * or 136 (8-bit codes and their scales). Operations: 2 products of 2 x 64 for each query head and
 * position, times 2 for the second half of a query, times 8 / 7 for the eighth slot. Planned: 150
 * registers; 4 warps take 85 KB of shared memory, so an H200 has 8 warps a processor with 64 to 128
 * KB under way, three times what its memory needs. Many sequences: memory's speed. One: the latency
 * of page table, copy, two products and the taking together, 4 microseconds or so. */
#include "kernels/cuda/arrival.h"
#include "kernels/cuda/attn_scalar.h"
#include "kernels/cuda/attn_taken.h"
#include "kernels/cuda/attn_tensor.h"
#include "kernels/cuda/cuda_backend.h"

/* Where things lie in a block's shared memory. */
template <class P, int D> struct attn_shared {
    typedef typename P::element T;
    enum {
        PARTIAL = ATTN_PARTIAL_FLOATS(D) * (int)sizeof(float),
        KEYS = ATTN_KEYS * P::KEY_ROW * (int)sizeof(T),
        VALUES = ATTN_KEYS * P::VALUE_ROW * (int)sizeof(T),
        SCALES = has_scales<T> ? 2 * ATTN_KEYS * (int)sizeof(float) : 0,
        OCTET_BYTES = P::QUERY_BYTES + PARTIAL,
        WARP_BYTES = KEYS + VALUES + SCALES + P::WARP_BYTES + PARTIAL,
        BLOCK_BYTES = 1024 /* find_tile's and arrive_last's; dynamic memory begins at a multiple */
    };
    float *state;           /* [octets][PARTIAL]: the splits taken so far */
    float *partials;        /* [warps][PARTIAL] */
    unsigned char *queries; /* [octets][QUERY_BYTES] */
    T *keys, *values;       /* this warp's */
    float *scales;          /* this warp's: of the keys, of the values */
    unsigned char *weights; /* this warp's */

    __device__ attn_shared(unsigned char *memory, const struct mill_attn_plan &plan) {
        int32_t warp = (int32_t)threadIdx.x / 32;
        state = reinterpret_cast<float *>(memory);
        memory += plan.n_octets * PARTIAL;
        partials = reinterpret_cast<float *>(memory);
        memory += plan.n_warps * PARTIAL;
        queries = memory;
        memory += plan.n_octets * P::QUERY_BYTES + warp * (WARP_BYTES - PARTIAL);
        keys = reinterpret_cast<T *>(memory);
        values = reinterpret_cast<T *>(memory + KEYS);
        scales = reinterpret_cast<float *>(memory + KEYS + VALUES);
        weights = memory + KEYS + VALUES + SCALES;
    }
};

/* What a block works on, the same for all its threads. */
struct attn_job {
    struct row_tile tile;
    int32_t kv_head, first_head, heads; /* query heads first_head .. first_head + heads - 1 */
    int32_t n_octets, n_splits;
    int32_t n_parts, part;
};

static __device__ __forceinline__ bool find_job(const struct mill_attn_paged_args &a,
                                                const struct mill_attn_plan &plan,
                                                struct attn_job *job) {
    if (!find_tile(a.batch, (int32_t)blockIdx.x, plan.tile_rows, &job->tile))
        return false;
    int32_t shared = a.n_heads / a.kv.n_heads, chunk = (int32_t)blockIdx.y % plan.n_chunks;
    job->kv_head = (int32_t)blockIdx.y / plan.n_chunks;
    job->first_head = job->kv_head * shared + chunk * plan.head_chunk;
    job->heads = min(plan.head_chunk, shared - chunk * plan.head_chunk);
    job->n_octets = (job->tile.n * job->heads + ATTN_SLOTS - 1) / ATTN_SLOTS;
    job->n_splits = (job->tile.position + job->tile.n - 1) / ATTN_KEYS + 1;
    job->n_parts = min(plan.n_parts, (job->n_splits + plan.n_warps - 1) / plan.n_warps);
    job->part = (int32_t)blockIdx.z;
    return job->part < job->n_parts;
}

/* ------------------------------------------------------------------ a warp's keys and values */

/* A lane's two positions of a split: elements from kv.data on. */
struct attn_split {
    int64_t first, second;             /* of positions lane and lane + 32 */
    int64_t first_scale, second_scale; /* of their keys, where they have any; floats from kv.data */
    int32_t n;                         /* positions that the tile sees; 0 or less = none */
};

template <class T>
static __device__ __forceinline__ attn_split locate(const struct mill_attn_paged_args &a,
                                                    const struct attn_job &job, int32_t split) {
    const int32_t *pages = a.batch.page_table + (int64_t)job.tile.sequence * a.batch.max_pages;
    int32_t lane = (int32_t)threadIdx.x % 32, first_key = split * ATTN_KEYS;
    attn_split s = {0, 0, 0, 0, job.tile.position + job.tile.n - first_key};
    if (lane < s.n) {
        s.first = kv_element(a.kv, pages, first_key + lane, job.kv_head);
        if constexpr (has_scales<T>)
            s.first_scale = kv_scale(a.kv, pages, first_key + lane, job.kv_head);
    }
    if (lane + 32 < s.n) {
        s.second = kv_element(a.kv, pages, first_key + lane + 32, job.kv_head);
        if constexpr (has_scales<T>)
            s.second_scale = kv_scale(a.kv, pages, first_key + lane + 32, job.kv_head);
    }
    return s;
}

/* Starts the copies of a split's keys, or values, as one group; what no row sees becomes zeros. */
template <int ROW, int D, class T>
static __device__ __forceinline__ void copy_split(T *to, const T *from, const attn_split &s) {
    enum { CHUNK = 16 / (int)sizeof(T), CHUNKS = D / CHUNK, ROWS = 32 / CHUNKS };
    int32_t lane = (int32_t)threadIdx.x % 32, at = lane % CHUNKS * CHUNK;
    if (s.n > 0)
        for (int half = 0; half < 2; half++)
            for (int row = lane / CHUNKS; row < 32; row += ROWS) {
                int64_t element = __shfl_sync(0xffffffff, half ? s.second : s.first, row);
                int32_t key = 32 * half + row;
                cp_async_16(to + key * ROW + at, from + element + at, key < s.n);
            }
    cp_async_commit();
}

/* Starts the copies of a split's scales, of keys and of values; they belong to the keys' group. */
static __device__ __forceinline__ void copy_scales(float *to, const struct mill_kv_pages &kv,
                                                   const attn_split &s) {
    const float *from = static_cast<const float *>(kv.data);
    int32_t lane = (int32_t)threadIdx.x % 32;
    for (int part = 0; part < 2; part++, to += ATTN_KEYS, from += kv.n_heads * kv.page_tokens) {
        cp_async_4(to + lane, from + s.first_scale, lane < s.n);
        cp_async_4(to + lane + 32, from + s.second_scale, lane + 32 < s.n);
    }
}

template <class P, int D>
static __device__ __forceinline__ void copy_keys(const struct mill_attn_paged_args &a,
                                                 const attn_shared<P, D> &shared,
                                                 const attn_split &s) {
    typedef typename P::element T;
    if (has_scales<T> && s.n > 0)
        copy_scales(shared.scales, a.kv, s);
    copy_split<P::KEY_ROW, D>(shared.keys, static_cast<const T *>(a.kv.data), s);
}

template <class P, int D>
static __device__ __forceinline__ void copy_values(const struct mill_attn_paged_args &a,
                                                   const attn_shared<P, D> &shared,
                                                   const attn_split &s) {
    typedef typename P::element T;
    copy_split<P::VALUE_ROW, D>(shared.values, static_cast<const T *>(a.kv.data) + kv_part(a.kv),
                                s);
}

/* ------------------------------------------------------------------ taking splits together */

/* Takes the partial results of an octet's next n splits into its state, in order; `view` is of the
 * first of them. A thread has four columns of a slot; the threads of a slot are neighbours in one
 * warp. */
template <int D>
static __device__ void take_splits(float *state, const float *partials, int32_t n,
                                   const struct attn_view &view) {
    enum { ROW = ATTN_PARTIAL_ROW(D), THREADS = D / 4 };
    for (int32_t i = (int32_t)threadIdx.x; i < ATTN_SLOTS * THREADS; i += (int32_t)blockDim.x) {
        int32_t slot = i / THREADS, at = i % THREADS * 4;
        int32_t n_seen = min(n, (view.n_visible(slot) + ATTN_KEYS - 1) / ATTN_KEYS);
        float *own = state + slot * ROW;
        attn_taken taken = {load_quad<true>(own, at, D, 0.0f), own[D], own[D + 1]};
        take_partials<D, ATTN_MAX_WARPS>(&taken, partials + slot * ROW, at, n_seen);
        __syncwarp();
        store_quad<true>(own, at, D, taken.sum);
        if (at == 0) {
            own[D] = taken.total;
            own[D + 1] = taken.largest;
        }
    }
}

/* ------------------------------------------------------------------ the kernel */

template <class P, int D>
static __device__ __forceinline__ void put_queries(const struct mill_attn_paged_args &a,
                                                   const struct attn_job &job, unsigned char *to) {
    const float scale = a.scale * 1.44269504f; /* weights are powers of two */
    for (int32_t i = (int32_t)threadIdx.x; i < job.n_octets * ATTN_SLOTS * D / 2;
         i += (int32_t)blockDim.x) {
        int32_t slot = i / (D / 2), at = i % (D / 2) * 2, row = slot / job.heads;
        float low = 0, high = 0;
        if (row < job.tile.n) {
            const float *q = static_cast<const float *>(a.x.data) +
                             (job.tile.first + row) * a.x.stride +
                             (job.first_head + slot % job.heads) * D + at;
            low = q[0] * scale;
            high = q[1] * scale;
        }
        P::put_query(to + slot / ATTN_SLOTS * P::QUERY_BYTES, slot % ATTN_SLOTS, at, low, high);
    }
}

template <int D>
static __device__ __forceinline__ void write_rows(const struct mill_attn_paged_args &a,
                                                  const struct attn_job &job, const float *state) {
    for (int32_t i = (int32_t)threadIdx.x; i < job.tile.n * job.heads * D;
         i += (int32_t)blockDim.x) {
        int32_t slot = i / D, at = i % D;
        const float *own = state + slot * ATTN_PARTIAL_ROW(D);
        float *y =
            static_cast<float *>(a.y.data) + (job.tile.first + slot / job.heads) * a.y.stride;
        y[(job.first_head + slot % job.heads) * D + at] = own[at] / own[D];
    }
}

/* Clears the octets' states: nothing taken yet. */
template <int D> static __device__ __forceinline__ void clear(float *state, int32_t n_octets) {
    enum { ROW = ATTN_PARTIAL_ROW(D) };
    for (int32_t i = (int32_t)threadIdx.x; i < n_octets * ATTN_SLOTS * ROW;
         i += (int32_t)blockDim.x)
        state[i] = i % ROW == D + 1 ? -INFINITY : 0;
}

/* A warp's octet on its split, whose copies are under way; with the last octet the next split's
 * copies begin as soon as their place is free. */
template <class P, int D>
static __device__ __forceinline__ void
work_split(const struct mill_attn_paged_args &a, const attn_shared<P, D> &shared, int32_t octet,
           bool last, const struct attn_view &view, const attn_split &next, float *partial) {
    typename P::weights weights;
    cp_async_wait<1>(); /* the keys */
    __syncwarp();
    P::scores(shared.queries + octet * P::QUERY_BYTES, shared.keys, shared.scales, shared.weights,
              view, &weights);
    __syncwarp();
    if (last) {
        copy_keys<P, D>(a, shared, next);
        cp_async_wait<1>(); /* the values, not the next keys */
    } else {
        cp_async_wait<0>();
    }
    __syncwarp();
    P::values(&weights, shared.values, shared.weights, partial);
    __syncwarp();
    if (last)
        copy_values<P, D>(a, shared, next);
}

/* Block x: tile, y: kv head and chunk of its query heads, z: part. `partials` and `arrived` are for
 * tiles of several parts: [tiles * y][max_splits] and [tiles * y]. */
template <class P, int D>
__global__ void __launch_bounds__(32 * ATTN_MAX_WARPS, 1)
    attn_rows(const struct mill_attn_paged_args a, const struct mill_attn_plan plan,
              float *partials, int32_t *arrived) {
    typedef typename P::element T;
    enum { PARTIAL = ATTN_PARTIAL_FLOATS(D) };
    CU_DYN_SHARED(unsigned char, memory);
    struct attn_job job;
    grid_start_next();
    grid_wait();
    if (!find_job(a, plan, &job))
        return;
    attn_shared<P, D> shared(memory, plan);
    int32_t warp = (int32_t)threadIdx.x / 32, step = job.n_parts * plan.n_warps;
    int32_t first = job.part * plan.n_warps, tile = (int32_t)(blockIdx.x * gridDim.y + blockIdx.y);
    partials += (int64_t)tile * plan.max_splits * PARTIAL;

    attn_split split = locate<T>(a, job, first + warp);
    copy_keys<P, D>(a, shared, split);
    copy_values<P, D>(a, shared, split);
    put_queries<P, D>(a, job, shared.queries);
    clear<D>(shared.state, job.n_octets);
    __syncthreads();
    struct attn_view view = {job.tile.position, job.tile.position + job.tile.n - 1, job.heads, 0,
                             0};
    for (; first < job.n_splits; first += step) {
        attn_split next = locate<T>(a, job, first + step + warp);
        for (int32_t octet = 0; octet < job.n_octets; octet++) {
            view.first_slot = octet * ATTN_SLOTS;
            view.first_key = (first + warp) * ATTN_KEYS;
            float *partial = job.n_parts == 1 ? shared.partials + warp * PARTIAL
                                              : partials + (int64_t)(first + warp) * PARTIAL;
            if (split.n > 0)
                work_split<P, D>(a, shared, octet, octet == job.n_octets - 1, view, next, partial);
            if (job.n_parts > 1)
                continue;
            __syncthreads();
            view.first_key = first * ATTN_KEYS;
            take_splits<D>(shared.state + octet * PARTIAL, shared.partials, plan.n_warps, view);
            __syncthreads();
        }
        split = next;
    }
    if (job.n_parts > 1) {
        if (!arrive_last(arrived + tile, job.n_parts))
            return;
        view.first_key = 0;
        take_splits<D>(shared.state, partials, job.n_splits, view);
        __syncthreads();
    }
    write_rows<D>(a, job, shared.state);
}

/* ------------------------------------------------------------------ launch */

struct mill_attn_shape mill_cuda_attn_shape(const struct mill_backend *backend,
                                            const struct mill_attn_paged_args *args) {
    int32_t partial_bytes = ATTN_PARTIAL_FLOATS(args->kv.head_dim) * (int)sizeof(float);
    struct mill_attn_shape shape = {};
    shape.n_rows = args->batch.n_rows;
    shape.n_sequences = args->batch.n_sequences;
    shape.max_pages = args->batch.max_pages;
    shape.page_tokens = args->kv.page_tokens;
    shape.n_heads = args->n_heads;
    shape.n_kv_heads = args->kv.n_heads;
    shape.head_dim = args->kv.head_dim;
    shape.n_processors = backend->n_processors;
    shape.max_partials = MILL_CUDA_SCRATCH_BYTES / partial_bytes;
    shape.max_arrivals = MILL_CUDA_ARRIVALS;
    shape.shared_bytes = backend->shared_bytes;
    return shape;
}

template <class P, int D>
static mill_status attn_launch(struct mill_backend *backend,
                               const struct mill_attn_paged_args *args) {
    typedef attn_shared<P, D> shared;
    struct mill_attn_shape shape = mill_cuda_attn_shape(backend, args);
    shape.shared_of_block = shared::BLOCK_BYTES;
    shape.shared_of_octet = shared::OCTET_BYTES;
    shape.shared_of_warp = shared::WARP_BYTES;
    struct mill_attn_plan plan;
    if (!mill_cuda_attn_plan(&shape, &plan))
        return MILL_E_UNSUPPORTED;
    dim3 grid((uint32_t)plan.n_tiles, (uint32_t)(args->kv.n_heads * plan.n_chunks),
              (uint32_t)plan.n_parts);
    size_t bytes =
        (size_t)plan.n_octets * shared::OCTET_BYTES + (size_t)plan.n_warps * shared::WARP_BYTES;
    MILL_TRY(
        mill_cuda_allow_shared(backend, reinterpret_cast<const void *>(attn_rows<P, D>), bytes));
    CU_LAUNCH_EARLY((attn_rows<P, D>), grid, dim3(32 * (uint32_t)plan.n_warps), bytes, backend,
                    *args, plan, reinterpret_cast<float *>(backend->scratch), backend->arrived);
    return mill_cuda_launched(backend, "attn_paged");
}

template <int D>
static mill_status attn_launch_type(struct mill_backend *backend,
                                    const struct mill_attn_paged_args *args) {
    bool tensor = backend->capability >= 80;
    if (args->kv.dtype == MILL_F32)
        return attn_launch<attn_scalar<float, D>, D>(backend, args);
    if (args->kv.dtype == MILL_BF16)
        return tensor ? attn_launch<attn_tensor<uint16_t, D>, D>(backend, args)
                      : attn_launch<attn_scalar<uint16_t, D>, D>(backend, args);
    return tensor ? attn_launch<attn_tensor<int8_t, D>, D>(backend, args)
                  : attn_launch<attn_scalar<int8_t, D>, D>(backend, args);
}

/* Rows of keys and values are copied 16 bytes at a time, their scales 4. */
static bool pages_are_supported(const struct mill_kv_pages *kv) {
    size_t stride_bytes = (size_t)kv->page_stride * mill_dtype_bytes(kv->dtype);
    bool known = kv->dtype == MILL_F32 || kv->dtype == MILL_BF16 || kv->dtype == MILL_I8;
    return known && stride_bytes % 16 == 0 && reinterpret_cast<uintptr_t>(kv->data) % 16 == 0;
}

/* Behind rope_append, which must not run where attention then refuses. */
static mill_status attn_appended(struct mill_backend *backend,
                                 const struct mill_attn_paged_args *args) {
    if (mill_cuda_attn_decode_fits(backend, args))
        return mill_cuda_attn_decode(backend, args);
    const struct mill_rope_append_args rope = {args->x, args->n_heads, args->frequency, args->batch,
                                               args->kv};
    struct mill_attn_paged_args attend = *args;
    attend.frequency = NULL;
    MILL_TRY(mill_cuda_rope_append(backend, &rope));
    return mill_cuda_attn_paged(backend, &attend);
}

mill_status mill_cuda_attn_paged(struct mill_backend *backend,
                                 const struct mill_attn_paged_args *args) {
    if (!pages_are_supported(&args->kv))
        return MILL_E_UNSUPPORTED;
    if (args->kv.head_dim != 32 && args->kv.head_dim != 64)
        return MILL_E_UNSUPPORTED;
    if (args->batch.n_rows == 0)
        return MILL_OK;
    if (args->frequency)
        return attn_appended(backend, args);
    return args->kv.head_dim == 32 ? attn_launch_type<32>(backend, args)
                                   : attn_launch_type<64>(backend, args);
}
