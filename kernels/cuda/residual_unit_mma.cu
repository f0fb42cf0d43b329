/* residual_unit_mma.cu - residual units in one kernel on tensor cores, sm_80 and later.
 *
 * A block computes the dilated convolution of N rows as conv_mma.cu does, all channels of it: sums,
 * bias and second snake become bf16 rows in the place of the input's tile, and the pointwise
 * product runs over them like over the channels of a tile.
 *
 * Work: 2 (n_taps + 1) c^2 FLOPs a row. Bytes: 8 c a row, where two convolutions have 20 c.
 * Planned (channels x rows, threads: registers, shared memory at reach 54 -> blocks an sm):
 *   96 x 128,  256: 128, 47 KB -> 2
 *   192 x 64,  256: 128, 72 KB -> 1 (sm_86, 89, 120), 2 (sm_80)
 *   384 x 64,  512: 128, 144 KB -> 1 (sm_80) */
#include "kernels/cuda/conv_mma.h"
#include "kernels/cuda/residual_unit.h"

using tile_96 = mma_tile<2, 4, 3, 4, 4, 2>;
using tile_192 = mma_tile<4, 2, 3, 4, 4, 2>;
using tile_384 = mma_tile<8, 2, 3, 4, 4, 1>;

/* Hidden rows lie as a tile's, but for their chunks: of row r, chunk c of a group is in place c ^
 * (r / 2 % 4), so that lanes that store four rows meet different banks. */
static __device__ __forceinline__ int32_t hidden_chunk(int32_t chunk, int32_t row) {
    return chunk ^ (row / 2 % 4);
}

template <class TILE>
static __device__ __forceinline__ void store_hidden(const mma_sums<TILE> &sums, uint16_t *hidden,
                                                    const struct mill_weight &w,
                                                    const float *alpha2) {
    int32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int32_t row = warp / TILE::WARPS_M * (TILE::N8 * 8) + lane % 4 * 2;
    int32_t first = warp % TILE::WARPS_M * (TILE::M16 * 16) / 8; /* chunk */
#pragma unroll
    for (int i = 0; i < 2 * TILE::M16; i++) {
        int32_t chunk = first + i, channel = 8 * chunk + lane / 4;
        bool inside = channel < w.shape.n_out;
        float bias = inside && w.bias ? w.bias[channel] : 0, alpha = inside ? alpha2[channel] : 0;
        float inverse = snake_inverse(alpha);
#pragma unroll
        for (int j = 0; j < 2 * TILE::N8; j++) {
            float v = sums.of[i / 2][j / 2][i % 2 * 2 + j % 2] + bias;
            int32_t r = row + j / 2 * 8 + j % 2;
            int32_t at = (chunk / 4 * TILE::N + r) * 4 + hidden_chunk(chunk % 4, r);
            hidden[at * 8 + lane / 4] = f32_to_bf16(snake(v, alpha, inverse));
        }
    }
}

/* sums += the pointwise product of the hidden rows. */
template <class TILE>
static __device__ __forceinline__ void multiply_hidden(mma_sums<TILE> &sums,
                                                       weight_stream<TILE> &stream, uint4 *ring,
                                                       const uint4 *hidden) {
    int32_t lane = threadIdx.x % 32, chunk = hidden_chunk(lane % 4, lane / 4);
    const uint4 *x = lane_rows<TILE>(hidden) - lane % 4 + chunk;
    for (int32_t group = 0; group < stream.n_groups; group++) {
        const uint4 *w = stream_next(stream, ring);
        multiply(sums, w, x + group * TILE::N * 4);
    }
}

/* Chunks of the input's tile or the hidden rows, whichever are more. */
template <class TILE>
static __host__ __device__ inline int32_t held_chunks(const struct conv_args *dilated) {
    int32_t tile = (TILE::N + conv_reach(dilated)) * TILE_ROW_CHUNKS;
    int32_t hidden = TILE::N * (TILE::M / 8);
    return tile > hidden ? tile : hidden;
}

/* Behind `shared` come the input's tile or the hidden rows, then the ring; or the sums. */
template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    residual_unit_mma(const __grid_constant__ struct unit_args args) {
    CU_DYN_SHARED(uint4, shared);
    int32_t first = blockIdx.x * TILE::N;
    conv_rows rows = conv_rows_of(args.dilated, blockIdx.y, 0, first, TILE::N);
    if (rows.n <= 0)
        return;
    uint4 *ring = shared + held_chunks<TILE>(&args.dilated);
    weight_stream<TILE> stream = stream_begin<TILE>(args.dilated.w, 0, rows.n_taps, 0, 1, ring);
    mma_sums<TILE> sums;
    clear(sums);
    convolve(sums, stream, ring, shared, args.dilated, rows);
    stream_end();
    stream = stream_begin<TILE>(args.pointwise, 0, 1, 0, 1, ring);
    store_hidden(sums, reinterpret_cast<uint16_t *>(shared), args.dilated.w, args.alpha2);
    clear(sums);
    multiply_hidden(sums, stream, ring, shared);
    stream_end();
    struct conv_output to = conv_output_of(args.dilated, rows);
    to.bias = args.pointwise.bias;
    finish(sums, reinterpret_cast<float *>(shared), to, 0);
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static mill_status launch(struct mill_backend *backend, const struct unit_args *args,
                          int32_t n_spans, const struct unit_kernel *kernel) {
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)residual_unit_mma<TILE>,
                                    kernel->shared_bytes));
    CU_LAUNCH(residual_unit_mma<TILE>,
              mill_cuda_conv_grid(&args->dilated, n_spans, kernel->n_out, kernel->n_rows),
              dim3(TILE::THREADS), kernel->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "residual_unit_mma");
}

template <class TILE> static struct unit_kernel describe(const struct conv_args *dilated) {
    size_t held = (size_t)(held_chunks<TILE>(dilated) + TILE::STAGES * TILE::STAGE) * CHUNK_BYTES;
    size_t staged = (size_t)(TILE::STAGED * TILE::STAGED_PITCH) * sizeof(float);
    return {TILE::M, TILE::N, held > staged ? held : staged, launch<TILE>};
}

struct unit_kernel mill_cuda_unit_mma(const struct conv_args *dilated) {
    int32_t c = dilated->w.shape.n_out;
    return c <= tile_96::M    ? describe<tile_96>(dilated)
           : c <= tile_192::M ? describe<tile_192>(dilated)
           : c <= tile_384::M ? describe<tile_384>(dilated)
                              : (struct unit_kernel){};
}
