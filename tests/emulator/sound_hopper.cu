/* sound_hopper.cu - see sound_kernels.h: mbarriers, bulk copies, products of warp groups. */
#include "tests/emulator/sound_kernels.h"

#include "kernels/cuda/hopper.h"

#if CU_HOPPER

/* Rows of b; inputs of a stage, and their planes; 16-byte pieces of a stage. */
enum { ROWS = 32, RUN = 64, PLANES = RUN / 8, STAGE = PLANES * ROWS, STAGES = 2 };

/* d += the products of a's inputs k0 .. k0 + 63 and b's, which are in planes. */
static __device__ __forceinline__ void multiply(float (&d)[ROWS / 2], const uint16_t *a, int k,
                                                int k0, const uint4 *planes, int pitch) {
    int row = (int)threadIdx.x / 32 * 16 + (int)threadIdx.x % 32 / 4;
    a += row * k + k0 + (int)threadIdx.x % 4 * 2;
    uint32_t left[RUN / 16][4];
    for (int i = 0; i < RUN / 16; i++)
        for (int r = 0; r < 4; r++)
            left[i][r] =
                *reinterpret_cast<const uint32_t *>(a + r % 2 * 8 * k + 16 * i + r / 2 * 8);
    wgmma_fence();
    for (int i = 0; i < RUN / 16; i++)
        wgmma_bf16(d, left[i], wgmma_planes(planes + 2 * i * pitch, 16 * pitch));
    wgmma_commit();
    wgmma_wait<0>();
}

static __device__ __forceinline__ void store(float *c, const float (&d)[ROWS / 2]) {
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    for (int i = 0; i < ROWS / 2; i++) {
        int row = 16 * warp + lane / 4 + 8 * (i / 2 % 2);
        c[row * ROWS + 8 * (i / 4) + 2 * (lane % 4) + i % 2] = d[i];
    }
}

static __device__ __forceinline__ void copy_stages(uint4 *stages, uint64_t *full, uint64_t *empty,
                                                   const uint4 *b_planes, int n_steps) {
    for (int step = 0; step < n_steps; step++) {
        int stage = step % STAGES;
        if (step >= STAGES)
            mbarrier_wait(&empty[stage], (step / STAGES - 1) % 2);
        mbarrier_arrive_expect(&full[stage], 16 * STAGE);
        bulk_copy(stages + stage * STAGE, b_planes + step * STAGE, 16 * STAGE, &full[stage]);
    }
}

__global__ void wgmma_pipeline(float *c, const uint16_t *a, const uint4 *b_planes, int k) {
    CU_DYN_SHARED(uint4, stages);
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
            copy_stages(stages, full, empty, b_planes, k / RUN);
        return;
    }
    float d[ROWS / 2] = {};
    for (int step = 0; step < k / RUN; step++) {
        int stage = step % STAGES;
        mbarrier_wait(&full[stage], step / STAGES % 2);
        multiply(d, a, k, step * RUN, stages + stage * STAGE, ROWS);
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            mbarrier_arrive(&empty[stage]);
    }
    store(c, d);
}

void launch_wgmma_pipeline(float *c, const uint16_t *a, const uint16_t *b_planes, int k,
                           cudaStream_t stream) {
    CU_LAUNCH(wgmma_pipeline, 1, 160, STAGES * STAGE * 16, stream, c, a,
              reinterpret_cast<const uint4 *>(b_planes), k);
}

/* Planes of no power of two, in which the rows begin anywhere. */
__global__ void wgmma_stored(float *c, const uint16_t *a, const uint16_t *b, int k) {
    const int first = 3, pitch = ROWS + 5;
    CU_DYN_SHARED(uint4, planes);
    float d[ROWS / 2] = {};
    for (int k0 = 0; k0 < k; k0 += RUN) {
        for (int i = (int)threadIdx.x; i < STAGE; i += (int)blockDim.x)
            planes[i % PLANES * pitch + first + i / PLANES] =
                *reinterpret_cast<const uint4 *>(b + i / PLANES * k + k0 + i % PLANES * 8);
        fence_async();
        __syncthreads();
        multiply(d, a, k, k0, planes + first, pitch);
        __syncthreads();
    }
    store(c, d);
}

void launch_wgmma_stored(float *c, const uint16_t *a, const uint16_t *b, int k,
                         cudaStream_t stream) {
    CU_LAUNCH(wgmma_stored, 1, 128, PLANES * (ROWS + 5) * 16, stream, c, a, b, k);
}

#endif
