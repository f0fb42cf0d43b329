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

/* KIND::take takes a group's fragments of x. */
template <class KIND, int RB, int OB> struct sums_bf16 {
    tensor_sums<float, multiply_bf16, RB, OB> sums;

    LINEAR_MEMBER void clear() {
        sums.clear();
    }
    LINEAR_MEMBER void add(const linear_norm &norm, int32_t group, const uint4 *x, int x_pitch,
                           const uint4 *w, int w_pitch) {
        row_fragments<RB> rows;
        uint4 weights[OB];
        load_weights(weights, w, w_pitch);
        KIND::take(rows, norm, group, x, x_pitch);
        sums.add(rows, weights);
    }
    LINEAR_MEMBER void settle() {
    }
    LINEAR_MEMBER float part(int o, int rb, int i, int) const {
        return sums.part(o, rb, i);
    }
};

/* x in f32: the first four inputs of all lanes' chunks, then the other four. */
struct kind_bf16 : tensor_kind, float_sums {
    static constexpr enum linear_kind ID = LINEAR_BF16;
    static constexpr int X_CHUNKS = 2 * BRICK_CHUNKS, X_ROW_BYTES = 2 * BRICK_ROW_BYTES;
    template <int RB, int OB> using sums = sums_bf16<kind_bf16, RB, OB>;

    static constexpr int clocks(int rb, int ob) {
        return tensor_clocks(rb, ob, X_CHUNKS, PLANES);
    }
    LINEAR_FN const char *chunk_of_x(const struct linear_run &run, int32_t row, int i) {
        return row_chunk(run, run.x, row + i / 8, i % 8); /* 8 lanes read 128 bytes of a row */
    }
    LINEAR_FN void copy_x(uint4 *brick, int i, const char *from, const struct linear_run &run,
                          int32_t group) {
        int g = i / 8, half = i % 2, q = i % 8 / 2;
        copy_four(brick + half * BRICK_CHUNKS + g * BRICK_ROW_CHUNKS + q, from, run,
                  group * 32 + i % 8 * 4);
    }
    template <int RB>
    LINEAR_FN void take(row_fragments<RB> &rows, const linear_norm &norm, int32_t group,
                        const uint4 *x, int pitch) {
        int lane = threadIdx.x % 32;
        int32_t input = group * 32 + lane % 4 * 8;
        const quad<float> low_gain = norm.gains(input), high_gain = norm.gains(input + 4);
        rows.take_chunks([&](int rb) {
            const quad<float> *at = reinterpret_cast<const quad<float> *>(x + rb * pitch + lane);
            const quad<float> low = norm.apply(at[0], low_gain, rb * 8 + lane / 4);
            const quad<float> high = norm.apply(at[BRICK_CHUNKS], high_gain, rb * 8 + lane / 4);
            return make_uint4(pack_bf16(low.v[0], low.v[1]), pack_bf16(low.v[2], low.v[3]),
                              pack_bf16(high.v[0], high.v[1]), pack_bf16(high.v[2], high.v[3]));
        });
    }
};

struct kind_bf16_rows : tensor_kind, float_sums {
    static constexpr enum linear_kind ID = LINEAR_BF16_ROWS;
    static constexpr int X_CHUNKS = BRICK_CHUNKS, X_ROW_BYTES = BRICK_ROW_BYTES;
    template <int RB, int OB> using sums = sums_bf16<kind_bf16_rows, RB, OB>;

    static constexpr int clocks(int rb, int ob) {
        return tensor_clocks(rb, ob, X_CHUNKS, PLANES);
    }
    LINEAR_FN const char *chunk_of_x(const struct linear_run &run, int32_t row, int i) {
        return row_chunk(run, run.x, row + i / BRICK_ROW_CHUNKS, i % BRICK_ROW_CHUNKS);
    }
    LINEAR_FN void copy_x(uint4 *brick, int i, const char *from, const struct linear_run &run,
                          int32_t group) {
        copy_prepared(brick + turned(i / BRICK_ROW_CHUNKS, i % BRICK_ROW_CHUNKS), from, run, group);
    }
    template <int RB>
    LINEAR_FN void take(row_fragments<RB> &rows, const linear_norm &, int32_t, const uint4 *x,
                        int pitch) {
        rows.take_matrices(x, pitch);
    }
};

#endif
