/* conv_rates.h - what the convolutions' launchers take for granted about cards, in one place: which
 * kernel does a layer on sm_90, and how long a block of each tile takes. Measured on an H200
 * (bench/results/nvidia-h200/tiles.csv, which bench_tiles prints); other cards go by the same,
 * which says how tiles stand to each other. Paces only choose among tiles of a kernel and change no
 * bit; a layer that goes by the other kernel has other last bits. */
#ifndef MILL_KERNELS_CUDA_CONV_RATES_H
#define MILL_KERNELS_CUDA_CONV_RATES_H

#include "kernels/cuda/conv.h"

enum {
    CONV_BY_WARP_GROUPS = 1,     /* sm_90 goes by conv_hopper; 0 = by conv_mma, as sm_80 */
    CONV_WARP_GROUP_INPUTS = 768 /* of layers that do, at most */
};

/* Least squares of the logarithms of the table's times, 4 us for a launch left out. (conv_hopper's
 * table is from when one warp sent its weights.) */
static constexpr struct conv_pace CONV_PACE_MMA_WIDE = {6.4f, 1.7f, 1.03f, 1.4f};
static constexpr struct conv_pace CONV_PACE_MMA_SHORT = {3.5f, 1.1f, 0.77f, 2.8f};
static constexpr struct conv_pace CONV_PACE_MMA_SMALL = {2.3f, 1.0f, 0.57f, 3.4f};
static constexpr struct conv_pace CONV_PACE_HOPPER_256 = {12.1f, 3.1f, 0.83f, 1.0f};
static constexpr struct conv_pace CONV_PACE_HOPPER_64 = {5.5f, 0.5f, 0.97f, 1.5f};
static constexpr struct conv_pace CONV_PACE_FFMA_64 = {1.6f, 1.8f, 2.98f, 1.6f};
static constexpr struct conv_pace CONV_PACE_FFMA_16 = {0.7f, 0.7f, 2.13f, 1.6f};

#endif
