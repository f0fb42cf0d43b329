/* qwen2.c - see qwen2.h.
 *
 * Device memory is three blocks taken at open: the page pool; the activations, where attention's
 * and the MLP's intermediate results share the same place; and the step's arrays, which exist
 * twice, laid out alike: written on the host, then copied over in one piece.
 *
 * A page holds its positions for all layers, [n_layers][2][n_kv_heads][page_tokens][head_dim], so
 * that a page is a single run of memory. Draws are sorted by legal set: each set is one product
 * over its range of head rows and one sampling call. */
#include "runtime/model/qwen2.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct step_arrays {
    int32_t *ids, *row_first, *n_cached;
    int32_t *draw_rows, *top_k; /* draws in sorted order from here on */
    float *temperature, *top_p;
    uint64_t *seed, *position;
    double *u;
    int32_t *page_table; /* [n_sequences, table_pages], last: only what is used is copied */
};

struct mill_qwen2 {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_lm_weights *weights;
    struct mill_qwen2_options options;
    int64_t page_elements; /* all layers */
    int32_t logits_stride; /* longest legal set */
    size_t bytes;

    void *pages, *activations, *device_block; /* device */
    struct step_arrays host, device;
    size_t arrays_bytes;
    float *x, *normed, *qkv, *attended, *gate_up, *glu, *drawn, *logits; /* in activations */
    int32_t *tokens;                          /* drawn ones, in activations */
    int32_t *legal_ids;                       /* device: those of all legal sets */
    const int32_t *set_ids[MILL_LEGAL_COUNT]; /* in legal_ids */

    char *host_block;     /* host_alloc's, as host_tokens is */
    int32_t *order;       /* [max_sequences]: sorted place -> draw */
    int32_t *host_tokens; /* [max_sequences] */
};

/* ------------------------------------------------------------------ opening */

static void carve_arrays(struct step_arrays *arrays, struct mill_arena *arena,
                         const struct mill_qwen2_options *options) {
    size_t rows = (size_t)options->max_rows, sequences = (size_t)options->max_sequences;
    arrays->ids = mill_arena_take(arena, rows * sizeof(int32_t));
    arrays->row_first = mill_arena_take(arena, (sequences + 1) * sizeof(int32_t));
    arrays->n_cached = mill_arena_take(arena, sequences * sizeof(int32_t));
    arrays->draw_rows = mill_arena_take(arena, sequences * sizeof(int32_t));
    arrays->top_k = mill_arena_take(arena, sequences * sizeof(int32_t));
    arrays->temperature = mill_arena_take(arena, sequences * sizeof(float));
    arrays->top_p = mill_arena_take(arena, sequences * sizeof(float));
    arrays->seed = mill_arena_take(arena, sequences * sizeof(uint64_t));
    arrays->position = mill_arena_take(arena, sequences * sizeof(uint64_t));
    arrays->u = mill_arena_take(arena, sequences * sizeof(double));
    arrays->page_table =
        mill_arena_take(arena, sequences * (size_t)options->max_pages * sizeof(int32_t));
}

static void carve_activations(struct mill_qwen2 *lm, struct mill_arena *arena) {
    const struct mill_llm_shape *s = &lm->weights->shape;
    size_t row = (size_t)lm->options.max_rows * sizeof(float);
    size_t draws = (size_t)lm->options.max_sequences;
    size_t q = (size_t)s->n_heads * (size_t)s->head_dim;
    size_t kv = (size_t)s->n_kv_heads * (size_t)s->head_dim;
    lm->x = mill_arena_take(arena, row * (size_t)s->hidden);
    lm->normed = mill_arena_take(arena, row * (size_t)s->hidden);
    lm->drawn = mill_arena_take(arena, draws * (size_t)s->hidden * sizeof(float));
    lm->tokens = mill_arena_take(arena, draws * sizeof(int32_t));
    lm->logits = mill_arena_take(arena, draws * (size_t)lm->logits_stride * sizeof(float));
    size_t mark = mill_arena_mark(arena);
    lm->qkv = mill_arena_take(arena, row * (q + 2 * kv));
    lm->attended = mill_arena_take(arena, row * q);
    mill_arena_release(arena, mark);
    lm->gate_up = mill_arena_take(arena, row * 2 * (size_t)s->intermediate);
    lm->glu = mill_arena_take(arena, row * (size_t)s->intermediate);
}

