/* run.c - carries a fixture to a backend's device, calls the operator on pieces of it and fetches
 * the result. A run's device memory belongs to the rig and is given back at its end. */
#include "tests/kernels/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_SEQUENCES = 64, TOKEN_GUARD = 0x7fffffff };
#define NORM_EPS 1e-6f

bool rig_open(struct rig *rig, const char *backend, const char *isa, int32_t n_threads,
              struct mill_error *err) {
    *rig = (struct rig){.ops = mill_backend_find(backend, err)};
    if (!rig->ops)
        return false;
    const struct mill_backend_options options = {.n_threads = n_threads, .isa = isa};
    return rig->ops->open(&rig->backend, &options, err) == MILL_OK;
}

void rig_close(struct rig *rig) {
    rig->ops->close(rig->backend);
}

void *rig_put(struct rig *rig, const void *host, size_t bytes) {
    if (!host)
        return NULL;
    assert_in_range(rig->n_device, 0, MAX_OWNED - 1);
    void *device = rig->ops->alloc(rig->backend, bytes);
    assert_non_null(device);
    rig->device[rig->n_device++] = device;
    assert_int_equal(rig->ops->copy_in(rig->backend, device, host, bytes), MILL_OK);
    return device;
}

static struct mill_matrix put_matrix(struct rig *rig, const struct guarded *m) {
    struct mill_matrix matrix = {NULL, MILL_F32, m->rows, m->columns, m->stride};
    float *device = rig_put(rig, m->values, guarded_elements(m) * sizeof(float));
    matrix.data = device ? device + m->stride : NULL;
    return matrix;
}

/* The prepared run's weight `number`, of this shape, from `rows`. */
static struct mill_weight put_weight(struct rig *rig, struct prepared *p, int number,
                                     struct mill_weight_shape shape, const float *rows) {
    if (!rows)
        return (struct mill_weight){0};
    size_t bytes = rig->ops->weight_bytes(&shape);
    assert_true(bytes > 0);
    p->image[number] = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(p->image[number]);
    rig->ops->weight_pack(&shape, 0, shape.n_out, rows, p->image[number]);
    p->uploaded[number] = rig->ops->upload(rig->backend, p->image[number], bytes);
    assert_non_null(p->uploaded[number]);
    return (struct mill_weight){.shape = shape, .image = p->uploaded[number]};
}

static void put_weights(struct rig *rig, struct prepared *p) {
    const struct fixture *f = p->f;
    p->w = put_weight(rig, p, 0, fixture_weight_shape(f), f->weights);
    p->w.bias = rig_put(rig, f->bias, (size_t)(f->n_groups * f->group_stride) * sizeof(float));
    p->pointwise = put_weight(rig, p, 1, fixture_pointwise_shape(f), f->pointwise);
    p->pointwise.bias = rig_put(rig, f->bias2, (size_t)f->v.c->n_out * sizeof(float));
    p->alpha2 = rig_put(rig, f->alpha2, (size_t)f->v.c->n_out * sizeof(float));
}

static void put_batch(struct rig *rig, struct prepared *p) {
    const struct fixture *f = p->f;
    if (!f->pages)
        return;
    p->kv = (struct mill_kv_pages){rig_put(rig, f->pages, f->page_bytes),
                                   f->v.dtype,
                                   f->v.c->n_kv_heads,
                                   f->page_tokens,
                                   f->v.c->head_dim,
                                   f->page_stride};
    size_t n_sequences = (size_t)f->n_sequences, size = sizeof(int32_t);
    p->host_table = calloc(n_sequences * (size_t)f->max_pages, size);
    assert_non_null(p->host_table);
    p->frequency = rig_put(rig, f->frequency, (size_t)f->v.c->head_dim / 2 * sizeof(float));
    p->row_first = rig_put(rig, f->row_first, (n_sequences + 1) * size);
    p->n_cached = rig_put(rig, f->n_cached, n_sequences * size);
    p->pages_of_piece = rig_put(rig, f->page_table, n_sequences * (size_t)f->max_pages * size);
}

