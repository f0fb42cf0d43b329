/* probes.cu - one kernel for each instruction that static_proof counts, with nothing else of its
 * kind in it. An opcode of another number, or one counted in the wrong kernel, shows here first.
 * And a kernel with each fault. */
#include "kernels/cuda/hopper.h"

__global__ void probe_hmma(float *d, const uint32_t *a) {
#if CU_ARCH >= 800
    float sum[4] = {d[0], d[1], d[2], d[3]};
    const uint32_t left[4] = {a[0], a[1], a[2], a[3]}, right[2] = {a[4], a[5]};
    mma_bf16(sum, left, right);
    for (int i = 0; i < 4; i++)
        d[i + 4 * threadIdx.x] = sum[i];
#endif
}

__global__ void probe_imma(int32_t *d, const uint32_t *a) {
    int32_t sum[4] = {d[0], d[1], d[2], d[3]};
    const uint32_t left[4] = {a[0], a[1], a[2], a[3]}, right[2] = {a[4], a[5]};
    mma_s8(sum, left, right);
    for (int i = 0; i < 4; i++)
        d[i + 4 * threadIdx.x] = sum[i];
}

__global__ void probe_hgmma(float *d, const uint32_t *a) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, planes);
    const uint32_t w[4] = {a[0], a[1], a[2], a[3]};
    float sum[16] = {};
    wgmma_fence();
    wgmma_bf16(sum, w, wgmma_planes(planes, 1024));
    wgmma_commit();
    wgmma_wait<0>();
    for (int i = 0; i < 16; i++)
        d[i + 16 * threadIdx.x] = sum[i];
#endif
}

/* A copy to two blocks, and one to the own block. */
__global__ void probe_cluster(const float *in, int n) {
#if CU_HOPPER
    CU_SHARED(uint4, tile, [32]);
    CU_SHARED(uint64_t, full);
    cluster_sync();
    if (is_elected()) {
        bulk_copy_to(3, tile, in, 256, &full);
        if (n > 0)
            bulk_copy(tile + 16, in, 256, &full);
    }
#endif
}

/* Weights are loaded while the product before may still read the registers that they go to: what no
 * kernel of ours may do. */
__global__ void probe_written_over(float *d, const uint32_t *a, int n) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, planes);
    float sum[16] = {};
#pragma unroll 1
    for (int i = 0; i < n; i++) {
        const uint32_t w[4] = {a[4 * i], a[4 * i + 1], a[4 * i + 2], a[4 * i + 3]};
        wgmma_wait<0>();
        wgmma_fence();
        wgmma_bf16(sum, w, wgmma_planes(planes, 1024));
        wgmma_commit();
    }
    wgmma_wait<0>();
    for (int i = 0; i < 16; i++)
        d[i + 16 * threadIdx.x] = sum[i];
#endif
}

/* On one way only. */
__global__ void probe_stored_early(float *out, int n) {
    grid_start_next();
    if (n > 0)
        out[threadIdx.x] = 0;
    grid_wait();
    out[threadIdx.x + 64] = 1;
}

__global__ void probe_constant(float *out, const float *in) {
    out[threadIdx.x] = __ldg(&in[threadIdx.x]);
}

/* Two blocks a multiprocessor: 128 registers a thread at first, and one warp group wants 240, of
 * which the other has 104 to give. */
__global__ void __launch_bounds__(256, 2) probe_registers(float *out) {
#if CU_HOPPER
    if (threadIdx.x < 128) {
        registers_more<240>();
        out[threadIdx.x] = 1;
    } else {
        registers_fewer<24>();
        out[threadIdx.x] = 2;
    }
#endif
}

__global__ void probe_ldsm(uint32_t *out) {
    CU_SHARED(uint32_t, tile, [256]);
    tile[threadIdx.x] = threadIdx.x;
    __syncthreads();
    uint32_t r[4];
    ldmatrix_x4(r, &tile[threadIdx.x % 32 * 4]);
    out[threadIdx.x] = r[0] + r[1] + r[2] + r[3];
}

__global__ void probe_ldgsts(float *out, const float4 *in) {
    CU_SHARED(float4, tile, [32]);
    cp_async_16(&tile[threadIdx.x], &in[threadIdx.x], true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x ^ 1].x;
}

__global__ void probe_bar(float *out) {
    CU_SHARED(float, tile, [64]);
    tile[threadIdx.x] = out[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x ^ 33];
}

__global__ void probe_shfl(float *out) {
    out[threadIdx.x] += __shfl_xor_sync(0xffffffff, out[threadIdx.x], 1);
}

__global__ void probe_ffma(float *out) {
    out[threadIdx.x] = fmaf(out[threadIdx.x], out[threadIdx.x + 32], out[threadIdx.x + 64]);
}

/* An array in local memory: what no kernel of ours may have. Compiled without the warning flags. */
__global__ void probe_local(float *out, const int *at) {
    float values[32];
    for (int i = 0; i < 32; i++)
        values[i] = out[i];
    values[at[threadIdx.x] & 31] = 1;
    float sum = 0;
    for (int i = 0; i < 32; i++)
        sum += values[(i + at[i]) & 31];
    out[threadIdx.x] = sum;
}