static int32_t padded_columns(int32_t n) {
    return (n + 15) / 16 * 16; /* rows of logits begin at multiples of 64 bytes */
}

static void *device_alloc(struct mill_qwen2 *lm, size_t bytes) {
    lm->bytes += bytes;
    return lm->ops->alloc(lm->backend, bytes);
}

static mill_status open_blocks(struct mill_qwen2 *lm, struct mill_error *err) {
    const struct mill_qwen2_options *options = &lm->options;
    size_t draws = (size_t)options->max_sequences, page_bytes, pool_bytes;
    if (!mill_mul_size((size_t)lm->page_elements, mill_dtype_bytes(lm->weights->kv_dtype),
                       &page_bytes) ||
        !mill_mul_size(page_bytes, (size_t)options->n_pages, &pool_bytes))
        return mill_fail(err, MILL_E_INPUT, "language model: %d pages are too many",
                         options->n_pages);
    struct mill_arena arrays = {0}, activations = {0};
    carve_arrays(&lm->host, &arrays, options);
    carve_activations(lm, &activations);
    lm->arrays_bytes = arrays.peak;
    lm->pages = device_alloc(lm, pool_bytes);
    lm->activations = device_alloc(lm, activations.peak);
    lm->device_block = device_alloc(lm, arrays.peak);
    lm->host_block = lm->ops->host_alloc(lm->backend, arrays.peak);
    lm->host_tokens = lm->ops->host_alloc(lm->backend, draws * sizeof *lm->host_tokens);
    lm->order = mill_alloc_array(draws, sizeof *lm->order);
    if (!lm->pages || !lm->activations || !lm->device_block || !lm->host_block ||
        !lm->host_tokens || !lm->order)
        return mill_fail(err, MILL_E_MEMORY,
                         "language model: no memory for %d pages and steps of %d rows (%zu bytes)",
                         options->n_pages, options->max_rows, lm->bytes);
    memset(lm->host_block, 0, arrays.peak);
    struct mill_arena host = {.base = lm->host_block, .capacity = arrays.peak};
    struct mill_arena device = {.base = lm->device_block, .capacity = arrays.peak};
    struct mill_arena scratch = {.base = lm->activations, .capacity = activations.peak};
    carve_arrays(&lm->host, &host, options);
    carve_arrays(&lm->device, &device, options);
    carve_activations(lm, &scratch);
    return MILL_OK;
}

/* The token of every head row, on the device, where draws become the next step's input. */
static mill_status open_legal_ids(struct mill_qwen2 *lm, struct mill_error *err) {
    const struct mill_legal_rows *legal = lm->weights->legal;
    size_t n = 0;
    for (int i = 0; i < MILL_LEGAL_COUNT; i++)
        n += (size_t)legal[i].n_rows;
    lm->legal_ids = device_alloc(lm, n * sizeof *lm->legal_ids);
    mill_status status = lm->legal_ids ? MILL_OK : MILL_E_MEMORY;
    int32_t *at = lm->legal_ids;
    for (int i = 0; i < MILL_LEGAL_COUNT && status == MILL_OK; i++) {
        size_t bytes = (size_t)legal[i].n_rows * sizeof *at;
        lm->set_ids[i] = at;
        if (bytes > 0)
            status = lm->ops->copy_in(lm->backend, at, legal[i].ids, bytes);
        at += legal[i].n_rows;
    }
    if (status < 0)
        return mill_fail(err, status, "language model: no place for %zu token ids: %s", n,
                         mill_backend_failure(lm->ops, lm->backend, status));
    return MILL_OK;
}

