/* qwen2.c - see qwen2.h.
 *
 * Device memory is three blocks taken at open: the page pool; the activations, where attention's
 * and the MLP's intermediate results share the same place; and the step's arrays. These are written
 * on the host, laid out alike, and copied over in one piece. The host has MILL_QWEN2_SLOTS of them,
 * as it lays out a step while the one before is on its way; the device has one, since its work runs
 * in order.
 *
 * A page holds its positions for all layers, one layer's part (mill_kv_pages) behind the other, so
 * that a page is a single run of memory. Draws are sorted by legal set: each set is one product
 * over its range of head rows and one sampling call. */
#include "runtime/model/matrix.h"
#include "runtime/model/qwen2_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ opening */

static void carve_arrays(struct mill_qwen2_arrays *arrays, struct mill_arena *arena,
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
    lm->drawn = mill_arena_take(arena, draws * (size_t)s->hidden * sizeof(float));
    lm->tokens = mill_arena_take(arena, draws * sizeof(int32_t));
    lm->logits = mill_arena_take(arena, draws * (size_t)lm->logits_stride * sizeof(float));
    size_t mark = mill_arena_mark(arena);
    lm->qkv = mill_arena_take(arena, row * (q + 2 * kv));
    lm->attended = mill_arena_take(arena, row * q);
    mill_arena_release(arena, mark);
    lm->gated = mill_arena_take(arena, row * (size_t)s->intermediate);
}

static int32_t padded_columns(int32_t n) {
    return (n + 15) / 16 * 16; /* rows of logits begin at multiples of 64 bytes */
}

static void *device_alloc(struct mill_qwen2 *lm, size_t bytes) {
    lm->bytes += bytes;
    return lm->ops->alloc(lm->backend, bytes);
}

static mill_status open_slot(struct mill_qwen2 *lm, struct mill_qwen2_slot *slot,
                             size_t block_bytes) {
    size_t draws = (size_t)lm->options.max_sequences;
    slot->block = lm->ops->host_alloc(lm->backend, block_bytes);
    slot->tokens = lm->ops->host_alloc(lm->backend, draws * sizeof *slot->tokens);
    slot->place = mill_alloc_array(draws, sizeof *slot->place);
    if (!slot->block || !slot->tokens || !slot->place)
        return MILL_E_MEMORY;
    memset(slot->block, 0, block_bytes);
    struct mill_arena arena = {.base = slot->block, .capacity = block_bytes};
    carve_arrays(&slot->arrays, &arena, &lm->options);
    return lm->ops->event_new(lm->backend, &slot->done);
}

static mill_status open_blocks(struct mill_qwen2 *lm, struct mill_error *err) {
    const struct mill_qwen2_options *options = &lm->options;
    size_t page_bytes, pool_bytes;
    if (!mill_mul_size((size_t)lm->pages_of_layer.page_stride,
                       mill_dtype_bytes(lm->pages_of_layer.dtype), &page_bytes) ||
        !mill_mul_size(page_bytes, (size_t)options->n_pages + MILL_QWEN2_PADDING, &pool_bytes))
        return mill_fail(err, MILL_E_INPUT, "language model: %d pages are too many",
                         options->n_pages);
    struct mill_arena arrays = {0}, activations = {0};
    carve_arrays(&lm->arrays, &arrays, options);
    carve_activations(lm, &activations);
    lm->pages = device_alloc(lm, pool_bytes);
    lm->activations = device_alloc(lm, activations.peak);
    lm->block = device_alloc(lm, arrays.peak);
    mill_status status = lm->pages && lm->activations && lm->block ? MILL_OK : MILL_E_MEMORY;
    for (int i = 0; i < MILL_QWEN2_SLOTS && status == MILL_OK; i++)
        status = open_slot(lm, &lm->slots[i], arrays.peak);
    if (status < 0)
        return mill_fail(err, status,
                         "language model: no memory for %d pages and steps of %d rows (%zu bytes)",
                         options->n_pages, options->max_rows, lm->bytes);
    struct mill_arena device = {.base = lm->block, .capacity = arrays.peak};
    struct mill_arena scratch = {.base = lm->activations, .capacity = activations.peak};
    carve_arrays(&lm->arrays, &device, options);
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
    lm->pages_of_layer = (struct mill_kv_pages){.dtype = weights->kv_dtype,
                                                .n_heads = s->n_kv_heads,
                                                .page_tokens = options->page_tokens,
                                                .head_dim = s->head_dim};
    lm->pages_of_layer.page_stride = s->n_layers * mill_kv_page_elements(&lm->pages_of_layer);
    for (int i = 0; i < MILL_LEGAL_COUNT; i++)
        if (padded_columns(weights->legal[i].n_rows) > lm->logits_stride)
            lm->logits_stride = padded_columns(weights->legal[i].n_rows);
    mill_status status = open_blocks(lm, err);
    if (status == MILL_OK)
        status = open_legal_ids(lm, err);
    if (status == MILL_OK)
        status = mill_qwen2_graphs_open(lm, err);
    if (status < 0)
        mill_qwen2_close(lm);
    else
        *out = lm;
    return status;
}

