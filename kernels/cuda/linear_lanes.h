/* linear_lanes.h - blocks of one slice: a sum's way up in the registers of the lane that
 * multiplies. */
#ifndef MILL_KERNELS_CUDA_LINEAR_LANES_H
#define MILL_KERNELS_CUDA_LINEAR_LANES_H

#include "kernels/cuda/linear_splits.h"

/* Calls visit(o, rb, i) for each of a lane's parts. */
template <class TILE, class VISIT> LINEAR_FN void each_part(VISIT visit) {
#pragma unroll
    for (int o = 0; o < TILE::OB; o++)
#pragma unroll
        for (int rb = 0; rb < TILE::RB; rb++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                visit(o, rb, i);
}

/* Where a part lies in the tile. */
template <class TILE> LINEAR_FN int part_row(int rb, int i) {
    int lane = threadIdx.x % 32, warp = threadIdx.x % TILE::SLICE_THREADS / 32;
    return (warp / TILE::WO * TILE::RB + rb) * 8 + TILE::KIND::row(lane, i);
}
template <class TILE> LINEAR_FN int part_out(int o, int i) {
    int lane = threadIdx.x % 32, warp = threadIdx.x % TILE::SLICE_THREADS / 32;
    return (warp % TILE::WO * TILE::OB + o) * 8 + TILE::KIND::out(lane, i);
}

/* word(o, rb, i, plane): of a part's sum. */
template <class TILE, class WORD>
LINEAR_FN void leave_lanes(const struct linear_run &run, const linear_place<TILE> &at, int32_t slot,
                           WORD word) {
    typedef typename TILE::KIND KIND;
    each_part<TILE>([&](int o, int rb, int i) {
        int32_t row = at.row + part_row<TILE>(rb, i), out = at.out + part_out<TILE>(o, i);
#pragma unroll
        for (int plane = 0; plane < KIND::PLANES; plane++)
            if (row < run.n_rows && out < partial_pitch(run))
                static_cast<typename KIND::word *>(
                    run.partial)[partial_at(run, KIND::PLANES, slot, plane, row, out)] =
                    word(o, rb, i, plane);
    });
}

/* By way of shared memory, so that rows of y are written in order. */
template <class TILE, class WORD>
LINEAR_FN void finish_lanes(const struct linear_run &run, const linear_place<TILE> &at,
                            float *exchange, WORD word) {
    typedef typename TILE::KIND KIND;
    __syncthreads(); /* all are through with the stages */
    each_part<TILE>([&](int o, int rb, int i) {
        int row = part_row<TILE>(rb, i), out = part_out<TILE>(o, i);
        typename KIND::word words[KIND::PLANES];
#pragma unroll
        for (int plane = 0; plane < KIND::PLANES; plane++)
            words[plane] = word(o, rb, i, plane);
        if (at.row + row < run.n_rows) /* whole quads: what is beyond n_out is read, not used */
            exchange[row * TILE::EXCHANGE_PITCH + out] =
                at.out + out < run.n_out ? KIND::value(run, words, at.row + row, at.out + out)
                                         : 0.0f;
    });
    __syncthreads();
    for (int i = threadIdx.x; i < TILE::QUADS; i += TILE::THREADS) {
        int row = i / (TILE::OUTS / 4), out = i % (TILE::OUTS / 4) * 4;
        if (at.row + row < run.n_rows && at.out + out < run.n_out)
            finish(run, at.row + row, at.out + out,
                   load_quad<true>(exchange + row * TILE::EXCHANGE_PITCH, out, TILE::OUTS, 0.0f));
    }
}

template <class TILE>
LINEAR_FN void sum_in_lanes(const struct linear_run &run, const linear_place<TILE> &at,
                            uint4 *shared) {
    typedef typename TILE::KIND KIND;
    typename KIND::template sums<TILE::RB, TILE::OB> sums;
    float segment[TILE::OB][TILE::RB][2] = {}, total[TILE::OB][TILE::RB][2] = {};
    auto exact = [&](int o, int rb, int i, int plane) { return sums.part(o, rb, i, plane); };
    auto rounded = [&](int o, int rb, int i, int) {
        return TILE::MANY ? total[o][rb][i] : segment[o][rb][i];
    };
    sums.clear();
    for (int32_t stage = 0; stage < stages_of(at); stage++) {
        stage_wait<TILE>();
        fetch(run, at, stage + TILE::STAGES - 1);
        multiply(sums, at, stage);
        if (KIND::EXACT || (stage + 1) % TILE::STAGES_A_CHUNK)
            continue;
        int32_t chunk = at.chunk + stage / TILE::STAGES_A_CHUNK;
        sums.settle();
        each_part<TILE>([&](int o, int rb, int i) { segment[o][rb][i] += sums.part(o, rb, i, 0); });
        sums.clear();
        if (!TILE::MANY || !ends_segment(at, chunk))
            continue;
        if (run.n_splits > 1)
            leave_lanes(run, at, chunk / LINEAR_SEGMENT,
                        [&](int o, int rb, int i, int) { return segment[o][rb][i]; });
        each_part<TILE>([&](int o, int rb, int i) {
            total[o][rb][i] += segment[o][rb][i];
            segment[o][rb][i] = 0;
        });
    }
    if constexpr (KIND::EXACT) {
        if (run.n_splits > 1)
            leave_lanes(run, at, blockIdx.y, exact);
        else
            finish_lanes(run, at, reinterpret_cast<float *>(shared), exact);
    } else if (run.n_splits == 1) {
        finish_lanes(run, at, reinterpret_cast<float *>(shared), rounded);
    }
}

#endif
