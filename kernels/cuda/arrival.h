/* arrival.h - the last of several blocks carries on with what all of them wrote.
 *
 * Each writes its part to device memory and counts itself; nobody waits. The counters are the
 * backend's `arrived`, zeros before and after. */
#ifndef MILL_KERNELS_CUDA_ARRIVAL_H
#define MILL_KERNELS_CUDA_ARRIVAL_H

#include "kernels/cuda/device.h"

/* Whether these threads, whose barrier is `sync`, are the last of n to come here; what the others
 * wrote before can then be read. All of them call and get the same answer, by way of `last` in
 * shared memory; one of them is first. */
template <class SYNC>
static __device__ __forceinline__ bool arrive_last(int32_t *arrived, int32_t n, bool *last,
                                                   bool is_first, SYNC sync) {
    __threadfence();
    sync();
    if (is_first) {
        *last = atomicAdd(arrived, 1) == n - 1;
        if (*last)
            atomicExch(arrived, 0);
    }
    sync();
    __threadfence();
    return *last;
}

/* The same for a block. */
static __device__ __forceinline__ bool arrive_last(int32_t *arrived, int32_t n) {
    CU_SHARED(bool, last);
    return arrive_last(arrived, n, &last, threadIdx.x == 0, [] { __syncthreads(); });
}

#endif