mill_status mill_qwen2_open(struct mill_qwen2 **out, const struct mill_backend_ops *ops,
                            struct mill_backend *backend, const struct mill_lm_weights *weights,
                            const struct mill_qwen2_options *options, struct mill_error *err) {
    *out = NULL;
    if (options->max_rows < 1 || options->max_sequences < 1 || options->max_pages < 1 ||
        options->n_pages < 1 || options->page_tokens < 1)
        return mill_fail(err, MILL_E_INPUT, "language model: every size must be at least 1");
    struct mill_qwen2 *lm = mill_alloc_array(1, sizeof *lm);
    if (!lm)
        return mill_fail(err, MILL_E_MEMORY, "language model: no memory");
    lm->ops = ops;
    lm->backend = backend;
    lm->weights = weights;
    lm->options = *options;
    const struct mill_llm_shape *s = &weights->shape;
    lm->page_elements =
        (int64_t)2 * s->n_layers * s->n_kv_heads * options->page_tokens * s->head_dim;
    for (int i = 0; i < MILL_LEGAL_COUNT; i++)
        if (padded_columns(weights->legal[i].n_rows) > lm->logits_stride)
            lm->logits_stride = padded_columns(weights->legal[i].n_rows);
    mill_status status = open_blocks(lm, err);
    if (status == MILL_OK)
        status = open_legal_ids(lm, err);
    if (status < 0)
        mill_qwen2_close(lm);
    else
        *out = lm;
    return status;
}

void mill_qwen2_close(struct mill_qwen2 *lm) {
    if (!lm)
        return;
    void *blocks[] = {lm->pages, lm->activations, lm->device_block, lm->legal_ids};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        lm->ops->free(lm->backend, blocks[i]);
    lm->ops->host_free(lm->backend, lm->host_block);
    lm->ops->host_free(lm->backend, lm->host_tokens);
    free(lm->order);
    free(lm);
}

size_t mill_qwen2_bytes(const struct mill_qwen2 *lm) {
    return lm->bytes;
}

/* ------------------------------------------------------------------ checking a step */

static mill_status check_sequence(const struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                                  int32_t s, struct mill_error *err) {
    const struct mill_qwen2_options *options = &lm->options;
    int64_t n_rows = (int64_t)step->row_first[s + 1] - step->row_first[s];
    int64_t n_tokens = n_rows + step->n_cached[s];
    int64_t room = (int64_t)options->max_pages * options->page_tokens;
    if (room > lm->weights->shape.max_positions)
        room = lm->weights->shape.max_positions;
    if (n_rows < 1 || step->n_cached[s] < 0 || n_tokens > room)
        return mill_fail(err, MILL_E_INPUT,
                         "language model: sequence %d: %d tokens cached and %lld new ones, at most "
                         "%lld together",
                         s, step->n_cached[s], (long long)n_rows, (long long)room);
    int64_t n_pages = (n_tokens + options->page_tokens - 1) / options->page_tokens;
    for (int64_t i = 0; i < n_pages; i++) {
        int32_t page = step->pages[s][i];
        if (page < 0 || page >= options->n_pages)
            return mill_fail(err, MILL_E_INPUT, "language model: sequence %d: page %d of %d", s,
                             page, options->n_pages);
    }
    return MILL_OK;
}

static mill_status check_draw(const struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                              int32_t i, struct mill_error *err) {
    const struct mill_draw *draw = &step->draws[i];
    if (draw->row < 0 || draw->row >= step->n_rows)
        return mill_fail(err, MILL_E_INPUT, "language model: draw %d after row %d of %d", i,
                         draw->row, step->n_rows);
    if ((int)draw->legal < 0 || draw->legal >= MILL_LEGAL_COUNT ||
        lm->weights->legal[draw->legal].n_rows == 0)
        return mill_fail(err, MILL_E_INPUT, "language model: draw %d: legal set %d has no rows", i,
                         (int)draw->legal);
    if (!(draw->temperature >= 0.0f && isfinite(draw->temperature)) ||
        !(draw->top_p > 0.0f && draw->top_p <= 1.0f) || draw->top_k < 0)
        return mill_fail(err, MILL_E_INPUT,
                         "language model: draw %d: temperature %g, top-p %g, top-k %d", i,
                         (double)draw->temperature, (double)draw->top_p, draw->top_k);
    return MILL_OK;
}

