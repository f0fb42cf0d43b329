/* conv_mma.cu - convolutions as matrix products on tensor cores (sm_80 and later), bf16 weights.
 *
 * A block computes M outputs of N rows of one span and phase. It walks the channels 64 at a time:
 * their rows, with those that the taps reach to both sides, are loaded once, snaked and rounded
 * into shared memory; then every tap multiplies the same tile, some rows further (conv_mma.h).
 * While one block of a multiprocessor loads a tile, another multiplies.
 *
 * Work: 2 n_taps n_in n_out FLOPs a row. Bytes: 4 (n_in + n_out) a row of memory, and of the L2
 * cache 2 / N a multiply-add for weights and 4 (1 + reach / N) / (M n_taps) for rows.
 * Planned (outputs x rows, threads: registers, shared memory at reach 54 -> blocks an sm):
 *   96 x 128, 256: 128, 47 KB -> 2
 *   96 x 32,  128: 128, 35 KB -> 2 (sm_86, 89, 120), 4 (sm_80, 90)
 *   32 x 32,  128: 96, 19 KB  -> 5 (sm_86, 89, 120) */
#include "kernels/cuda/conv_mma.h"
#include "kernels/cuda/conv_rates.h"

using tile_wide = mma_tile<2, 4, 3, 4, 4, 2>;
using tile_short = mma_tile<2, 2, 3, 2, 4, 3>;
using tile_small = mma_tile<2, 2, 1, 2, 4, 4>;

/* Behind `shared` come the input's tile, then the ring; or the sums, when both are done with. */
template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    conv_mma(const __grid_constant__ struct conv_args args) {
    CU_DYN_SHARED(uint4, shared);
    uint32_t out_tiles = (args.w.shape.n_out + TILE::M - 1) / TILE::M;
    int32_t out = blockIdx.x % out_tiles * TILE::M, first = blockIdx.x / out_tiles * TILE::N;
    conv_rows rows = conv_rows_of(args, blockIdx.y, blockIdx.z, first, TILE::N);
    if (rows.n <= 0)
        return;
    uint4 *ring = shared + (TILE::N + conv_reach(&args)) * TILE_ROW_CHUNKS;
    weight_stream<TILE> stream =
        stream_begin<TILE>(args.w, out, rows.n_taps, rows.first_tap, rows.tap_step, ring);
    mma_sums<TILE> sums;
    clear(sums);
    convolve(sums, stream, ring, shared, args, rows);
    stream_end();
    finish(sums, reinterpret_cast<float *>(shared), conv_output_of(args, rows), out);
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static mill_status launch(struct mill_backend *backend, const struct conv_args *args,
                          int32_t n_spans, const struct conv_tile *tile) {
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)conv_mma<TILE>, tile->shared_bytes));
    CU_LAUNCH(conv_mma<TILE>, mill_cuda_conv_grid(args, n_spans, tile->n_out, tile->n_rows),
              dim3(TILE::THREADS), tile->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "conv_mma");
}

template <class TILE>
static struct conv_tile describe(const struct conv_args *args, const struct conv_pace &pace) {
    size_t held = conv_tile_bytes(TILE::N + conv_reach(args)) +
                  (size_t)(TILE::STAGES * TILE::STAGE) * CHUNK_BYTES;
    size_t staged = (size_t)(TILE::STAGED * TILE::STAGED_PITCH) * sizeof(float);
    return {TILE::M, TILE::N, pace, held > staged ? held : staged, launch<TILE>};
}

int32_t mill_cuda_conv_mma(const struct conv_args *args, struct conv_tile tiles[CONV_TILES]) {
    tiles[0] = describe<tile_wide>(args, CONV_PACE_MMA_WIDE);
    tiles[1] = describe<tile_short>(args, CONV_PACE_MMA_SHORT);
    tiles[2] = describe<tile_small>(args, CONV_PACE_MMA_SMALL);
    return 3;
}
