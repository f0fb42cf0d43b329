/* attn_tile.h - keys and values of a split in shared memory, and how they become the second operand
 * of mma_bf16. Device code; attn_tensor.h multiplies.
 *
 * bf16: rows are padded, so that ldmatrix finds 8 of them in different banks.
 *
 * Codes: bf16 holds each exactly, so a byte is widened in registers and the scale comes later. A
 * product may take a head's elements in any order if both sides do, and the columns of a result may
 * be anybody's: so a lane's bytes lie side by side. Of a key, lane q of four has a quarter, four
 * bytes for each 16 products; of values, lane group g has an eighth of the columns. Key rows lie
 * close (8 lanes read two, 128 bytes), those of values 16 bytes apart (16 lanes read a quarter or
 * an eighth of four, which lie two rows apart). */
#ifndef MILL_KERNELS_CUDA_ATTN_TILE_H
#define MILL_KERNELS_CUDA_ATTN_TILE_H

#include "kernels/cuda/attn_paged.h"
#include "kernels/cuda/codes.h"
#include "kernels/cuda/ptx.h"

template <class T, int D> struct attn_tile;

template <int D> struct attn_tile<uint16_t, D> {
    enum { KEY_ROW = D + 8, VALUE_ROW = D + 8 }; /* elements */
    typedef const uint16_t *key_lane, *value_lane;

    /* Where element `at` of a query stands among its products. */
    static __device__ int32_t place(int32_t at) {
        return at;
    }

    /* What a lane needs of keys 8j .. 8j + 7, and their fragments for products 16k .. 16k + 31. */
    static __device__ key_lane find_keys(const uint16_t *keys, int j) {
        int32_t lane = (int32_t)threadIdx.x % 32;
        return keys + (8 * j + lane % 8) * KEY_ROW + lane / 8 * 8;
    }
    static __device__ void load_keys(uint32_t b[4], const key_lane &keys, int k) {
        ldmatrix_x4(b, keys + 16 * k);
    }

    /* ... of values 16k .. 16k + 15, and their fragments for sums j and j + 1. */
    static __device__ value_lane find_values(const uint16_t *values, int k) {
        int32_t lane = (int32_t)threadIdx.x % 32;
        return values + (16 * k + lane % 16) * VALUE_ROW + lane / 16 * 8;
    }
    static __device__ void load_values(uint32_t b[4], const value_lane &values, int j) {
        ldmatrix_x4_trans(b, values + 8 * j);
    }

    /* A lane's sums (rows g and g + 8) into row g. */
    static __device__ void store_sums(float *row, const float sum[D / 8][4]) {
        int32_t lane = (int32_t)threadIdx.x % 32;
        for (int j = 0; j < D / 8; j++)
            *reinterpret_cast<float2 *>(row + 8 * j + lane % 4 * 2) =
                make_float2(sum[j][0] + sum[j][2], sum[j][1] + sum[j][3]);
    }
};

template <int D> struct attn_tile<int8_t, D> {
    enum { KEY_ROW = D, VALUE_ROW = D + 16 };
    struct __align__(D / 4) key_lane {
        uint32_t word[D / 16];
    };
    struct __align__(D / 8) value_row {
        uint32_t word[D / 32];
    };
    struct value_lane {
        value_row row[4]; /* 2q, 2q + 1, 2q + 8, 2q + 9 */
    };

    static __device__ int32_t place(int32_t at) {
        int32_t q = at / (D / 4), byte = at % (D / 4);
        return byte / 4 * 16 + byte % 4 / 2 * 8 + 2 * q + byte % 2;
    }

    static __device__ key_lane find_keys(const int8_t *keys, int j) {
        int32_t lane = (int32_t)threadIdx.x % 32;
        return *reinterpret_cast<const key_lane *>(keys + (8 * j + lane / 4) * KEY_ROW +
                                                   lane % 4 * (D / 4));
    }
    static __device__ void load_keys(uint32_t b[4], const key_lane &keys, int k) {
        for (int i = 0; i < 4; i++) {
            uint32_t word = keys.word[k + i / 2];
            b[i] = code_pair(word, i % 2 * 2, word, i % 2 * 2 + 1);
        }
    }

    static __device__ value_lane find_values(const int8_t *values, int k) {
        int32_t lane = (int32_t)threadIdx.x % 32;
        value_lane found;
        for (int i = 0; i < 4; i++)
            found.row[i] = *reinterpret_cast<const value_row *>(
                values + (16 * k + i / 2 * 8 + lane % 4 * 2 + i % 2) * VALUE_ROW +
                lane / 4 * (D / 8));
        return found;
    }
    static __device__ void load_values(uint32_t b[4], const value_lane &values, int j) {
        for (int i = 0; i < 4; i++) {
            int byte = j + i / 2, first = i % 2 * 2;
            b[i] = code_pair(values.row[first].word[byte / 4], byte % 4,
                             values.row[first + 1].word[byte / 4], byte % 4);
        }
    }

    static __device__ void store_sums(float *row, const float sum[D / 8][4]) {
        float *to = row + (int32_t)threadIdx.x % 4 * (D / 4);
        for (int e = 0; e < 2; e++)
            for (int j = 0; j < D / 8; j += 4)
                *reinterpret_cast<float4 *>(to + e * (D / 8) + j) = make_float4(
                    sum[j][e] + sum[j][e + 2], sum[j + 1][e] + sum[j + 1][e + 2],
                    sum[j + 2][e] + sum[j + 2][e + 2], sum[j + 3][e] + sum[j + 3][e + 2]);
    }
};

#endif
