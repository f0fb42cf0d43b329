/* faulty_kernels.h - kernels that break a rule the plain emulator watches over, one each. */
#ifndef MILL_TESTS_EMULATOR_FAULTY_KERNELS_H
#define MILL_TESTS_EMULATOR_FAULTY_KERNELS_H

#include <cuda_runtime_api.h>

/* One block of 64 threads; y has 64 elements. */
void launch_two_barriers(int *y, cudaStream_t);
void launch_early_return(int *y, cudaStream_t);
void launch_barrier_deadlock(int *y, cudaStream_t);
void launch_endless_spin(int *y, cudaStream_t);
void launch_shuffle_outside_mask(int *y, cudaStream_t);
void launch_vote_without_own_lane(int *y, cudaStream_t);
void launch_lane_returns(int *y, cudaStream_t);
void launch_different_operations(int *y, cudaStream_t);
void launch_far_write(int *y, cudaStream_t);
void launch_near_write(int *y, cudaStream_t); /* y[0] */
void launch_shared_overrun(int *y, cudaStream_t);
void launch_misaligned_rows(int *y, cudaStream_t);
void launch_division_by_zero(int *y, cudaStream_t);
void launch_early_without_wait(int *y, cudaStream_t); /* may begin early */

#endif
