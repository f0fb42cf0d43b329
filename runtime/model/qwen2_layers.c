/* qwen2_layers.c - the operators of a step in their order: embedding, layers, and for each legal
 * set one product over its range of head rows and one sampling call. Every argument is a function
 * of the layout, so that a step can be recorded and repeated. */
#include "runtime/model/matrix.h"
#include "runtime/model/qwen2_state.h"

#include <math.h>

/* A linear layer over the norm of x. */
static struct mill_linear_args over_norm(const struct mill_qwen2 *lm, struct mill_matrix y,
                                         struct mill_matrix x, const float *gain,
                                         const struct mill_weight *w) {
    return (struct mill_linear_args){
        .y = y, .x = x, .gain = gain, .eps = lm->weights->shape.norm_eps, .w = *w};
}

/* y += a linear layer of x. */
static struct mill_linear_args adding(struct mill_matrix y, struct mill_matrix x,
                                      const struct mill_weight *w) {
    return (struct mill_linear_args){.y = y, .x = x, .w = *w, .residual = y};
}

/* Rope, append, attention: one call in a step of decoding, two in others. */
static mill_status attend(struct mill_qwen2 *lm, bool decode,
                          const struct mill_attn_paged_args *args) {
    struct mill_attn_paged_args attn = *args;
    if (!decode) {
        MILL_TRY(lm->ops->rope_append(
            lm->backend, &(struct mill_rope_append_args){args->x, args->n_heads, args->frequency,
                                                         args->batch, args->kv}));
        attn.frequency = NULL;
    }
    return lm->ops->attn_paged(lm->backend, &attn);
}

static mill_status run_layer(struct mill_qwen2 *lm, int32_t index, bool decode,
                             const struct mill_batch *batch) {
    const struct mill_llm_shape *s = &lm->weights->shape;
    const struct mill_lm_layer *layer = &lm->weights->layers[index];
    int32_t rows = batch->n_rows, q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    struct mill_kv_pages pages = lm->pages_of_layer;
    int64_t layer_bytes = mill_kv_page_elements(&pages) * (int64_t)mill_dtype_bytes(pages.dtype);
    pages.data = (char *)lm->pages + index * layer_bytes;
    struct mill_matrix x = mill_matrix_f32(lm->x, rows, s->hidden),
                       qkv = mill_matrix_f32(lm->qkv, rows, q + 2 * kv),
                       attended = mill_matrix_f32(lm->attended, rows, q),
                       gated = mill_matrix_f32(lm->gated, rows, s->intermediate);
    struct mill_linear_args to_qkv = over_norm(lm, qkv, x, layer->attn_norm, &layer->qkv);
    struct mill_linear_args from_attended = adding(x, attended, &layer->o);
    struct mill_feed_forward_args mlp = {
        .up = over_norm(lm, gated, x, layer->mlp_norm, &layer->gate_up),
        .down = adding(x, gated, &layer->down)};
    mlp.up.act = MILL_ACT_SILU;
    mlp.up.pairs = MILL_PAIRS_GATE;
    MILL_TRY(lm->ops->linear(lm->backend, &to_qkv));
    MILL_TRY(attend(lm, decode,
                    &(struct mill_attn_paged_args){.y = attended,
                                                   .x = qkv,
                                                   .n_heads = s->n_heads,
                                                   .scale = 1.0f / sqrtf((float)s->head_dim),
                                                   .batch = *batch,
                                                   .kv = pages,
                                                   .frequency = lm->weights->rope_frequency}));
    MILL_TRY(lm->ops->linear(lm->backend, &from_attended));
    return mill_feed_forward(lm->ops, lm->backend, &mlp);
}

/* Logits and draws of one legal set: sorted draws first .. first + n - 1. */
static mill_status run_set(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout,
                           enum mill_legal_set set, int32_t first) {
    int32_t n = layout->n_draws_of[set];
    const struct mill_legal_rows *legal = &lm->weights->legal[set];
    int32_t hidden = lm->weights->shape.hidden;
    struct mill_matrix drawn =
        mill_matrix_f32(lm->drawn + (size_t)first * (size_t)hidden, n, hidden);
    struct mill_matrix logits = {.data = lm->logits + (size_t)first * (size_t)lm->logits_stride,
                                 .dtype = MILL_F32,
                                 .rows = n,
                                 .columns = legal->n_rows,
                                 .stride = lm->logits_stride};
    struct mill_linear_args to_logits =
        over_norm(lm, logits, drawn, lm->weights->norm, &lm->weights->head);
    to_logits.first_out = legal->first_row;
    to_logits.n_out = legal->n_rows;
    MILL_TRY(lm->ops->linear(lm->backend, &to_logits));
    const struct mill_qwen2_arrays *arrays = &lm->arrays;
    return lm->ops->sample(
        lm->backend, &(struct mill_sample_args){.logits = logits,
                                                .ids = lm->set_ids[set],
                                                .tokens = lm->tokens + first,
                                                .temperature = arrays->temperature + first,
                                                .top_p = arrays->top_p + first,
                                                .top_k = arrays->top_k + first,
                                                .seed = arrays->seed + first,
                                                .position = arrays->position + first,
                                                .u = layout->given_u ? arrays->u + first : NULL});
}

static mill_status run_draws(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout) {
    struct mill_matrix drawn =
        mill_matrix_f32(lm->drawn, layout->n_draws, lm->weights->shape.hidden);
    MILL_TRY(lm->ops->embed(lm->backend, &(struct mill_embed_args){.y = drawn,
                                                                   .table = lm->x,
                                                                   .table_dtype = MILL_F32,
                                                                   .ids = lm->arrays.draw_rows}));
    int32_t first = 0;
    for (int set = 0; set < MILL_LEGAL_COUNT; set++) {
        if (layout->n_draws_of[set] > 0)
            MILL_TRY(run_set(lm, layout, (enum mill_legal_set)set, first));
        first += layout->n_draws_of[set];
    }
    return MILL_OK;
}

mill_status mill_qwen2_run_layout(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout) {
    const struct mill_llm_shape *s = &lm->weights->shape;
    struct mill_batch batch = {.n_sequences = layout->n_sequences,
                               .n_rows = layout->n_rows,
                               .max_pages = layout->table_pages,
                               .row_first = lm->arrays.row_first,
                               .n_cached = lm->arrays.n_cached,
                               .page_table = lm->arrays.page_table};
    /* Tokens of the step before are read here and overwritten by the draws of this one, which come
     * last. */
    MILL_TRY(lm->ops->embed(lm->backend, &(struct mill_embed_args){
                                             .y = mill_matrix_f32(lm->x, layout->n_rows, s->hidden),
                                             .table = lm->weights->embed,
                                             .table_dtype = lm->weights->embed_dtype,
                                             .ids = lm->arrays.ids,
                                             .drawn = lm->tokens}));
    for (int32_t i = 0; i < s->n_layers; i++)
        MILL_TRY(run_layer(lm, i, layout->decode, &batch));
    return layout->n_draws > 0 ? run_draws(lm, layout) : MILL_OK;
}
