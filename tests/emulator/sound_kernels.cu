/* sound_kernels.cu - see sound_kernels.h. */
#include "tests/emulator/sound_kernels.h"

#include "kernels/cuda/ptx.h"

/* ------------------------------------------------------------------ cp.async, ldmatrix, mma */

enum { TILE = 64, TILE_K = 32, PITCH = TILE_K + 8, GEMM_THREADS = 128 };
using gemm_tile = uint16_t[TILE][PITCH];

/* Rows first .. first + 63, columns k0 .. k0 + 31 of a matrix [rows, k], zeros outside it. */
static __device__ void load_tile(gemm_tile &tile, const uint16_t *from, int first, int rows, int k0,
                                 int k) {
    for (int piece = (int)threadIdx.x; piece < TILE * TILE_K / 8; piece += GEMM_THREADS) {
        int row = piece / (TILE_K / 8), column = piece % (TILE_K / 8) * 8;
        bool valid = first + row < rows && k0 + column < k;
        cp_async_16(&tile[row][column], from + (valid ? (first + row) * k + k0 + column : 0),
                    valid);
    }
}

/* A warp's 32 x 32 of the product: 2 x 4 pieces of 16 x 8. */
static __device__ void multiply_tiles(float (&sums)[2][4][4], gemm_tile &a_tile,
                                      gemm_tile &b_tile) {
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int a_row = warp / 2 * 32 + lane % 16, b_row = warp % 2 * 32 + lane / 16 * 8 + lane % 8;
    for (int k = 0; k < TILE_K; k += 16) {
        uint32_t a[2][4], b[2][4];
        for (int i = 0; i < 2; i++)
            ldmatrix_x4(a[i], &a_tile[a_row + 16 * i][k + lane / 16 * 8]);
        for (int j = 0; j < 2; j++)
            ldmatrix_x4(b[j], &b_tile[b_row + 16 * j][k + lane / 8 % 2 * 8]);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++)
                mma_bf16(sums[i][j], a[i], b[j / 2] + j % 2 * 2);
    }
}

static __device__ void store_sums(float *c, const float (&sums)[2][4][4], int m, int n) {
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int e = 0; e < 4; e++) {
                int row = (int)blockIdx.y * TILE + warp / 2 * 32 + 16 * i + lane / 4 + e / 2 * 8;
                int column = (int)blockIdx.x * TILE + warp % 2 * 32 + 8 * j + lane % 4 * 2 + e % 2;
                if (row < m && column < n)
                    c[row * n + column] = sums[i][j][e];
            }
}

template <int STAGES>
__global__ void __launch_bounds__(GEMM_THREADS)
    gemm_bf16(float *c, const uint16_t *a, const uint16_t *b, int m, int n, int k) {
    CU_SHARED(gemm_tile, a_tiles, [STAGES]);
    CU_SHARED(gemm_tile, b_tiles, [STAGES]);
    int a_first = (int)blockIdx.y * TILE, b_first = (int)blockIdx.x * TILE;
    int n_steps = (k + TILE_K - 1) / TILE_K;
    float sums[2][4][4] = {};
    load_tile(a_tiles[0], a, a_first, m, 0, k);
    load_tile(b_tiles[0], b, b_first, n, 0, k);
    cp_async_commit();
    for (int step = 0; step < n_steps; step++) {
        int next = (step + 1) % STAGES;
        load_tile(a_tiles[next], a, a_first, m, (step + 1) * TILE_K, k);
        load_tile(b_tiles[next], b, b_first, n, (step + 1) * TILE_K, k);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        multiply_tiles(sums, a_tiles[step % STAGES], b_tiles[step % STAGES]);
        __syncthreads(); /* before the stage is written again */
    }
    store_sums(c, sums, m, n);
}

