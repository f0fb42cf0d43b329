/* attn_tensor.h - a split's two products on tensor cores, for pages of bf16 and of 8-bit codes.
 *
 * mma multiplies 16 rows; an octet has 8 slots. A query is not bf16, so each slot has two rows: row
 * g is its query rounded to bf16, row g + 8 what the rounding left, rounded again. Both products of
 * a score lie in one thread's fragment and are added there: 16 bits of the query for the price of
 * 8, since 7 heads that share keys would leave the rows empty. The weights 2^(score - largest) are
 * cut in two the same way, and come out of the first product in the order in which the second one
 * takes them. A column of ones beside the values sums the weights as they were rounded; where the
 * values have scales, these are multiplied into the weights before they are cut, and the lanes sum
 * what they have. Before sm_80 there is no such mma: the functions are empty there, and nobody
 * launches them. */
#ifndef MILL_KERNELS_CUDA_ATTN_TENSOR_H
#define MILL_KERNELS_CUDA_ATTN_TENSOR_H

#include "kernels/cuda/attn_tile.h"
#include "kernels/cuda/attn_view.h"

#include <math.h>

template <class T, int D> struct attn_tensor {
    typedef T element;
    typedef attn_tile<T, D> tile;
    typedef attn_split_lanes<T, D> lanes;
    enum {
        KEY_ROW = tile::KEY_ROW,
        VALUE_ROW = tile::VALUE_ROW,
        QUERY_ROW = D + 8, /* 8 rows in different banks */
        QUERY_BYTES = 2 * ATTN_SLOTS * QUERY_ROW * (int)sizeof(uint16_t),
        WARP_BYTES = 0
    };
    struct weights {
        uint32_t p[ATTN_KEYS / 16][4]; /* fragments of 16 keys */
        float largest, total;
    };

    /* Two neighbouring elements of a slot's query. */
    static __device__ void put_query(void *queries, int32_t slot, int32_t at, float low,
                                     float high) {
        uint32_t *row = static_cast<uint32_t *>(queries) + (slot * QUERY_ROW + tile::place(at)) / 2;
        uint32_t rounded = pack_bf16(low, high);
        row[0] = rounded;
        row[ATTN_SLOTS * QUERY_ROW / 2] = rest_of(rounded, low, high);
    }

    /* Of keys and values in shared memory. */
    static __device__ void scores(const void *queries, const T *keys, const float *scales, void *,
                                  const struct attn_view &view, weights *w) {
        score_keys(queries, scales, view.n_visible((int32_t)threadIdx.x % 32 / 4), w,
                   [=](int j) { return tile::key_of(keys + lanes::key_at(j) * KEY_ROW); });
    }

    static __device__ void values(const weights *w, const T *values, const void *, float *partial) {
        sum_values(w, partial, [=](int k, int i) {
            return lanes::value_of(values + lanes::value_at(k, i) * VALUE_ROW);
        });
    }

    /* Of key_of(j), which sees n_visible keys, and value_of(k, i): attn_split_lanes. */
    template <class Keys>
    static __device__ void score_keys(const void *queries, const float *scales, int32_t n_visible,
                                      weights *w, Keys key_of) {
#if CU_ARCH >= 800
        int32_t lane = (int32_t)threadIdx.x % 32;
        uint32_t q[D / 16][4];
        const uint16_t *query = static_cast<const uint16_t *>(queries);
        for (int k = 0; k < D / 16; k++)
            ldmatrix_x4(q[k], query + lane % 16 * QUERY_ROW + 16 * k + lane / 16 * 8);
        float score[ATTN_KEYS / 8][2];
        float largest = -INFINITY;
        for (int j = 0; j < ATTN_KEYS / 8; j++) {
            float sum[4] = {0, 0, 0, 0};
            const typename tile::key_lane found = key_of(j);
            for (int k = 0; k < D / 16; k += 2) {
                uint32_t b[4];
                tile::load_keys(b, found, k);
                mma_bf16(sum, q[k], b);
                mma_bf16(sum, q[k + 1], b + 2);
            }
            for (int e = 0; e < 2; e++) {
                int32_t key = 8 * j + lane % 4 * 2 + e;
                float s = sum[e] + sum[e + 2];
                if constexpr (has_scales<T>)
                    s *= scales[key];
                score[j][e] = key < n_visible ? s : -INFINITY;
                largest = fmaxf(largest, score[j][e]);
            }
        }
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 1));
        w->largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 2));
        w->total = 0;
        for (int j = 0; j < ATTN_KEYS / 8; j++) {
            float low = fast_exp2(score[j][0] - w->largest);
            float high = fast_exp2(score[j][1] - w->largest);
            if constexpr (has_scales<T>) {
                int32_t key = 8 * j + lane % 4 * 2;
                w->total += low + high;
                low = key < n_visible ? low * scales[ATTN_KEYS + key] : 0;
                high = key + 1 < n_visible ? high * scales[ATTN_KEYS + key + 1] : 0;
            }
            uint32_t *p = &w->p[j / 2][j % 2 * 2];
            p[0] = pack_bf16(low, high);
            p[1] = rest_of(p[0], low, high);
        }
        if constexpr (has_scales<T>) {
            w->total += __shfl_xor_sync(0xffffffff, w->total, 1);
            w->total += __shfl_xor_sync(0xffffffff, w->total, 2);
        }
#endif
    }

    template <class Values>
    static __device__ void sum_values(const weights *w, float *partial, Values value_of) {
#if CU_ARCH >= 800
        const uint32_t ones[2] = {0x3f803f80, 0x3f803f80};
        int32_t lane = (int32_t)threadIdx.x % 32;
        float sum[D / 8][4] = {}, total[4] = {};
        for (int k = 0; k < ATTN_KEYS / 16; k++) {
            const typename tile::value_row found[4] = {value_of(k, 0), value_of(k, 1),
                                                       value_of(k, 2), value_of(k, 3)};
            if constexpr (!has_scales<T>)
                mma_bf16(total, w->p[k], ones);
            for (int j = 0; j < D / 8; j += 2) {
                uint32_t b[4];
                tile::load_values(b, found, j);
                mma_bf16(sum[j], w->p[k], b);
                mma_bf16(sum[j + 1], w->p[k], b + 2);
            }
        }
        partial += lane / 4 * ATTN_PARTIAL_ROW(D);
        store_sums(partial, sum);
        if (lane % 4 == 0)
            *reinterpret_cast<float2 *>(partial + D) =
                make_float2(has_scales<T> ? w->total : total[0] + total[2], w->largest);
#endif
    }

  private:
    /* A lane's sums (rows g and g + 8) into row g. */
    static __device__ void store_sums(float *row, const float sum[D / 8][4]) {
        float *to = row + (int32_t)threadIdx.x % 4 * (D / 4);
        for (int e = 0; e < 2; e++)
            for (int j = 0; j < D / 8; j += 4)
                *reinterpret_cast<float4 *>(to + e * (D / 8) + j) = make_float4(
                    sum[j][e] + sum[j][e + 2], sum[j + 1][e] + sum[j + 1][e + 2],
                    sum[j + 2][e] + sum[j + 2][e + 2], sum[j + 3][e] + sum[j + 3][e + 2]);
    }

    /* What rounding two numbers to bf16 left of them. */
    static __device__ uint32_t rest_of(uint32_t rounded, float low, float high) {
        return pack_bf16(low - __uint_as_float(rounded << 16),
                         high - __uint_as_float(rounded & 0xffff0000));
    }
};

#endif
