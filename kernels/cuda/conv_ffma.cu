/* conv_ffma.cu - convolutions as matrix products by fused multiply-adds: f32 weights everywhere,
 * bf16 weights before sm_80.
 *
 * A block of 128 threads computes 64 outputs of N rows; a thread 8 outputs, 8 apart, of N / 16
 * rows, 16 apart, four channels at a time, one read of shared memory for each output and row.
 * Channels go 32 at a time through the tile of conv_rows.h; weights, 32 channels of a tap, are read
 * into registers while those before are multiplied, and stored in the other of two buffers.
 *
 * Work: 2 n_taps n_in n_out FLOPs a row, a 16-byte read of shared memory for 11 products at 64
 * rows. Planned: 64 x 64: 168 registers, 31 KB at reach 54 -> 2 blocks an sm_75, 3 elsewhere; 64 x
 * 16: 160 registers, 25 KB -> 2 and 3. */
#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_rates.h"
#include "kernels/cuda/conv_rows.h"

enum {
    THREADS = 128,
    M = 64,
    TM = 8,          /* outputs of a thread */
    RUN = 32,        /* channels of a tile */
    W_PITCH = M + 2, /* chunks of four channels */
    W_BUFFER = RUN / 4 * W_PITCH,
    STAGED_PITCH = M + 4 /* floats from row to row of sums */
};

/* A thread's share of the weights of a tap's run: chunks as they lie in memory. */
template <bool BF16> struct weight_share {
    static constexpr int CHANNELS = BF16 ? 8 : 4, CHUNKS = RUN / CHANNELS;
    static constexpr int N = M * CHUNKS / THREADS;
    uint4 chunk[N];
};

/* What a thread's i-th chunk is: a warp takes whole bricks. */
struct share_place {
    int32_t out, chunk;
};
static __device__ __forceinline__ share_place share_place_of(int32_t i) {
    int32_t at = i * THREADS + threadIdx.x, brick = at / BRICK_CHUNKS;
    return {brick % (M / BRICK_OUTS) * BRICK_OUTS + at % BRICK_CHUNKS / 4,
            brick / (M / BRICK_OUTS) * 4 + at % 4};
}

template <bool BF16>
static __device__ __forceinline__ void read_weights(weight_share<BF16> &share,
                                                    const struct mill_weight &w, int32_t out,
                                                    int32_t tap, int32_t channel) {
    using S = weight_share<BF16>;
    const uint4 *image = static_cast<const uint4 *>(w.image);
#pragma unroll
    for (int i = 0; i < S::N; i++) {
        struct share_place at = share_place_of(i);
        int32_t o = out + at.out, group = channel / (4 * S::CHANNELS) + at.chunk / 4;
        bool inside = o < w.shape.n_out && group < weight_groups(&w.shape);
        share.chunk[i] = inside ? image[weight_brick_at(&w.shape, o, tap, group) * BRICK_CHUNKS +
                                        threadIdx.x % BRICK_CHUNKS]
                                : make_uint4(0, 0, 0, 0);
    }
}

static __device__ __forceinline__ float4 of_bf16(uint32_t low, uint32_t high) {
    return make_float4(__uint_as_float(low << 16), __uint_as_float(low & 0xffff0000),
                       __uint_as_float(high << 16), __uint_as_float(high & 0xffff0000));
}

/* As f32 in planes of four channels. */
template <bool BF16>
static __device__ __forceinline__ void store_weights(const weight_share<BF16> &share, float4 *to) {
    using S = weight_share<BF16>;
#pragma unroll
    for (int i = 0; i < S::N; i++) {
        int32_t o = share_place_of(i).out, c = share_place_of(i).chunk;
        uint4 v = share.chunk[i];
        if (BF16) {
            to[2 * c * W_PITCH + o] = of_bf16(v.x, v.y);
            to[(2 * c + 1) * W_PITCH + o] = of_bf16(v.z, v.w);
        } else {
            to[c * W_PITCH + o] = make_float4(__uint_as_float(v.x), __uint_as_float(v.y),
                                              __uint_as_float(v.z), __uint_as_float(v.w));
        }
    }
}

template <int TN> struct ffma_sums { float of[TM][TN]; };

