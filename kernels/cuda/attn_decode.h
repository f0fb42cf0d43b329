/* attn_decode.h - a step's row of a sequence: turned, its key and value appended, and attention
 * over the pages and itself, by one block for up to 8 query heads of a kv head. Device code.
 *
 * A split goes from its pages straight to the registers of the warp that works on it: 16-byte loads
 * that are the operands of mma_bf16 as they are (attn_tile.h). All of what a step before left can
 * be asked for ahead of what this step's row needs, so the block calls wait() only then: the
 * function that returns when x is there. The row's own key and value never come from memory: they
 * go through shared memory, as the page will hold them, to the warp that has the last split.
 *
 * 8 warps have a split's keys and values under way together, 16 KB a warp: 512 positions are one
 * pass, two barriers. 4 warps ask for the values behind the scores, which keeps them at 128
 * registers, so that 16 warps fit a multiprocessor: 64 KB and more under way there, where memory's
 * speed needs 26 KB (4.3 TB/s times 0.8 us over 132 multiprocessors).
 *
 * The arithmetic is attn_rows': attn_tensor.h's a split, attn_taken.h's over splits. */
#ifndef MILL_KERNELS_CUDA_ATTN_DECODE_H
#define MILL_KERNELS_CUDA_ATTN_DECODE_H

#include "kernels/cuda/arrival.h"
#include "kernels/cuda/attn_taken.h"
#include "kernels/cuda/attn_tensor.h"
#include "kernels/cuda/batch.h"
#include "kernels/cuda/rope.h"

/* What a block keeps in shared memory. */
template <class T, int D, int N_WARPS> struct attn_decode_shared {
    float partials[2][N_WARPS][ATTN_PARTIAL_FLOATS(D)]; /* one pass' while the last is taken */
    __align__(16) unsigned char queries[attn_tensor<T, D>::QUERY_BYTES];
    __align__(16) T own[2][D];         /* the row's key and value, as pages hold them */
    float turned[2][D], own_scales[2]; /* codes: before they are codes; their scales */
    float scales[has_scales<T> ? N_WARPS : 1][2 * ATTN_KEYS]; /* codes: of a warp's split */
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
    int32_t shared = a.n_heads / a.kv.n_heads, chunk = y % plan.n_chunks;
    attn_decode_job job;
    job.sequence = sequence;
    job.kv_head = y / plan.n_chunks;
    job.first_head = job.kv_head * shared + chunk * plan.head_chunk;
    job.heads = min(plan.head_chunk, shared - chunk * plan.head_chunk);
    job.position = a.batch.n_cached[sequence];
    job.n_splits = job.position / ATTN_KEYS + 1;
    job.n_parts = min(plan.n_parts, (job.n_splits + plan.n_warps - 1) / plan.n_warps);
    job.part = part;
    job.appends = chunk == 0 && (job.n_splits - 1) / plan.n_warps % job.n_parts == part;
    return job;
}

