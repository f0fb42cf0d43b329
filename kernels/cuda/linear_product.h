/* linear_product.h - the kernel of `linear`, and its launch. What it does: linear_tile.h. */
#ifndef MILL_KERNELS_CUDA_LINEAR_PRODUCT_H
#define MILL_KERNELS_CUDA_LINEAR_PRODUCT_H

#include "kernels/cuda/arrival.h"
#include "kernels/cuda/linear_slices.h"

template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    linear_product(const __grid_constant__ struct linear_run run) {
    CU_DYN_SHARED(uint4, shared);
    linear_place<TILE> at = place_of<TILE>(run, shared);
    grid_start_next();
    grid_wait();
    for (int stage = 0; stage < TILE::STAGES - 1; stage++)
        fetch(run, at, stage);
    if constexpr (TILE::SLICES == 1) {
        sum_in_lanes(run, at, shared);
    } else {
        int32_t n_slots = min(stages_of(at), TILE::STAGES);
        uint4 *behind = shared + n_slots * TILE::SLICES * TILE::STAGE;
        sum_slices(run, at, reinterpret_cast<typename TILE::KIND::word *>(behind));
    }
    if (run.n_splits > 1 && arrive_last(run.arrived + blockIdx.x, run.n_splits))
        finish_splits<TILE>(run, at.row, at.out);
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static void launch_tile(struct mill_backend *backend, const struct linear_plan *plan,
                        const struct linear_run *run) {
    dim3 grid((uint32_t)plan->n_tiles, (uint32_t)plan->n_splits);
    CU_LAUNCH_EARLY(linear_product<TILE>, grid, dim3(TILE::THREADS), (size_t)plan->shared_bytes,
                    backend, *run);
}

template <class TILE> static constexpr struct linear_kernel kernel_of(struct linear_pace pace) {
    struct linear_kernel kernel = {};
    kernel.kind = TILE::KIND::ID;
    kernel.n_rows = TILE::ROWS;
    kernel.n_outs = TILE::OUTS;
    kernel.n_warps = TILE::THREADS / 32;
    kernel.n_blocks = 1;
    kernel.n_slices = TILE::SLICES;
    kernel.stages_a_chunk = TILE::STAGES_A_CHUNK;
    kernel.n_stages = TILE::STAGES;
    kernel.stage_bytes = TILE::SLICES * TILE::STAGE * (int32_t)sizeof(uint4);
    kernel.exchange_bytes = TILE::EXCHANGE * (int32_t)sizeof(float);
    kernel.max_segments = TILE::MANY ? INT32_MAX : 1;
    kernel.pace = pace;
    kernel.function = linear_product<TILE>;
    kernel.launch = launch_tile<TILE>;
    return kernel;
}

#endif