static mill_status check_step(const struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                              struct mill_error *err) {
    const struct mill_qwen2_options *options = &lm->options;
    if (step->n_sequences < 1 || step->n_sequences > options->max_sequences || step->n_rows < 1 ||
        step->n_rows > options->max_rows || step->n_draws < 0 ||
        step->n_draws > options->max_sequences)
        return mill_fail(err, MILL_E_INPUT,
                         "language model: a step of %d sequences, %d rows and %d draws; at most "
                         "%d, %d and %d",
                         step->n_sequences, step->n_rows, step->n_draws, options->max_sequences,
                         options->max_rows, options->max_sequences);
    if (step->row_first[0] != 0 || step->row_first[step->n_sequences] != step->n_rows)
        return mill_fail(err, MILL_E_INPUT,
                         "language model: the sequences' rows are not the step's %d rows",
                         step->n_rows);
    for (int32_t s = 0; s < step->n_sequences; s++)
        MILL_TRY(check_sequence(lm, step, s, err));
    for (int32_t r = 0; r < step->n_rows; r++)
        if (step->ids[r] < 0 || step->ids[r] >= lm->weights->shape.vocab)
            return mill_fail(err, MILL_E_INPUT,
                             "language model: row %d: token id %d is outside the vocabulary of %d",
                             r, step->ids[r], lm->weights->shape.vocab);
    for (int32_t i = 0; i < step->n_draws; i++)
        MILL_TRY(check_draw(lm, step, i, err));
    return MILL_OK;
}

/* ------------------------------------------------------------------ running a step */

/* Draws of one legal set after the other, in the order given within a set. */
static void stage_draws(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    int32_t at = 0;
    for (int set = 0; set < MILL_LEGAL_COUNT; set++) {
        for (int32_t i = 0; i < step->n_draws; i++) {
            const struct mill_draw *draw = &step->draws[i];
            if ((int)draw->legal != set)
                continue;
            lm->order[at] = i;
            lm->host.draw_rows[at] = draw->row;
            lm->host.temperature[at] = draw->temperature;
            lm->host.top_p[at] = draw->top_p;
            lm->host.top_k[at] = draw->top_k;
            lm->host.seed[at] = draw->seed;
            lm->host.position[at] = draw->position;
            lm->host.u[at] = step->u ? step->u[i] : 0.0;
            at++;
        }
    }
}

static int32_t pages_of(const struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                        int32_t s) {
    int32_t n_tokens = step->n_cached[s] + step->row_first[s + 1] - step->row_first[s];
    return (n_tokens + lm->options.page_tokens - 1) / lm->options.page_tokens;
}

/* A page table with room for the longest sequence of the step: how many pages a row has. */
static int32_t stage_pages(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    int32_t longest = 0;
    for (int32_t s = 0; s < step->n_sequences; s++)
        longest = pages_of(lm, step, s) > longest ? pages_of(lm, step, s) : longest;
    for (int32_t s = 0; s < step->n_sequences; s++)
        memcpy(lm->host.page_table + (size_t)s * (size_t)longest, step->pages[s],
               (size_t)pages_of(lm, step, s) * sizeof(int32_t));
    return longest;
}

static mill_status stage(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                         int32_t *table_pages) {
    size_t sequences = (size_t)step->n_sequences;
    *table_pages = stage_pages(lm, step);
    size_t table_bytes = sequences * (size_t)*table_pages * sizeof(int32_t);
    memcpy(lm->host.ids, step->ids, (size_t)step->n_rows * sizeof(int32_t));
    memcpy(lm->host.row_first, step->row_first, (sequences + 1) * sizeof(int32_t));
    memcpy(lm->host.n_cached, step->n_cached, sequences * sizeof(int32_t));
    stage_draws(lm, step);
    size_t before_table = (size_t)((char *)lm->host.page_table - lm->host_block);
    return lm->ops->copy_in(lm->backend, lm->device_block, lm->host_block,
                            before_table + table_bytes);
}

static struct mill_matrix matrix(float *data, int32_t rows, int32_t columns) {
    return (struct mill_matrix){data, MILL_F32, rows, columns, columns};
}

