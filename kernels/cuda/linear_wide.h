/* linear_wide.h - the kernel of `linear` for many rows: products of warp groups (sm_90a).
 *
 * A tile is 64 outputs of ROWS rows for each warp group that multiplies (product_hopper.h). As many
 * blocks as the card has multiprocessors share out the tiles, those of the same outputs at the same
 * time; while a tile is finished, the warps that send are stages ahead in the next. Weights are
 * sent before the launch in front has ended, rows behind it, as linear_prepare.cu has left them.
 *
 * With all multiprocessors at work the L2 cache is what they wait for. So two blocks beside each
 * other may be a cluster: of the same outputs and two tiles of rows, or of the same rows and two of
 * outputs. What both need each asks for half of, for both: three quarters of the bytes.
 *
 * Chunk by chunk, segment by segment the order of sums is that of linear.h. An instruction sums the
 * same sixteen products as mma_bf16 does in the other kernels, and gives the same bits: measured on
 * an H200. Where tiles are too few, a block takes one segment of a tile: its warp groups leave
 * their sums in memory as their lanes hold them, and the last group to come adds them up. */
#ifndef MILL_KERNELS_CUDA_LINEAR_WIDE_H
#define MILL_KERNELS_CUDA_LINEAR_WIDE_H

#include "kernels/cuda/linear_wide_feed.h"
#include "kernels/cuda/linear_wide_finish.h"

#if CU_HOPPER

/* A lane's weights of the stages that are under way. */
struct chunk_weights {
    product_weights of[CHUNK_STAGES];
};

/* Waits for a stage, and takes its weights, of which n_groups are there. */
template <class TILE>
LINEAR_FN void take_stage(product_weights &w, product_ring<TILE::STAGES> &ring,
                          const ring_place &place, const uint4 *shared, int32_t n_groups) {
    mbarrier_wait(&ring.full[place.stage], place.parity);
    take_weights(w, shared + place.stage * TILE::STAGE + threadIdx.x / GROUP_THREADS * GROUP_RUN,
                 n_groups);
}

/* sum = the products of a chunk, the first of n_groups. Its first stage's weights have been taken;
 * those of the next chunk's are, if there is one, while the last products here go on. */
template <class TILE>
LINEAR_FN void multiply_chunk(float (&sum)[TILE::SUMS], chunk_weights &w,
                              product_ring<TILE::STAGES> &ring, ring_place &place,
                              const uint4 *shared, int32_t n_groups) {
    uint64_t *before = NULL;
#pragma unroll
    for (int i = 0; i < CHUNK_STAGES; i++) {
        const uint4 *rows = shared + place.stage * TILE::STAGE + TILE::ROWS_AT;
        if (i == 0)
            multiply_weights<true>(sum, w.of[i], rows, TILE::ROWS);
        else
            multiply_weights<false>(sum, w.of[i], rows, TILE::ROWS);
        if (i > 0) {
            wgmma_wait<1>();
            hand_back<TILE::CLUSTER>(before);
        }
        before = &ring.empty[place.stage];
        ring_next(place, TILE::STAGES);
        if (i + 1 < CHUNK_STAGES || n_groups > LINEAR_CHUNK)
            take_stage<TILE>(w.of[(i + 1) % CHUNK_STAGES], ring, place, shared,
                             n_groups - (i + 1) * STAGE_BRICKS);
    }
    wgmma_wait<0>();
    hand_back<TILE::CLUSTER>(before);
}

/* total += the products of n_groups, in segments. */
template <class TILE>
LINEAR_FN void sum_item(float (&total)[TILE::SUMS], product_ring<TILE::STAGES> &ring,
                        ring_place &place, const uint4 *shared, int32_t n_groups) {
    float sum[TILE::SUMS], segment[TILE::SUMS] = {};
    chunk_weights w;
    take_stage<TILE>(w.of[0], ring, place, shared, n_groups);
    for (int32_t done = 0; done < n_groups;) {
        multiply_chunk<TILE>(sum, w, ring, place, shared, n_groups - done);
        add_sums(segment, sum);
        done += LINEAR_CHUNK;
        if (done % (LINEAR_CHUNK * LINEAR_SEGMENT) && done < n_groups)
            continue;
        add_sums(total, segment);
#pragma unroll
        for (int k = 0; k < TILE::SUMS; k++)
            segment[k] = 0;
    }
}

template <class TILE>
LINEAR_FN void multiply_items(const struct linear_run &run, product_ring<TILE::STAGES> &ring,
                              uint4 *shared) {
    ring_place place = {0, 0};
    grid_wait();
#pragma unroll 1
    for (int32_t i = blockIdx.x; i < items_of<TILE>(run); i += gridDim.x) {
        float sum[TILE::SUMS] = {};
        sum_item<TILE>(sum, ring, place, shared, item_of<TILE>(run, i).n_groups);
        const wide_item at = item_of<TILE>(run, i);
        if (run.n_splits == 1 || meet_splits<TILE>(sum, run, at))
            finish_item<TILE>(sum, run, at,
                              reinterpret_cast<float *>(shared + TILE::STAGES * TILE::STAGE));
    }
}

#endif

template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, 1)
    linear_wide(const __grid_constant__ struct linear_run run) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, shared);
    CU_SHARED(product_ring<TILE::STAGES>, ring);
    const int32_t warp = warp_of_block();
    grid_start_next();
    if (threadIdx.x == 0) {
        ring_init(ring, 1 + TILE::GROUPS, TILE::CLUSTER * TILE::MULTIPLIERS / 32);
        fence_barrier_init();
    }
    if constexpr (TILE::CLUSTER > 1)
        cluster_sync();
    else
        __syncthreads();
    take_trades<TILE>(
        warp, [&] { multiply_items<TILE>(run, ring, shared); },
        [&](int32_t sender) {
            if (sender == 0)
                send_rows<TILE>(run, ring, shared);
            else
                send_weights<TILE>(run, ring, shared, sender - 1);
        });
#else
    __trap(); /* code for another card */
#endif
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static void launch_wide(struct mill_backend *backend, const struct linear_plan *plan,
                        const struct linear_run *run) {
    int32_t items = plan->n_tiles * plan->n_splits, most = backend->n_processors / TILE::CLUSTER;
    uint32_t clusters = (uint32_t)(items < most ? items : most);
    CU_LAUNCH_CLUSTERS(TILE::CLUSTER, linear_wide<TILE>, dim3(clusters * TILE::CLUSTER),
                       dim3(TILE::THREADS), (size_t)plan->shared_bytes, backend, *run);
}

template <class TILE> static constexpr struct linear_kernel wide_of(struct linear_pace pace) {
    struct linear_kernel kernel = {};
    kernel.kind = LINEAR_BF16_WIDE;
    kernel.n_rows = TILE::ALL_ROWS;
    kernel.n_outs = TILE::ALL_OUTS;
    kernel.n_warps = TILE::THREADS / 32;
    kernel.n_wide = TILE::GROUPS * TILE::CLUSTER;
    kernel.n_blocks = TILE::CLUSTER;
    kernel.block_rows = TILE::ROWS;
    kernel.exchange_bytes = TILE::RING_BYTES + TILE::PIECES_BYTES;
    kernel.pace = pace;
    kernel.function = linear_wide<TILE>;
    kernel.launch = launch_wide<TILE>;
    return kernel;
}

#endif
