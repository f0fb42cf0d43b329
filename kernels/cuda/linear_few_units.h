/* linear_few_units.h - the units of linear_few.h: their weights, wherever they wait, their products
 * with the rows, and where their sums are left. */
#ifndef MILL_KERNELS_CUDA_LINEAR_FEW_UNITS_H
#define MILL_KERNELS_CUDA_LINEAR_FEW_UNITS_H

#include "kernels/cuda/linear_few_rows.h"

/* ------------------------------------------------------------------ weights */

/* Chunks from the block's first brick to brick o. In the place of outputs that there are not come
 * the last ones, whose sums nobody takes. */
template <class TILE>
LINEAR_FN int32_t brick_at(const struct linear_run &run, const few_place<TILE> &at, int o) {
    return min(o, (run.n_out - 1 - at.out) / BRICK_OUTS) * run.n_groups * BRICK_CHUNKS;
}

/* Where the lane's chunk of a brick waits that is not held. */
template <class TILE>
LINEAR_FN uint4 *waiting_chunk(const few_place<TILE> &at, int32_t group, int o) {
    return at.waiting + (group * (TILE::OB - TILE::HELD) + o - TILE::HELD) * BRICK_CHUNKS;
}

/* Begins to copy what waits in shared memory of all units of the warp; zeros for groups that there
 * are not. A lane copies what it will read: no barrier stands between. */
template <class TILE>
LINEAR_FN void ask_units(const struct linear_run &run, const few_place<TILE> &at) {
    constexpr int WAITING = TILE::OB - TILE::HELD;
    uint4 *to = waiting_chunk(at, at.first * TILE::UNIT, TILE::HELD);
    const uint4 *from = at.w + at.first * TILE::UNIT * BRICK_CHUNKS;
    int32_t left = run.n_groups - at.first * TILE::UNIT; /* groups */
#pragma unroll 1
    for (int32_t unit = at.first; unit < at.end; unit++) {
#pragma unroll
        for (int o = TILE::HELD; o < TILE::OB; o++)
#pragma unroll
            for (int j = 0; j < TILE::UNIT; j++)
                cp_async_16(to + (j * WAITING + o - TILE::HELD) * BRICK_CHUNKS,
                            from + brick_at(run, at, o) + j * BRICK_CHUNKS, j < left);
        to += TILE::UNIT * WAITING * BRICK_CHUNKS;
        from += TILE::UNIT * BRICK_CHUNKS;
        left -= TILE::UNIT;
    }
}

template <class TILE> struct few_weights {
    static constexpr int N = TILE::HELD ? TILE::HELD : 1; /* no array is empty */
    uint4 of[TILE::UNIT][N];
};

/* In the place of groups that there are not come the last ones: loads without a condition go
 * straight to their registers, and all at once. */
template <class TILE>
LINEAR_FN void load_unit(few_weights<TILE> &w, const struct linear_run &run,
                         const few_place<TILE> &at, int32_t unit) {
    if (unit >= at.end)
        return;
#pragma unroll
    for (int j = 0; j < TILE::UNIT; j++)
#pragma unroll
        for (int o = 0; o < TILE::HELD; o++)
            w.of[j][o] = at.w[brick_at(run, at, o) +
                              min(unit * TILE::UNIT + j, run.n_groups - 1) * BRICK_CHUNKS];
}

/* ------------------------------------------------------------------ sums */

/* Of units that are multiplied at once. */
template <class TILE> struct few_sums {
    typename TILE::KIND::template sums<TILE::RB, TILE::OB> of[TILE::UNITS];

    LINEAR_MEMBER void clear() {
#pragma unroll
        for (int t = 0; t < TILE::UNITS; t++)
            of[t].clear();
    }
};

/* The units' products with their rows of x, side by side. */
template <class TILE>
LINEAR_FN void multiply_units(few_sums<TILE> &sums, const struct linear_run &run,
                              const few_place<TILE> &at, const few_rows &rows, int32_t first,
                              const few_weights<TILE> &w) {
#pragma unroll
    for (int j = 0; j < TILE::UNIT; j++) {
#pragma unroll
        for (int t = 0; t < TILE::UNITS; t++) {
            int32_t group = (first + t) * TILE::UNIT + j;
            if (TILE::HELD && group >= run.n_groups)
                continue;
            uint4 quads[TILE::OB];
#pragma unroll
            for (int o = 0; o < TILE::OB; o++)
                quads[o] = o < TILE::HELD ? w.of[j][o % w.N] : *waiting_chunk(at, group, o);
            sums.of[t].add_few(rows, group, quads);
        }
    }
}

/* Sums of a warp to the slot of a unit (of the warp, where there is no order to keep). */
template <class TILE>
LINEAR_FN void leave_few(const typename TILE::KIND::template sums<TILE::RB, TILE::OB> &sums,
                         const few_place<TILE> &at, int32_t i_slot) {
    typedef typename TILE::KIND KIND;
    typename KIND::word *slot = at.slots + i_slot * at.slot;
#pragma unroll
    for (int plane = 0; plane < KIND::PLANES; plane++)
#pragma unroll
        for (int rb = 0; rb < TILE::RB; rb++)
#pragma unroll
            for (int o = 0; o < TILE::OB; o++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    int32_t r = rb * 8 + KIND::row(at.lane, i);
                    if (r < at.n_rows)
                        slot[(plane * at.n_rows + r) * TILE::OUTS + o * 8 + KIND::out(at.lane, i)] =
                            sums.part(o, rb, i, plane);
                }
}

template <class TILE>
LINEAR_FN void leave_units(few_sums<TILE> &sums, const few_place<TILE> &at, int32_t first) {
#pragma unroll
    for (int t = 0; t < TILE::UNITS; t++)
        leave_few(sums.of[t], at, first + t);
    sums.clear();
}

#endif