void launch_gemm_bf16(float *c, const uint16_t *a, const uint16_t *b, int m, int n, int k,
                      cudaStream_t stream) {
    dim3 grid((unsigned)(n + TILE - 1) / TILE, (unsigned)(m + TILE - 1) / TILE);
    CU_LAUNCH((gemm_bf16<2>), grid, GEMM_THREADS, 0, stream, c, a, b, m, n, k);
}

__global__ void one_mma_s8(int32_t *d, const int8_t *a, const int8_t *b, bool a_unsigned) {
    int g = (int)threadIdx.x / 4, q = (int)threadIdx.x % 4;
    uint32_t fragment_a[4], fragment_b[2];
    int32_t sums[4] = {};
    for (int r = 0; r < 4; r++)
        fragment_a[r] =
            *reinterpret_cast<const uint32_t *>(a + (g + 8 * (r & 1)) * 32 + 4 * q + 16 * (r >> 1));
    for (int r = 0; r < 2; r++)
        fragment_b[r] = *reinterpret_cast<const uint32_t *>(b + g * 32 + 4 * q + 16 * r);
    if (a_unsigned)
        mma_u8_s8(sums, fragment_a, fragment_b);
    else
        mma_s8(sums, fragment_a, fragment_b);
    for (int e = 0; e < 4; e++)
        d[(g + 8 * (e >> 1)) * 8 + 2 * q + (e & 1)] = sums[e];
}

void launch_mma_s8(int32_t *d, const void *a, const int8_t *b, bool a_unsigned,
                   cudaStream_t stream) {
    CU_LAUNCH(one_mma_s8, 1, 32, 0, stream, d, static_cast<const int8_t *>(a), b, a_unsigned);
}

/* ------------------------------------------------------------------ barriers and shuffles */

__global__ void rms_norm(float *y, const float *x, const float *gain, int columns, float eps) {
    CU_DYN_SHARED(float, row);
    float sum = 0;
    for (int i = (int)threadIdx.x; i < columns; i += (int)blockDim.x) {
        row[i] = x[(int)blockIdx.x * columns + i];
        sum = fmaf(row[i], row[i], sum);
    }
    float scale = rsqrtf(block_sum(sum) / (float)columns + eps);
    for (int i = (int)threadIdx.x; i < columns; i += (int)blockDim.x)
        y[(int)blockIdx.x * columns + i] = row[i] * scale * gain[i];
}

void launch_rms_norm(float *y, const float *x, const float *gain, int rows, int columns,
                     cudaStream_t stream) {
    CU_LAUNCH(rms_norm, (unsigned)rows, 128, (size_t)columns * sizeof(float), stream, y, x, gain,
              columns, 1e-6f);
}

__global__ void half_warp_sums(int *sums, const int *x, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int value = i < n ? x[i] : 0;
    if (threadIdx.x % 32 < 16) {
        for (int distance = 8; distance > 0; distance /= 2)
            value += __shfl_xor_sync(0x0000ffff, value, distance);
    } else {
        for (int distance = 8; distance > 0; distance /= 2)
            value += __shfl_down_sync(0xffff0000, value, (unsigned)distance, 16);
    }
    if (threadIdx.x % 16 == 0 && i < n)
        sums[i / 16] = value;
}

void launch_half_warp_sums(int *sums, const int *x, int n, cudaStream_t stream) {
    CU_LAUNCH(half_warp_sums, (unsigned)(n + 63) / 64, 64, 0, stream, sums, x, n);
}

__global__ void last_block_sum(float *total, float *parts, unsigned *count, const float *x, int n) {
    CU_SHARED(bool, is_last);
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    float part = block_sum(i < n ? x[i] : 0);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = part;
        __threadfence();
        is_last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last)
        return;
    __threadfence();
    float sum = threadIdx.x < gridDim.x ? parts[threadIdx.x] : 0;
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        total[0] = sum;
}

void launch_last_block_sum(float *total, float *parts, unsigned *count, const float *x, int n,
                           cudaStream_t stream) {
    CU_LAUNCH(last_block_sum, (unsigned)(n + 127) / 128, 128, 0, stream, total, parts, count, x, n);
}

