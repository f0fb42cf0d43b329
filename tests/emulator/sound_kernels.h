/* sound_kernels.h - kernels without a fault, each of another way for threads to work together:
 * their results are checked in all orders, and the checker must not say a word about them. */
#ifndef MILL_TESTS_EMULATOR_SOUND_KERNELS_H
#define MILL_TESTS_EMULATOR_SOUND_KERNELS_H

#include <cuda_runtime_api.h>

#include <stdint.h>

/* c[m][n] = a[m][k] b[n][k]^T, bf16; k a multiple of 8. */
void launch_gemm_bf16(float *c, const uint16_t *a, const uint16_t *b, int m, int n, int k,
                      cudaStream_t);
/* d[16][8] = a[16][32] b[8][32]^T of a warp; b unsigned or signed. */
void launch_mma_s8(int32_t *d, const void *a, const int8_t *b, bool a_unsigned, cudaStream_t);
/* y = x / sqrt(mean(x^2) + eps) * gain, a block a row. */
void launch_rms_norm(float *y, const float *x, const float *gain, int rows, int columns,
                     cudaStream_t);
/* Sums of 16 neighbours, half a warp each; the halves take different branches. */
void launch_half_warp_sums(int *sums, const int *x, int n, cudaStream_t);
/* total[0] = sum of x: the last block to finish adds the others' parts. count[0] is 0 before. */
void launch_last_block_sum(float *total, float *parts, unsigned *count, const float *x, int n,
                           cudaStream_t);
/* y = 2 x + 1: one warp produces, another consumes, by named barriers. n a multiple of 32. */
void launch_producer_consumer(float *y, const float *x, int n, cudaStream_t);
/* y[i] = x[n - 1 - i] within a warp, by shared memory and __syncwarp. n a multiple of 32. */
void launch_warp_reverse(int *y, const int *x, int n, cudaStream_t);
/* y[0] = x[0] + 1 by way of a flag another warp spins on. */
void launch_spin_on_flag(int *y, const int *x, cudaStream_t);
/* c[64][32] = a[64][k] b[32][k]^T, bf16, k a multiple of 64; b in planes, [k / 8][32][8]: bulk
 * copies by one warp, products by four, two stages. */
void launch_wgmma_pipeline(float *c, const uint16_t *a, const uint16_t *b_planes, int k,
                           cudaStream_t);
/* The same of plain rows, which the threads store as planes. */
void launch_wgmma_stored(float *c, const uint16_t *a, const uint16_t *b, int k, cudaStream_t);
/* y[b][64] = the sums of n_steps rows of x[n_steps][64], by each of n_blocks blocks b, two a
 * cluster, of which each sends half. */
void launch_cluster_sums(float *y, const float *x, int n_steps, int n_blocks, cudaStream_t);
/* y = {x[0], x[0] + 1}, by the two blocks of a cluster. count[0] is 0 before. */
void launch_cluster_flag(int *y, const int *x, unsigned *count, cudaStream_t);
/* y[i] += 1 */
void launch_increment(int *y, int n, cudaStream_t);
/* y += 2 x of 64 elements, by two launches that may begin early, behind one that makes y 0. */
void launch_early_sums(float *y, const float *x, cudaStream_t);
/* out = {ballot of odd lanes, any, all} of lane 5. */
void launch_votes(unsigned *out, cudaStream_t);

#endif
