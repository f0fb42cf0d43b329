/* linear_tensor.h - products on tensor cores: a warp's fragments of rows, and its sums. */
#ifndef MILL_KERNELS_CUDA_LINEAR_TENSOR_H
#define MILL_KERNELS_CUDA_LINEAR_TENSOR_H

#include "kernels/cuda/linear_kind.h"

/* Where chunk q of row g lies for ldmatrix, which reads a chunk of 8 rows at once: so that no two
 * of them meet in the same bank. */
LINEAR_FN int turned(int g, int q) {
    return g * BRICK_ROW_CHUNKS + (q ^ g / 2);
}

/* A tensor core multiplies 16 rows, its A side, by 8 outputs. Where a warp has one brick of rows
 * the other 8 are zeros. A group takes two instructions, [2]. */
template <int RB> struct row_fragments {
    static constexpr int PAIRS = (RB + 1) / 2;
    uint32_t of[PAIRS][2][4];

    /* From each lane's chunk of its row, chunk(rb). */
    template <class CHUNK> LINEAR_MEMBER void take_chunks(CHUNK chunk) {
#pragma unroll
        for (int p = 0; p < PAIRS; p++) {
            const uint4 low = chunk(2 * p);
            const uint4 high = RB > 1 ? chunk(2 * p + 1) : make_uint4(0, 0, 0, 0);
            of[p][0][0] = low.x, of[p][0][1] = high.x, of[p][0][2] = low.y, of[p][0][3] = high.y;
            of[p][1][0] = low.z, of[p][1][1] = high.z, of[p][1][2] = low.w, of[p][1][3] = high.w;
        }
    }
    /* From bricks of turned chunks whose words were transposed (linear.h). */
    LINEAR_MEMBER void take_matrices(const uint4 *x, int pitch) {
        int matrix = threadIdx.x % 32 / 8, g = threadIdx.x % 8;
        if constexpr (RB == 1) {
            uint32_t chunks[4];
            ldmatrix_x4(chunks, x + turned(g, matrix));
#pragma unroll
            for (int i = 0; i < 2; i++) {
                of[0][i][0] = chunks[2 * i], of[0][i][2] = chunks[2 * i + 1];
                of[0][i][1] = of[0][i][3] = 0;
            }
        } else {
#pragma unroll
            for (int p = 0; p < PAIRS; p++)
#pragma unroll
                for (int i = 0; i < 2; i++)
                    ldmatrix_x4(of[p][i],
                                x + (2 * p + matrix % 2) * pitch + turned(g, 2 * i + matrix / 2));
        }
    }
};

/* The lane's chunk of the first brick of output `out` and those behind it. */
LINEAR_FN const uint4 *weight_chunks(const struct linear_run &run, int32_t out) {
    return static_cast<const uint4 *>(run.weights) +
           (int64_t)(out / BRICK_OUTS) * run.n_groups * BRICK_CHUNKS + threadIdx.x % 32;
}

/* Rows of chunks as lanes read them: lane 4g + q chunk q of a group of row g. */
struct few_rows {
    const uint4 *first; /* the lane's chunk of the first row's first group */
    int32_t pitch;      /* chunks from row to row */
    int64_t plane;      /* I8: chunks from high bytes to low bytes */
    int32_t n;

    /* Of brick rb of the rows; where there is none the last one's, whose sums nobody takes. */
    LINEAR_MEMBER uint4 chunk(int32_t group, int rb, int low) const {
        int32_t row = min(rb * 8 + (int32_t)threadIdx.x % 32 / 4, n - 1);
        return first[low * plane + row * pitch + group * BRICK_ROW_CHUNKS];
    }
};

/* Sums of T, MULTIPLY::add being the instruction. */
template <class T, class MULTIPLY, int RB, int OB> struct tensor_sums {
    static constexpr int PAIRS = row_fragments<RB>::PAIRS;
    T of[OB][PAIRS][4];

    LINEAR_MEMBER void clear() {
#pragma unroll
        for (int o = 0; o < OB; o++)
#pragma unroll
            for (int p = 0; p < PAIRS; p++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    of[o][p][i] = 0;
    }
    /* All first instructions, then the second: none waits for the one before it. */
    LINEAR_MEMBER void add(const row_fragments<RB> &x, const uint4 (&w)[OB]) {
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
#pragma unroll
            for (int o = 0; o < OB; o++) {
                const uint32_t b[2] = {w[o].x, w[o].y};
                MULTIPLY::add(of[o][p], x.of[p][0], b);
            }
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
#pragma unroll
            for (int o = 0; o < OB; o++) {
                const uint32_t b[2] = {w[o].z, w[o].w};
                MULTIPLY::add(of[o][p], x.of[p][1], b);
            }
    }
    LINEAR_MEMBER T part(int o, int rb, int i) const {
        return of[o][rb / 2][rb % 2 * 2 + i];
    }
};

struct tensor_kind {
    LINEAR_FN int row(int lane, int) {
        return lane / 4;
    }
    LINEAR_FN int out(int lane, int i) {
        return lane % 4 * 2 + i;
    }
};

#endif
