/* attn_decode.h - a step's row of a sequence: turned, its key and value appended, and attention
 * over the pages and itself, by one block for up to 8 query heads of a kv head. Device code.
 *
 * A split goes from its pages straight to the registers of the warp that works on it: 16-byte loads
 * that are the operands of mma_bf16 as they are (attn_tile.h). All of what a step before left can
 * be asked for ahead of what this step's row needs, so the block calls wait() only then: the
 * function that returns when x is there. The row's own key and value never come from memory: they
 * go through shared memory, as the page will hold them, to the warp that has the last split.
 *
 * A warp has its split's keys and values under way together, 16 KB; two blocks fit a
 * multiprocessor, which has 128 KB under way then, where memory's speed needs 26 KB (4.3 TB/s times
 * 0.8 us over 132 multiprocessors). Few sequences are dealt to several blocks each, parts, of which
 * the last one to finish takes all together: so that all of a sequence is asked for at once, by
 * blocks small enough (32 K registers, 5 KB) to begin beside those of the launch in front.
 *
 * The arithmetic is attn_rows': attn_tensor.h's a split, attn_taken.h's over splits. */
#ifndef MILL_KERNELS_CUDA_ATTN_DECODE_H
#define MILL_KERNELS_CUDA_ATTN_DECODE_H

#include "kernels/cuda/arrival.h"
#include "kernels/cuda/attn_decode_split.h"
#include "kernels/cuda/attn_taken.h"

template <class T, int D, bool PARTS> struct attn_decode {
    typedef attn_decode_row<T, D, PARTS> row;
    typedef attn_decode_split<T, D, PARTS> splits;
    typedef attn_decode_shared<T, D, PARTS> shared_memory;
    enum { PARTIAL = ATTN_PARTIAL_FLOATS(D), TURNS = row::TURNS, WARPS = ATTN_DECODE_WARPS };

    static __device__ __forceinline__ void write_row(const struct mill_attn_paged_args &a,
                                                     const attn_decode_job &job,
                                                     const attn_taken &taken, int32_t slot,
                                                     int32_t at) {
        float *y = matrix_row(a.y, job.sequence) + (job.first_head + slot) * D + at;
        for (int c = 0; c < 4; c++)
            y[c] = taken.sum.v[c] / taken.total;
    }

    /* A block that has splits, all its threads; `at` are those of its first pass. `partials` and
     * `arrived` are this sequence's and head's, for parts: places for all splits' results, and a
     * counter. */
    template <class Wait>
    static __device__ __forceinline__ void run(const struct mill_attn_paged_args &a,
                                               const attn_decode_job &job,
                                               typename splits::octets at, shared_memory *shared,
                                               float *partials, int32_t *arrived, Wait wait) {
        const int32_t thread = (int32_t)threadIdx.x, warp = thread / 32;
        const int32_t slot = thread / TURNS, column = thread % TURNS * 4;
        float *scales = shared->scales[has_scales<T> ? warp : 0];
        typename splits::lanes split;
        attn_taken taken = attn_nothing_taken();
        int32_t first = job.part * WARPS;
        for (int32_t pass = 0; first < job.n_splits; first += job.n_parts * WARPS, pass++) {
            if (pass > 0)
                at = splits::locate(a, job, first + warp);
            splits::ask(a, job, at, first + warp, &split, scales);
            if (pass == 0)
                row::put(a, job, shared, wait);
            float *partial = PARTS ? partials + (int64_t)(first + warp) * PARTIAL
                                   : shared->partials[pass % 2][warp];
            if (first + warp < job.n_splits)
                splits::work(job, first + warp, &split, shared, scales, partial);
            if constexpr (!PARTS) {
                __syncthreads();
                if (slot < job.heads)
                    take_partials<D, WARPS>(
                        &taken, shared->partials[pass % 2][0] + slot * ATTN_PARTIAL_ROW(D), column,
                        min((int32_t)WARPS, job.n_splits - first));
            }
        }
        if constexpr (PARTS) {
            if (!arrive_last(arrived, job.n_parts))
                return;
            if (slot < job.heads)
                take_partials<D, ATTN_MAX_WARPS>(&taken, partials + slot * ATTN_PARTIAL_ROW(D),
                                                 column, job.n_splits);
        }
        if (slot < job.heads)
            write_row(a, job, taken, slot, column);
    }
};

#endif
