/* attn_decode_row.h - a block of a decoding step (attn_decode.h): which it is, what it has in
 * shared memory, and how its row gets there and into its page. Device code. */
#ifndef MILL_KERNELS_CUDA_ATTN_DECODE_ROW_H
#define MILL_KERNELS_CUDA_ATTN_DECODE_ROW_H

#include "kernels/cuda/attn_tensor.h"
#include "kernels/cuda/batch.h"
#include "kernels/cuda/quads.h"
#include "kernels/cuda/rope.h"

/* What a block keeps in shared memory. PARTS: it has a part of its sequence's splits. */
template <class T, int D, bool PARTS> struct attn_decode_shared {
    enum { WARPS = ATTN_DECODE_WARPS };
    /* One pass' while the last is taken; those of parts go through device memory. */
    float partials[PARTS ? 1 : 2][PARTS ? 1 : WARPS][ATTN_PARTIAL_FLOATS(D)];
    __align__(16) unsigned char queries[attn_tensor<T, D>::QUERY_BYTES];
    __align__(16) T own[2][D];         /* the row's key and value, as pages hold them */
    float turned[2][D], own_scales[2]; /* codes: before they are codes; their scales */
    float scales[has_scales<T> ? WARPS : 1][2 * ATTN_KEYS]; /* codes: of a warp's split */
};

/* Which block this is: sequence, kv head and chunk of its query heads, part of the splits. */
struct attn_decode_job {
    int32_t sequence, kv_head, first_head, heads;
    int32_t position, n_splits, n_parts, part;
    bool appends;
};

static __device__ __forceinline__ attn_decode_job
find_decode_job(const struct mill_attn_paged_args &a, const struct mill_attn_plan &plan,
                int32_t sequence, int32_t y, int32_t part) {
    uint32_t n_chunks = (uint32_t)plan.n_chunks;
    int32_t chunk = n_chunks > 1 ? (int32_t)((uint32_t)y % n_chunks) : 0;
    attn_decode_job job;
    job.sequence = sequence;
    job.kv_head = n_chunks > 1 ? (int32_t)((uint32_t)y / n_chunks) : y;
    job.first_head = job.kv_head * plan.shared_heads + chunk * plan.head_chunk;
    job.heads = min(plan.head_chunk, plan.shared_heads - chunk * plan.head_chunk);
    job.position = a.batch.n_cached[sequence];
    job.n_splits = job.position / ATTN_KEYS + 1;
    job.n_parts = min(plan.n_parts, (job.n_splits + ATTN_DECODE_WARPS - 1) / ATTN_DECODE_WARPS);
    job.part = part;
    job.appends = chunk == 0 && part == 0;
    return job;
}

