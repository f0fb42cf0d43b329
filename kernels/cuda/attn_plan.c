/* attn_plan.c - tile choice of paged attention: arithmetic on a batch's sizes, on the host. No
 * choice changes a result (attn_paged.h). */
#include "kernels/cuda/attn_paged.h"

static int32_t ceil_divide(int64_t a, int32_t b) {
    return (int32_t)((a + b - 1) / b);
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static void cut_into_tiles(const struct mill_attn_shape *s, struct mill_attn_plan *plan,
                           int32_t n_octets) {
    int32_t heads = s->n_heads / s->n_kv_heads, slots = n_octets * ATTN_SLOTS;
    plan->n_octets = n_octets;
    plan->shared_heads = heads;
    plan->head_chunk = smaller(heads, slots);
    plan->n_chunks = ceil_divide(heads, plan->head_chunk);
    plan->tile_rows = slots / plan->head_chunk;
    plan->n_tiles = plan->tile_rows == 1 ? s->n_rows : s->n_rows / plan->tile_rows + s->n_sequences;
}

static int32_t blocks_of(const struct mill_attn_shape *s, const struct mill_attn_plan *plan) {
    int64_t n = (int64_t)plan->n_tiles * s->n_kv_heads * plan->n_chunks;
    return n < INT32_MAX ? (int32_t)n : INT32_MAX;
}

static int32_t warps_that_fit(const struct mill_attn_shape *s, int32_t n_octets, int32_t most) {
    int32_t left = s->shared_bytes - s->shared_of_block - n_octets * s->shared_of_octet;
    return left < s->shared_of_warp ? 0 : smaller(left / s->shared_of_warp, most);
}

static int32_t max_splits(const struct mill_attn_shape *s) {
    return ceil_divide((int64_t)s->max_pages * s->page_tokens, ATTN_KEYS);
}

/* Few blocks share the splits of a sequence among more. */
static int32_t parts_of(const struct mill_attn_shape *s, const struct mill_attn_plan *plan,
                        int32_t blocks) {
    int64_t partials = (int64_t)blocks * plan->max_splits;
    if (blocks > s->n_processors || blocks > s->max_arrivals || partials > s->max_partials)
        return 1;
    return smaller(ceil_divide(plan->max_splits, plan->n_warps), 2 * s->n_processors / blocks);
}

bool mill_cuda_attn_plan(const struct mill_attn_shape *s, struct mill_attn_plan *plan) {
    const int32_t full = 2 * s->n_processors;
    *plan = (struct mill_attn_plan){0};
    plan->max_splits = max_splits(s);
    for (int32_t n_octets = ATTN_MAX_OCTETS; n_octets >= 1; n_octets /= 2) {
        cut_into_tiles(s, plan, n_octets);
        if (blocks_of(s, plan) >= full && s->n_rows > s->n_sequences)
            break;
    }
    int32_t blocks = blocks_of(s, plan);
    plan->n_warps = warps_that_fit(s, plan->n_octets,
                                   blocks <= s->n_processors ? ATTN_MAX_WARPS : ATTN_MAX_WARPS / 2);
    if (plan->n_warps == 0)
        return false;
    plan->n_parts = parts_of(s, plan, blocks);
    return true;
}

void mill_cuda_attn_plan_decode(const struct mill_attn_shape *s, struct mill_attn_plan *plan) {
    *plan = (struct mill_attn_plan){0};
    plan->max_splits = max_splits(s);
    cut_into_tiles(s, plan, 1);
    plan->tile_rows = 1;
    plan->n_tiles = s->n_rows;
    plan->n_warps = ATTN_DECODE_WARPS;
    plan->n_parts = parts_of(s, plan, blocks_of(s, plan));
}
