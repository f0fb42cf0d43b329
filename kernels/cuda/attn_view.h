/* attn_view.h - a block's part of paged attention, and what an octet sees of a split. Device code.
 *
 * A kind of products (attn_tensor.h, attn_scalar.h) is a type with
 *
 *     put_query   two neighbouring elements of a slot's scaled query, into shared memory
 *     scores      a warp's octet on the keys of a split: weights 2^(score - largest)
 *     values      the weights' sums over the split's values, as a partial result (attn_paged.h)
 *
 * and the sizes of what it keeps in shared memory, where pages of codes have the scales of 64 keys,
 * then of 64 values. The warp meets behind each of the last two. */
#ifndef MILL_KERNELS_CUDA_ATTN_VIEW_H
#define MILL_KERNELS_CUDA_ATTN_VIEW_H

#include "kernels/cuda/attn_paged.h"
#include "kernels/cuda/batch.h"

struct attn_view {
    int32_t position;   /* of the tile's first row */
    int32_t last;       /* of its last row; slots beyond see what it sees */
    int32_t heads;      /* slots of a row */
    int32_t first_slot; /* of the octet */
    int32_t first_key;  /* of the split */

    /* How many keys of the split a slot of the octet sees; 0 or less is none. */
    __device__ int32_t n_visible(int32_t slot) const {
        return min(position + (first_slot + slot) / heads, last) - first_key + 1;
    }
};

#endif