static void close_slot(struct mill_qwen2 *lm, struct mill_qwen2_slot *slot) {
    lm->ops->host_free(lm->backend, slot->block);
    lm->ops->host_free(lm->backend, slot->tokens);
    lm->ops->event_free(lm->backend, slot->done);
    free(slot->place);
}

void mill_qwen2_close(struct mill_qwen2 *lm) {
    if (!lm)
        return;
    if (lm->n_launched > lm->n_collected)
        lm->ops->synchronize(lm->backend); /* it may still use what is freed here */
    mill_qwen2_graphs_close(lm);
    void *blocks[] = {lm->pages, lm->activations, lm->block, lm->legal_ids};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        lm->ops->free(lm->backend, blocks[i]);
    for (int i = 0; i < MILL_QWEN2_SLOTS; i++)
        close_slot(lm, &lm->slots[i]);
    free(lm);
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
    const int32_t *pages = step->pages[s];
    int64_t n_pages = (n_tokens + options->page_tokens - 1) / options->page_tokens;
    bool good = true; /* most of what is looked at in a step: without a branch */
    for (int64_t i = 0; i < n_pages; i++)
        good &= pages[i] >= 0 && pages[i] < options->n_pages;
    int64_t bad = 0;
    while (!good && pages[bad] >= 0 && pages[bad] < options->n_pages)
        bad++;
    return good ? MILL_OK
                : mill_fail(err, MILL_E_INPUT, "language model: sequence %d: page %d of %d", s,
                            pages[bad], options->n_pages);
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

static const struct mill_qwen2_slot *slot_of(const struct mill_qwen2 *lm, uint64_t step) {
    return &lm->slots[step % MILL_QWEN2_SLOTS];
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
    int32_t n_before = lm->n_launched > 0 ? slot_of(lm, lm->n_launched - 1)->n_draws : 0;
    for (int32_t r = 0; r < step->n_rows; r++)
        if (step->ids[r] < -n_before || step->ids[r] >= lm->weights->shape.vocab)
            return mill_fail(err, MILL_E_INPUT,
                             "language model: row %d: token id %d is outside the vocabulary of %d "
                             "and none of the %d draws before",
                             r, step->ids[r], lm->weights->shape.vocab, n_before);
    for (int32_t i = 0; i < step->n_draws; i++)
        MILL_TRY(check_draw(lm, step, i, err));
    return MILL_OK;
}

/* ------------------------------------------------------------------ laying a step out */

static int32_t pages_of(const struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                        int32_t s) {
    int32_t n_tokens = step->n_cached[s] + step->row_first[s + 1] - step->row_first[s];
    return (n_tokens + lm->options.page_tokens - 1) / lm->options.page_tokens;
}

/* The page table has room for the longest sequence. */
static struct mill_qwen2_layout layout_of(const struct mill_qwen2 *lm,
                                          const struct mill_qwen2_step *step) {
    struct mill_qwen2_layout layout = {.n_sequences = step->n_sequences,
                                       .n_rows = step->n_rows,
                                       .n_draws = step->n_draws,
                                       .given_u = step->u != NULL,
                                       .decode = step->apart && step->n_rows == step->n_sequences};
    for (int32_t s = 0; s < step->n_sequences; s++)
        if (pages_of(lm, step, s) > layout.table_pages)
            layout.table_pages = pages_of(lm, step, s);
    for (int32_t i = 0; i < step->n_draws; i++)
        layout.n_draws_of[step->draws[i].legal]++;
    return layout;
}

/* A draw of the step before is told by its place among those. */
static void stage_ids(const struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                      int32_t *ids) {
    const int32_t *place = slot_of(lm, lm->n_launched + MILL_QWEN2_SLOTS - 1)->place;
    for (int32_t r = 0; r < step->n_rows; r++)
        ids[r] = step->ids[r] >= 0 ? step->ids[r] : -1 - place[-1 - step->ids[r]];
}

/* Draws of one legal set after the other, in the order given within a set. */
static void stage_draws(const struct mill_qwen2_layout *layout, const struct mill_qwen2_step *step,
                        struct mill_qwen2_slot *slot) {
    const struct mill_qwen2_arrays *a = &slot->arrays;
    int32_t next[MILL_LEGAL_COUNT] = {0};
    for (int set = 1; set < MILL_LEGAL_COUNT; set++)
        next[set] = next[set - 1] + layout->n_draws_of[set - 1];
    for (int32_t i = 0; i < step->n_draws; i++) {
        const struct mill_draw *draw = &step->draws[i];
        int32_t at = next[draw->legal]++;
        slot->place[i] = at;
        a->draw_rows[at] = draw->row;
        a->temperature[at] = draw->temperature;
        a->top_p[at] = draw->top_p;
        a->top_k[at] = draw->top_k;
        a->seed[at] = draw->seed;
        a->position[at] = draw->position;
        a->u[at] = step->u ? step->u[i] : 0.0;
    }
    slot->n_draws = step->n_draws;
}

/* Rows behind the step's own, of a layout that was rounded up: the first token of a page of their
 * own, and a draw that nobody looks at. */
static void stage_padding(const struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout,
                          int32_t n_rows, const struct mill_qwen2_arrays *a) {
    for (int32_t r = n_rows; r < layout->n_rows; r++) {
        a->ids[r] = 0;
        a->row_first[r + 1] = r + 1;
        a->n_cached[r] = 0;
        a->page_table[(size_t)r * (size_t)layout->table_pages] = lm->options.n_pages + r - n_rows;
        a->draw_rows[r] = r;
        a->temperature[r] = 0;
        a->top_p[r] = 1;
        a->top_k[r] = 0;
    }
}

static mill_status stage(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout,
                         const struct mill_qwen2_step *step, struct mill_qwen2_slot *slot) {
    const struct mill_qwen2_arrays *a = &slot->arrays;
    size_t sequences = (size_t)step->n_sequences, width = (size_t)layout->table_pages;
    stage_ids(lm, step, a->ids);
    memcpy(a->row_first, step->row_first, (sequences + 1) * sizeof(int32_t));
    memcpy(a->n_cached, step->n_cached, sequences * sizeof(int32_t));
    for (int32_t s = 0; s < step->n_sequences; s++)
        memcpy(a->page_table + (size_t)s * width, step->pages[s],
               (size_t)pages_of(lm, step, s) * sizeof(int32_t));
    stage_draws(layout, step, slot);
    stage_padding(lm, layout, step->n_rows, a);
    size_t before_table = (size_t)((char *)a->page_table - slot->block);
    return lm->ops->copy_in(lm->backend, lm->block, slot->block,
                            before_table + (size_t)layout->n_sequences * width * sizeof(int32_t));
}

/* ------------------------------------------------------------------ a step goes and comes back */

static mill_status launch(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    struct mill_qwen2_slot *slot = &lm->slots[lm->n_launched % MILL_QWEN2_SLOTS];
    struct mill_qwen2_layout layout = layout_of(lm, step);
    bool rounded = mill_qwen2_round_up(lm, &layout);
    MILL_TRY(stage(lm, &layout, step, slot));
    MILL_TRY(rounded ? mill_qwen2_run_rounded(lm, &layout) : mill_qwen2_run_layout(lm, &layout));
    if (step->n_draws > 0)
        MILL_TRY(lm->ops->copy_out(lm->backend, slot->tokens, lm->tokens,
                                   (size_t)step->n_draws * sizeof *slot->tokens));
    MILL_TRY(lm->ops->event_record(lm->backend, slot->done));
    lm->n_launched++;
    return MILL_OK;
}

static mill_status fail(const struct mill_qwen2 *lm, mill_status status, struct mill_error *err) {
    return mill_fail(err, status, "language model: backend '%s': %s", lm->ops->name,
                     mill_backend_failure(lm->ops, lm->backend, status));
}

mill_status mill_qwen2_launch(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                              struct mill_error *err) {
    if (lm->n_launched - lm->n_collected == MILL_QWEN2_SLOTS)
        return mill_fail(err, MILL_E_INPUT, "language model: %d steps are on their way",
                         MILL_QWEN2_SLOTS);
    MILL_TRY(check_step(lm, step, err));
    mill_status status = launch(lm, step);
    return status < 0 ? fail(lm, status, err) : MILL_OK;
}

mill_status mill_qwen2_collect(struct mill_qwen2 *lm, int32_t *tokens, struct mill_error *err) {
    if (lm->n_launched == lm->n_collected)
        return mill_fail(err, MILL_E_INPUT, "language model: no step is on its way");
    const struct mill_qwen2_slot *slot = slot_of(lm, lm->n_collected);
    mill_status status = lm->ops->event_wait(lm->backend, slot->done);
    if (status < 0)
        return fail(lm, status, err);
    lm->n_collected++;
    for (int32_t i = 0; i < slot->n_draws; i++)
        tokens[i] = slot->tokens[slot->place[i]];
    return MILL_OK;
}

/* What tests look at beside the tokens of the step launched last. */
static mill_status fetch(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    const struct mill_backend_ops *ops = lm->ops;
    const int32_t *place = slot_of(lm, lm->n_launched - 1)->place;
    size_t hidden = (size_t)lm->weights->shape.hidden;
    float *logits = step->logits;
    struct mill_matrix drawn = mill_matrix_f32(lm->drawn, step->n_draws, (int32_t)hidden);
    if (step->hidden) /* the product over it did this on its way */
        MILL_TRY(ops->norm(lm->backend, &(struct mill_norm_args){.y = drawn,
                                                                 .x = drawn,
                                                                 .kind = MILL_NORM_RMS,
                                                                 .eps = lm->weights->shape.norm_eps,
                                                                 .gain = lm->weights->norm}));
    for (int32_t i = 0; i < step->n_draws; i++) {
        size_t n = (size_t)lm->weights->legal[step->draws[i].legal].n_rows;
        if (step->hidden)
            MILL_TRY(ops->copy_out(lm->backend, step->hidden + (size_t)i * hidden,
                                   lm->drawn + (size_t)place[i] * hidden, hidden * sizeof(float)));
        if (!logits)
            continue;
        MILL_TRY(ops->copy_out(lm->backend, logits,
                               lm->logits + (size_t)place[i] * (size_t)lm->logits_stride,
                               n * sizeof(float)));
        logits += n;
    }
    return ops->synchronize(lm->backend);
}

mill_status mill_qwen2_run(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                           struct mill_error *err) {
    MILL_TRY(mill_qwen2_launch(lm, step, err));
    mill_status status = step->hidden || step->logits ? fetch(lm, step) : MILL_OK;
    MILL_TRY(mill_qwen2_collect(lm, step->tokens, err));
    return status < 0 ? fail(lm, status, err) : MILL_OK;
}
