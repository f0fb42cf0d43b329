/* attn_paged.h - what the parts of paged attention share: its units of work, the tile choice (host)
 * and the layout of a partial result.
 *
 *   split    64 positions of a sequence, from a multiple of 64 on. A warp works out what a split
 *            gives an octet, from zero: sum of 2^(score - largest) v, sum of 2^(score - largest),
 *            largest. The splits' results are then taken in order, one after the other.
 *   slot     one query head of one row. Of a tile of rows, the heads that share a kv head are
 *            numbered row by row; 8 slots are an octet.
 *   part     one of the blocks among which a tile's splits are dealt: a block's warps take splits
 *            next to each other, the next ones belong to the next part.
 *
 * A split's sums do not depend on which warp of which block makes them, nor on the other slots, and
 * the order of splits is that of positions: so a row's result is the same bits in a prompt and as a
 * single row, in any batch and under any plan. */
#ifndef MILL_KERNELS_CUDA_ATTN_PAGED_H
#define MILL_KERNELS_CUDA_ATTN_PAGED_H

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ATTN_KEYS = 64,       /* of a split */
    ATTN_SLOTS = 8,       /* of an octet */
    ATTN_MAX_OCTETS = 4,  /* of a tile */
    ATTN_MAX_WARPS = 8,   /* of a block */
    ATTN_DECODE_WARPS = 4 /* of one of attn_decode.h */
};

/* A partial result: ATTN_SLOTS rows of head_dim sums, the total and the largest score; 8 apart, so
 * that the rows of a fragment lie in different banks. */
#define ATTN_PARTIAL_ROW(head_dim) ((head_dim) + 8)
#define ATTN_PARTIAL_FLOATS(head_dim) (ATTN_SLOTS * ATTN_PARTIAL_ROW(head_dim))

struct mill_attn_plan {
    int32_t tile_rows, n_tiles;
    int32_t shared_heads;         /* query heads of a kv head */
    int32_t head_chunk, n_chunks; /* of these that a block takes */
    int32_t n_octets;             /* of a full tile */
    int32_t n_warps, n_parts;
    int32_t max_splits; /* of a sequence */
};

/* What a plan depends on. */
struct mill_attn_shape {
    int32_t n_rows, n_sequences, max_pages, page_tokens;
    int32_t n_heads, n_kv_heads, head_dim;
    int32_t n_processors;
    int32_t max_partials, max_arrivals; /* splits and tiles of several parts */
    int32_t shared_bytes;               /* that a block may have */
    int32_t shared_of_block, shared_of_octet, shared_of_warp; /* that the kernel takes */
};

/* All of it but what the kernel takes; in attn_paged.cu. */
struct mill_attn_shape mill_cuda_attn_shape(const struct mill_backend *backend,
                                            const struct mill_attn_paged_args *args);

/* How to cut the batch into blocks: enough of them to fill the device, otherwise as few as
 * possible, because every block of a tile reads all its keys. false: a warp's share does not fit.
 */
bool mill_cuda_attn_plan(const struct mill_attn_shape *shape, struct mill_attn_plan *plan);

/* The same for steps of one row a sequence (attn_decode.h): a block for all of a sequence where
 * that fills the device, otherwise several, which ask for all of it at once. */
void mill_cuda_attn_plan_decode(const struct mill_attn_shape *shape, struct mill_attn_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