template <class T, int D, int N_WARPS> struct attn_decode {
    typedef attn_tensor<T, D> products;
    typedef attn_tile<T, D> tile;
    typedef attn_split_lanes<T, D> lanes;
    typedef attn_decode_shared<T, D, N_WARPS> shared_memory;
    enum {
        THREADS = 32 * N_WARPS,
        PARTIAL = ATTN_PARTIAL_FLOATS(D),
        AT_ONCE = N_WARPS == ATTN_MAX_WARPS, /* values are asked for with their keys */
        TURNS = D / 4                        /* threads of a head: two pairs each */
    };

    /* Of positions that begin with octet lane % 8 of a split, which lies in one page. */
    struct octets {
        int64_t row, scale; /* elements, and floats, from kv.data to the key's */
    };

    static __device__ __forceinline__ octets locate(const struct mill_attn_paged_args &a,
                                                    const attn_decode_job &job, int32_t split) {
        const int32_t *pages = a.batch.page_table + (int64_t)job.sequence * a.batch.max_pages;
        int32_t position = split * ATTN_KEYS + (int32_t)threadIdx.x % 8 * 8;
        octets found = {0, 0};
        if (position < job.position) {
            found.row = kv_element(a.kv, pages, position, job.kv_head);
            if constexpr (has_scales<T>)
                found.scale = kv_scale(a.kv, pages, position, job.kv_head);
        }
        return found;
    }

    /* What a lane has of a split whose first n tokens are in the cache; zeros for those behind. */
    static __device__ __forceinline__ typename tile::key_lane
    ask_key(const struct mill_kv_pages &kv, octets at, int32_t n, int j) {
        const T *data = static_cast<const T *>(kv.data);
        int32_t key = lanes::key_at(j);
        const T *row = data + __shfl_sync(0xffffffff, at.row, j) + key % 8 * D;
        typename tile::key_lane found = {};
        if (key < n)
            found = tile::key_of(row);
        return found;
    }
    static __device__ __forceinline__ typename tile::value_row
    ask_value(const struct mill_kv_pages &kv, octets at, int32_t n, int k, int i) {
        const T *data = static_cast<const T *>(kv.data) + kv_part(kv);
        int32_t key = lanes::value_at(k, i);
        const T *row = data + __shfl_sync(0xffffffff, at.row, 2 * k + i / 2) + key % 8 * D;
        typename tile::value_row found = {};
        if (key < n)
            found = lanes::value_of(row);
        return found;
    }

    static __device__ __forceinline__ void ask_scales(const struct mill_kv_pages &kv, octets at,
                                                      int32_t n, float *to) {
        const float *from = static_cast<const float *>(kv.data);
        int32_t lane = (int32_t)threadIdx.x % 32;
        int64_t low = __shfl_sync(0xffffffff, at.scale, lane / 8) + lane % 8;
        int64_t high = __shfl_sync(0xffffffff, at.scale, lane / 8 + 4) + lane % 8;
        for (int part = 0; part < 2; part++, to += ATTN_KEYS, from += kv.n_heads * kv.page_tokens) {
            cp_async_4(to + lane, from + low, lane < n);
            cp_async_4(to + lane + 32, from + high, lane + 32 < n);
        }
        cp_async_commit();
    }

    /* All that is asked for ahead of a split. */
    static __device__ __forceinline__ void ask(const struct mill_attn_paged_args &a,
                                               const attn_decode_job &job, octets at, int32_t split,
                                               lanes *found, float *scales) {
        int32_t n = job.position - split * ATTN_KEYS;
        if (split >= job.n_splits)
            return;
        if constexpr (has_scales<T>)
            ask_scales(a.kv, at, n, scales);
        if constexpr (AT_ONCE) {
            for (int j = 0; j < ATTN_KEYS / 8; j++)
                found->keys[j] = ask_key(a.kv, at, n, j);
            for (int k = 0; k < ATTN_KEYS / 16; k++)
                for (int i = 0; i < 4; i++)
                    found->values[k][i] = ask_value(a.kv, at, n, k, i);
        }
    }

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

    /* The row, turned, into shared memory: queries (zeros for heads that there are not), key and
     * value; bf16: key and value into their page too. */
    static __device__ __forceinline__ void put_row(const struct mill_attn_paged_args &a,
                                                   const attn_decode_job &job, T *page,
                                                   const float cosine[2], const float sine[2],
                                                   shared_memory *shared) {
        const float scale = a.scale * 1.44269504f; /* weights are powers of two */
        const float *x = matrix_row(a.x, job.sequence);
        const int32_t at = (int32_t)threadIdx.x % TURNS * 2;
        for (int32_t i = (int32_t)threadIdx.x / TURNS; i < ATTN_SLOTS + 2; i += THREADS / TURNS) {
            int32_t head = job.first_head + i;
            if (i >= ATTN_SLOTS)
                head = a.n_heads + (i - ATTN_SLOTS) * a.kv.n_heads + job.kv_head;
            pairs p = {{0, 0}, {0, 0}};
            for (int e = 0; e < 2 && (i < job.heads || i >= ATTN_SLOTS); e++) {
                p.low[e] = x[head * D + at + e];
                p.high[e] = x[head * D + D / 2 + at + e];
            }
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

    /* A split that was asked for, as a partial result. */
    static __device__ __forceinline__ void work(const struct mill_attn_paged_args &a,
                                                const attn_decode_job &job, octets at,
                                                int32_t split, lanes *found, shared_memory *shared,
                                                float *scales, float *partial) {
        int32_t n = job.position - split * ATTN_KEYS; /* the row itself is key n, if any */
        typename products::weights weights;
        if constexpr (has_scales<T>) {
            int32_t part = (int32_t)threadIdx.x % 32;
            cp_async_wait<0>();
            __syncwarp();
            if (n < ATTN_KEYS && part < 2)
                scales[part * ATTN_KEYS + n] = shared->own_scales[part];
            __syncwarp();
        }
        products::score_keys(shared->queries, scales, n + 1, &weights, [&](int j) {
            typename tile::key_lane key = AT_ONCE ? found->keys[j] : ask_key(a.kv, at, n, j);
            if (lanes::key_at(j) == n)
                key = tile::key_of(shared->own[0]);
            return key;
        });
        products::sum_values(&weights, partial, [&](int k, int i) {
            typename tile::value_row value =
                AT_ONCE ? found->values[k][i] : ask_value(a.kv, at, n, k, i);
            if (lanes::value_at(k, i) == n)
                value = lanes::value_of(shared->own[1]);
            return value;
        });
        __syncwarp(); /* the next split's scales may come */
    }

    static __device__ __forceinline__ void write_row(const struct mill_attn_paged_args &a,
                                                     const attn_decode_job &job,
                                                     const attn_taken &taken, int32_t slot,
                                                     int32_t at) {
        float *y = matrix_row(a.y, job.sequence) + (job.first_head + slot) * D + at;
        for (int c = 0; c < 4; c++)
            y[c] = taken.sum.v[c] / taken.total;
    }

    /* A block, all its threads. `partials` and `arrived` are this sequence's and head's: places for
     * all splits' results, and a counter. */
    template <class Wait>
    static __device__ __forceinline__ void run(const struct mill_attn_paged_args &a,
                                               const attn_decode_job &job, shared_memory *shared,
                                               float *partials, int32_t *arrived, Wait wait) {
        const int32_t *pages = a.batch.page_table + (int64_t)job.sequence * a.batch.max_pages;
        int32_t thread = (int32_t)threadIdx.x, warp = thread / 32;
        int32_t first = job.part * N_WARPS, step = job.n_parts * N_WARPS;
        float *scales = shared->scales[has_scales<T> ? warp : 0];
        lanes split;
        octets at = locate(a, job, first + warp);
        ask(a, job, at, first + warp, &split, scales);
        T *page = static_cast<T *>(a.kv.data) + kv_element(a.kv, pages, job.position, job.kv_head);
        float cosine[2], sine[2];
        for (int e = 0; e < 2; e++)
            cosine_sine((float)job.position * a.frequency[thread % TURNS * 2 + e], &cosine[e],
                        &sine[e]);
        wait();
        put_row(a, job, page, cosine, sine, shared);
        if constexpr (has_scales<T>)
            put_codes(a.kv, job, page,
                      static_cast<float *>(a.kv.data) +
                          kv_scale(a.kv, pages, job.position, job.kv_head),
                      shared);
        __syncthreads();
        attn_taken taken = attn_nothing_taken();
        int32_t slot = thread / TURNS, column = thread % TURNS * 4;
        bool takes = slot < job.heads;
        for (int32_t turn = 0; first < job.n_splits; first += step, turn ^= 1) {
            float *partial = job.n_parts == 1 ? shared->partials[turn][warp]
                                              : partials + (int64_t)(first + warp) * PARTIAL;
            octets next = locate(a, job, first + step + warp);
            if (first + warp < job.n_splits)
                work(a, job, at, first + warp, &split, shared, scales, partial);
            ask(a, job, next, first + step + warp, &split, scales);
            at = next;
            if (job.n_parts > 1)
                continue;
            __syncthreads();
            if (takes)
                take_partials<D>(&taken, shared->partials[turn][0] + slot * ATTN_PARTIAL_ROW(D),
                                 column, min(N_WARPS, job.n_splits - first));
        }
        if (job.n_parts > 1) {
            if (!arrive_last(arrived, job.n_parts))
                return;
            if (takes)
                take_partials<D>(&taken, partials + slot * ATTN_PARTIAL_ROW(D), column,
                                 job.n_splits);
        }
        if (takes)
            write_row(a, job, taken, slot, column);
    }
};

#endif
