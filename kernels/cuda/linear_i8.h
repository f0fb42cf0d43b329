/* linear_i8.h - the kind of 8-bit weights: two exact integer products on tensor cores. */
#ifndef MILL_KERNELS_CUDA_LINEAR_I8_H
#define MILL_KERNELS_CUDA_LINEAR_I8_H

#include "kernels/cuda/linear_tensor.h"

struct multiply_s8 {
    LINEAR_FN void add(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        mma_s8(d, a, b);
    }
};

struct multiply_u8_s8 {
    LINEAR_FN void add(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        mma_u8_s8(d, a, b);
    }
};

/* x as 16-bit codes, 256 high + low, in two planes: high signed, low unsigned. */
struct kind_i8_rows : tensor_kind {
    static constexpr enum linear_kind ID = LINEAR_I8_ROWS;
    typedef int32_t word;
    static constexpr int PLANES = 2;
    static constexpr bool EXACT = true;
    static constexpr int X_CHUNKS = 2 * BRICK_CHUNKS, X_ROW_BYTES = BRICK_ROW_BYTES;

    LINEAR_FN const char *chunk_of_x(const struct linear_run &run, int32_t row, int i) {
        const char *plane = run.x + i / BRICK_CHUNKS * run.x_plane;
        return row_chunk(run, plane, row + i % BRICK_CHUNKS / BRICK_ROW_CHUNKS,
                         i % BRICK_ROW_CHUNKS);
    }
    LINEAR_FN void copy_x(uint4 *brick, int i, const char *from, const struct linear_run &run,
                          int32_t group) {
        int in_plane = turned(i % BRICK_CHUNKS / BRICK_ROW_CHUNKS, i % BRICK_ROW_CHUNKS);
        copy_prepared(brick + i / BRICK_CHUNKS * BRICK_CHUNKS + in_plane, from, run, group);
    }

    template <int RB, int OB> struct sums {
        tensor_sums<int32_t, multiply_s8, RB, OB> high;
        tensor_sums<int32_t, multiply_u8_s8, RB, OB> low;

        LINEAR_MEMBER void clear() {
            high.clear();
            low.clear();
        }
        LINEAR_MEMBER void add(const uint4 *x, int x_pitch, const uint4 *w, int w_pitch) {
            row_fragments<RB> rows;
            uint4 weights[OB];
            load_weights(weights, w, w_pitch);
            rows.take_matrices(x, x_pitch);
            high.add(rows, weights);
            rows.take_matrices(x + BRICK_CHUNKS, x_pitch);
            low.add(rows, weights);
        }
        LINEAR_MEMBER void add_few(const few_rows &from, int32_t group, const uint4 (&w)[OB]) {
            row_fragments<RB> rows;
            rows.take_chunks([&](int rb) { return from.chunk(group, rb, 0); });
            high.add(rows, w);
            rows.take_chunks([&](int rb) { return from.chunk(group, rb, 1); });
            low.add(rows, w);
        }
        LINEAR_MEMBER void settle() {
        }
        LINEAR_MEMBER int32_t part(int o, int rb, int i, int plane) const {
            return plane ? low.part(o, rb, i) : high.part(o, rb, i);
        }
    };

    /* Up to 8,192 inputs the sum is below 2^53: this rounds once. */
    LINEAR_FN float value(const struct linear_run &run, const int32_t sum[2], int32_t row,
                          int32_t out) {
        float scale = run.x_scale[row] * run.weight_scale[out];
        return (float)(256 * (int64_t)sum[0] + sum[1]) * scale;
    }
};

#endif
