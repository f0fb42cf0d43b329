/* conv_rates.h - what the convolutions' launchers take for granted about cards, in one place. All
 * of it is estimated: on a card, gpu-check's calibration says whether warp groups multiply as their
 * model does, and bench_tiles how fast each tile is. Neither changes what a layer's result means;
 * but a card that goes by other products has other last bits. */
#ifndef MILL_KERNELS_CUDA_CONV_RATES_H
#define MILL_KERNELS_CUDA_CONV_RATES_H

enum {
    CONV_BY_WARP_GROUPS = 1 /* sm_90 goes by conv_hopper; 0 = by conv_mma, as sm_80 */
};

/* Products a second of a multiprocessor full of such blocks; 1 = of the kernel's best tile. */
#define CONV_RATE_MMA_WIDE 1.0f
#define CONV_RATE_MMA_SHORT 0.7f
#define CONV_RATE_MMA_SMALL 0.4f
#define CONV_RATE_HOPPER_256 1.0f
#define CONV_RATE_HOPPER_64 0.5f
#define CONV_RATE_FFMA_64 1.0f
#define CONV_RATE_FFMA_16 0.5f

#endif
