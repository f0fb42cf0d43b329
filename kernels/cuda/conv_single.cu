/* conv_single.cu - convolutions with one output: the decoder's last layer, 96 channels to a sample.
 *
 * A row's sum is shared by four neighbouring lanes: lane q takes chunks q and q + 4 of every eight,
 * and the four sums are added as (0 + 1) + (2 + 3). A thread has four rows, one behind the other:
 * they share each weight, and where taps are one row apart and their number is known (the published
 * 7), what is read of the tile too, 10 rows for 28 products. Rows go through the tile of
 * conv_rows.h 32 channels at a time, all of a thread's loads under way at once: snake is worked out
 * once a row and channel.
 *
 * Bytes: 4 n_in a row, 6.1 MB an audio second of the published layer, for 21 MFLOPs: memory's
 * speed, 95 us for 128 streams of 8,000 rows on an H200. There a multiprocessor has 4 blocks of
 * 18 KB under way, of which it needs 26; shared memory is read for some 35 us, products take 25.
 * Planned: 128 registers, 22 KB at reach 6 -> 4 blocks of 128 threads an sm. */
#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_rows.h"

enum {
    THREADS = 128,
    EACH = 4, /* rows of a thread */
    ROWS = THREADS / 4 * EACH,
    RUN = 32,  /* channels of a tile */
    BATCH = 9, /* rows that a thread loads at a time: all, up to a reach of 16 */
    TAPS = 7   /* of the published layer */
};

/* The tile's rows with a gap behind every EACH: two threads' rows lie in different banks. */
struct tile_gaps {
    int32_t n_rows;
    __device__ __forceinline__ int32_t at(int32_t group, int32_t chunk, int32_t row) const {
        return (group * (n_rows + n_rows / EACH) + row + row / EACH) * 4 + chunk;
    }
};

/* Rows of the tile, whole runs of EACH. */
static __host__ __device__ inline int32_t tile_rows(const struct conv_args *args) {
    return (ROWS + conv_reach(args) + EACH - 1) / EACH * EACH;
}

/* Weights of channels channel .. channel + 3 of a tap. */
template <bool BF16>
static __device__ __forceinline__ float4 four_weights(const struct mill_weight &w, int32_t tap,
                                                      int32_t channel) {
    if (channel >= w.shape.n_in)
        return make_float4(0, 0, 0, 0);
    int64_t at = weight_chunk_at(&w.shape, 0, tap, channel / (BF16 ? 8 : 4));
    if (!BF16)
        return static_cast<const float4 *>(w.image)[at];
    uint2 v = static_cast<const uint2 *>(w.image)[2 * at + channel / 4 % 2];
    return make_float4(bf16_to_f32((uint16_t)v.x), bf16_to_f32((uint16_t)(v.x >> 16)),
                       bf16_to_f32((uint16_t)v.y), bf16_to_f32((uint16_t)(v.y >> 16)));
}

/* Those of a run of channels, all taps in the order of the sum, to shared memory. */
template <bool BF16>
static __device__ __forceinline__ void load_weights(float4 *to, const struct conv_args &args,
                                                    const conv_rows &rows, int32_t channel) {
    for (int32_t i = threadIdx.x; i < rows.n_taps * (RUN / 4); i += THREADS)
        to[i] = four_weights<BF16>(args.w, rows.first_tap + i / (RUN / 4) * rows.tap_step,
                                   channel + i % (RUN / 4) * 4);
}

/* sums += a run of channels of this lane. N_TAPS 0: of any layer. */
template <int N_TAPS>
static __device__ __forceinline__ void multiply(float (&sums)[EACH], const uint4 *tile,
                                                const tile_gaps &places, const float4 *weights,
                                                const conv_rows &rows) {
    int32_t n_taps = N_TAPS ? N_TAPS : rows.n_taps, first = threadIdx.x / 4 * EACH;
    int32_t shift = N_TAPS ? 0 : rows.shift, step = N_TAPS ? 1 : rows.shift_step;
    int32_t q = threadIdx.x % 4;
#pragma unroll(N_TAPS ? N_TAPS : 1)
    for (int32_t j = 0; j < n_taps; j++)
#pragma unroll
        for (int32_t group = 0; group < TILE_GROUPS; group++) {
            float4 w = weights[j * (RUN / 4) + 4 * group + q];
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                uint4 x = tile[places.at(group, q, first + i + shift + j * step)];
                sums[i] = fmaf(w.x, __uint_as_float(x.x), sums[i]);
                sums[i] = fmaf(w.y, __uint_as_float(x.y), sums[i]);
                sums[i] = fmaf(w.z, __uint_as_float(x.z), sums[i]);
                sums[i] = fmaf(w.w, __uint_as_float(x.w), sums[i]);
            }
        }
}

