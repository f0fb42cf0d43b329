/* batch.h - a block's place in a ragged batch, and where pages keep a position.
 *
 * The lengths of sequences lie in device memory, so a launch is sized without them: sequence s
 * owns the tiles from row_first[s] / tile_rows + s on, of which it needs no more than there are up
 * to the next one's first. A block that is nobody's leaves. */
#ifndef MILL_KERNELS_CUDA_BATCH_H
#define MILL_KERNELS_CUDA_BATCH_H

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

struct row_tile {
    int32_t sequence, first, n; /* rows of the batch */
    int32_t position;           /* of the first */
};

/* The tile of this block, the same for all its threads, which all call; false = there is none. */
static __device__ __forceinline__ bool find_tile(const struct mill_batch &batch, int32_t index,
                                                 int32_t tile_rows, struct row_tile *tile) {
    CU_SHARED(struct row_tile, found);
    bool mine = false;
    for (int32_t s = (int32_t)threadIdx.x; s < batch.n_sequences; s += (int32_t)blockDim.x) {
        int32_t first = batch.row_first[s], n = batch.row_first[s + 1] - first;
        int32_t skip = index * tile_rows - first;
        if (tile_rows > 1)
            skip = (index - first / tile_rows - s) * tile_rows;
        if (skip < 0 || skip >= n)
            continue;
        mine = true;
        found = {s, first + skip, n - skip < tile_rows ? n - skip : tile_rows,
                 batch.n_cached[s] + skip};
    }
    if (!__syncthreads_or(mine))
        return false;
    *tile = found;
    return true;
}

/* The element, counted from kv.data, where a sequence keeps the key of `position` for a head;
 * its value lies kv_part elements behind it. */
static __device__ __forceinline__ int64_t kv_element(const struct mill_kv_pages &kv,
                                                     const int32_t *pages, int32_t position,
                                                     int32_t head) {
    int64_t page = pages[(uint32_t)position / (uint32_t)kv.page_tokens];
    int32_t slot = (int32_t)((uint32_t)position % (uint32_t)kv.page_tokens);
    return page * kv.page_stride + ((int64_t)head * kv.page_tokens + slot) * kv.head_dim;
}

static __device__ __forceinline__ int64_t kv_part(const struct mill_kv_pages &kv) {
    return (int64_t)kv.n_heads * kv.page_tokens * kv.head_dim;
}

/* MILL_I8: the scale of that key, counted in floats from kv.data; the value's lies n_heads *
 * page_tokens behind it. */
static __device__ __forceinline__ int64_t kv_scale(const struct mill_kv_pages &kv,
                                                   const int32_t *pages, int32_t position,
                                                   int32_t head) {
    int64_t page = pages[(uint32_t)position / (uint32_t)kv.page_tokens];
    return (page * kv.page_stride + 2 * kv_part(kv)) / (int64_t)sizeof(float) +
           (int64_t)head * kv.page_tokens +
           (int32_t)((uint32_t)position % (uint32_t)kv.page_tokens);
}

#endif