static void put_sample(struct rig *rig, struct prepared *p) {
    const struct fixture *f = p->f;
    if (!f->u)
        return;
    size_t rows = (size_t)f->v.rows;
    p->temperature = rig_put(rig, f->temperature, rows * sizeof(float));
    p->top_p = rig_put(rig, f->top_p, rows * sizeof(float));
    p->top_k = rig_put(rig, f->top_k, rows * sizeof(int32_t));
    p->u = rig_put(rig, f->u, rows * sizeof(double));
    int32_t *tokens = malloc((rows + 2) * sizeof *tokens);
    assert_non_null(tokens);
    for (size_t i = 0; i < rows + 2; i++)
        tokens[i] = TOKEN_GUARD;
    p->tokens = rig_put(rig, tokens, (rows + 2) * sizeof *tokens);
    free(tokens);
}

void prepare(struct rig *rig, struct prepared *p, const struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    *p = (struct prepared){.f = f};
    p->x = put_matrix(rig, &f->x);
    p->y = c->flags & IN_PLACE ? p->x : put_matrix(rig, &f->y);
    p->residual = c->flags & RESIDUAL_IS_Y ? p->y : put_matrix(rig, &f->residual);
    p->key = put_matrix(rig, &f->key);
    p->value = put_matrix(rig, &f->value);
    p->z = put_matrix(rig, &f->z);
    put_weights(rig, p);
    put_batch(rig, p);
    put_sample(rig, p);
    size_t channels = (size_t)(c->flags & DEPTHWISE ? c->n_out : c->n_in);
    size_t groups = (size_t)(f->n_groups * f->group_stride);
    p->alpha = rig_put(rig, f->alpha, channels * sizeof(float));
    p->gain =
        rig_put(rig, f->gain, (c->op == OP_LINEAR ? (size_t)c->n_in : groups) * sizeof(float));
    p->shift = rig_put(rig, f->shift, groups * sizeof(float));
    p->table = rig_put(rig, f->table,
                       (size_t)f->table_rows * (size_t)c->n_in * mill_dtype_bytes(f->v.dtype));
    p->group = rig_put(rig, f->group, (size_t)f->v.rows * sizeof(int32_t));
    size_t n_ids = (size_t)(c->op == OP_SAMPLE ? c->n_in : f->v.rows);
    p->ids = rig_put(rig, f->ids, n_ids * sizeof(int32_t));
    p->drawn = rig_put(rig, f->drawn, (size_t)f->v.rows * sizeof(int32_t));
}

void unprepare(struct rig *rig, struct prepared *p) {
    for (int i = 0; i < 2; i++) {
        if (p->uploaded[i])
            rig->ops->release(rig->backend, p->uploaded[i]);
        free(p->image[i]);
    }
    free(p->host_table);
    while (rig->n_device > 0)
        rig->ops->free(rig->backend, rig->device[--rig->n_device]);
}

/* Rows of the piece, where there is such a matrix. */
static struct mill_matrix rows_of(struct mill_matrix m, struct piece piece) {
    if (m.data)
        m.data = (float *)m.data + piece.first * m.stride;
    m.rows = piece.n;
    return m;
}

static const int32_t *from(const int32_t *values, struct piece piece) {
    return values ? values + piece.first : NULL;
}

static mill_status run_linear(struct rig *rig, const struct prepared *p, struct piece piece) {
    const struct kernel_case *c = p->f->v.c;
    struct mill_linear_args args = {.y = rows_of(p->y, piece),
                                    .x = rows_of(p->x, piece),
                                    .gain = p->gain,
                                    .eps = NORM_EPS,
                                    .w = p->w,
                                    .first_out = c->first_out,
                                    .n_out = c->range_out,
                                    .act = c->act,
                                    .pairs = c->pairs,
                                    .residual = rows_of(p->residual, piece),
                                    .bias_group = from(p->group, piece),
                                    .bias_stride = p->f->group_stride};
    if (p->f->in_two) {
        struct mill_matrix z = rows_of(p->z, piece);
        MILL_TRY(rig->ops->norm(
            rig->backend,
            &(struct mill_norm_args){.y = z, .x = args.x, .eps = args.eps, .gain = args.gain}));
        args.x = z;
        args.gain = NULL;
    }
    return rig->ops->linear(rig->backend, &args);
}

