/* arrival.h - the last of several blocks carries on with what all of them wrote.
 *
 * Each writes its part to device memory and counts itself; nobody waits. The counters are the
 * backend's `arrived`, zeros before and after. */
#ifndef MILL_KERNELS_CUDA_ARRIVAL_H
#define MILL_KERNELS_CUDA_ARRIVAL_H

#include "kernels/cuda/device.h"

/* Whether this block is the last of n to come here; what the others wrote before can then be read.
 * All threads call and get the same answer. */
static __device__ __forceinline__ bool arrive_last(int32_t *arrived, int32_t n) {
    CU_SHARED(bool, last);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1) == n - 1;
        if (last)
            atomicExch(arrived, 0);
    }
    __syncthreads();
    __threadfence();
    return last;
}

#endif
