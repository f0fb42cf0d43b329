/* residual_unit_hopper.cu - residual units in one kernel by the products of warp groups: sm_90a.
 *
 * The dilated convolution goes as in conv_hopper.cu, all channels in one block. Each warp group
 * then makes its own 64 rows of sums into bf16 rows in planes, which nobody else reads, and goes on
 * with the pointwise product over them; the senders have gone on with its weights long before.
 *
 * Work: 2 (n_taps + 1) c^2 FLOPs a row. Bytes: 8 c a row, where two convolutions have 20 c; of the
 * L2 cache 2 / rows a multiply-add for weights.
 * Planned (channels x rows, threads: registers, shared memory at reach 54 -> blocks an sm):
 *   96 x 256,  768: 80, 175 KB  -> 1
 *   192 x 128, 512: 128, 191 KB -> 1 */
#include "kernels/cuda/conv_hopper_feed.h"
#include "kernels/cuda/residual_unit.h"

using tile_96 = hopper_tile<4, 1, 1>;
using tile_192 = hopper_tile<2, 2, 1>;

/* From plane to plane of hidden rows, in chunks. */
template <class TILE> static __host__ __device__ constexpr int32_t hidden_pitch() {
    return TILE::ROWS + 2;
}

#if CU_HOPPER

/* A warp group's sums as 64 rows of bf16, from `hidden` on. */
template <class TILE>
static __device__ __forceinline__ void store_hidden(const hopper_sums<TILE> &sums, uint4 *hidden,
                                                    const struct mill_weight &w,
                                                    const float *alpha2) {
    int32_t lane = threadIdx.x % 32, q = lane % 4;
    uint4 *rows = hidden + threadIdx.x % 128 / 32 * 16 + lane / 4;
#pragma unroll
    for (int i = 0; i < TILE::OUTS / 8; i++) {
        const float *of = sums.of[i / 12] + i % 12 * 4;
        float v[4];
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int32_t channel = 8 * i + 2 * q + e;
            bool inside = channel < w.shape.n_out;
            float bias = inside && w.bias ? w.bias[channel] : 0;
            float alpha = inside ? alpha2[channel] : 0, inverse = snake_inverse(alpha);
            v[e] = snake(of[e] + bias, alpha, inverse);
            v[2 + e] = snake(of[2 + e] + bias, alpha, inverse);
        }
        uint4 *plane = rows + i * hidden_pitch<TILE>();
        reinterpret_cast<uint32_t *>(plane)[q] = pack_bf16(v[0], v[1]);
        reinterpret_cast<uint32_t *>(plane + 8)[q] = pack_bf16(v[2], v[3]);
    }
}

/* sums += the pointwise product of a warp group's hidden rows. */
template <class TILE>
static __device__ __forceinline__ void
multiply_hidden(hopper_sums<TILE> &sums, hopper_pipes<TILE> &pipes, uint4 *ring, int32_t stage,
                const uint4 *hidden, int32_t n_groups) {
    constexpr int32_t PITCH = hidden_pitch<TILE>();
#pragma unroll 1 /* else the products of turns wait for each other */
    for (; n_groups >= TILE_GROUPS; n_groups -= TILE_GROUPS, hidden += TILE_ROW_CHUNKS * PITCH)
        multiply_stage<TILE_GROUPS>(sums, pipes, ring, stage++, hidden, PITCH);
    if (n_groups > 0)
        multiply_stage<1>(sums, pipes, ring, stage, hidden, PITCH);
    wgmma_wait<0>();
}

/* What the warp groups do. */
template <class TILE>
static __device__ __forceinline__ void
multiply_unit(hopper_pipes<TILE> &pipes, uint4 *tiles, uint4 *ring, uint4 *hidden,
              const struct unit_args &args, const conv_rows &rows) {
    int32_t group = threadIdx.x / 128;
    hopper_sums<TILE> sums;
    clear(sums);
    int32_t stage = multiply_tiles(sums, pipes, tiles, ring, args.dilated, rows);
    hidden += 64 * group;
    store_hidden(sums, hidden, args.dilated.w, args.alpha2);
    fence_async();
    barrier_sync(1 + group, 128);
    clear(sums);
    multiply_hidden(sums, pipes, ring, stage, hidden, weight_groups(&args.pointwise.shape));
    barrier_sync(1 + TILE::GROUPS, TILE::MULTIPLIERS);
    stage_sums(sums, reinterpret_cast<float *>(tiles));
}

#endif

/* Behind `shared` come two tiles of the input, the ring of weights and the hidden rows; or the
 * sums. */
template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    residual_unit_hopper(const __grid_constant__ struct unit_args args) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, shared);
    CU_SHARED(hopper_pipes<TILE>, pipes);
    int32_t first = blockIdx.x * TILE::ROWS;
    conv_rows rows = conv_rows_of(args.dilated, blockIdx.y, 0, first, TILE::ROWS);
    if (rows.n <= 0)
        return;
    uint4 *ring = shared + 2 * hopper_tile_chunks<TILE>(&args.dilated);
    uint4 *hidden = ring + TILE::STAGES * TILE::STAGE;
    pipes_open(pipes);
    int32_t warp =
        __shfl_sync(0xffffffff, threadIdx.x / 32, 0); /* the compiler sees: of all lanes */
    if (warp < TILE::MULTIPLIERS / 32) {
        multiply_unit(pipes, shared, ring, hidden, args, rows);
    } else if (warp < (TILE::MULTIPLIERS + TILE::LOADERS) / 32) {
        load_tiles(pipes, shared, args.dilated, rows);
    } else {
        int32_t n = send_stages(pipes, ring, args.dilated.w, 0, rows.n_taps, 0, 1, 0);
        send_stages(pipes, ring, args.pointwise, 0, 1, 0, 1, n);
    }
    __syncthreads();
    struct conv_output to = conv_output_of(args.dilated, rows);
    to.bias = args.pointwise.bias;
    finish_rows<TILE::OUTS, TILE::ROWS, TILE::STAGED_PITCH, TILE::THREADS>(
        to, reinterpret_cast<float *>(shared), 0, 0);
#else
    __trap(); /* code for another card */
#endif
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static mill_status launch(struct mill_backend *backend, const struct unit_args *args,
                          int32_t n_spans, const struct unit_kernel *kernel) {
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)residual_unit_hopper<TILE>,
                                    kernel->shared_bytes));
    CU_LAUNCH(residual_unit_hopper<TILE>,
              mill_cuda_conv_grid(&args->dilated, n_spans, kernel->n_out, kernel->n_rows),
              dim3(TILE::THREADS), kernel->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "residual_unit_hopper");
}

template <class TILE> static struct unit_kernel describe(const struct conv_args *dilated) {
    int32_t chunks = 2 * hopper_tile_chunks<TILE>(dilated) + TILE::STAGES * TILE::STAGE +
                     TILE::OUTS / 8 * hidden_pitch<TILE>();
    size_t held = (size_t)chunks * CHUNK_BYTES;
    size_t staged = (size_t)(TILE::ROWS * TILE::STAGED_PITCH) * sizeof(float);
    return {TILE::OUTS, TILE::ROWS, held > staged ? held : staged, launch<TILE>};
}

struct unit_kernel mill_cuda_unit_hopper(const struct conv_args *dilated) {
    int32_t c = dilated->w.shape.n_out;
    return c <= tile_96::OUTS    ? describe<tile_96>(dilated)
           : c <= tile_192::OUTS ? describe<tile_192>(dilated)
                                 : (struct unit_kernel){};
}