static mill_status run_rows(struct rig *rig, const struct prepared *p, struct piece piece) {
    const struct kernel_case *c = p->f->v.c;
    struct mill_matrix x = rows_of(p->x, piece), y = rows_of(p->y, piece);
    if (c->op == OP_EMBED)
        return rig->ops->embed(rig->backend, &(struct mill_embed_args){.y = y,
                                                                       .table = p->table,
                                                                       .table_dtype = p->f->v.dtype,
                                                                       .ids = p->ids + piece.first,
                                                                       .drawn = p->drawn});
    if (c->op == OP_NORM)
        return rig->ops->norm(rig->backend,
                              &(struct mill_norm_args){.y = y,
                                                       .x = x,
                                                       .kind = c->norm,
                                                       .eps = NORM_EPS,
                                                       .gain = p->gain,
                                                       .shift = p->shift,
                                                       .group_stride = p->f->group_stride,
                                                       .group = from(p->group, piece),
                                                       .act = c->act});
    if (c->op == OP_MIX)
        return rig->ops->mix(rig->backend,
                             &(struct mill_mix_args){.y = y,
                                                     .x = x,
                                                     .z = rows_of(p->z, piece),
                                                     .x_scale = MIX_X,
                                                     .z_scale = MIX_Z,
                                                     .gain = p->gain,
                                                     .group_stride = p->f->group_stride,
                                                     .group = from(p->group, piece)});
    if (c->op == OP_SAMPLE)
        return rig->ops->sample(
            rig->backend, &(struct mill_sample_args){.logits = x,
                                                     .ids = p->ids,
                                                     .tokens = p->tokens + 1 + piece.first,
                                                     .temperature = p->temperature + piece.first,
                                                     .top_p = p->top_p + piece.first,
                                                     .top_k = p->top_k + piece.first,
                                                     .u = p->u + piece.first});
    return run_linear(rig, p, piece);
}

static struct mill_residual_unit_args unit_args(const struct prepared *p,
                                                const struct mill_span *spans, int32_t n_spans) {
    return (struct mill_residual_unit_args){.y = p->y,
                                            .x = p->x,
                                            .dilated = p->w,
                                            .pointwise = p->pointwise,
                                            .alpha1 = p->alpha,
                                            .alpha2 = p->alpha2,
                                            .dilation = p->f->v.c->dilation,
                                            .padding = p->f->v.c->padding,
                                            .spans = spans,
                                            .n_spans = n_spans};
}

/* What residual_unit must equal. The rows between go to z, those of x that are added to y. */
static mill_status run_unit_in_two(struct rig *rig, const struct mill_residual_unit_args *unit,
                                   struct mill_matrix z) {
    struct mill_span rows[3], added[3];
    for (int32_t s = 0; s < unit->n_spans; s++) {
        struct mill_span span = unit->spans[s];
        rows[s] = (struct mill_span){span.y_first, span.n_y, 0, span.y_first, span.n_y, 0};
        added[s] = rows[s];
        added[s].x_first = span.x_first + span.y_place - span.x_place;
    }
    struct mill_conv1d_args dilated = {.y = z,
                                       .x = unit->x,
                                       .w = unit->dilated,
                                       .dilation = unit->dilation,
                                       .padding = unit->padding,
                                       .alpha = unit->alpha1,
                                       .spans = unit->spans,
                                       .n_spans = unit->n_spans};
    struct mill_conv1d_args pointwise = {.y = unit->y,
                                         .x = z,
                                         .w = unit->pointwise,
                                         .dilation = 1,
                                         .alpha = unit->alpha2,
                                         .residual = unit->y,
                                         .spans = rows,
                                         .n_spans = unit->n_spans};
    struct mill_copy_rows_args copy = {unit->y, unit->x, added, unit->n_spans};
    MILL_TRY(rig->ops->copy_rows(rig->backend, &copy));
    MILL_TRY(rig->ops->conv1d(rig->backend, &dilated));
    return rig->ops->conv1d(rig->backend, &pointwise);
}

static mill_status run_unit(struct rig *rig, const struct prepared *p,
                            const struct mill_span *spans, int32_t n_spans) {
    struct mill_residual_unit_args unit = unit_args(p, spans, n_spans);
    if (p->f->in_two)
        return run_unit_in_two(rig, &unit, p->z);
    return rig->ops->residual_unit ? rig->ops->residual_unit(rig->backend, &unit)
                                   : MILL_E_UNSUPPORTED;
}

