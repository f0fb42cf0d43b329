/* calibrate.cu - what each instruction of ptx.h and hopper.h gives for random operands, written to
 * a file: once by a card, once by the emulator's models. `calibrate COMPARE CARD.bin EMULATOR.bin`
 * holds the one against the other, so that the emulator stays true to hardware.
 *
 *     calibrate write FILE          exit status 77 without a card
 *     calibrate compare A B         one line an instruction; exit status 1 when they differ
 *
 * Integers, copies and rearrangements are equal to the bit. A product of tensor cores sums in an
 * order of its own: the tolerance is that of 16 products and a sum in f32. Approximations have the
 * error that ptx.h promises. */
#include "kernels/cuda/hopper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARPS = 64, LANES = 32, THREADS = WARPS * LANES, WORDS = 8 /* in and out, a thread */ };

/* What a thread has: eight words in, eight words out. */
struct word_args {
    const uint32_t *in;
    uint32_t *out;
};

static __device__ float as_float(uint32_t word) {
    return __uint_as_float(word);
}

/* Words as pairs of bf16 between -2 and 2: exponents 0x3f80 at most, never NaN. */
static __device__ uint32_t as_bf16_pair(uint32_t word) {
    return (word & 0x807f807f) | 0x3f003f00 | (word & 0x00800080);
}

__global__ void calibrate_pack(struct word_args a) {
    int32_t t = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x) * WORDS;
    a.out[t] = pack_bf16(as_float(a.in[t]), as_float(a.in[t + 1]));
    a.out[t + 1] = f32_to_bf16(as_float(a.in[t + 2]));
}

__global__ void calibrate_mma_bf16(struct word_args a) {
    int32_t t = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x) * WORDS;
#if CU_ARCH >= 800
    float d[4] = {1, 2, 3, 4};
    uint32_t left[4], right[2];
    for (int i = 0; i < 4; i++)
        left[i] = as_bf16_pair(a.in[t + i]);
    for (int i = 0; i < 2; i++)
        right[i] = as_bf16_pair(a.in[t + 4 + i]);
    mma_bf16(d, left, right);
    for (int i = 0; i < 4; i++)
        a.out[t + i] = __float_as_uint(d[i]);
#endif
}

template <bool UNSIGNED> __global__ void calibrate_mma_s8(struct word_args a) {
    int32_t t = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x) * WORDS;
    int32_t d[4] = {1, -2, 3, -4};
    uint32_t left[4] = {a.in[t], a.in[t + 1], a.in[t + 2], a.in[t + 3]};
    uint32_t right[2] = {a.in[t + 4], a.in[t + 5]};
    if (UNSIGNED)
        mma_u8_s8(d, left, right);
    else
        mma_s8(d, left, right);
    for (int i = 0; i < 4; i++)
        a.out[t + i] = (uint32_t)d[i];
}

/* One warp a block: 32 rows of 16 bytes, read as four matrices. */
__global__ void calibrate_ldmatrix(struct word_args a) {
    CU_SHARED(uint32_t, tile, [LANES * 4]);
    int32_t lane = (int32_t)threadIdx.x, t = (int32_t)(blockIdx.x * LANES + threadIdx.x) * WORDS;
    for (int i = 0; i < 4; i++)
        tile[4 * lane + i] = a.in[t + i];
    __syncwarp();
    uint32_t r[4];
    ldmatrix_x4(r, &tile[4 * ((lane * 5 + 3) % LANES)]);
    for (int i = 0; i < 4; i++)
        a.out[t + i] = r[i];
}

__global__ void calibrate_cp_async(struct word_args a) {
    CU_SHARED(uint4, tile, [LANES]);
    CU_SHARED(uint32_t, single, [LANES]);
    int32_t lane = (int32_t)threadIdx.x, t = (int32_t)(blockIdx.x * LANES + threadIdx.x) * WORDS;
    cp_async_16(&tile[lane ^ 1], a.in + t, lane % 3 != 0);
    cp_async_4(&single[lane ^ 2], a.in + t + 4, lane % 5 != 0);
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    a.out[t] = tile[lane].x ^ tile[lane].w;
    a.out[t + 1] = single[lane];
}

__global__ void calibrate_warp(struct word_args a) {
    int32_t t = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x) * WORDS;
    float small = (float)(int32_t)(a.in[t] & 0xff); /* sums of whole numbers are exact */
    a.out[t] = __float_as_uint(warp_sum(small));
    a.out[t + 1] = __float_as_uint(warp_max(small));
    a.out[t + 2] = __shfl_xor_sync(0xffffffff, a.in[t + 2], 5);
    a.out[t + 3] = __ballot_sync(0xffffffff, (a.in[t + 3] & 1) != 0);
}

