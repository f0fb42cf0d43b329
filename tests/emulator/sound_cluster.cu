/* sound_cluster.cu - see sound_kernels.h: blocks of a cluster that work together. */
#include "tests/emulator/sound_kernels.h"

#include "kernels/cuda/hopper.h"

#if CU_HOPPER

enum { BLOCKS = 2, N = 64, HALF = N / BLOCKS, STAGES = 2, BOTH = (1 << BLOCKS) - 1 };

/* Tile after tile, of which each block sends half to both, and whose stages both hand back. */
static __device__ __forceinline__ void send_halves(float (*tiles)[N], uint64_t *full,
                                                   uint64_t *empty, const float *x, int n_steps) {
    int first = (int)blockIdx.x % BLOCKS * HALF;
    for (int step = 0; step < n_steps; step++) {
        int stage = step % STAGES;
        mbarrier_wait(&empty[stage], step / STAGES % 2 ^ 1);
        mbarrier_arrive_expect(&full[stage], N * sizeof(float));
        bulk_copy_to(BOTH, tiles[stage] + first, x + step * N + first, HALF * sizeof(float),
                     &full[stage]);
    }
}

__global__ void cluster_sums(float *y, const float *x, int n_steps) {
    CU_SHARED(float, tiles, [STAGES][N]);
    CU_SHARED(uint64_t, full, [STAGES]);
    CU_SHARED(uint64_t, empty, [STAGES]);
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; stage++) {
            mbarrier_init(&full[stage], 1);
            mbarrier_init(&empty[stage], BLOCKS * N / 32);
        }
        fence_barrier_init();
    }
    cluster_sync();
    grid_wait();
    if (threadIdx.x == N)
        send_halves(tiles, full, empty, x, n_steps);
    float sum = 0;
    for (int step = 0; step < n_steps && threadIdx.x < N; step++) {
        int stage = step % STAGES, lane = (int)threadIdx.x % 32;
        mbarrier_wait(&full[stage], step / STAGES % 2);
        sum += tiles[stage][threadIdx.x];
        __syncwarp();
        if (lane < BLOCKS)
            mbarrier_arrive_at(&empty[stage], lane);
    }
    if (threadIdx.x < N)
        y[blockIdx.x * N + threadIdx.x] = sum;
    cluster_sync();
}

struct stream_of {
    cudaStream_t stream;
};

void launch_cluster_sums(float *y, const float *x, int n_steps, int n_blocks, cudaStream_t stream) {
    const struct stream_of early = {stream};
    CU_LAUNCH_CLUSTERS(BLOCKS, cluster_sums, dim3((unsigned)n_blocks), N + 32, 0, &early, y, x,
                       n_steps);
}

/* Threads of the two blocks pass what they wrote to memory as those of other blocks do. */
__global__ void cluster_flag(int *y, const int *x, unsigned *count) {
    grid_wait();
    if (threadIdx.x > 0)
        return;
    if (blockIdx.x == 0) {
        y[0] = x[0];
        __threadfence();
        atomicAdd(count, 1);
    } else {
        while (atomicAdd(count, 0) == 0)
            __nanosleep(20);
        __threadfence();
        y[1] = y[0] + 1;
    }
}

void launch_cluster_flag(int *y, const int *x, unsigned *count, cudaStream_t stream) {
    const struct stream_of early = {stream};
    CU_LAUNCH_CLUSTERS(2, cluster_flag, 2, 64, 0, &early, y, x, count);
}

#endif
