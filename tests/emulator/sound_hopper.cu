/* sound_hopper.cu - see sound_kernels.h: mbarriers, bulk copies, products of warp groups. */
#include "tests/emulator/sound_kernels.h"

#include "kernels/cuda/hopper.h"

#if CU_HOPPER

enum { A_ROWS = 64, B_ROWS = 32, A_BYTES = A_ROWS * 128, B_BYTES = B_ROWS * 128, STAGES = 2 };
enum { STAGE_BYTES = A_BYTES + B_BYTES };

/* 64 more products of each output. */
static __device__ __forceinline__ void multiply(float (&d)[B_ROWS / 2], const unsigned char *a,
                                                const unsigned char *b) {
    wgmma_fence();
    for (int k = 0; k < 64; k += 16)
        wgmma_bf16(d, wgmma_operand(a, k), wgmma_operand(b, k));
    wgmma_commit();
    wgmma_wait<0>();
}

template <size_t R> static __device__ __forceinline__ void store(float *c, const float (&d)[R]) {
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    for (int i = 0; i < (int)R; i++) {
        int row = 16 * warp + lane / 4 + 8 * (i / 2 % 2);
        c[row * 2 * (int)R + 8 * (i / 4) + 2 * (lane % 4) + i % 2] = d[i];
    }
}

static __device__ __forceinline__ void copy_stages(unsigned char *stages, uint64_t *full,
                                                   uint64_t *empty, const uint16_t *a_tiles,
                                                   const uint16_t *b_tiles, int n_steps) {
    for (int step = 0; step < n_steps; step++) {
        int stage = step % STAGES;
        if (step >= STAGES)
            mbarrier_wait(&empty[stage], (step / STAGES - 1) % 2);
        mbarrier_arrive_expect(&full[stage], STAGE_BYTES);
        unsigned char *to = stages + stage * STAGE_BYTES;
        bulk_copy(to, a_tiles + step * A_BYTES / 2, A_BYTES, &full[stage]);
        bulk_copy(to + A_BYTES, b_tiles + step * B_BYTES / 2, B_BYTES, &full[stage]);
    }
}

__global__ void wgmma_pipeline(float *c, const uint16_t *a_tiles, const uint16_t *b_tiles,
                               int n_steps) {
    CU_DYN_SHARED(unsigned char, stages);
    CU_SHARED(uint64_t, full, [STAGES]);
    CU_SHARED(uint64_t, empty, [STAGES]);
    int warp = (int)threadIdx.x / 32;
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; stage++) {
            mbarrier_init(&full[stage], 1);
            mbarrier_init(&empty[stage], 4);
        }
        fence_barrier_init();
    }
    __syncthreads();
    if (warp == 4) {
        if (threadIdx.x % 32 == 0)
            copy_stages(stages, full, empty, a_tiles, b_tiles, n_steps);
        return;
    }
    float d[B_ROWS / 2] = {};
    for (int step = 0; step < n_steps; step++) {
        int stage = step % STAGES;
        mbarrier_wait(&full[stage], step / STAGES % 2);
        multiply(d, stages + stage * STAGE_BYTES, stages + stage * STAGE_BYTES + A_BYTES);
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            mbarrier_arrive(&empty[stage]);
    }
    store(c, d);
}

void launch_wgmma_pipeline(float *c, const uint16_t *a_tiles, const uint16_t *b_tiles, int k,
                           cudaStream_t stream) {
    CU_LAUNCH(wgmma_pipeline, 1, 160, STAGES * STAGE_BYTES, stream, c, a_tiles, b_tiles, k / 64);
}

/* Columns k0 .. k0 + 63 of rows, 16 bytes a store. */
static __device__ __forceinline__ void store_tile(unsigned char *tile, const uint16_t *from,
                                                  int rows, int k0, int k) {
    for (int piece = (int)threadIdx.x; piece < rows * 8; piece += (int)blockDim.x) {
        int row = piece / 8, column = piece % 8 * 8;
        *reinterpret_cast<uint4 *>(tile + swizzle_128((uint32_t)(row * 128 + column * 2))) =
            *reinterpret_cast<const uint4 *>(from + row * k + k0 + column);
    }
}

__global__ void wgmma_stored(float *c, const uint16_t *a, const uint16_t *b, int k) {
    CU_DYN_SHARED(unsigned char, tiles);
    float d[B_ROWS / 2] = {};
    for (int k0 = 0; k0 < k; k0 += 64) {
        store_tile(tiles, a, A_ROWS, k0, k);
        store_tile(tiles + A_BYTES, b, B_ROWS, k0, k);
        fence_async();
        __syncthreads();
        multiply(d, tiles, tiles + A_BYTES);
        __syncthreads();
    }
    store(c, d);
}

void launch_wgmma_stored(float *c, const uint16_t *a, const uint16_t *b, int k,
                         cudaStream_t stream) {
    CU_LAUNCH(wgmma_stored, 1, 128, STAGE_BYTES, stream, c, a, b, k);
}

/* Columns k0 .. k0 + 15 of rows in two planes. */
static __device__ __forceinline__ void store_planes(uint4 *planes, int pitch, const uint16_t *from,
                                                    int rows, int k0, int k) {
    for (int i = (int)threadIdx.x; i < 2 * rows; i += (int)blockDim.x)
        planes[i % 2 * pitch + i / 2] =
            *reinterpret_cast<const uint4 *>(from + i / 2 * k + k0 + i % 2 * 8);
}

__global__ void wgmma_shifted(float *c, const uint16_t *a, const uint16_t *b, int k) {
    const int shift = 3, a_pitch = 70, b_pitch = 98;
    CU_DYN_SHARED(uint4, planes);
    float d[48] = {};
    for (int k0 = 0; k0 < k; k0 += 16) {
        uint4 *b_planes = planes + 2 * a_pitch;
        store_planes(planes, a_pitch, a, A_ROWS + shift, k0, k);
        store_planes(b_planes, b_pitch, b, 96, k0, k);
        fence_async();
        __syncthreads();
        wgmma_fence();
        wgmma_bf16(d, wgmma_planes(planes + shift, 16 * a_pitch),
                   wgmma_planes(b_planes, 16 * b_pitch));
        wgmma_commit();
        wgmma_wait<0>();
        __syncthreads();
    }
    store(c, d);
}

void launch_wgmma_shifted(float *c, const uint16_t *a, const uint16_t *b, int k,
                          cudaStream_t stream) {
    CU_LAUNCH(wgmma_shifted, 1, 128, 2 * (70 + 98) * 16, stream, c, a, b, k);
}

#endif
