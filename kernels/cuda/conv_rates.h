/* conv_rates.h - what the convolutions' launchers take for granted about cards, in one place: which
 * kernel does a layer on sm_90, and how long a block of each tile takes. Measured on an H200
 * (bench/results/nvidia-h200/tiles.csv, which bench_tiles prints); other cards go by the same,
 * which says how tiles stand to each other. Paces only choose among tiles of a kernel and change no
 * bit; a layer that goes by the other kernel has other last bits. */
#ifndef MILL_KERNELS_CUDA_CONV_RATES_H
#define MILL_KERNELS_CUDA_CONV_RATES_H

#include "kernels/cuda/conv.h"

enum {
    CONV_BY_WARP_GROUPS = 1, /* sm_90 goes by conv_wide; 0 = by conv_mma, as sm_80 */
};

/* Least squares of the logarithms of the table's times, 4 us for a launch left out; for conv_wide 6
 * us for two, and 0.6 us for each MB that conv_prepare reads and writes. */
static constexpr struct conv_pace CONV_PACE_MMA_WIDE = {6.4f, 1.6f, 1.06f, 1.4f};
static constexpr struct conv_pace CONV_PACE_MMA_SHORT = {3.5f, 0.9f, 0.81f, 2.8f};
static constexpr struct conv_pace CONV_PACE_MMA_SMALL = {2.4f, 0.8f, 0.61f, 3.4f};
static constexpr struct conv_pace CONV_PACE_WIDE_192 = {3.43f, 0.07f, 0.72f, 1.0f};
static constexpr struct conv_pace CONV_PACE_WIDE_128 = {3.07f, 0.06f, 0.46f, 1.0f};
static constexpr struct conv_pace CONV_PACE_WIDE_96 = {1.23f, 0.10f, 0.21f, 1.48f};
static constexpr struct conv_pace CONV_PACE_WIDE_32 = {0.60f, 0.06f, 0.20f, 1.67f};
static constexpr struct conv_pace CONV_PACE_FFMA_64 = {2.3f, 1.3f, 3.12f, 1.6f};
static constexpr struct conv_pace CONV_PACE_FFMA_16 = {0.5f, 0.8f, 2.11f, 1.6f};

#endif
