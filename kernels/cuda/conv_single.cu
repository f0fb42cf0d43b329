/* conv_single.cu - convolutions with one output: the decoder's last layer, 96 channels to a sample.
 *
 * A row's sum is shared by four neighbouring lanes: lane q takes chunks q and q + 4 of every eight,
 * and the four sums are added as (0 + 1) + (2 + 3). Rows go through the tile of conv_rows.h, so
 * that the taps do not read memory again; the few weights stay in the first cache.
 *
 * Bytes: 4 n_in a row, 6.1 MB an audio second of the published layer, for 21 MFLOPs: memory's
 * speed. Planned: 64 registers, 9 KB at reach 6 -> 4 blocks of 256 threads an sm. */
#include "kernels/cuda/conv_finish.h"
#include "kernels/cuda/conv_rows.h"

enum { THREADS = 256, ROWS = THREADS / 4, RUN = 32 /* channels of a tile */ };

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

/* Dynamic shared memory: the input's tile. */
template <bool BF16>
__global__ void __launch_bounds__(THREADS)
    conv_single(const __grid_constant__ struct conv_args args) {
    CU_DYN_SHARED(uint4, tile);
    conv_rows rows = conv_rows_of(args, blockIdx.y, blockIdx.z, blockIdx.x * ROWS, ROWS);
    if (rows.n <= 0)
        return;
    int32_t n_rows = ROWS + conv_reach(&args);
    const tile_bricks places = {n_rows};
    int32_t row = threadIdx.x / 4, q = threadIdx.x % 4;
    float sum = 0;
    for (int32_t channel = 0; channel < args.w.shape.n_in; channel += RUN) {
        __syncthreads(); /* nobody reads the tile's channels of before */
        load_tile<chunk_f32<BF16>, THREADS, 4>(tile, places, n_rows, args, rows, channel,
                                               threadIdx.x);
        __syncthreads();
        for (int32_t j = 0; j < rows.n_taps; j++)
#pragma unroll
            for (int32_t c = q; c < RUN / 4; c += 4) {
                int32_t at = row + rows.shift + j * rows.shift_step;
                uint4 x = tile[(c / 4 * n_rows + at) * 4 + q];
                float4 w =
                    four_weights<BF16>(args.w, rows.first_tap + j * rows.tap_step, channel + 4 * c);
                sum = fmaf(w.x, __uint_as_float(x.x), sum);
                sum = fmaf(w.y, __uint_as_float(x.y), sum);
                sum = fmaf(w.z, __uint_as_float(x.z), sum);
                sum = fmaf(w.w, __uint_as_float(x.w), sum);
            }
    }
    sum += __shfl_xor_sync(0xffffffff, sum, 1);
    sum += __shfl_xor_sync(0xffffffff, sum, 2);
    if (q != 0 || row >= rows.n)
        return;
    struct conv_output to = conv_output_of(args, rows);
    float y = activate(to.act, to.bias ? sum + to.bias[0] : sum);
    to.y[row * to.y_step] = to.residual ? y + to.residual[row * to.residual_step] : y;
}

/* ------------------------------------------------------------------ launch */

template <bool BF16>
static mill_status launch(struct mill_backend *backend, const struct conv_args *args,
                          int32_t n_spans, const struct conv_tile *tile) {
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)conv_single<BF16>, tile->shared_bytes));
    CU_LAUNCH(conv_single<BF16>, mill_cuda_conv_grid(args, n_spans, tile->n_out, tile->n_rows),
              dim3(THREADS), tile->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "conv_single");
}

int32_t mill_cuda_conv_single(const struct conv_args *args, struct conv_tile tiles[CONV_TILES]) {
    tiles[0] = {1,
                ROWS,
                {1, 0, 0, 1} /* the only one */,
                conv_tile_bytes(ROWS + conv_reach(args)),
                args->w.shape.dtype == MILL_BF16 ? launch<true> : launch<false>};
    return 1;
}
