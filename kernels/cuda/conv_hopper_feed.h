/* conv_hopper_feed.h - the warps that load and those that send: see conv_hopper.h. */
#ifndef MILL_KERNELS_CUDA_CONV_HOPPER_FEED_H
#define MILL_KERNELS_CUDA_CONV_HOPPER_FEED_H

#include "kernels/cuda/conv_hopper.h"

#if CU_HOPPER

/* ------------------------------------------------------------------ loading */

HOPPER_PART void load_tiles(hopper_pipes<TILE> &pipes, uint4 *tiles, const struct conv_args &args,
                            const conv_rows &rows) {
    int32_t n_rows = TILE::ROWS + conv_reach(&args), n_groups = weight_groups(&args.w.shape);
    const tile_planes places = {planes_pitch(n_rows)};
    for (int32_t i = 0; i * TILE_GROUPS < n_groups; i++) {
        wait_empty(pipes.tile_empty, i, 2);
        load_tile<chunk_bf16, TILE::LOADERS, 4>(
            tiles + i % 2 * hopper_tile_chunks<TILE>(&args), places, n_rows, args, rows,
            i * TILE_GROUPS * GROUP_CHANNELS, threadIdx.x - TILE::MULTIPLIERS);
        hand_over(pipes.tile_full, i, 2);
    }
}

/* ------------------------------------------------------------------ sending */

/* Two groups of a tap's channels for OUTS outputs; a lane copies a chunk of each brick. */
HOPPER_PART void copy_stage(uint4 *stage, const struct mill_weight &w, int32_t out, int32_t tap,
                            int32_t group) {
    int32_t lane = threadIdx.x % 32, n_groups = weight_groups(&w.shape);
    const uint4 *from = static_cast<const uint4 *>(w.image) +
                        weight_brick_at(&w.shape, out, tap, group) * BRICK_CHUNKS + lane;
    int64_t to_next_outs = (int64_t)w.shape.n_taps * n_groups * BRICK_CHUNKS;
    bool both = group + 1 < n_groups;
    stage += lane % 4 * TILE::W_PITCH + lane / 4;
#pragma unroll
    for (int o = 0; o < TILE::OUTS; o += BRICK_OUTS) {
        bool inside = out + o < w.shape.n_out;
        cp_async_16(stage + o, from, inside);
        cp_async_16(stage + 4 * TILE::W_PITCH + o, from + BRICK_CHUNKS, inside && both);
        from += to_next_outs;
    }
}

/* The stages of n_taps taps, for every tile's channels, from number `stage` on; returns the next
 * one's. Every warp that sends takes its turn, so that as many copies are on their way, whatever
 * one of them waits for. */
HOPPER_PART int32_t send_stages(hopper_pipes<TILE> &pipes, uint4 *ring, const struct mill_weight &w,
                                int32_t out, int32_t n_taps, int32_t first_tap, int32_t tap_step,
                                int32_t stage) {
    int32_t sender = (threadIdx.x - TILE::MULTIPLIERS - TILE::LOADERS) / 32;
    for (int32_t group = 0; group < weight_groups(&w.shape); group += TILE_GROUPS)
        for (int32_t tap = 0; tap < n_taps; tap++, stage++) {
            if (stage % TILE::SENDERS != sender)
                continue;
            wait_empty(pipes.stage_empty, stage, TILE::STAGES);
            copy_stage<TILE>(ring + stage % TILE::STAGES * TILE::STAGE, w, out,
                             first_tap + tap * tap_step, group);
            cp_async_commit();
            cp_async_wait<0>();
            hand_over(pipes.stage_full, stage, TILE::STAGES);
        }
    return stage;
}

#undef HOPPER_PART

#endif
#endif
