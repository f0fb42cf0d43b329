/* attn_decode_split.h - a warp's split in a decoding step (attn_decode.h): from its pages to
 * registers, and what it gives. Device code. */
#ifndef MILL_KERNELS_CUDA_ATTN_DECODE_SPLIT_H
#define MILL_KERNELS_CUDA_ATTN_DECODE_SPLIT_H

#include "kernels/cuda/attn_decode_row.h"

template <class T, int D, bool PARTS> struct attn_decode_split {
    typedef attn_tensor<T, D> products;
    typedef attn_tile<T, D> tile;
    typedef attn_split_lanes<T, D> lanes;
    typedef attn_decode_shared<T, D, PARTS> shared_memory;

    /* Of positions that begin with octet lane % 8 of a split, which lies in one page. */
    struct octets {
        int64_t row, scale; /* elements, and floats, from kv.data to the key's */
    };

    /* Does not look at the sequence's length, which would have to come from memory first: of what
     * the table has behind the last page nothing is read. */
    static __device__ __forceinline__ octets locate(const struct mill_attn_paged_args &a,
                                                    const attn_decode_job &job, int32_t split) {
        const int32_t *pages = a.batch.page_table + (int64_t)job.sequence * a.batch.max_pages;
        int32_t position = split * ATTN_KEYS + (int32_t)(threadIdx.x % 8 * 8);
        octets found = {0, 0};
        if ((uint32_t)position / (uint32_t)a.kv.page_tokens < (uint32_t)a.batch.max_pages) {
            found.row = kv_element(a.kv, pages, position, job.kv_head);
            if constexpr (has_scales<T>)
                found.scale = kv_scale(a.kv, pages, position, job.kv_head);
        }
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

    /* A row of octet j of a split whose first n tokens are in the cache, if it is one of these,
     * else one that is. */
    static __device__ __forceinline__ int32_t cached_row(int32_t row, int32_t n, int j) {
        const int32_t last = n - 1;
        return j < last / 8 ? row : min(row, last % 8);
    }

    /* All of a split, ahead of it. In the place of what is not in the cache comes something else:
     * loads without a condition go straight to their registers, the others by way of some that the
     * next load then has to wait for. */
    static __device__ __forceinline__ void ask(const struct mill_attn_paged_args &a,
                                               const attn_decode_job &job, octets at, int32_t split,
                                               lanes *found, float *scales) {
        const int32_t n = job.position - split * ATTN_KEYS;
        if constexpr (has_scales<T>)
            ask_scales(a.kv, at, n, scales);
        for (int j = 0; j < ATTN_KEYS / 8 && n > 0; j++) {
            const T *keys = static_cast<const T *>(a.kv.data) +
                            __shfl_sync(0xffffffff, at.row, min(j, (n - 1) / 8));
            const T *values = keys + kv_part(a.kv);
            found->keys[j] = tile::key_of(keys + cached_row(lanes::key_at(0), n, j) * D);
            for (int i = 0; i < 2; i++)
                found->values[j / 2][j % 2 * 2 + i] =
                    lanes::value_of(values + cached_row(lanes::value_at(0, i), n, j) * D);
        }
    }

    /* A split that was asked for, as a partial result. */
    static __device__ __forceinline__ void work(const attn_decode_job &job, int32_t split,
                                                lanes *found, shared_memory *shared, float *scales,
                                                float *partial) {
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
            typename tile::key_lane &key = found->keys[j];
            if (lanes::key_at(j) == n)
                key = tile::key_of(shared->own[0]);
            return key;
        });
        products::sum_values(&weights, partial, [&](int k, int i) {
            typename tile::value_row &value = found->values[k][i];
            if (lanes::value_at(k, i) == n)
                value = lanes::value_of(shared->own[1]);
            if (lanes::value_at(k, i) > n)
                value = {}; /* whose weight is zero */
            return value;
        });
        __syncwarp(); /* the next split's scales may come */
    }
};

#endif
