/* reduce.h - sums and maxima over a warp and over a block, each in one fixed order, so that every
 * thread gets the same bits. Part of ptx.h. Blocks are one-dimensional and whole warps; every
 * thread of the block calls. */
#ifndef MILL_KERNELS_CUDA_REDUCE_H
#define MILL_KERNELS_CUDA_REDUCE_H

#include "kernels/cuda/device.h"

#define REDUCE static __device__ __forceinline__

REDUCE float warp_sum(float value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

REDUCE float warp_max(float value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, distance));
    return value;
}

/* The block's is the sum of the warps' in the order of the warps. The barrier at the end lets the
 * next call write `of_warp` again. */
REDUCE float block_sum(float value) {
    CU_SHARED(float, of_warp, [32]);
    value = warp_sum(value);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warp[0];
    for (uint32_t warp = 1; warp < blockDim.x / 32; warp++)
        value += of_warp[warp];
    __syncthreads();
    return value;
}

REDUCE float block_max(float value) {
    CU_SHARED(float, of_warp, [32]);
    value = warp_max(value);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warp[0];
    for (uint32_t warp = 1; warp < blockDim.x / 32; warp++)
        value = fmaxf(value, of_warp[warp]);
    __syncthreads();
    return value;
}

#undef REDUCE
#endif
