/* conv_wide.cu - convolutions of several outputs by products of warp groups: sm_90a, bf16 weights.
 * The kernel (conv_wide_product.h), and its launches. */
#include "kernels/cuda/conv_rates.h"
#include "kernels/cuda/conv_wide_prepare.h"
#include "kernels/cuda/conv_wide_product.h"

template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    conv_wide(const __grid_constant__ wide_run run) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, memory);
    CU_SHARED(wide_rings<TILE>, rings);
    const wide_shared shared = share<TILE>(run, memory);
    const int32_t warp = warp_of_block();
    grid_start_next();
    if (threadIdx.x == 0) {
        ring_init(rings.weights, TILE::WEIGHT_WARPS, TILE::MULTIPLIERS / 32);
        ring_init(rings.rows, TILE::ROW_WARPS, TILE::MULTIPLIERS / 32);
        fence_barrier_init();
    }
    if constexpr (TILE::DOES_UNITS)
        find_snakes<TILE>(run, shared.snakes);
    __syncthreads();
    auto multiply = [&] { multiply_items<TILE>(run, rings, shared); };
    if constexpr (TILE::DOES_UNITS)
        take_unit_trades<TILE>(
            warp, multiply, [&] { prepare_rows<TILE>(run, rings, shared); },
            [&] { send_weights<TILE>(run, rings, shared.weights, 0); });
    else
        take_trades<TILE>(warp, multiply, [&](int32_t sender) {
            if (sender == 0)
                send_rows<TILE>(run, rings, shared.rows);
            else
                send_weights<TILE>(run, rings, shared.weights, sender - 1);
        });
#else
    __trap(); /* code for another card */
#endif
}

/* ------------------------------------------------------------------ launch */

template <class TILE> static size_t row_stage_bytes(int32_t reach) {
    return (size_t)(WIDE_PLANES * (TILE::ROWS + reach) * CHUNK_BYTES);
}

template <class TILE> static mill_status multiply(struct mill_backend *backend, wide_run *run) {
    size_t stage = row_stage_bytes<TILE>(run->reach), fixed = wide_fixed_bytes<TILE>();
    size_t most = (size_t)backend->shared_bytes / TILE::BLOCKS - 2 * MILL_CUDA_STATIC_SHARED_BYTES;
    most = fixed + 2 * stage > most ? fixed + 2 * stage : most;
    size_t n_stages = (most - fixed) / stage;
    run->n_row_stages = (int32_t)(n_stages < (size_t)ROW_STAGES ? n_stages : (size_t)ROW_STAGES);
    size_t bytes = fixed + (size_t)run->n_row_stages * stage;
    MILL_TRY(mill_cuda_allow_shared(backend, (const void *)conv_wide<TILE>, bytes));
    int32_t n = wide_items(run, TILE::OUTS), most_blocks = backend->n_processors * TILE::BLOCKS;
    CU_LAUNCH_EARLY(conv_wide<TILE>, dim3((uint32_t)(n < most_blocks ? n : most_blocks)),
                    dim3(TILE::THREADS), bytes, backend, *run);
    return mill_cuda_launched(backend, "conv_wide");
}

template <class TILE>
static struct conv_tile describe(const struct conv_args *args, const struct conv_pace &pace) {
    size_t bytes = wide_fixed_bytes<TILE>() + 2 * row_stage_bytes<TILE>(conv_reach(args));
    return {TILE::OUTS,     TILE::ROWS,      pace, bytes, mill_cuda_conv_wide_launch,
            multiply<TILE>, TILE::DOES_UNITS};
}

int32_t mill_cuda_conv_wide(const struct conv_args *args, struct conv_tile tiles[CONV_TILES]) {
    tiles[0] = describe<conv_wide_tile<3, 104, 96, 5, 1>>(args, CONV_PACE_WIDE_192);
    tiles[1] = describe<conv_wide_tile<2, 104, 96, 6, 1>>(args, CONV_PACE_WIDE_128);
    tiles[2] = describe<conv_wide_tile<1, 96, 0, 6, 2>>(args, CONV_PACE_WIDE_96);
    tiles[3] = describe<conv_wide_tile<1, 32, 0, 4, 3>>(args, CONV_PACE_WIDE_32);
    return 4;
}

struct conv_tile mill_cuda_conv_wide_unit(const struct conv_args *dilated) {
    int32_t c = dilated->w.shape.n_out;
    if (!dilated->whole_y || c > 192)
        return {};
    return c <= 128 ? describe<unit_wide_tile<2, 104, 96, 6, 4>>(dilated, {})
                    : describe<unit_wide_tile<3, 104, 96, 3, 3>>(dilated, {});
}
