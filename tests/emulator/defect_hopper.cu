/* defect_hopper.cu - see defect_kernels.h: mbarriers, bulk copies, products of warp groups. */
#include "tests/emulator/defect_kernels.h"

#include "kernels/cuda/hopper.h"

#if CU_HOPPER

DEFECT_KERNEL(barrier_init_without_sync, 1, 64, "barrier") {
    CU_SHARED(uint64_t, barrier);
    if (threadIdx.x == 0)
        mbarrier_init(&barrier, 64); /* DEFECT */
    else
        __nanosleep(20);
    mbarrier_arrive(&barrier); /* DEFECT */
    mbarrier_wait(&barrier, 0);
}

DEFECT_KERNEL(barrier_init_without_fence, 1, 64, "no fence_barrier_init") {
    CU_SHARED(float, tile, [64]);
    CU_SHARED(uint64_t, full);
    if (threadIdx.x == 0)
        mbarrier_init(&full, 1);
    __syncthreads();
    if (threadIdx.x == 32) {
        mbarrier_arrive_expect(&full, 256);
        bulk_copy(tile, x, 256, &full); /* DEFECT */
    }
    mbarrier_wait(&full, 0);
    y[threadIdx.x] = tile[threadIdx.x];
}

DEFECT_KERNEL(bulk_copy_without_wait, 1, 64, "copy") {
    CU_SHARED(float, tile, [64]);
    CU_SHARED(uint64_t, barrier);
    if (threadIdx.x == 0) {
        mbarrier_init(&barrier, 1);
        fence_barrier_init();
        mbarrier_arrive_expect(&barrier, 256);
        bulk_copy(tile, x, 256, &barrier); /* DEFECT */
        mbarrier_wait(&barrier, 0);
    }
    __syncwarp();
    if (threadIdx.x >= 32)
        y[threadIdx.x] = tile[threadIdx.x]; /* DEFECT */
}

DEFECT_KERNEL(bulk_copy_into_what_is_read, 1, 64, "shared memory") {
    CU_SHARED(float, tile, [64]);
    CU_SHARED(uint64_t, full, [3]);
    if (threadIdx.x == 0) {
        for (int i = 0; i < 3; i++)
            mbarrier_init(&full[i], 1);
        fence_barrier_init();
    }
    __syncthreads();
    for (int i = 0; i < 3; i++) {
        if (threadIdx.x == 0) {
            mbarrier_arrive_expect(&full[i], 256);
            bulk_copy(tile, x + 64 * i, 256, &full[i]); /* DEFECT */
        }
        mbarrier_wait(&full[i], 0);
        y[threadIdx.x] = tile[threadIdx.x];
    }
}

DEFECT_KERNEL(bulk_copy_of_more_than_expected, 1, 64, "deadlock") {
    CU_SHARED(float, tile, [64]);
    CU_SHARED(uint64_t, full);
    if (threadIdx.x == 0) {
        mbarrier_init(&full, 1);
        fence_barrier_init();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(&full, 128);
        bulk_copy(tile, x, 256, &full);
    }
    mbarrier_wait(&full, 0); /* DEFECT */
    y[threadIdx.x] = tile[threadIdx.x];
}

DEFECT_KERNEL(bulk_copy_over_what_threads_stored, 1, 64, "without fence_async after thread") {
    CU_SHARED(float, tile, [64]);
    CU_SHARED(uint64_t, full);
    if (threadIdx.x == 0) {
        mbarrier_init(&full, 1);
        fence_barrier_init();
    }
    tile[threadIdx.x] = 1; /* DEFECT */
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(&full, 256);
        bulk_copy(tile, x, 256, &full); /* DEFECT */
    }
    mbarrier_wait(&full, 0);
    y[threadIdx.x] = tile[threadIdx.x];
}