/* Of a thread's rows lane q finishes row q. */
static __device__ __forceinline__ void finish(float (&sums)[EACH], const struct conv_args &args,
                                              const conv_rows &rows) {
    static_assert(EACH == 4, "a row a lane");
    float sum = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        float all = sums[i];
        all += __shfl_xor_sync(0xffffffff, all, 1);
        all += __shfl_xor_sync(0xffffffff, all, 2);
        sum = i == (int)threadIdx.x % 4 ? all : sum;
    }
    int32_t row = threadIdx.x;
    if (row >= rows.n)
        return;
    struct conv_output to = conv_output_of(args, rows);
    float y = activate(to.act, to.bias ? sum + to.bias[0] : sum);
    to.y[row * to.y_step] = to.residual ? y + to.residual[row * to.residual_step] : y;
}

/* Dynamic shared memory: the input's tile, the weights of a run. */
template <bool BF16, int N_TAPS>
__global__ void __launch_bounds__(THREADS, 4)
    conv_single(const __grid_constant__ struct conv_args args) {
    CU_DYN_SHARED(uint4, tile);
    conv_rows rows = conv_rows_of(args, blockIdx.y, blockIdx.z, blockIdx.x * ROWS, ROWS);
    int32_t n_rows = tile_rows(&args);
    const tile_gaps places = {n_rows};
    float4 *weights = reinterpret_cast<float4 *>(tile + places.at(TILE_GROUPS, 0, 0));
    float sums[EACH] = {};
    grid_start_next();
    grid_wait();
    if (rows.n <= 0)
        return;
    for (int32_t channel = 0; channel < args.w.shape.n_in; channel += RUN) {
        __syncthreads(); /* nobody reads the tile's channels of before */
        load_weights<BF16>(weights, args, rows, channel);
        load_tile<chunk_f32<BF16>, THREADS, BATCH>(tile, places, n_rows, args, rows, channel,
                                                   threadIdx.x);
        __syncthreads();
        multiply<N_TAPS>(sums, tile, places, weights, rows);
    }
    finish(sums, args, rows);
}

/* ------------------------------------------------------------------ launch */

template <bool BF16, int N_TAPS>
static mill_status launch(struct mill_backend *backend, const struct conv_args *args,
                          int32_t n_spans, const struct conv_tile *tile) {
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)conv_single<BF16, N_TAPS>,
                                    tile->shared_bytes));
    CU_LAUNCH_EARLY((conv_single<BF16, N_TAPS>),
                    mill_cuda_conv_grid(args, n_spans, tile->n_out, tile->n_rows), dim3(THREADS),
                    tile->shared_bytes, backend, *args);
    return mill_cuda_launched(backend, "conv_single");
}

int32_t mill_cuda_conv_single(const struct conv_args *args, struct conv_tile tiles[CONV_TILES]) {
    bool bf16 = args->w.shape.dtype == MILL_BF16;
    bool known = args->stride == 0 && args->dilation == 1 && args->w.shape.n_taps == TAPS;
    size_t rows = (size_t)tile_rows(args) * (EACH + 1) / EACH;
    tiles[0] = {1,
                ROWS,
                {1, 0, 0, 1} /* the only one */,
                conv_tile_bytes((int32_t)rows) + (size_t)args->w.shape.n_taps * RUN * sizeof(float),
                known  ? bf16 ? launch<true, TAPS> : launch<false, TAPS>
                 : bf16 ? launch<true, 0>
                       : launch<false, 0>};
    return 1;
}