enum { FULL = 1, EMPTY = 2 }; /* barriers */

__global__ void producer_consumer(float *y, const float *x, int n) {
    CU_SHARED(float, slot, [32]);
    int lane = (int)threadIdx.x % 32;
    bool producer = threadIdx.x < 32;
    for (int first = 0; first < n; first += 32) {
        if (producer)
            slot[lane] = 2 * x[first + lane];
        barrier_sync(FULL, 64);
        if (!producer)
            y[first + lane] = slot[lane] + 1;
        barrier_sync(EMPTY, 64);
    }
}

void launch_producer_consumer(float *y, const float *x, int n, cudaStream_t stream) {
    CU_LAUNCH(producer_consumer, 1, 64, 0, stream, y, x, n);
}

__global__ void warp_reverse(int *y, const int *x) {
    CU_SHARED(int, slot, [128]);
    int i = (int)threadIdx.x, first = i / 32 * 32, at = (int)(blockIdx.x * blockDim.x);
    slot[i] = x[at + i];
    __syncwarp();
    y[at + i] = slot[first + 31 - i % 32];
}

void launch_warp_reverse(int *y, const int *x, int n, cudaStream_t stream) {
    CU_LAUNCH(warp_reverse, (unsigned)n / 32, 32, 0, stream, y, x);
}

__global__ void spin_on_flag(int *y, const int *x) {
    CU_SHARED(int, value);
    CU_SHARED(int, flag);
    if (threadIdx.x == 0)
        flag = 0;
    __syncthreads();
    if (threadIdx.x == 32) {
        value = x[0];
        __threadfence_block();
        atomicExch(&flag, 1);
    }
    if (threadIdx.x == 0) {
        while (atomicAdd(&flag, 0) == 0)
            __nanosleep(20);
        __threadfence_block();
        y[0] = value + 1;
    }
}

void launch_spin_on_flag(int *y, const int *x, cudaStream_t stream) {
    CU_LAUNCH(spin_on_flag, 1, 64, 0, stream, y, x);
}

__global__ void increment(int *y, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i]++;
}

void launch_increment(int *y, int n, cudaStream_t stream) {
    CU_LAUNCH(increment, (unsigned)(n + 127) / 128, 128, 0, stream, y, n);
}

__global__ void votes(unsigned *out) {
    unsigned lane = threadIdx.x;
    unsigned odd = __ballot_sync(0xffffffff, lane % 2);
    unsigned any = (unsigned)__any_sync(0xffffffff, lane == 31);
    unsigned all = (unsigned)__all_sync(0xffffffff, lane < 31);
    if (lane == 5) {
        out[0] = odd;
        out[1] = any;
        out[2] = all;
    }
}

void launch_votes(unsigned *out, cudaStream_t stream) {
    CU_LAUNCH(votes, 1, 32, 0, stream, out);
}

__global__ void clear_sums(float *y) {
    y[threadIdx.x] = 0;
}

/* Nobody writes x: it is asked for before the launches in front are done. */
__global__ void early_sums(float *y, const float *x) {
    CU_SHARED(float4, ahead, [16]);
    const float *of_lane = reinterpret_cast<const float *>(ahead);
    if (threadIdx.x < 16)
        cp_async_16(&ahead[threadIdx.x], x + 4 * threadIdx.x, true);
    cp_async_commit();
    grid_start_next();
    grid_wait();
    cp_async_wait<0>();
    __syncthreads();
    y[threadIdx.x] += of_lane[threadIdx.x];
}

void launch_early_sums(float *y, const float *x, cudaStream_t stream) {
    const struct { cudaStream_t stream; } early = {stream};
    CU_LAUNCH(clear_sums, 1, 64, 0, stream, y);
    CU_LAUNCH_EARLY(early_sums, 1, 64, 0, &early, y, x);
    CU_LAUNCH_EARLY(early_sums, 1, 64, 0, &early, y, x);
}
