/* linear_fmaf.h - the kinds that multiply with fmaf: f32 weights, and bf16 before sm_80. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FMAF_H
#define MILL_KERNELS_CUDA_LINEAR_FMAF_H

#include "kernels/cuda/linear_kind.h"

/* A lane multiplies its chunk of output g by the same inputs of all rows; the four lanes of an
 * output then share out its rows and add up. KIND::unpack makes a chunk's inputs f32. */
template <class KIND, int RB, int OB> struct sums_fmaf {
    float of[OB][RB][8];

    LINEAR_MEMBER void clear() {
#pragma unroll
        for (int o = 0; o < OB; o++)
#pragma unroll
            for (int rb = 0; rb < RB; rb++)
#pragma unroll
                for (int r = 0; r < 8; r++)
                    of[o][rb][r] = 0;
    }
    LINEAR_MEMBER void add(const uint4 *x, int x_pitch, const uint4 *w, int w_pitch) {
        uint4 chunks[OB];
        float weights[OB][KIND::INPUTS];
        load_weights(chunks, w, w_pitch);
#pragma unroll
        for (int o = 0; o < OB; o++)
            KIND::unpack(weights[o], chunks[o]);
#pragma unroll
        for (int rb = 0; rb < RB; rb++)
#pragma unroll
            for (int r = 0; r < 8; r++) {
                float row[KIND::INPUTS];
                KIND::unpack(row, x[rb * x_pitch + r * 4 + threadIdx.x % 4]);
#pragma unroll
                for (int o = 0; o < OB; o++)
#pragma unroll
                    for (int i = 0; i < KIND::INPUTS; i++)
                        of[o][rb][r] = fmaf(weights[o][i], row[i], of[o][rb][r]);
            }
    }
    /* Lane q keeps rows 2q and 2q + 1: of eight it gives away four, of four two. */
    LINEAR_MEMBER void settle() {
        bool upper_four = threadIdx.x & 2, upper_two = threadIdx.x & 1;
#pragma unroll
        for (int o = 0; o < OB; o++)
#pragma unroll
            for (int rb = 0; rb < RB; rb++) {
                float *sum = of[o][rb];
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    float give = upper_four ? sum[r] : sum[r + 4];
                    float keep = upper_four ? sum[r + 4] : sum[r];
                    sum[r] = keep + __shfl_xor_sync(0xffffffff, give, 2);
                }
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    float give = upper_two ? sum[r] : sum[r + 2];
                    float keep = upper_two ? sum[r + 2] : sum[r];
                    sum[r] = keep + __shfl_xor_sync(0xffffffff, give, 1);
                }
            }
    }
    LINEAR_MEMBER float part(int o, int rb, int i, int) const {
        return of[o][rb][i];
    }
};

struct fmaf_kind : float_sums {
    static constexpr int X_CHUNKS = BRICK_CHUNKS, X_ROW_BYTES = BRICK_ROW_BYTES;

    LINEAR_FN int row(int lane, int i) {
        return lane % 4 * 2 + i;
    }
    LINEAR_FN int out(int lane, int) {
        return lane / 4;
    }
    LINEAR_FN const char *chunk_of_x(const struct linear_run &run, int32_t row, int i) {
        return row_chunk(run, run.x, row + i / BRICK_ROW_CHUNKS, i % BRICK_ROW_CHUNKS);
    }
};

struct kind_f32 : fmaf_kind {
    static constexpr enum linear_kind ID = LINEAR_F32;
    static constexpr int INPUTS = 4;
    template <int RB, int OB> using sums = sums_fmaf<kind_f32, RB, OB>;

    LINEAR_FN void copy_x(uint4 *brick, int i, const char *from, const struct linear_run &run,
                          int32_t group) {
        copy_four(brick + i, from, run, group * 16 + i % BRICK_ROW_CHUNKS * 4);
    }
    LINEAR_FN void unpack(float to[4], const uint4 &chunk) {
        to[0] = __uint_as_float(chunk.x);
        to[1] = __uint_as_float(chunk.y);
        to[2] = __uint_as_float(chunk.z);
        to[3] = __uint_as_float(chunk.w);
    }
};

struct kind_bf16_fmaf : fmaf_kind {
    static constexpr enum linear_kind ID = LINEAR_BF16_FMAF;
    static constexpr int INPUTS = 8;
    template <int RB, int OB> using sums = sums_fmaf<kind_bf16_fmaf, RB, OB>;

    LINEAR_FN void copy_x(uint4 *brick, int i, const char *from, const struct linear_run &run,
                          int32_t group) {
        copy_prepared(brick + i, from, run, group);
    }
    LINEAR_FN void unpack(float to[8], const uint4 &chunk) {
        const uint32_t pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            to[2 * i] = __uint_as_float(pairs[i] << 16);
            to[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000);
        }
    }
};

#endif