DEFECT_KERNEL(bulk_copy_of_what_threads_stored, 1, 64, "without fence_async after thread") {
    CU_SHARED(float, tile, [64]);
    CU_SHARED(uint64_t, full);
    if (threadIdx.x == 0) {
        mbarrier_init(&full, 1);
        fence_barrier_init();
    }
    y[threadIdx.x] = 1; /* DEFECT */
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(&full, 256);
        bulk_copy(tile, y, 256, &full); /* DEFECT */
    }
    mbarrier_wait(&full, 0);
    y[64 + threadIdx.x] = tile[threadIdx.x];
}

/* Lane 0 arrives for its warp, which has not met. */
DEFECT_KERNEL(stage_handed_back_by_one_lane, 1, 64, "without a barrier after") {
    CU_SHARED(float, tile, [32]);
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    if (threadIdx.x == 0) {
        mbarrier_init(&full, 1);
        mbarrier_init(&empty, 1);
        fence_barrier_init();
    }
    __syncthreads();
    for (int i = 0; i < 2; i++) {
        if (threadIdx.x == 32) {
            mbarrier_wait(&empty, i ^ 1);
            mbarrier_arrive_expect(&full, 128);
            bulk_copy(tile, x + 32 * i, 128, &full); /* DEFECT */
        }
        if (threadIdx.x < 32) {
            mbarrier_wait(&full, i);
            y[threadIdx.x] = tile[threadIdx.x]; /* DEFECT */
            if (threadIdx.x == 0)
                mbarrier_arrive(&empty);
        }
    }
}

enum { ROWS = 32 };

/* Both planes of b, all elements 1. */
static __device__ __forceinline__ void fill_planes(uint4 *planes) {
    if (threadIdx.x < 2 * ROWS)
        planes[threadIdx.x] = make_uint4(0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80);
}

DEFECT_KERNEL(wgmma_without_barrier, 1, 128, "without a barrier after thread") {
    CU_DYN_SHARED(uint4, planes);
    const uint32_t a[4] = {};
    float d[ROWS / 2] = {};
    fill_planes(planes);
    fence_async();
    wgmma_bf16(d, a, wgmma_planes(planes, 16 * ROWS)); /* DEFECT */
    wgmma_commit();
    wgmma_wait<0>();
    y[threadIdx.x] = d[0];
}

DEFECT_KERNEL(wgmma_without_fence, 1, 128, "without fence_async after thread") {
    CU_DYN_SHARED(uint4, planes);
    const uint32_t a[4] = {};
    float d[ROWS / 2] = {};
    fill_planes(planes);
    __syncthreads();
    wgmma_bf16(d, a, wgmma_planes(planes, 16 * ROWS)); /* DEFECT */
    wgmma_commit();
    wgmma_wait<0>();
    y[threadIdx.x] = d[0];
}

DEFECT_KERNEL(wgmma_operand_overwritten, 1, 128, "without a barrier after thread") {
    CU_DYN_SHARED(uint4, planes);
    const uint32_t a[4] = {};
    float d[ROWS / 2] = {};
    for (int i = 0; i < 3; i++) {
        fill_planes(planes); /* DEFECT */
        fence_async();
        __syncthreads();
        wgmma_bf16(d, a, wgmma_planes(planes, 16 * ROWS)); /* DEFECT */
        wgmma_commit();
        wgmma_wait<0>();
    }
    y[threadIdx.x] = d[0];
}

DEFECT_KERNEL(wgmma_by_some_warps, 1, 128, "warp 2 did 0 products, warp 0 did 1") {
    CU_DYN_SHARED(uint4, planes);
    const uint32_t a[4] = {};
    float d[ROWS / 2] = {};
    fill_planes(planes);
    fence_async();
    __syncthreads();
    if (threadIdx.x < 64)
        wgmma_bf16(d, a, wgmma_planes(planes, 16 * ROWS)); /* DEFECT */
    wgmma_commit();
    wgmma_wait<0>();
    y[threadIdx.x] = d[0];
}

#endif