__global__ void calibrate_exp2(struct word_args a) {
    int32_t t = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x) * WORDS;
    float x = (float)(int32_t)(a.in[t] % 20001) * 1e-3f - 16.0f;
    a.out[t] = __float_as_uint(fast_exp2(x));
}

__global__ void calibrate_sin(struct word_args a) {
    int32_t t = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x) * WORDS;
    float x = (float)(int32_t)(a.in[t] % 6001) * 1e-3f - 3.0f;
    a.out[t] = __float_as_uint(fast_sin(x));
}

/* ------------------------------------------------------------------ sm_90a
 * Blocks of one warp group. */

enum { GROUP = 128 };

#if CU_HOPPER

/* The i-th pair of a block's operands, which reach into those of the next blocks. */
static __device__ uint32_t operand_word(const struct word_args &a, int32_t i) {
    return as_bf16_pair(a.in[((int32_t)blockIdx.x * GROUP * WORDS + i) % (THREADS * WORDS)]);
}

/* Eight of a thread's sums; other blocks store others. */
template <int R> static __device__ void store_sums(const struct word_args &a, const float (&d)[R]) {
    constexpr int STEP = (R + WORDS - 1) / WORDS;
    int32_t t = (int32_t)(blockIdx.x * GROUP + threadIdx.x) * WORDS;
#pragma unroll
    for (int i = 0; i < R; i++)
        if (i % STEP == (int)blockIdx.x % STEP)
            a.out[t + i / STEP] = __float_as_uint(d[i]);
}

#endif

/* Its sums and mma_bf16's of the same operands, which linear_wide.h takes for equal; stored is
 * where their bits differ. Rows begin anywhere in planes that are no power of two. */
template <int N, bool FIRST> __global__ void calibrate_wgmma(struct word_args a) {
#if CU_HOPPER
    constexpr int SHIFT = 5, PITCH = N + 2 + SHIFT;
    CU_DYN_SHARED(uint4, planes);
    uint32_t *words = reinterpret_cast<uint32_t *>(planes), *rows = words + 4 * SHIFT;
    int32_t g = (int32_t)threadIdx.x % 32 / 4, q = (int32_t)threadIdx.x % 4;
    for (int32_t i = (int32_t)threadIdx.x; i < 2 * PITCH * 4; i += GROUP)
        words[i] = operand_word(a, i);
    fence_async();
    __syncthreads();
    float d[N / 2] = {}, e[N / 2] = {};
    uint32_t left[4];
    for (int i = 0; i < 4; i++)
        left[i] = operand_word(a, 2 * PITCH * 4 + 4 * (int32_t)threadIdx.x + i);
    wgmma_fence();
    if (FIRST)
        wgmma_bf16_first(d, left, wgmma_planes(rows, 16 * PITCH));
    else
        wgmma_bf16(d, left, wgmma_planes(rows, 16 * PITCH));
    wgmma_commit();
    wgmma_wait<0>();
#pragma unroll
    for (int j = 0; j < N / 8; j++) {
        const uint32_t right[2] = {rows[(8 * j + g) * 4 + q], rows[(PITCH + 8 * j + g) * 4 + q]};
        float sums[4] = {};
        mma_bf16(sums, left, right);
#pragma unroll
        for (int i = 0; i < 4; i++)
            e[4 * j + i] =
                __uint_as_float(__float_as_uint(d[4 * j + i]) ^ __float_as_uint(sums[i]));
    }
    store_sums(a, e);
#endif
}

/* Three copies to one place, handed over and back by barriers. */
__global__ void calibrate_bulk_copy(struct word_args a) {
#if CU_HOPPER
    CU_SHARED(uint4, tile, [GROUP]);
    CU_SHARED(uint64_t, full, [1]);
    CU_SHARED(uint64_t, empty, [1]);
    int32_t group = (int32_t)(blockIdx.x * GROUP * WORDS);
    if (threadIdx.x == 0) {
        mbarrier_init(full, 1);
        mbarrier_init(empty, GROUP);
        fence_barrier_init();
    }
    __syncthreads();
    for (int32_t i = 0; i < 3; i++) {
        if (threadIdx.x == 0) {
            mbarrier_wait(empty, (i + 1) % 2);
            mbarrier_arrive_expect(full, GROUP * 16);
            bulk_copy(tile, a.in + (group + i * GROUP * 4) % (THREADS * WORDS), GROUP * 16, full);
        }
        mbarrier_wait(full, i % 2);
        a.out[group + (int32_t)threadIdx.x * WORDS + i] =
            tile[threadIdx.x ^ 1].x ^ tile[threadIdx.x].w;
        mbarrier_arrive(empty);
    }
#endif
}