template <class T, int D, bool PARTS> struct attn_decode_row {
    typedef attn_tensor<T, D> products;
    typedef attn_decode_shared<T, D, PARTS> shared_memory;
    enum {
        THREADS = 32 * ATTN_DECODE_WARPS,
        TURNS = D / 4,           /* threads of a head: two pairs each */
        HEADS = THREADS / TURNS, /* at a time */
        ROUNDS = (ATTN_SLOTS + 2 + HEADS - 1) / HEADS
    };

    /* A thread's two pairs of a head: elements at, at + 1 and, D / 2 behind them, the other two. */
    struct pairs {
        float low[2], high[2];
    };

    /* Two neighbouring elements of the row's key (part 0) or value. */
    static __device__ __forceinline__ void put_own(shared_memory *shared, T *page, bool appends,
                                                   int32_t part, int32_t at, float low,
                                                   float high) {
        if constexpr (has_scales<T>) {
            shared->turned[part][at] = low;
            shared->turned[part][at + 1] = high;
        } else {
            uint32_t two = pack_bf16(low, high);
            *reinterpret_cast<uint32_t *>(&shared->own[part][at]) = two;
            if (appends)
                *reinterpret_cast<uint32_t *>(page + at) = two;
        }
    }

    /* Of slot i, behind the slots of the key and of the value; zeros of what there is not. */
    static __device__ __forceinline__ pairs load_pairs(const struct mill_attn_paged_args &a,
                                                       const attn_decode_job &job, int32_t i,
                                                       int32_t at) {
        int32_t head = job.first_head + i;
        if (i >= ATTN_SLOTS)
            head = a.n_heads + (i - ATTN_SLOTS) * a.kv.n_heads + job.kv_head;
        const float *x = matrix_row(a.x, job.sequence) + head * D + at;
        pairs p = {{0, 0}, {0, 0}};
        bool is_there = i < job.heads || (i >= ATTN_SLOTS && i < ATTN_SLOTS + 2);
        for (int e = 0; e < 2 && is_there; e++) {
            p.low[e] = x[e];
            p.high[e] = x[D / 2 + e];
        }
        return p;
    }

    /* The row, turned, into shared memory: queries (zeros for heads that there are not), key and
     * value; bf16: key and value into their page too. The turns are worked out
     * while x is on its way. */
    static __device__ __forceinline__ void put_row(const struct mill_attn_paged_args &a,
                                                   const attn_decode_job &job, T *page,
                                                   const float frequency[2],
                                                   shared_memory *shared) {
        const float scale = a.scale * 1.44269504f; /* weights are powers of two */
        const int32_t at = (int32_t)(threadIdx.x % TURNS * 2);
        const int32_t first = (int32_t)(threadIdx.x / TURNS);
        pairs of_round[ROUNDS];
#pragma unroll
        for (int k = 0; k < ROUNDS; k++)
            of_round[k] = load_pairs(a, job, first + k * HEADS, at);
        float cosine[2], sine[2];
        for (int e = 0; e < 2; e++)
            cosine_sine((float)job.position * frequency[e], &cosine[e], &sine[e]);
#pragma unroll
        for (int k = 0; k < ROUNDS; k++) {
            const int32_t i = first + k * HEADS;
            pairs &p = of_round[k];
            if (i >= ATTN_SLOTS + 2)
                continue;
            for (int e = 0; e < 2 && i <= ATTN_SLOTS; e++)
                turn_pair(&p.low[e], &p.high[e], cosine[e], sine[e]);
            if (i < ATTN_SLOTS) {
                products::put_query(shared->queries, i, at, p.low[0] * scale, p.low[1] * scale);
                products::put_query(shared->queries, i, at + D / 2, p.high[0] * scale,
                                    p.high[1] * scale);
                continue;
            }
            int32_t part = i - ATTN_SLOTS;
            T *to = page + part * kv_part(a.kv);
            put_own(shared, to, job.appends, part, at, p.low[0], p.low[1]);
            put_own(shared, to, job.appends, part, at + D / 2, p.high[0], p.high[1]);
        }
    }

    /* The row's key and value as codes, a warp each. */
    static __device__ __forceinline__ void put_codes(const struct mill_kv_pages &kv,
                                                     const attn_decode_job &job, T *page,
                                                     float *page_scale, shared_memory *shared) {
        int32_t part = (int32_t)threadIdx.x / 32, lane = (int32_t)threadIdx.x % 32;
        __syncthreads();
        if (part < 2) {
            const float *turned = shared->turned[part];
            float most = 0;
            for (int32_t at = lane; at < D; at += 32)
                most = fmaxf(most, code_magnitude(turned[at]));
            const code_range range = code_range_of(warp_max(most), 127.0f);
            page += part * kv_part(kv);
            for (int32_t at = lane; at < D; at += 32) {
                T code = (T)code_of(range, turned[at]);
                shared->own[part][at] = code;
                if (job.appends)
                    page[at] = code;
            }
            if (lane == 0)
                shared->own_scales[part] = range.scale;
            if (lane == 0 && job.appends)
                page_scale[part * kv.n_heads * kv.page_tokens] = range.scale;
        }
    }

    /* The row into shared memory and its page, by all threads, who then meet. What does not depend
     * on x is asked for before wait(). */
    template <class Wait>
    static __device__ __forceinline__ void put(const struct mill_attn_paged_args &a,
                                               const attn_decode_job &job, shared_memory *shared,
                                               Wait wait) {
        const int32_t *pages = a.batch.page_table + (int64_t)job.sequence * a.batch.max_pages;
        T *page = static_cast<T *>(a.kv.data) + kv_element(a.kv, pages, job.position, job.kv_head);
        float frequency[2];
        for (int e = 0; e < 2; e++)
            frequency[e] = a.frequency[threadIdx.x % TURNS * 2 + e];
        wait();
        put_row(a, job, page, frequency, shared);
        if constexpr (has_scales<T>)
            put_codes(a.kv, job, page,
                      static_cast<float *>(a.kv.data) +
                          kv_scale(a.kv, pages, job.position, job.kv_head),
                      shared);
        __syncthreads();
    }
};

#endif