static mill_status run_norm(struct mill_qwen2 *lm, struct mill_matrix y, struct mill_matrix x,
                            const float *gain) {
    return lm->ops->norm(lm->backend, &(struct mill_norm_args){.y = y,
                                                               .x = x,
                                                               .kind = MILL_NORM_RMS,
                                                               .eps = lm->weights->shape.norm_eps,
                                                               .gain = gain});
}

static mill_status run_linear(struct mill_qwen2 *lm, struct mill_matrix y, struct mill_matrix x,
                              const struct mill_weight *w, bool add) {
    return lm->ops->linear(
        lm->backend, &(struct mill_linear_args){
                         .y = y, .x = x, .w = *w, .residual = add ? y : (struct mill_matrix){0}});
}

static mill_status run_layer(struct mill_qwen2 *lm, int32_t index, const struct mill_batch *batch) {
    const struct mill_llm_shape *s = &lm->weights->shape;
    const struct mill_lm_layer *layer = &lm->weights->layers[index];
    int32_t rows = batch->n_rows, q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    int64_t layer_elements = lm->page_elements / s->n_layers;
    size_t layer_bytes = (size_t)layer_elements * mill_dtype_bytes(lm->weights->kv_dtype);
    struct mill_kv_pages pages = {.data = (char *)lm->pages + (size_t)index * layer_bytes,
                                  .dtype = lm->weights->kv_dtype,
                                  .n_heads = s->n_kv_heads,
                                  .page_tokens = lm->options.page_tokens,
                                  .head_dim = s->head_dim,
                                  .page_stride = lm->page_elements};
    struct mill_matrix x = matrix(lm->x, rows, s->hidden),
                       normed = matrix(lm->normed, rows, s->hidden),
                       qkv = matrix(lm->qkv, rows, q + 2 * kv),
                       attended = matrix(lm->attended, rows, q),
                       gate_up = matrix(lm->gate_up, rows, 2 * s->intermediate),
                       glu = matrix(lm->glu, rows, s->intermediate);
    MILL_TRY(run_norm(lm, normed, x, layer->attn_norm));
    MILL_TRY(run_linear(lm, qkv, normed, &layer->qkv, false));
    MILL_TRY(lm->ops->rope_append(
        lm->backend, &(struct mill_rope_append_args){.x = qkv,
                                                     .n_heads = s->n_heads,
                                                     .frequency = lm->weights->rope_frequency,
                                                     .batch = *batch,
                                                     .kv = pages}));
    MILL_TRY(lm->ops->attn_paged(
        lm->backend, &(struct mill_attn_paged_args){.y = attended,
                                                    .x = qkv,
                                                    .n_heads = s->n_heads,
                                                    .scale = 1.0f / sqrtf((float)s->head_dim),
                                                    .batch = *batch,
                                                    .kv = pages}));
    MILL_TRY(run_linear(lm, x, attended, &layer->o, true));
    MILL_TRY(run_norm(lm, normed, x, layer->mlp_norm));
    MILL_TRY(run_linear(lm, gate_up, normed, &layer->gate_up, false));
    MILL_TRY(lm->ops->glu(lm->backend, &(struct mill_glu_args){.y = glu, .x = gate_up}));
    return run_linear(lm, x, glu, &layer->down, true);
}

/* Logits and draws of one legal set: sorted draws first .. first + n - 1. */
static mill_status run_set(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                           enum mill_legal_set set, int32_t first, int32_t n) {
    const struct mill_legal_rows *legal = &lm->weights->legal[set];
    int32_t hidden = lm->weights->shape.hidden;
    struct mill_matrix drawn = matrix(lm->drawn + (size_t)first * (size_t)hidden, n, hidden);
    struct mill_matrix logits = {.data = lm->logits + (size_t)first * (size_t)lm->logits_stride,
                                 .dtype = MILL_F32,
                                 .rows = n,
                                 .columns = legal->n_rows,
                                 .stride = lm->logits_stride};
    MILL_TRY(lm->ops->linear(lm->backend, &(struct mill_linear_args){.y = logits,
                                                                     .x = drawn,
                                                                     .w = lm->weights->head,
                                                                     .first_out = legal->first_row,
                                                                     .n_out = legal->n_rows}));
    const struct step_arrays *arrays = &lm->device;
    return lm->ops->sample(lm->backend,
                           &(struct mill_sample_args){.logits = logits,
                                                      .ids = lm->set_ids[set],
                                                      .tokens = lm->tokens + first,
                                                      .temperature = arrays->temperature + first,
                                                      .top_p = arrays->top_p + first,
                                                      .top_k = arrays->top_k + first,
                                                      .seed = arrays->seed + first,
                                                      .position = arrays->position + first,
                                                      .u = step->u ? arrays->u + first : NULL});
}

