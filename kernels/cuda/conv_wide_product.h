/* conv_wide_product.h - the product of prepared rows (conv_wide.h) with weights, on the device. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_PRODUCT_H
#define MILL_KERNELS_CUDA_CONV_WIDE_PRODUCT_H

#include "kernels/cuda/conv_wide_finish.h"
#include "kernels/cuda/conv_wide_unit.h"

#if CU_HOPPER

/* Where a warp that multiplies is in the rings. */
struct wide_place {
    ring_place weights, rows;
};

/* What a layer's weights are multiplied with: rows of the ring, or a unit's hidden ones. */
struct wide_factor {
    int32_t n_groups, n_taps, shift, shift_step; /* conv_item */
    int32_t pitch;                               /* from plane to plane */
    bool is_hidden;
};

/* Where a warp that multiplies is in an item: a stage of rows, in it a tap. */
struct wide_step {
    int32_t group, tap;
    int32_t rows_before; /* stage to hand back when what reads it is done; -1 = none */
};

template <class TILE>
WIDE_FN wide_factor factor_of(const wide_run &run, const conv_item &at, bool is_hidden) {
    if (TILE::DOES_UNITS && is_hidden)
        return {weight_groups(&run.pointwise.shape), 1, 0, 0, TILE::ROWS, true};
    return {weight_groups(&run.conv.w.shape), at.n_taps, at.shift, at.shift_step,
            TILE::ROWS + run.reach,           false};
}

/* sums += the products of the next tap. While those of the one before run its weights leave shared
 * memory, into registers that no product reads: static_proof sees to it. */
template <class TILE>
WIDE_FN void multiply_step(wide_sums<TILE> &sums, wide_step &step, const wide_factor &by,
                           int32_t n_row_stages, wide_rings<TILE> &rings, wide_place &place,
                           const wide_shared &shared) {
    product_weights w;
    mbarrier_wait(&rings.weights.full[place.weights.stage], place.weights.parity);
    take_weights(w,
                 shared.weights + place.weights.stage * TILE::STAGE +
                     threadIdx.x / GROUP_THREADS * GROUP_RUN,
                 by.n_groups - step.group);
    hand_back(&rings.weights.empty[place.weights.stage]);
    ring_next(place.weights, TILE::STAGES);
    wgmma_wait<0>();
    if (step.tap == 0 && !by.is_hidden) {
        if (step.rows_before >= 0)
            hand_back(&rings.rows.empty[step.rows_before]);
        mbarrier_wait(&rings.rows.full[place.rows.stage], place.rows.parity);
    }
    const uint4 *rows = by.is_hidden ? shared.hidden + step.group * BRICK_ROW_CHUNKS * by.pitch
                                     : shared.rows + place.rows.stage * WIDE_PLANES * by.pitch;
    rows += by.shift + step.tap * by.shift_step;
    multiply_weights<false>(sums.a, w, rows, by.pitch);
    if constexpr (TILE::ROWS_B > 0)
        multiply_weights<false>(sums.b, w, rows + TILE::ROWS_A, by.pitch);
    if (++step.tap < by.n_taps)
        return;
    step.tap = 0;
    step.group += STAGE_BRICKS;
    if (by.is_hidden)
        return;
    step.rows_before = place.rows.stage;
    ring_next(place.rows, n_row_stages);
}

/* sums += a layer's products of an item. */
template <class TILE>
WIDE_FN void multiply_layer(wide_sums<TILE> &sums, const wide_factor &by, int32_t n_row_stages,
                            wide_rings<TILE> &rings, wide_place &place, const wide_shared &shared) {
    wide_step step = {0, 0, -1};
    int32_t left = (by.n_groups + STAGE_BRICKS - 1) / STAGE_BRICKS * by.n_taps;
#pragma unroll TILE::STEPS
    for (; left > 0; left--)
        multiply_step<TILE>(sums, step, by, n_row_stages, rings, place, shared);
    wgmma_wait<0>();
    if (!by.is_hidden)
        hand_back(&rings.rows.empty[step.rows_before]);
}

template <class TILE>
WIDE_FN void multiply_items(const wide_run &run, wide_rings<TILE> &rings,
                            const wide_shared &shared) {
    wide_place place = {{0, 0}, {0, 0}};
    float *piece = shared.pieces + threadIdx.x / 32 * TILE::PIECE;
    row_pair *of_group = shared.pairs + threadIdx.x / GROUP_THREADS * TILE::ROWS;
    grid_wait();
    each_item<TILE>(run, [&](const conv_item &at) {
        wide_sums<TILE> sums = {};
        find_rows<TILE>(of_group, run, at);
#pragma unroll 1 /* one piece of code: registers are those of one layer */
        for (int layer = 0; layer < 1 + TILE::DOES_UNITS; layer++) {
            if (layer > 0)
                pass_hidden<TILE>(sums, run, shared.hidden);
            multiply_layer<TILE>(sums, factor_of<TILE>(run, at, layer > 0), run.n_row_stages, rings,
                                 place, shared);
        }
        if constexpr (TILE::DOES_UNITS)
            multipliers_meet<TILE>(); /* nobody reads hidden rows */
        finish_item<TILE>(sums, run, at, piece, of_group);
    });
}

#endif
#endif
