/* conv_hopper_feed.h - the warps that load and the one that sends: see conv_hopper.h. */
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

/* Stages on their way: copies were begun of so many, so many were handed over. */
struct hopper_sender {
    int32_t begun, handed_over;
};

/* Two groups of a tap's channels for OUTS outputs; a lane copies a chunk of each brick. */
HOPPER_PART void copy_stage(uint4 *stage, const struct mill_weight &w, int32_t out, int32_t tap,
                            int32_t group) {
    int32_t lane = threadIdx.x % 32, n_groups = weight_groups(&w.shape);
    const uint4 *image = static_cast<const uint4 *>(w.image);
    for (int32_t brick = 0; brick < TILE::OUTS / BRICK_OUTS * TILE_GROUPS; brick++) {
        int32_t o = out + brick / TILE_GROUPS * BRICK_OUTS, g = brick % TILE_GROUPS;
        bool inside = o < w.shape.n_out && group + g < n_groups;
        int64_t at = weight_brick_at(&w.shape, o, tap, group + g) * BRICK_CHUNKS + lane;
        cp_async_16(stage + (g * 4 + lane % 4) * TILE::W_PITCH + o - out + lane / 4, image + at,
                    inside);
    }
}

HOPPER_PART void hand_over_stages(hopper_pipes<TILE> &pipes, hopper_sender &sender, int32_t n) {
    for (; sender.handed_over < n; sender.handed_over++)
        hand_over(pipes.stage_full, sender.handed_over, TILE::STAGES);
}

/* By one warp: the stages of n_taps taps, for every tile's channels. */
HOPPER_PART void send_stages(hopper_pipes<TILE> &pipes, hopper_sender &sender, uint4 *ring,
                             const struct mill_weight &w, int32_t out, int32_t n_taps,
                             int32_t first_tap, int32_t tap_step) {
    for (int32_t group = 0; group < weight_groups(&w.shape); group += TILE_GROUPS)
        for (int32_t tap = 0; tap < n_taps; tap++) {
            wait_empty(pipes.stage_empty, sender.begun, TILE::STAGES);
            copy_stage<TILE>(ring + sender.begun % TILE::STAGES * TILE::STAGE, w, out,
                             first_tap + tap * tap_step, group);
            cp_async_commit();
            sender.begun++;
            cp_async_wait<TILE::SENT_AHEAD>();
            hand_over_stages(pipes, sender, sender.begun - TILE::SENT_AHEAD);
        }
    cp_async_wait<0>();
    hand_over_stages(pipes, sender, sender.begun);
}

#undef HOPPER_PART

#endif
#endif
