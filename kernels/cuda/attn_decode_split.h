/* attn_decode_split.h - a warp's split in a decoding step (attn_decode.h): from its pages to
 * registers, and what it gives. Device code. */
#ifndef MILL_KERNELS_CUDA_ATTN_DECODE_SPLIT_H
#define MILL_KERNELS_CUDA_ATTN_DECODE_SPLIT_H

#include "kernels/cuda/attn_decode_row.h"

template <class T, int D, int N_WARPS> struct attn_decode_split {
    typedef attn_tensor<T, D> products;
    typedef attn_tile<T, D> tile;
    typedef attn_split_lanes<T, D> lanes;
    typedef attn_decode_shared<T, D, N_WARPS> shared_memory;
    enum { AT_ONCE = N_WARPS == ATTN_MAX_WARPS /* keys and values are asked for together */ };

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
            typename tile::key_lane &key = found->keys[AT_ONCE ? j : 0];
            if constexpr (!AT_ONCE)
                key = ask_key(a.kv, at, n, j);
            if (lanes::key_at(j) == n)
                key = tile::key_of(shared->own[0]);
            return key;
        });
        products::sum_values(&weights, partial, [&](int k, int i) {
            typename tile::value_row &value = found->values[AT_ONCE ? k : 0][AT_ONCE ? i : 0];
            if constexpr (!AT_ONCE)
                value = ask_value(a.kv, at, n, k, i);
            if (lanes::value_at(k, i) == n)
                value = lanes::value_of(shared->own[1]);
            return value;
        });
        __syncwarp(); /* the next split's scales may come */
    }
};

#endif
