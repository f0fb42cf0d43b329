/* attn_scalar.h - a split's two products with fused multiply-adds, for pages of f32, and for bf16
 * and 8-bit codes where there is no mma for them.
 *
 * Scores: a lane has two keys and goes over their elements with all 8 queries. Values: a lane has
 * D / 32 columns and goes over the keys with all 8 slots' weights, which it finds in shared memory.
 * Either way 8 numbers are read by all lanes at once for each that a lane reads alone. */
#ifndef MILL_KERNELS_CUDA_ATTN_SCALAR_H
#define MILL_KERNELS_CUDA_ATTN_SCALAR_H

#include "kernels/cuda/attn_view.h"
#include "kernels/cuda/codes.h"
#include "kernels/cuda/quads.h"

#include <math.h>

static __device__ __forceinline__ float element_to_f32(float v) {
    return v;
}

static __device__ __forceinline__ float element_to_f32(uint16_t v) {
    return bf16_to_f32(v);
}

static __device__ __forceinline__ float element_to_f32(int8_t v) {
    return v;
}

template <class T, int D> struct attn_scalar {
    typedef T element;
    enum {
        ROW = D + 16 / (int)sizeof(T), /* elements of a row in shared memory */
        KEY_ROW = ROW,
        VALUE_ROW = ROW,
        QUERY_BYTES = ATTN_SLOTS * D * (int)sizeof(float),
        WARP_BYTES = ATTN_SLOTS * ATTN_KEYS * (int)sizeof(float),
        COLUMNS = D / 32
    };
    struct weights {
        float largest[ATTN_SLOTS], total[ATTN_SLOTS];
    };

    static __device__ void put_query(void *queries, int32_t slot, int32_t at, float low,
                                     float high) {
        float *row = static_cast<float *>(queries) + slot * D;
        row[at] = low;
        row[at + 1] = high;
    }

    static __device__ void scores(const void *queries, const T *keys, const float *scales,
                                  void *shared_weights, const struct attn_view &view, weights *w) {
        int32_t lane = (int32_t)threadIdx.x % 32;
        const float *query = static_cast<const float *>(queries);
        float *p = static_cast<float *>(shared_weights), score[ATTN_SLOTS][2] = {};
        for (int at = 0; at < D; at += 4) {
            quad<T> a = load_quad<true>(keys + lane * ROW, at, D, T(0));
            quad<T> b = load_quad<true>(keys + (lane + 32) * ROW, at, D, T(0));
            for (int slot = 0; slot < ATTN_SLOTS; slot++) {
                quad<float> q = load_quad<true>(query + slot * D, at, D, 0.0f);
                for (int i = 0; i < 4; i++) {
                    score[slot][0] = fmaf(q.v[i], element_to_f32(a.v[i]), score[slot][0]);
                    score[slot][1] = fmaf(q.v[i], element_to_f32(b.v[i]), score[slot][1]);
                }
            }
        }
        for (int slot = 0; slot < ATTN_SLOTS; slot++) {
            int32_t n_visible = view.n_visible(slot);
            if constexpr (has_scales<T>) {
                score[slot][0] *= scales[lane];
                score[slot][1] *= scales[lane + 32];
            }
            float a = lane < n_visible ? score[slot][0] : -INFINITY;
            float b = lane + 32 < n_visible ? score[slot][1] : -INFINITY;
            w->largest[slot] = warp_max(fmaxf(a, b));
            a = fast_exp2(a - w->largest[slot]);
            b = fast_exp2(b - w->largest[slot]);
            w->total[slot] = warp_sum(a + b);
            if constexpr (has_scales<T>) {
                a = lane < n_visible ? a * scales[ATTN_KEYS + lane] : 0;
                b = lane + 32 < n_visible ? b * scales[ATTN_KEYS + lane + 32] : 0;
            }
            p[slot * ATTN_KEYS + lane] = a;
            p[slot * ATTN_KEYS + lane + 32] = b;
        }
    }

    static __device__ void values(const weights *w, const T *values, const void *shared_weights,
                                  float *partial) {
        int32_t column = (int32_t)threadIdx.x % 32 * COLUMNS;
        const float *p = static_cast<const float *>(shared_weights);
        float sum[ATTN_SLOTS][COLUMNS] = {};
        for (int key = 0; key < ATTN_KEYS; key += 4) {
            float v[4][COLUMNS];
            for (int i = 0; i < 4; i++)
                for (int c = 0; c < COLUMNS; c++)
                    v[i][c] = element_to_f32(values[(key + i) * ROW + column + c]);
            for (int slot = 0; slot < ATTN_SLOTS; slot++) {
                quad<float> weight = load_quad<true>(p + slot * ATTN_KEYS, key, ATTN_KEYS, 0.0f);
                for (int i = 0; i < 4; i++)
                    for (int c = 0; c < COLUMNS; c++)
                        sum[slot][c] = fmaf(weight.v[i], v[i][c], sum[slot][c]);
            }
        }
        for (int slot = 0; slot < ATTN_SLOTS; slot++, partial += ATTN_PARTIAL_ROW(D)) {
            for (int c = 0; c < COLUMNS; c++)
                partial[column + c] = sum[slot][c];
            if (column == 0) {
                partial[D] = w->total[slot];
                partial[D + 1] = w->largest[slot];
            }
        }
    }
};

#endif
