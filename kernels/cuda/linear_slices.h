/* linear_slices.h - blocks of several slices: their sums meet in shared memory, chunk by chunk. */
#ifndef MILL_KERNELS_CUDA_LINEAR_SLICES_H
#define MILL_KERNELS_CUDA_LINEAR_SLICES_H

#include "kernels/cuda/linear_lanes.h"

/* The quad of sums that a thread adds up from all slices'. */
template <class KIND> struct quad_sums {
    typename KIND::word segment[KIND::PLANES][4] = {}, total[KIND::PLANES][4] = {};
};

template <class TILE>
LINEAR_FN void leave_quad(const struct linear_run &run, int32_t slot, int32_t row, int32_t out,
                          const typename TILE::KIND::word (&sum)[TILE::KIND::PLANES][4]) {
    typedef typename TILE::KIND::word word;
    if (row >= run.n_rows || out >= run.n_out)
        return;
    for (int plane = 0; plane < TILE::KIND::PLANES; plane++) {
        quad<word> q;
        for (int i = 0; i < 4; i++)
            q.v[i] = sum[plane][i];
        store_quad<true>(static_cast<word *>(run.partial) +
                             partial_at(run, TILE::KIND::PLANES, slot, plane, row, out),
                         0, 4, q);
    }
}

/* Adds the chunks from `chunk` on that the slices have put into `exchange`. */
template <class TILE>
LINEAR_FN void add_slices(quad_sums<typename TILE::KIND> &sums, const struct linear_run &run,
                          const linear_place<TILE> &at, int32_t chunk,
                          const typename TILE::KIND::word *exchange) {
    typedef typename TILE::KIND KIND;
    int32_t at_quad = threadIdx.x * 4;
    for (int slice = 0; slice < TILE::SLICES; slice++, chunk++) {
        if (!KIND::EXACT && chunk >= at.end_chunk)
            break;
        for (int plane = 0; plane < KIND::PLANES; plane++) {
            const typename KIND::word *from =
                exchange + (plane * TILE::SLICES + slice) * TILE::ROWS * TILE::OUTS;
            quad<typename KIND::word> q = load_quad<true>(from, at_quad, 0, typename KIND::word(0));
            for (int i = 0; i < 4; i++)
                sums.segment[plane][i] += q.v[i];
        }
        if (KIND::EXACT ? slice + 1 < TILE::SLICES : !ends_segment(at, chunk))
            continue;
        if (run.n_splits > 1)
            leave_quad<TILE>(run, KIND::EXACT ? blockIdx.y : chunk / LINEAR_SEGMENT,
                             at.row + at_quad / TILE::OUTS, at.out + at_quad % TILE::OUTS,
                             sums.segment);
        for (int plane = 0; plane < KIND::PLANES; plane++)
            for (int i = 0; i < 4; i++) {
                sums.total[plane][i] += sums.segment[plane][i];
                sums.segment[plane][i] = 0;
            }
    }
}

template <class TILE>
LINEAR_FN void sum_slices(const struct linear_run &run, const linear_place<TILE> &at,
                          typename TILE::KIND::word *exchange) {
    typedef typename TILE::KIND KIND;
    typename KIND::template sums<TILE::RB, TILE::OB> sums;
    quad_sums<KIND> quads;
    int32_t n_stages = stages_of(at), at_quad = threadIdx.x * 4;
    sums.clear();
    for (int32_t stage = 0; stage < n_stages; stage++) {
        stage_wait<TILE>();
        fetch(run, at, stage + TILE::STAGES - 1);
        multiply(sums, at, stage);
        if (KIND::EXACT ? stage + 1 < n_stages : (stage + 1) % TILE::STAGES_A_CHUNK)
            continue;
        sums.settle();
        each_part<TILE>([&](int o, int rb, int i) {
            for (int plane = 0; plane < KIND::PLANES; plane++)
                exchange[((plane * TILE::SLICES + at.slice) * TILE::ROWS + part_row<TILE>(rb, i)) *
                             TILE::OUTS +
                         part_out<TILE>(o, i)] = sums.part(o, rb, i, plane);
        });
        sums.clear();
        __syncthreads();
        if (threadIdx.x < TILE::QUADS)
            add_slices(quads, run, at, at.chunk + stage / TILE::STAGES_A_CHUNK * TILE::SLICES,
                       exchange);
        __syncthreads();
    }
    int32_t row = at.row + at_quad / TILE::OUTS, out = at.out + at_quad % TILE::OUTS;
    if (run.n_splits == 1 && threadIdx.x < TILE::QUADS && row < run.n_rows && out < run.n_out)
        finish(run, row, out, value_quad<KIND>(run, quads.total, row, out));
}

#endif