static mill_status run_draws(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    struct mill_matrix drawn = matrix(lm->drawn, step->n_draws, lm->weights->shape.hidden);
    MILL_TRY(lm->ops->embed(lm->backend, &(struct mill_embed_args){.y = drawn,
                                                                   .table = lm->x,
                                                                   .table_dtype = MILL_F32,
                                                                   .ids = lm->device.draw_rows}));
    MILL_TRY(run_norm(lm, drawn, drawn, lm->weights->norm));
    for (int32_t first = 0; first < step->n_draws;) {
        enum mill_legal_set set = step->draws[lm->order[first]].legal;
        int32_t n = 1;
        while (first + n < step->n_draws && step->draws[lm->order[first + n]].legal == set)
            n++;
        MILL_TRY(run_set(lm, step, set, first, n));
        first += n;
    }
    return MILL_OK;
}

static mill_status fetch(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    const struct mill_backend_ops *ops = lm->ops;
    size_t hidden = (size_t)lm->weights->shape.hidden;
    MILL_TRY(ops->copy_out(lm->backend, lm->host_tokens, lm->tokens,
                           (size_t)step->n_draws * sizeof *lm->tokens));
    for (int32_t at = 0; step->hidden && at < step->n_draws; at++)
        MILL_TRY(ops->copy_out(lm->backend, step->hidden + (size_t)lm->order[at] * hidden,
                               lm->drawn + (size_t)at * hidden, hidden * sizeof(float)));
    for (int32_t at = 0; step->logits && at < step->n_draws; at++) {
        size_t before = 0; /* logits of the draws in front, in the caller's order */
        for (int32_t i = 0; i < lm->order[at]; i++)
            before += (size_t)lm->weights->legal[step->draws[i].legal].n_rows;
        size_t n = (size_t)lm->weights->legal[step->draws[lm->order[at]].legal].n_rows;
        MILL_TRY(ops->copy_out(lm->backend, step->logits + before,
                               lm->logits + (size_t)at * (size_t)lm->logits_stride,
                               n * sizeof(float)));
    }
    MILL_TRY(ops->synchronize(lm->backend));
    for (int32_t at = 0; at < step->n_draws; at++)
        step->tokens[lm->order[at]] = lm->host_tokens[at];
    return MILL_OK;
}

static mill_status run_steps(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    const struct mill_llm_shape *s = &lm->weights->shape;
    int32_t table_pages;
    MILL_TRY(stage(lm, step, &table_pages));
    struct mill_batch batch = {.n_sequences = step->n_sequences,
                               .n_rows = step->n_rows,
                               .max_pages = table_pages,
                               .row_first = lm->device.row_first,
                               .n_cached = lm->device.n_cached,
                               .page_table = lm->device.page_table};
    MILL_TRY(lm->ops->embed(lm->backend,
                            &(struct mill_embed_args){.y = matrix(lm->x, step->n_rows, s->hidden),
                                                      .table = lm->weights->embed,
                                                      .table_dtype = lm->weights->embed_dtype,
                                                      .ids = lm->device.ids}));
    for (int32_t i = 0; i < s->n_layers; i++)
        MILL_TRY(run_layer(lm, i, &batch));
    if (step->n_draws == 0)
        return lm->ops->synchronize(lm->backend);
    MILL_TRY(run_draws(lm, step));
    return fetch(lm, step);
}

mill_status mill_qwen2_run(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                           struct mill_error *err) {
    MILL_TRY(check_step(lm, step, err));
    mill_status status = run_steps(lm, step);
    if (status < 0)
        return mill_fail(err, status, "language model: backend '%s': %s", lm->ops->name,
                         mill_backend_failure(lm->ops, lm->backend, status));
    return MILL_OK;
}