/* sums += a run of channels of a tap. */
template <int TN>
static __device__ __forceinline__ void multiply(ffma_sums<TN> &sums, const float4 *w,
                                                const float4 *x, int32_t n_rows) {
    w += threadIdx.x % 8;
    x += threadIdx.x / 8 * 4;
#pragma unroll 2
    for (int32_t c = 0; c < RUN / 4; c++, w += W_PITCH) {
        float4 b[TN];
#pragma unroll
        for (int j = 0; j < TN; j++)
            b[j] = x[(c / 4 * n_rows + 16 * j) * 4 + c % 4];
#pragma unroll
        for (int i = 0; i < TM; i++) {
            float4 a = w[8 * i];
#pragma unroll
            for (int j = 0; j < TN; j++) {
                float sum = fmaf(a.x, b[j].x, sums.of[i][j]);
                sum = fmaf(a.y, b[j].y, sum);
                sum = fmaf(a.z, b[j].z, sum);
                sums.of[i][j] = fmaf(a.w, b[j].w, sum);
            }
        }
    }
}

/* Behind `shared` come the input's tile and two buffers of weights; or the sums. */
template <int TN, bool BF16>
__global__ void __launch_bounds__(THREADS, 3)
    conv_ffma(const __grid_constant__ struct conv_args args) {
    constexpr int N = 16 * TN;
    CU_DYN_SHARED(float4, shared);
    uint32_t out_tiles = (args.w.shape.n_out + M - 1) / M;
    int32_t out = blockIdx.x % out_tiles * M, first = blockIdx.x / out_tiles * N;
    conv_rows rows = conv_rows_of(args, blockIdx.y, blockIdx.z, first, N);
    if (rows.n <= 0)
        return;
    int32_t n_rows = N + conv_reach(&args);
    float4 *buffer = shared + n_rows * TILE_ROW_CHUNKS;
    const tile_bricks places = {n_rows};
    ffma_sums<TN> sums = {};
    weight_share<BF16> share;
    read_weights(share, args.w, out, rows.first_tap, 0);
    int32_t which = 0;
    for (int32_t channel = 0; channel < args.w.shape.n_in; channel += RUN) {
        __syncthreads(); /* nobody reads the tile's channels of before */
        load_tile<chunk_f32<BF16>, THREADS, 4>(reinterpret_cast<uint4 *>(shared), places, n_rows,
                                               args, rows, channel, threadIdx.x);
        for (int32_t tap = 0; tap < rows.n_taps; tap++) {
            float4 *w = buffer + which * W_BUFFER;
            store_weights(share, w);
            bool last = tap + 1 == rows.n_taps;
            read_weights(share, args.w, out, rows.first_tap + (last ? 0 : tap + 1) * rows.tap_step,
                         channel + (last ? RUN : 0));
            __syncthreads();
            multiply(sums, w, shared + (rows.shift + tap * rows.shift_step) * 4, n_rows);
            which ^= 1;
        }
    }
    __syncthreads();
    float *staged = reinterpret_cast<float *>(shared);
    float *at = staged + threadIdx.x / 8 * STAGED_PITCH + threadIdx.x % 8;
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int j = 0; j < TN; j++)
            at[16 * j * STAGED_PITCH + 8 * i] = sums.of[i][j];
    __syncthreads();
    finish_rows<M, N, STAGED_PITCH, THREADS>(conv_output_of(args, rows), staged, 0, out);
}

/* ------------------------------------------------------------------ launch */

template <int TN, bool BF16>
static mill_status launch(struct mill_backend *backend, const struct conv_args *args,
                          int32_t n_spans, const struct conv_tile *tile) {
    MILL_TRY(
        mill_cuda_allow_shared(backend, (const void *)conv_ffma<TN, BF16>, tile->shared_bytes));
    CU_LAUNCH((conv_ffma<TN, BF16>), mill_cuda_conv_grid(args, n_spans, tile->n_out, tile->n_rows),
              dim3(THREADS), tile->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "conv_ffma");
}

template <int TN>
static struct conv_tile describe(const struct conv_args *args, const struct conv_pace &pace) {
    size_t held =
        conv_tile_bytes(16 * TN + conv_reach(args)) + (size_t)(2 * W_BUFFER) * sizeof(float4);
    size_t staged = (size_t)(16 * TN * STAGED_PITCH) * sizeof(float);
    return {M, 16 * TN, pace, held > staged ? held : staged,
            args->w.shape.dtype == MILL_BF16 ? launch<TN, true> : launch<TN, false>};
}

int32_t mill_cuda_conv_ffma(const struct conv_args *args, struct conv_tile tiles[CONV_TILES]) {
    tiles[0] = describe<4>(args, CONV_PACE_FFMA_64);
    tiles[1] = describe<1>(args, CONV_PACE_FFMA_16);
    return 2;
}
