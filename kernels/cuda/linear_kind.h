/* linear_kind.h - the kinds of linear.h on the device: how a brick of x (8 rows and a group of
 * inputs) lies in shared memory, and how a warp multiplies it by bricks of weights and adds up.
 * What all kinds share; they are in linear_bf16.h, linear_i8.h and linear_fmaf.h.
 *
 * A kind has (for linear_few.h alone neither chunks nor copies)
 *
 *     ID              in linear.h
 *     word, PLANES    a sum is PLANES words (I8: one of x's high bytes, one of its low bytes)
 *     EXACT           sums are integers: there is no order to keep
 *     X_CHUNKS        chunks of 16 bytes of a brick of x
 *     X_ROW_BYTES     of a row and group of x in memory
 *     chunk_of_x      where chunk i of a brick comes from, of the first group; NULL: zeros
 *     copy_x          begins to copy it
 *     sums<RB, OB>    of RB bricks of rows by OB bricks of outputs: clear; add, a group of a stage,
 *                     or add_few, one of linear_few.h's rows; settle, before parts are taken; part
 *     row, out        where part i < 2 of a lane, of a brick of rows and one of outputs, belongs
 *     value           what a sum stands for
 *
 * Lane 4g + q reads chunk q of row or output g throughout. */
#ifndef MILL_KERNELS_CUDA_LINEAR_KIND_H
#define MILL_KERNELS_CUDA_LINEAR_KIND_H

#include "kernels/cuda/linear.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/row_norm.h"

#define LINEAR_FN static __device__ __forceinline__
#define LINEAR_MEMBER __device__ __forceinline__

/* Chunk `chunk` of a row's first group; NULL beyond the rows. */
LINEAR_FN const char *row_chunk(const struct linear_run &run, const char *x, int32_t row,
                                int chunk) {
    return row < run.n_rows ? x + row * run.x_step + chunk * CHUNK_BYTES : NULL;
}

/* Four f32, from input `input` on. */
LINEAR_FN void copy_four(uint4 *to, const char *from, const struct linear_run &run, int32_t input) {
    int32_t left = from ? run.n_in - input : 0;
    if (run.whole_x || left <= 0) {
        cp_async_16(to, from, left > 0);
        return;
    }
    for (int i = 0; i < 4; i++)
        cp_async_4(reinterpret_cast<float *>(to) + i, reinterpret_cast<const float *>(from) + i,
                   i < left);
}

/* Sixteen bytes of prepared rows, which are whole groups. */
LINEAR_FN void copy_prepared(uint4 *to, const char *from, const struct linear_run &run,
                             int32_t group) {
    cp_async_16(to, from, from && group < run.n_groups);
}

/* Chunk q of output g of OB bricks, `pitch` chunks apart. */
template <int OB> LINEAR_FN void load_weights(uint4 (&to)[OB], const uint4 *w, int pitch) {
#pragma unroll
    for (int o = 0; o < OB; o++)
        to[o] = w[o * pitch + threadIdx.x % 32];
}

struct float_sums {
    typedef float word;
    static constexpr int PLANES = 1;
    static constexpr bool EXACT = false;

    LINEAR_FN float value(const struct linear_run &, const float sum[1], int32_t, int32_t) {
        return sum[0];
    }
};

#endif
