/* attn_tile.h - what a lane has of a split's keys and values, in registers, and how that becomes
 * the second operand of mma_bf16. Device code; attn_tensor.h multiplies.
 *
 * A product may take a head's elements in any order if both sides do, and the columns of a result
 * may be anybody's: so what a lane needs of a row lies side by side, in 16 bytes or 8, wherever the
 * row is: in shared memory or in its page. With g = lane / 4 and q = lane % 4: of key 8j + g a lane
 * has the runs of elements q, for each 32 (bf16) or for all of them (codes); of the values of keys
 * 2q, 2q + 1, 2q + 8 and 2q + 9 of every 16 it has column run g of eight.
 *
 * bf16: two keys, or four values, in neighbouring banks: rows in shared memory are padded.
 *
 * Codes: bf16 holds each exactly, so a byte is widened in registers and the scale comes later. Key
 * rows lie close (8 lanes read two, 128 bytes), those of values 16 bytes apart (16 lanes read a
 * quarter or an eighth of four, which lie two rows apart). */
#ifndef MILL_KERNELS_CUDA_ATTN_TILE_H
#define MILL_KERNELS_CUDA_ATTN_TILE_H

#include "kernels/cuda/attn_paged.h"
#include "kernels/cuda/codes.h"
#include "kernels/cuda/ptx.h"

template <class T, int D> struct attn_tile;

template <int D> struct attn_tile<uint16_t, D> {
    enum { KEY_ROW = D + 8, VALUE_ROW = D + 8 }; /* elements */
    struct key_lane {
        uint4 run[D / 32];
    };
    struct __align__(D / 4) value_row {
        uint32_t word[D / 16];
    };

    /* Where element `at` of a query stands among its products. */
    static __device__ int32_t place(int32_t at) {
        int32_t q = at % 32 / 8, i = at % 8;
        return at / 32 * 32 + i / 4 * 16 + i % 4 / 2 * 8 + 2 * q + i % 2;
    }

    static __device__ key_lane key_of(const uint16_t *row) {
        key_lane found;
        for (int e = 0; e < D / 32; e++)
            found.run[e] = *reinterpret_cast<const uint4 *>(row + 32 * e + threadIdx.x % 4 * 8);
        return found;
    }
    /* Keys 8j .. 8j + 7 for products 16k .. 16k + 31, k even. */
    static __device__ void load_keys(uint32_t b[4], const key_lane &keys, int k) {
        const uint4 run = keys.run[k / 2];
        b[0] = run.x;
        b[1] = run.y;
        b[2] = run.z;
        b[3] = run.w;
    }
    /* Values of 16 keys for sums j and j + 1, j even. */
    static __device__ void load_values(uint32_t b[4], const value_row rows[4], int j) {
        for (int i = 0; i < 4; i++)
            b[i] = __byte_perm(rows[i % 2 * 2].word[j / 2], rows[i % 2 * 2 + 1].word[j / 2],
                               i < 2 ? 0x5410 : 0x7632);
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

    static __device__ int32_t place(int32_t at) {
        int32_t q = at / (D / 4), byte = at % (D / 4);
        return byte / 4 * 16 + byte % 4 / 2 * 8 + 2 * q + byte % 2;
    }

    static __device__ key_lane key_of(const int8_t *row) {
        return *reinterpret_cast<const key_lane *>(row + threadIdx.x % 4 * (D / 4));
    }
    static __device__ void load_keys(uint32_t b[4], const key_lane &keys, int k) {
        for (int i = 0; i < 4; i++) {
            uint32_t word = keys.word[k + i / 2];
            b[i] = code_pair(word, i % 2 * 2, word, i % 2 * 2 + 1);
        }
    }
    static __device__ void load_values(uint32_t b[4], const value_row rows[4], int j) {
        for (int i = 0; i < 4; i++) {
            int byte = j + i / 2, first = i % 2 * 2;
            b[i] = code_pair(rows[first].word[byte / 4], byte % 4, rows[first + 1].word[byte / 4],
                             byte % 4);
        }
    }
};

/* A split that a warp has in registers; functions of a lane. */
template <class T, int D> struct attn_split_lanes {
    typedef attn_tile<T, D> tile;
    typename tile::key_lane keys[ATTN_KEYS / 8];
    typename tile::value_row values[ATTN_KEYS / 16][4];

    /* Key of the split that keys[j] is of, and value of values[k][i]. */
    static __device__ int32_t key_at(int j) {
        return 8 * j + (int32_t)(threadIdx.x % 32 / 4);
    }
    static __device__ int32_t value_at(int k, int i) {
        return 16 * k + i / 2 * 8 + (int32_t)(threadIdx.x % 4 * 2) + i % 2;
    }
    static __device__ typename tile::value_row value_of(const T *row) {
        typedef typename tile::value_row value_row;
        return *reinterpret_cast<const value_row *>(row + threadIdx.x % 32 / 4 * (D / 8));
    }
};

#endif