static mill_status run_spans(struct rig *rig, const struct prepared *p, struct piece piece) {
    const struct kernel_case *c = p->f->v.c;
    struct mill_span spans[3];
    int32_t n_spans = pieces_of_spans(p->f, piece, spans);
    if (piece.n == p->y.rows) /* the whole keeps all that was given, needed or not */
        memcpy(spans, p->f->spans, (size_t)(n_spans = p->f->n_spans) * sizeof *spans);
    if ((c->op == OP_ATTN_DENSE && !rig->ops->attn_dense) ||
        (c->op == OP_POOL_MEAN && !rig->ops->pool_mean))
        return MILL_E_UNSUPPORTED;
    if (c->op == OP_ATTN_DENSE)
        return rig->ops->attn_dense(rig->backend,
                                    &(struct mill_attn_dense_args){.y = p->y,
                                                                   .q = p->x,
                                                                   .k = p->key,
                                                                   .v = p->value,
                                                                   .n_heads = c->n_heads,
                                                                   .scale = 0.125f,
                                                                   .spans = spans,
                                                                   .n_spans = n_spans});
    if (c->op == OP_COPY_ROWS)
        return rig->ops->copy_rows(rig->backend,
                                   &(struct mill_copy_rows_args){
                                       .y = p->y, .x = p->x, .spans = spans, .n_spans = n_spans});
    if (c->op == OP_RESIDUAL_UNIT)
        return run_unit(rig, p, spans, n_spans);
    if (c->op == OP_POOL_MEAN)
        return rig->ops->pool_mean(rig->backend,
                                   &(struct mill_pool_mean_args){
                                       .y = p->y, .x = p->x, .spans = spans, .n_spans = n_spans});
    if (c->op == OP_CONV1D)
        return rig->ops->conv1d(rig->backend,
                                &(struct mill_conv1d_args){.y = p->y,
                                                           .x = p->x,
                                                           .w = p->w,
                                                           .depthwise = c->flags & DEPTHWISE,
                                                           .dilation = c->dilation,
                                                           .padding = c->padding,
                                                           .alpha = p->alpha,
                                                           .act = c->act,
                                                           .residual = p->residual,
                                                           .spans = spans,
                                                           .n_spans = n_spans});
    return rig->ops->conv_transpose1d(rig->backend,
                                      &(struct mill_conv_transpose1d_args){.y = p->y,
                                                                           .x = p->x,
                                                                           .w = p->w,
                                                                           .stride = c->stride,
                                                                           .padding = c->padding,
                                                                           .alpha = p->alpha,
                                                                           .spans = spans,
                                                                           .n_spans = n_spans});
}

/* The batch of a piece, made on the host and copied over, as the engine does for a step. */
static struct mill_batch put_piece(struct rig *rig, const struct prepared *p, struct piece piece) {
    const struct fixture *f = p->f;
    const size_t size = sizeof(int32_t);
    int32_t row_first[MAX_SEQUENCES + 1], n_cached[MAX_SEQUENCES];
    assert_true(f->n_sequences <= MAX_SEQUENCES);
    int32_t n = pieces_of_batch(f, piece, row_first, n_cached, p->host_table);
    rig->ops->copy_in(rig->backend, p->row_first, row_first, (size_t)(n + 1) * size);
    rig->ops->copy_in(rig->backend, p->n_cached, n_cached, (size_t)n * size);
    rig->ops->copy_in(rig->backend, p->pages_of_piece, p->host_table,
                      (size_t)n * (size_t)f->max_pages * size);
    return (struct mill_batch){n,           piece.n,          f->max_pages, p->row_first,
                               p->n_cached, p->pages_of_piece};
}

/* Writes rows over themselves: an operator's launch may begin before the one in front of it has
 * ended, and the emulator's checker knows by these whether it waits. */
static mill_status write_again(struct rig *rig, const struct mill_matrix *m) {
    const struct mill_span all = {.n_x = m->rows, .n_y = m->rows};
    const struct mill_copy_rows_args args = {*m, *m, &all, 1};
    bool is_matrix = m->data && m->stride >= m->columns; /* rows may overlap */
    return is_matrix ? rig->ops->copy_rows(rig->backend, &args) : MILL_OK;
}

static mill_status write_inputs_again(struct rig *rig, const struct prepared *p) {
    if (!rig->behind_others)
        return MILL_OK;
    if (!p->f->in_two)
        MILL_TRY(write_again(rig, &p->z));
    MILL_TRY(write_again(rig, &p->x));
    return write_again(rig, &p->residual);
}

