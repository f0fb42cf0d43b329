/* conv_wide_unit.h - hidden rows of a unit at once: a lane's sums of the dilated convolution,
 * snaked and rounded, go to planes in shared memory, where the pointwise product reads them. */
#ifndef MILL_KERNELS_CUDA_CONV_WIDE_UNIT_H
#define MILL_KERNELS_CUDA_CONV_WIDE_UNIT_H

#include "kernels/cuda/conv_rows.h"
#include "kernels/cuda/conv_wide_finish.h"

#if CU_HOPPER

template <class TILE> WIDE_FN void multipliers_meet() {
    barrier_sync(1 + TILE::GROUPS, TILE::MULTIPLIERS);
}

/* Of two words, each a row's channels o and o + 8, where the lane four further has those of o + 1:
 * of one of the rows, what planes have side by side, (o, o + 1) and (o + 8, o + 9). */
WIDE_FN uint2 pair_channels(uint32_t row_0, uint32_t row_1) {
    const bool is_odd = threadIdx.x / 4 % 2; /* its o is the other's o + 1, its row the second */
    const uint32_t other = __shfl_xor_sync(0xffffffff, is_odd ? row_0 : row_1, 4);
    const uint32_t low = is_odd ? other : row_0, high = is_odd ? row_1 : other;
    return make_uint2((low & 0xffff) | high << 16, low >> 16 | (high & 0xffff0000));
}

/* The warp's sums as hidden rows, snaked and rounded, in planes of the block's: a lane has channels
 * g and g + 8 of the warp's sixteen, of every eighth row 2 q and the next. */
template <class TILE>
WIDE_FN void keep_hidden(const wide_sums<TILE> &sums, const wide_run &run, uint4 *hidden) {
    const struct mill_weight &w = run.conv.w;
    const int thread = thread_of_end();
    int32_t lane = thread % 32, g = lane / 4, out = thread / 32 * PIECE_OUTS;
    if (out >= wide_stages(&w.shape) * WIDE_CHANNELS)
        return;
    float alpha[2], inverse[2], bias[2];
    bool is_there[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int32_t o = out + g + 8 * i;
        is_there[i] = o < w.shape.n_out;
        alpha[i] = is_there[i] ? run.hidden_alpha[o] : 0;
        bias[i] = is_there[i] && w.bias ? w.bias[o] : 0;
        inverse[i] = snake_inverse(alpha[i]);
    }
    uint4 *plane = hidden + (out / GROUP_CHANNELS * 4 + g / 2) * TILE::ROWS;
    plane += lane % 4 * 2 + g % 2;
#pragma unroll
    for (int k = 0; k < TILE::ROWS / 8; k++) {
        float v[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            v[e] = snake(sums.at(4 * k + e) + bias[e / 2], alpha[e / 2], inverse[e / 2]);
            v[e] = is_there[e / 2] ? v[e] : 0;
        }
        reinterpret_cast<uint2 *>(plane + 8 * k)[out / PIECE_OUTS % 2] =
            pair_channels(pack_bf16(v[0], v[2]), pack_bf16(v[1], v[3]));
    }
}

/* Sums become hidden rows, which all warps have then; and are zeros. */
template <class TILE>
WIDE_FN void pass_hidden(wide_sums<TILE> &sums, const wide_run &run, uint4 *hidden) {
    /* There are none under way: so that the compiler sees it here too, or it has products wait for
     * each other. */
    wgmma_wait<0>();
    multipliers_meet<TILE>(); /* nobody reads pieces of before */
    keep_hidden<TILE>(sums, run, hidden);
    fence_async();
    multipliers_meet<TILE>();
    sums = {};
}

#endif
#endif