/* The same between two blocks of a cluster, of which each sends half to both. */
__global__ void calibrate_cluster(struct word_args a) {
#if CU_HOPPER
    CU_SHARED(uint4, tile, [GROUP]);
    CU_SHARED(uint64_t, full, [1]);
    CU_SHARED(uint64_t, empty, [1]);
    const int32_t half = GROUP / 2, rank = (int32_t)blockIdx.x % 2;
    int32_t group = (int32_t)(blockIdx.x * GROUP * WORDS), pair = group - rank * GROUP * WORDS;
    if (threadIdx.x == 0) {
        mbarrier_init(full, 1);
        mbarrier_init(empty, 2 * GROUP);
        fence_barrier_init();
    }
    cluster_sync();
    grid_wait();
    for (int32_t i = 0; i < 3; i++) {
        if (threadIdx.x == 0) {
            mbarrier_wait(empty, (i + 1) % 2);
            mbarrier_arrive_expect(full, GROUP * 16);
            bulk_copy_to(3, tile + rank * half,
                         a.in + (pair + (2 * i + rank) * half * 4) % (THREADS * WORDS), half * 16,
                         full);
        }
        mbarrier_wait(full, i % 2);
        a.out[group + (int32_t)threadIdx.x * WORDS + i] =
            tile[threadIdx.x ^ 1].x ^ tile[threadIdx.x].w;
        mbarrier_arrive(empty);
        mbarrier_arrive_at(empty, 1 - rank);
    }
    cluster_sync();
#endif
}

/* ------------------------------------------------------------------ host */

enum kind { BITS, PRODUCT, RELATIVE, ABSOLUTE };

static void launch_cluster(cudaStream_t stream, struct word_args args) {
    const struct {
        cudaStream_t stream;
        int capability;
    } hopper = {stream, 90};
    CU_LAUNCH_CLUSTERS(2, calibrate_cluster, THREADS / GROUP, GROUP, 0, &hopper, args);
}

static const struct instruction {
    const char *name;
    void (*launch)(cudaStream_t stream, struct word_args args);
    enum kind kind;
    double tolerance;
    int32_t oldest, newest; /* cards that have it; newest 0: all since */
} instructions[] = {
#define LAUNCH(...)                                                                                \
    [](cudaStream_t stream, struct word_args args) {                                               \
        CU_LAUNCH((__VA_ARGS__), WARPS, LANES, 0, stream, args);                                   \
    }
#define LAUNCH_GROUPS(shared_bytes, ...)                                                           \
    [](cudaStream_t stream, struct word_args args) {                                               \
        CU_LAUNCH((__VA_ARGS__), THREADS / GROUP, GROUP, shared_bytes, stream, args);              \
    }
    {"pack_bf16, f32_to_bf16", LAUNCH(calibrate_pack), BITS, 0, 75, 0},
    /* 16 products of up to 4 and a sum: 17 roundings of less than 70 */
    {"mma_bf16", LAUNCH(calibrate_mma_bf16), PRODUCT, 17 * 70 * 0x1p-23, 80, 0},
    {"mma_s8", LAUNCH(calibrate_mma_s8<false>), BITS, 0, 75, 0},
    {"mma_u8_s8", LAUNCH(calibrate_mma_s8<true>), BITS, 0, 75, 0},
    {"ldmatrix", LAUNCH(calibrate_ldmatrix), BITS, 0, 75, 0},
    {"cp_async", LAUNCH(calibrate_cp_async), BITS, 0, 75, 0},
    {"warp_sum, warp_max, shfl, ballot", LAUNCH(calibrate_warp), BITS, 0, 75, 0},
    {"fast_exp2", LAUNCH(calibrate_exp2), RELATIVE, 2 * 0x1p-22, 75, 0},
    {"fast_sin", LAUNCH(calibrate_sin), ABSOLUTE, 0x1p-20, 75, 0},
    {"wgmma, as mma", LAUNCH_GROUPS(2 * 39 * 16, (calibrate_wgmma<32, false>)), BITS, 0, 90, 90},
    {"wgmma, the first, 128 columns", LAUNCH_GROUPS(2 * 135 * 16, (calibrate_wgmma<128, true>)),
     BITS, 0, 90, 90},
    {"mbarrier, bulk_copy", LAUNCH_GROUPS(0, calibrate_bulk_copy), BITS, 0, 90, 90},
    {"cluster_sync, mbarrier_arrive_at, bulk_copy_to", launch_cluster, BITS, 0, 90, 90},
#undef LAUNCH_GROUPS
#undef LAUNCH
};
enum { N_INSTRUCTIONS = sizeof instructions / sizeof *instructions, N = THREADS * WORDS };

