/* linear_splits.h - what blocks that share a tile leave for one another, and the last one's end. */
#ifndef MILL_KERNELS_CUDA_LINEAR_SPLITS_H
#define MILL_KERNELS_CUDA_LINEAR_SPLITS_H

#include "kernels/cuda/linear_finish.h"

/* Outputs of a row of sums in memory, which are whole quads. */
LINEAR_FN int32_t partial_pitch(const struct linear_run &run) {
    return (run.n_out + 3) / 4 * 4;
}
LINEAR_FN int64_t partial_at(const struct linear_run &run, int32_t planes, int32_t slot,
                             int32_t plane, int32_t row, int32_t out) {
    int64_t rows = ((int64_t)slot * planes + plane) * run.n_rows + row;
    return rows * partial_pitch(run) + out;
}

/* Adds up, in order, what the blocks of a tile have left, and finishes it. */
template <class TILE>
LINEAR_FN void finish_splits(const struct linear_run &run, int32_t first_row, int32_t first_out) {
    typedef typename TILE::KIND KIND;
    typedef typename KIND::word word;
    int32_t n_slots =
        KIND::EXACT ? run.n_splits : (run.n_groups - 1) / (LINEAR_CHUNK * LINEAR_SEGMENT) + 1;
    for (int32_t i = threadIdx.x; i < TILE::QUADS; i += TILE::THREADS) {
        int32_t row = first_row + i / (TILE::OUTS / 4);
        int32_t out = first_out + i % (TILE::OUTS / 4) * 4;
        if (row >= run.n_rows || out >= run.n_out)
            continue;
        word sum[KIND::PLANES][4] = {};
        for (int32_t slot = 0; slot < n_slots; slot++)
            for (int plane = 0; plane < KIND::PLANES; plane++) {
                const word *from = static_cast<const word *>(run.partial) +
                                   partial_at(run, KIND::PLANES, slot, plane, row, out);
                quad<word> q = load_quad<true>(from, 0, 4, word(0));
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[plane][j] += q.v[j];
            }
        finish(run, row, out, value_quad<KIND>(run, sum, row, out));
    }
}

#endif
