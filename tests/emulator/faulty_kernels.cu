/* faulty_kernels.cu - see faulty_kernels.h. */
#include "tests/emulator/faulty_kernels.h"

#include "kernels/cuda/ptx.h"

#define LAUNCHER(kernel)                                                                           \
    void launch_##kernel(int *y, cudaStream_t stream) {                                            \
        CU_LAUNCH(kernel, 1, 64, 0, stream, y);                                                    \
    }

__global__ void two_barriers(int *y) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 0;
}
LAUNCHER(two_barriers)

__global__ void early_return(int *y) {
    if (threadIdx.x == 40)
        return;
    __syncthreads();
    y[threadIdx.x] = 0;
}
LAUNCHER(early_return)

__global__ void barrier_deadlock(int *y) {
    if (threadIdx.x < 32)
        barrier_sync(1, 64);
    else
        __syncthreads();
    y[threadIdx.x] = 0;
}
LAUNCHER(barrier_deadlock)

__global__ void endless_spin(int *y) {
    y[threadIdx.x] = 0;
    __syncthreads();
    while (atomicAdd(&y[threadIdx.x], 0) == 0)
        __nanosleep(100);
}
LAUNCHER(endless_spin)

__global__ void shuffle_outside_mask(int *y) {
    if (threadIdx.x % 32 < 16)
        y[threadIdx.x] = __shfl_sync(0x0000ffff, (int)threadIdx.x, 20);
}
LAUNCHER(shuffle_outside_mask)

__global__ void vote_without_own_lane(int *y) {
    y[threadIdx.x] = (int)__ballot_sync(0x7fffffff, threadIdx.x < 8);
}
LAUNCHER(vote_without_own_lane)

__global__ void lane_returns(int *y) {
    if (threadIdx.x == 3)
        return;
    y[threadIdx.x] = __shfl_xor_sync(0xffffffff, (int)threadIdx.x, 1);
}
LAUNCHER(lane_returns)

__global__ void different_operations(int *y) {
    int value = (int)threadIdx.x;
    if (threadIdx.x % 2)
        value = __shfl_xor_sync(0xffffffff, value, 1);
    else
        __syncwarp();
    y[threadIdx.x] = value;
}
LAUNCHER(different_operations)

__global__ void far_write(int *y) {
    if (threadIdx.x == 0)
        y[64 + 10] = 1;
}
LAUNCHER(far_write)

__global__ void near_write(int *y) {
    if (threadIdx.x == 0)
        y[0] = 1;
}
LAUNCHER(near_write)

__global__ void shared_overrun(int *y) {
    CU_SHARED(int, few, [64]);
    few[threadIdx.x + 1] = 5;
    __syncthreads();
    y[threadIdx.x] = few[threadIdx.x];
}
LAUNCHER(shared_overrun)

__global__ void misaligned_rows(int *y) {
    CU_SHARED(uint16_t, tile, [32][12]);
    uint32_t r[4];
    ldmatrix_x4(r, tile[threadIdx.x % 32]);
    y[threadIdx.x] = (int)(r[0] + r[3]);
}
LAUNCHER(misaligned_rows)

__global__ void division_by_zero(int *y) {
    y[threadIdx.x] = 0;
    __syncthreads();
    y[threadIdx.x] = 7 / y[63 - threadIdx.x];
}
LAUNCHER(division_by_zero)

__global__ void early_without_wait(int *) {
    grid_start_next();
}
void launch_early_without_wait(int *y, cudaStream_t stream) {
    const struct { cudaStream_t stream; } early = {stream};
    CU_LAUNCH_EARLY(early_without_wait, 1, 64, 0, &early, y);
}
