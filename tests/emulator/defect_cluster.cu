/* defect_cluster.cu - see defect_kernels.h: what blocks of a cluster do to one another. */
#include "tests/emulator/defect_kernels.h"

#include "kernels/cuda/hopper.h"

#if CU_HOPPER

enum { BOTH = 3, N = 64, BYTES = N * (int)sizeof(float) };

/* By thread 0 of each block. */
static __device__ __forceinline__ void make_barriers(uint64_t *full, uint64_t *empty,
                                                     int n_consumers) {
    if (threadIdx.x == 0) {
        mbarrier_init(full, 1);
        mbarrier_init(empty, n_consumers);
        fence_barrier_init();
    }
    grid_wait();
}

/* Block 0 sends to both, and waits for its own threads only. */
DEFECT_CLUSTER(copy_into_what_the_other_reads, "shared memory") {
    CU_SHARED(float, tile, [N]);
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, N);
    cluster_sync();
    for (int i = 0; i < 3; i++) {
        if (threadIdx.x == 0)
            mbarrier_arrive_expect(&full, BYTES);
        if (threadIdx.x == 0 && blockIdx.x == 0) {
            mbarrier_wait(&empty, i % 2 ^ 1);
            bulk_copy_to(BOTH, tile, x + N * i, BYTES, &full); /* DEFECT */
        }
        mbarrier_wait(&full, i % 2);
        y[N * blockIdx.x + threadIdx.x] = tile[threadIdx.x]; /* DEFECT */
        mbarrier_arrive(&empty);
    }
    cluster_sync();
}

DEFECT_CLUSTER(arrival_at_no_barrier_yet, "barrier") {
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    if (blockIdx.x == 1)
        __nanosleep(20);
    make_barriers(&full, &empty, 1);
    __syncthreads();
    if (threadIdx.x == 0)
        mbarrier_arrive_at(&empty, 1 - (int)blockIdx.x); /* DEFECT */
    cluster_sync();
}

DEFECT_CLUSTER(end_before_an_arrival, "not waited for") {
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, 1);
    cluster_sync();
    if (threadIdx.x == 0)
        mbarrier_arrive_at(&empty, 1 - (int)blockIdx.x); /* DEFECT */
    if (blockIdx.x == 0)
        mbarrier_wait(&empty, 0);
}

DEFECT_CLUSTER(arrival_behind_the_end, "not waited for") {
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, 1);
    cluster_sync();
    for (int i = 0; blockIdx.x == 0 && i < 20; i++)
        __nanosleep(20);
    if (blockIdx.x == 0 && threadIdx.x == 0)
        mbarrier_arrive_at(&empty, 1); /* DEFECT */
}

DEFECT_CLUSTER(end_before_a_copy, "not waited for") {
    CU_SHARED(float, tile, [N]);
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, 1);
    cluster_sync();
    if (threadIdx.x == 0)
        mbarrier_arrive_expect(&full, BYTES);
    if (threadIdx.x == 0 && blockIdx.x == 0)
        bulk_copy_to(BOTH, tile, x, BYTES, &full); /* DEFECT */
    if (blockIdx.x == 0)
        mbarrier_wait(&full, 0);
}

DEFECT_CLUSTER(arrivals_of_one_block, "misses 64 of 128 arrivals and 0 bytes") {
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, 2 * N);
    cluster_sync();
    mbarrier_arrive(&empty);
    if (blockIdx.x == 1)
        mbarrier_arrive_at(&empty, 0);
    mbarrier_wait(&empty, 0); /* DEFECT */
    cluster_sync();
}

/* The half that each expects of the other goes to nobody. */
DEFECT_CLUSTER(half_of_the_bytes, "misses 0 of 1 arrivals and 128 bytes") {
    CU_SHARED(float, tile, [N]);
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, 1);
    cluster_sync();
    if (threadIdx.x == 0) {
        int first = (int)blockIdx.x * N / 2;
        mbarrier_arrive_expect(&full, BYTES);
        bulk_copy(tile + first, x + first, BYTES / 2, &full);
    }
    mbarrier_wait(&full, 0); /* DEFECT */
    y[N * blockIdx.x + threadIdx.x] = tile[threadIdx.x];
    cluster_sync();
}

DEFECT_CLUSTER(cluster_sync_of_one_block, "from the kernel") {
    grid_wait();
    if (blockIdx.x == 0)
        cluster_sync(); /* DEFECT */
}

DEFECT_CLUSTER(copy_over_what_the_other_stored, "without fence_async after thread") {
    CU_SHARED(float, tile, [N]);
    CU_SHARED(uint64_t, full);
    CU_SHARED(uint64_t, empty);
    make_barriers(&full, &empty, 1);
    tile[threadIdx.x] = 1; /* DEFECT */
    if (blockIdx.x == 0)
        fence_async();
    cluster_sync();
    if (threadIdx.x == 0)
        mbarrier_arrive_expect(&full, BYTES);
    if (threadIdx.x == 0 && blockIdx.x == 0)
        bulk_copy_to(BOTH, tile, x, BYTES, &full); /* DEFECT */
    mbarrier_wait(&full, 0);
    y[N * blockIdx.x + threadIdx.x] = tile[threadIdx.x];
    cluster_sync();
}

/* The other block's threads are not the block's. */
DEFECT_CLUSTER(fence_of_a_block_only, "global memory without a barrier after thread") {
    grid_wait();
    if (threadIdx.x > 0)
        return;
    if (blockIdx.x == 0) {
        y[0] = 1; /* DEFECT */
        __threadfence_block();
        atomicAdd(count, 1);
    } else {
        while (atomicAdd(count, 0) == 0)
            __nanosleep(20);
        __threadfence();
        y[1] = y[0]; /* DEFECT */
    }
}

#endif
