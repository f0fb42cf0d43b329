/* conv_hopper.cu - convolutions as matrix products of warp groups: sm_90a, bf16 weights.
 *
 * A block computes 96 outputs of 64 or 256 rows of one span and phase (conv_hopper.h). What
 * conv_mma cannot have on such a card is what this is for: 256 rows for each read of a weight,
 * loads that go on under the products, and operands that need no instruction to be read.
 *
 * Work: 2 n_taps n_in n_out FLOPs a row. Bytes: 4 (n_in + n_out) a row of memory; of the L2 cache 2
 * / 256 a multiply-add for weights and 4 (1 + reach / 256) / (96 n_taps) for rows: 67 multiply-adds
 * a byte at 7 taps, reach 54.
 * Planned (rows, threads: registers, shared memory at reach 54 -> blocks an sm):
 *   256, 768: 80, 127 KB -> 1
 *   64,  384: 80, 79 KB  -> 2 */
#include "kernels/cuda/conv_hopper_feed.h"
#include "kernels/cuda/conv_rates.h"

using tile_256 = hopper_tile<4, 1, 1>;
using tile_64 = hopper_tile<1, 1, 2>;

/* Behind `shared` come two tiles of the input and the ring of weights; or the sums. */
template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    conv_hopper(const __grid_constant__ struct conv_args args) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, shared);
    CU_SHARED(hopper_pipes<TILE>, pipes);
    uint32_t out_tiles = (args.w.shape.n_out + TILE::OUTS - 1) / TILE::OUTS;
    int32_t out = blockIdx.x % out_tiles * TILE::OUTS;
    int32_t first = blockIdx.x / out_tiles * TILE::ROWS;
    conv_rows rows = conv_rows_of(args, blockIdx.y, blockIdx.z, first, TILE::ROWS);
    if (rows.n <= 0)
        return;
    uint4 *ring = shared + 2 * hopper_tile_chunks<TILE>(&args);
    float *staged = reinterpret_cast<float *>(shared);
    pipes_open(pipes);
    int32_t warp =
        __shfl_sync(0xffffffff, threadIdx.x / 32, 0); /* the compiler sees: of all lanes */
    if (warp < TILE::MULTIPLIERS / 32) {
        hopper_sums<TILE> sums;
        clear(sums);
        multiply_tiles(sums, pipes, shared, ring, args, rows);
        barrier_sync(1, TILE::THREADS);
        stage_sums(sums, staged);
    } else {
        if (warp < (TILE::MULTIPLIERS + TILE::LOADERS) / 32) {
            load_tiles(pipes, shared, args, rows);
        } else {
            send_stages(pipes, ring, args.w, out, rows.n_taps, rows.first_tap, rows.tap_step, 0);
        }
        barrier_sync(1, TILE::THREADS); /* all pass each barrier, or racecheck loses count */
    }
    __syncthreads();
    finish_rows<TILE::OUTS, TILE::ROWS, TILE::STAGED_PITCH, TILE::THREADS>(
        conv_output_of(args, rows), staged, 0, out);
#else
    __trap(); /* code for another card */
#endif
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static mill_status launch(struct mill_backend *backend, const struct conv_args *args,
                          int32_t n_spans, const struct conv_tile *tile) {
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)conv_hopper<TILE>, tile->shared_bytes));
    CU_LAUNCH(conv_hopper<TILE>, mill_cuda_conv_grid(args, n_spans, tile->n_out, tile->n_rows),
              dim3(TILE::THREADS), tile->shared_bytes, backend->stream, *args);
    return mill_cuda_launched(backend, "conv_hopper");
}

template <class TILE>
static struct conv_tile describe(const struct conv_args *args, const struct conv_pace &pace) {
    size_t held = (size_t)(2 * hopper_tile_chunks<TILE>(args) + TILE::STAGES * TILE::STAGE);
    size_t staged = (size_t)(TILE::ROWS * TILE::STAGED_PITCH) * sizeof(float);
    held *= CHUNK_BYTES;
    return {TILE::OUTS, TILE::ROWS, pace, held > staged ? held : staged, launch<TILE>};
}

int32_t mill_cuda_conv_hopper(const struct conv_args *args, struct conv_tile tiles[CONV_TILES]) {
    tiles[0] = describe<tile_256>(args, CONV_PACE_HOPPER_256);
    tiles[1] = describe<tile_64>(args, CONV_PACE_HOPPER_64);
    return 2;
}
