/* conv_wide_product.h - the product of prepared rows (conv_wide.h) with weights, on the device. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_PRODUCT_H
#define MILL_KERNELS_CUDA_CONV_WIDE_PRODUCT_H

#include "kernels/cuda/conv_wide_finish.h"

#if CU_HOPPER

/* Where a warp that multiplies is in the rings. */
struct wide_place {
    ring_place weights, rows;
};

/* Where a warp that multiplies is in an item: a stage of rows, in it a tap. */
struct wide_step {
    int32_t group, tap;
    int32_t rows_before; /* stage to hand back when what reads it is done; -1 = none */
};

/* sums += the products of the next tap. While those of the one before run, from weights in other
 * registers, its own are taken. */
template <class TILE>
WIDE_FN void multiply_step(wide_sums<TILE> &sums, product_weights &w, wide_step &step,
                           const wide_run &run, const conv_item &at, wide_rings<TILE> &rings,
                           wide_place &place, const wide_shared &shared) {
    int32_t n_rows = TILE::ROWS + run.reach, n_groups = weight_groups(&run.conv.w.shape);
    mbarrier_wait(&rings.weights.full[place.weights.stage], place.weights.parity);
    take_weights(w,
                 shared.weights + place.weights.stage * TILE::STAGE +
                     threadIdx.x / GROUP_THREADS * GROUP_RUN,
                 n_groups - step.group);
    hand_back(&rings.weights.empty[place.weights.stage]);
    ring_next(place.weights, TILE::STAGES);
    wgmma_wait<0>();
    if (step.tap == 0) {
        if (step.rows_before >= 0)
            hand_back(&rings.rows.empty[step.rows_before]);
        mbarrier_wait(&rings.rows.full[place.rows.stage], place.rows.parity);
    }
    const uint4 *rows =
        shared.rows + place.rows.stage * WIDE_PLANES * n_rows + at.shift + step.tap * at.shift_step;
    multiply_weights<false>(sums.a, w, rows, n_rows);
    if constexpr (TILE::ROWS_B > 0)
        multiply_weights<false>(sums.b, w, rows + TILE::ROWS_A, n_rows);
    if (++step.tap < at.n_taps)
        return;
    step.tap = 0;
    step.group += STAGE_BRICKS;
    step.rows_before = place.rows.stage;
    ring_next(place.rows, run.n_row_stages);
}

/* sums += the item's products. */
template <class TILE>
WIDE_FN void multiply_item(wide_sums<TILE> &sums, const wide_run &run, const conv_item &at,
                           wide_rings<TILE> &rings, wide_place &place, const wide_shared &shared) {
    product_weights even, odd; /* a product reads registers until wgmma_wait */
    wide_step step = {0, 0, -1};
    int32_t left = run.n_stages * at.n_taps;
#pragma unroll 1
    for (; left > 1; left -= 2) {
        multiply_step<TILE>(sums, even, step, run, at, rings, place, shared);
        multiply_step<TILE>(sums, odd, step, run, at, rings, place, shared);
    }
    if (left > 0)
        multiply_step<TILE>(sums, even, step, run, at, rings, place, shared);
    wgmma_wait<0>();
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
        multiply_item<TILE>(sums, run, at, rings, place, shared);
        finish_item<TILE>(sums, run, at, piece, of_group);
    });
}

#endif
#endif