static uint32_t next_word(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static int fail(const char *what, cudaError_t error) {
    fprintf(stderr, "calibrate: %s: %s\n", what, cudaGetErrorString(error));
    return error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice ? 77 : 1;
}

static bool has(int32_t capability, const struct instruction *instruction) {
    return capability >= instruction->oldest &&
           (instruction->newest == 0 || capability <= instruction->newest);
}

static cudaError_t run(const struct instruction *instruction, const struct word_args &device,
                       const uint32_t *in, uint32_t *out) {
    cudaMemcpy((void *)device.in, in, N * sizeof *in, cudaMemcpyHostToDevice);
    cudaMemset(device.out, 0, N * sizeof *out);
    instruction->launch(NULL, device);
    cudaError_t error = cudaGetLastError(); /* a launch that is refused */
    if (error == cudaSuccess)
        error = cudaDeviceSynchronize();
    return error == cudaSuccess
               ? cudaMemcpy(out, device.out, N * sizeof *out, cudaMemcpyDeviceToHost)
               : error;
}

/* What this card has not is zeros. */
static int write_all(const char *path) {
    static uint32_t in[N], out[N];
    struct cudaDeviceProp card;
    uint32_t *device_in = NULL, *device_out = NULL;
    uint64_t state = 1;
    for (int i = 0; i < N; i++)
        in[i] = next_word(&state);
    cudaError_t error = cudaGetDeviceProperties(&card, 0);
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&device_in, sizeof in);
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&device_out, sizeof out);
    if (error != cudaSuccess)
        return fail("memory", error);
    FILE *file = fopen(path, "wb");
    for (int k = 0; file && k < N_INSTRUCTIONS; k++) {
        memset(out, 0, sizeof out);
        if (has(10 * card.major + card.minor, &instructions[k]))
            error = run(&instructions[k], {device_in, device_out}, in, out);
        if (error != cudaSuccess)
            return fail(instructions[k].name, error);
        if (fwrite(out, sizeof out, 1, file) != 1)
            break;
    }
    cudaFree(device_in);
    cudaFree(device_out);
    if (!file || fclose(file) != 0) {
        fprintf(stderr, "calibrate: '%s' cannot be written\n", path);
        return 1;
    }
    return 0;
}

static bool differs(const struct instruction *instruction, uint32_t a, uint32_t b) {
    float x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    double error = fabs((double)x - y);
    switch (instruction->kind) {
    case BITS:
        return a != b;
    case RELATIVE:
        return !(error <= instruction->tolerance * fabs((double)y));
    default:
        return !(error <= instruction->tolerance);
    }
}

static bool all_zeros(const uint32_t *words) {
    for (int i = 0; i < N; i++)
        if (words[i] != 0)
            return false;
    return true;
}

static int compare(const char *left, const char *right) {
    static uint32_t a[N], b[N];
    FILE *files[2] = {fopen(left, "rb"), fopen(right, "rb")};
    int n_wrong = 0;
    for (int k = 0; k < N_INSTRUCTIONS; k++) {
        if (!files[0] || !files[1] || fread(a, sizeof a, 1, files[0]) != 1 ||
            fread(b, sizeof b, 1, files[1]) != 1) {
            fprintf(stderr, "calibrate: '%s' or '%s' is not whole\n", left, right);
            return 1;
        }
        int n = 0;
        for (int i = 0; i < N; i++)
            n += differs(&instructions[k], a[i], b[i]);
        bool absent = all_zeros(a);
        n = absent ? 0 : n;
        printf("%-34s %s\n", instructions[k].name,
               absent ? "not of this card"
               : n    ? "DIFFERS"
                      : "equal");
        if (n)
            printf("  %d of %d words\n", n, N);
        n_wrong += n > 0;
    }
    fclose(files[0]);
    fclose(files[1]);
    return n_wrong > 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        return write_all(argv[2]);
    if (argc == 4 && strcmp(argv[1], "compare") == 0)
        return compare(argv[2], argv[3]);
    fprintf(stderr, "Usage: calibrate write FILE | calibrate compare A B\n");
    return 2;
}
