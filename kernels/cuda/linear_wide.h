/* linear_wide.h - the kernel of `linear` for many rows: products of warp groups (sm_90a).
 *
 * A block computes OUTS outputs of ROWS rows, of one segment of inputs. Weights are the A side: a
 * warp has 16 outputs, and a lane's 16 bytes of two bricks are its registers of two instructions,
 * so weights go from memory straight to registers, chunks ahead. Rows are the B side: prepared
 * (linear_prepare.cu, transposed), they flow chunk by chunk through a ring of planes in shared
 * memory (hopper.h), where all warp groups read them.
 *
 * An instruction sums the same sixteen products as mma_bf16 does in the other kernels, and gives
 * the same bits: measured on an H200. So the order of linear.h holds here too. */
#ifndef MILL_KERNELS_CUDA_LINEAR_WIDE_H
#define MILL_KERNELS_CUDA_LINEAR_WIDE_H

#include "kernels/cuda/arrival.h"
#include "kernels/cuda/linear_finish.h"
#include "kernels/cuda/linear_wide_feed.h"

#if CU_HOPPER

/* sum = the products of chunk i. */
template <class TILE>
LINEAR_FN void multiply_chunk(float (&sum)[TILE::ROWS / 2], const uint4 *stage,
                              const wide_weights &w) {
#pragma unroll
    for (int k = 0; k < TILE::ROWS / 2; k++)
        sum[k] = 0;
    wgmma_fence();
#pragma unroll
    for (int j = 0; j < LINEAR_CHUNK; j++) {
        const uint4 low = w.of[0][j], high = w.of[1][j];
        const uint32_t first[4] = {low.x, high.x, low.y, high.y};
        const uint32_t second[4] = {low.z, high.z, low.w, high.w};
        const uint4 *planes = stage + j * BRICK_ROW_CHUNKS * TILE::PITCH;
        wgmma_bf16(sum, first, wgmma_planes(planes, 16 * TILE::PITCH));
        wgmma_bf16(sum, second, wgmma_planes(planes + 2 * TILE::PITCH, 16 * TILE::PITCH));
    }
    wgmma_commit();
}

/* The segment's sums: rows of them, outputs side by side, where the ring was. */
template <class TILE>
LINEAR_FN void stage_segment(const float (&sum)[TILE::ROWS / 2], float *staged) {
    int lane = threadIdx.x % 32, out = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
    for (int k = 0; k < TILE::ROWS / 2; k++)
        staged[(k / 4 * 8 + lane % 4 * 2 + k % 2) * TILE::STAGED_PITCH + out + k / 2 % 2 * 8] =
            sum[k];
}

template <class TILE>
LINEAR_FN void finish_wide(const struct linear_run &run, const wide_place<TILE> &at,
                           const float *staged) {
    for (int i = threadIdx.x; i < TILE::QUADS; i += TILE::THREADS) {
        int row = i / (TILE::OUTS / 4), out = i % (TILE::OUTS / 4) * 4;
        if (at.row + row >= run.n_rows || at.out + out >= run.n_out)
            continue;
        quad<float> sum = load_quad<true>(staged + row * TILE::STAGED_PITCH, out, 0, 0.0f);
        if (run.n_splits == 1)
            finish(run, at.row + row, at.out + out, sum);
        else
            store_quad<true>(static_cast<float *>(run.partial) +
                                 partial_at(run, 1, blockIdx.y, 0, at.row + row, at.out + out),
                             0, 4, sum);
    }
}

#endif

/* Block x: tiles, rows' first; y: segments. */
template <class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    linear_wide(const __grid_constant__ struct linear_run run) {
#if CU_HOPPER
    CU_DYN_SHARED(uint4, ring);
    const wide_place<TILE> at = wide_place_of<TILE>(run);
    wide_weights w[TILE::AHEAD + 1];
    float sum[TILE::ROWS / 2], segment[TILE::ROWS / 2] = {};
#pragma unroll
    for (int i = 0; i < TILE::AHEAD; i++)
        load_chunk(w[i], run, at, i);
    grid_start_next();
    grid_wait();
    for (int i = 0; i < TILE::STAGES - 1; i++)
        copy_rows_of(ring, run, at, i);
#pragma unroll
    for (int i = 0; i < LINEAR_SEGMENT; i++) {
        if (i >= at.n_chunks)
            break;
        load_chunk(w[(i + TILE::AHEAD) % (TILE::AHEAD + 1)], run, at, i + TILE::AHEAD);
        cp_async_wait<TILE::STAGES - 2>();
        fence_async();
        __syncthreads();
        multiply_chunk<TILE>(sum, ring + i % TILE::STAGES * TILE::STAGE, w[i % (TILE::AHEAD + 1)]);
        copy_rows_of(ring, run, at, i + TILE::STAGES - 1);
        wgmma_wait<0>();
#pragma unroll
        for (int k = 0; k < TILE::ROWS / 2; k++)
            segment[k] += sum[k];
    }
    cp_async_wait<0>();
    __syncthreads();
    float *staged = reinterpret_cast<float *>(ring);
    stage_segment<TILE>(segment, staged);
    __syncthreads();
    finish_wide(run, at, staged);
    if (run.n_splits > 1 && arrive_last(run.arrived + blockIdx.x, run.n_splits))
        finish_splits<TILE>(run, at.row, at.out);
#else
    __trap(); /* code for another card */
#endif
}

/* ------------------------------------------------------------------ launch */

template <class TILE>
static void launch_wide(struct mill_backend *backend, const struct linear_plan *plan,
                        const struct linear_run *run) {
    CU_LAUNCH_EARLY(linear_wide<TILE>, dim3((uint32_t)plan->n_tiles, (uint32_t)plan->n_splits),
                    dim3(TILE::THREADS), (size_t)plan->shared_bytes, backend, *run);
}

template <class TILE> static constexpr struct linear_kernel wide_of(struct linear_pace pace) {
    struct linear_kernel kernel = {};
    int32_t ring = TILE::STAGES * TILE::STAGE * CHUNK_BYTES;
    int32_t staged = TILE::ROWS * TILE::STAGED_PITCH * (int32_t)sizeof(float);
    kernel.kind = LINEAR_BF16_WIDE;
    kernel.n_rows = TILE::ROWS;
    kernel.n_outs = TILE::OUTS;
    kernel.n_warps = TILE::THREADS / 32;
    kernel.exchange_bytes = ring > staged ? ring : staged;
    kernel.max_segments = INT32_MAX;
    kernel.is_wide = true;
    kernel.pace = pace;
    kernel.function = linear_wide<TILE>;
    kernel.launch = launch_wide<TILE>;
    return kernel;
}

#endif
