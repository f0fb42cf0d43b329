/* linear_bf16.h - the kinds of bf16 weights on tensor cores. */
#ifndef MILL_KERNELS_CUDA_LINEAR_BF16_H
#define MILL_KERNELS_CUDA_LINEAR_BF16_H

#include "kernels/cuda/linear_tensor.h"

/* Before sm_80 these kernels are compiled, and never launched. */
struct multiply_bf16 {
    LINEAR_FN void add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if CU_ARCH >= 800
        mma_bf16(d, a, b);
#endif
    }
};

/* Of rows in a stage (linear_tile.h), or where linear_few.h has put them. */
template <int RB, int OB> struct sums_bf16 {
    tensor_sums<float, multiply_bf16, RB, OB> sums;

    LINEAR_MEMBER void clear() {
        sums.clear();
    }
    LINEAR_MEMBER void add(const uint4 *x, int x_pitch, const uint4 *w, int w_pitch) {
        row_fragments<RB> rows;
        uint4 weights[OB];
        load_weights(weights, w, w_pitch);
        rows.take_matrices(x, x_pitch);
        sums.add(rows, weights);
    }
    LINEAR_MEMBER void add_few(const few_rows &from, int32_t group, const uint4 (&w)[OB]) {
        row_fragments<RB> rows;
        rows.take_chunks([&](int rb) { return from.chunk(group, rb, 0); });
        sums.add(rows, w);
    }
    LINEAR_MEMBER void settle() {
    }
    LINEAR_MEMBER float part(int o, int rb, int i, int) const {
        return sums.part(o, rb, i);
    }
};

/* x in f32, rounded by the block. */
struct kind_bf16 : tensor_kind, float_sums {
    static constexpr enum linear_kind ID = LINEAR_BF16;
    template <int RB, int OB> using sums = sums_bf16<RB, OB>;
};

struct kind_bf16_rows : tensor_kind, float_sums {
    static constexpr enum linear_kind ID = LINEAR_BF16_ROWS;
    static constexpr int X_CHUNKS = BRICK_CHUNKS, X_ROW_BYTES = BRICK_ROW_BYTES;
    template <int RB, int OB> using sums = sums_bf16<RB, OB>;

    LINEAR_FN const char *chunk_of_x(const struct linear_run &run, int32_t row, int i) {
        return row_chunk(run, run.x, row + i / BRICK_ROW_CHUNKS, i % BRICK_ROW_CHUNKS);
    }
    LINEAR_FN void copy_x(uint4 *brick, int i, const char *from, const struct linear_run &run,
                          int32_t group) {
        copy_prepared(brick + turned(i / BRICK_ROW_CHUNKS, i % BRICK_ROW_CHUNKS), from, run, group);
    }
};

#endif