static mill_status run_batch(struct rig *rig, const struct prepared *p, struct piece piece) {
    const struct kernel_case *c = p->f->v.c;
    struct mill_batch batch = put_piece(rig, p, piece);
    bool appends = c->flags & APPENDS, in_two = p->f->in_two;
    MILL_TRY(write_inputs_again(rig, p));
    if (c->op == OP_ROPE_APPEND || (appends && in_two))
        MILL_TRY(rig->ops->rope_append(rig->backend,
                                       &(struct mill_rope_append_args){.x = rows_of(p->x, piece),
                                                                       .n_heads = c->n_heads,
                                                                       .frequency = p->frequency,
                                                                       .batch = batch,
                                                                       .kv = p->kv}));
    if (c->op == OP_ROPE_APPEND)
        return MILL_OK;
    return rig->ops->attn_paged(
        rig->backend,
        &(struct mill_attn_paged_args){.y = rows_of(p->y, piece),
                                       .x = rows_of(p->x, piece),
                                       .n_heads = c->n_heads,
                                       .scale = 0.125f,
                                       .batch = batch,
                                       .kv = p->kv,
                                       .frequency = appends && !in_two ? p->frequency : NULL});
}

mill_status run_piece(struct rig *rig, const struct prepared *p, struct piece piece) {
    if (p->f->pages)
        return run_batch(rig, p, piece);
    MILL_TRY(write_inputs_again(rig, p));
    return p->f->spans ? run_spans(rig, p, piece) : run_rows(rig, p, piece);
}

static void fetch(struct rig *rig, void *host, const void *device, size_t bytes) {
    assert_non_null(host);
    assert_int_equal(rig->ops->copy_out(rig->backend, host, device, bytes), MILL_OK);
    assert_int_equal(rig->ops->synchronize(rig->backend), MILL_OK);
}

/* Drawn tokens as numbers; a guard that is still there becomes poison. */
static void fetch_tokens(struct rig *rig, const struct prepared *p, struct output *out) {
    out->n_values = (size_t)p->f->v.rows + 2;
    int32_t *tokens = malloc(out->n_values * sizeof *tokens);
    out->values = malloc(out->n_values * sizeof(float));
    fetch(rig, tokens, p->tokens, out->n_values * sizeof *tokens);
    for (size_t i = 0; i < out->n_values; i++) {
        out->values[i] = (float)tokens[i];
        if (tokens[i] == TOKEN_GUARD)
            memset(&out->values[i], 0xff, sizeof(float));
    }
    free(tokens);
}

static void fetch_output(struct rig *rig, const struct prepared *p, struct output *out) {
    const struct fixture *f = p->f;
    const struct guarded *m = f->y.values ? &f->y : &f->x;
    const struct mill_matrix *y = f->y.values ? &p->y : &p->x;
    *out = (struct output){0};
    if (p->tokens) {
        fetch_tokens(rig, p, out);
        return;
    }
    out->n_values = guarded_elements(m);
    out->values = malloc(out->n_values * sizeof(float));
    fetch(rig, out->values, (float *)y->data - m->stride, out->n_values * sizeof(float));
    if (f->v.c->op != OP_ROPE_APPEND && !(f->v.c->flags & APPENDS))
        return;
    out->page_bytes = f->page_bytes;
    out->pages = malloc(out->page_bytes);
    fetch(rig, out->pages, p->kv.data, out->page_bytes);
}

bool run(struct rig *rig, const struct fixture *f, const struct piece *pieces, int32_t n_pieces,
         struct output *out) {
    struct prepared p;
    mill_status status = MILL_OK;
    prepare(rig, &p, f);
    for (int32_t i = 0; i < n_pieces && status == MILL_OK; i++) {
        rig->behind_others = rig->ops->asynchronous && i == 0; /* all rows: once is enough */
        status = run_piece(rig, &p, pieces[i]);
    }
    rig->behind_others = false;
    fetch_output(rig, &p, out);
    unprepare(rig, &p);
    out->refused = status == MILL_E_UNSUPPORTED && variant_is_optional(&f->v);
    if (out->refused)
        return true;
    char name[128];
    if (status != MILL_OK)
        fprintf(stderr, "  %s: %s: status %d, %s\n", variant_name(&f->v, name), rig->ops->name,
                status, mill_status_text(status));
    return status == MILL_OK;
}

void output_deinit(struct output *out) {
    free(out->values);
    free(out->pages);
}
