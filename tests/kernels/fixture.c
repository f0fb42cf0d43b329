/* fixture.c - makes a case's input data: reproducible (seeded by the case's name and variant), of
 * unit scale, with the rows that go wrong most easily among them (zeros, large, tiny). The fixture
 * owns all of it. */
#include "tests/kernels/harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t random_bits(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float random_value(uint64_t *state) {
    return (float)(random_bits(state) >> 40) * 0x1p-23f - 1.0f;
}

uint32_t random_below(uint64_t *state, uint32_t n) {
    return (uint32_t)((random_bits(state) >> 32) * n >> 32);
}

static uint64_t seed_of(const struct variant *v) {
    uint64_t seed = 14695981039346656037u;
    for (const char *p = v->c->name; *p; p++)
        seed = (seed ^ (unsigned char)*p) * 1099511628211u;
    return seed + (uint64_t)v->rows * 16 + (uint64_t)v->dtype;
}

void *fixture_take(struct fixture *f, size_t n, size_t size) {
    assert_in_range(f->n_owned, 0, MAX_OWNED - 1);
    void *memory = calloc(n ? n : 1, size);
    assert_non_null(memory);
    return f->owned[f->n_owned++] = memory;
}

size_t guarded_elements(const struct guarded *m) {
    int32_t last = m->columns > m->stride ? m->columns : m->stride; /* rows may overlap */
    return m->values ? ((size_t)m->rows + 1) * (size_t)m->stride + (size_t)last : 0;
}

static struct guarded poisoned(struct fixture *f, int32_t rows, int32_t columns, int32_t stride) {
    struct guarded m = {NULL, rows, columns, stride};
    int32_t most = columns > stride ? columns : stride;
    m.values = fixture_take(f, ((size_t)rows + 2) * (size_t)most, sizeof(float));
    memset(m.values, 0xff, guarded_elements(&m) * sizeof(float));
    return m;
}

struct guarded fixture_guarded(struct fixture *f, int32_t rows, int32_t columns) {
    return poisoned(f, rows, columns, columns + (f->v.c->flags & STRIDED ? 3 : 0));
}

void guarded_fill(struct guarded *m, int32_t first, int32_t rows, uint64_t *random) {
    for (int32_t r = first; r < first + rows; r++)
        for (int32_t i = 0; i < m->columns; i++)
            m->values[((size_t)r + 1) * (size_t)m->stride + (size_t)i] = random_value(random);
}

static float *random_values(struct fixture *f, size_t n, float low, float high, uint64_t *random) {
    float *values = fixture_take(f, n, sizeof(float));
    for (size_t i = 0; i < n; i++)
        values[i] = low + (high - low) * (0.5f + 0.5f * random_value(random));
    return values;
}

/* One of N_GROUPS for every row. */
static int32_t *random_groups(struct fixture *f, int32_t rows, uint64_t *random) {
    int32_t *group = fixture_take(f, (size_t)rows, sizeof *group);
    for (int32_t r = 0; r < rows; r++)
        group[r] = (int32_t)random_below(random, N_GROUPS);
    return group;
}

struct mill_weight_shape fixture_weight_shape(const struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    return (struct mill_weight_shape){c->n_out, c->n_taps ? c->n_taps : 1, c->n_in, f->v.dtype};
}

struct mill_weight_shape fixture_pointwise_shape(const struct fixture *f) {
    return (struct mill_weight_shape){f->v.c->n_out, 1, f->v.c->n_out, f->v.dtype};
}

/* Weights of a variance that gives outputs of unit scale; a row of zeros among them. */
static void init_weights(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    struct mill_weight_shape shape = fixture_weight_shape(f);
    size_t n = (size_t)shape.n_taps * (size_t)shape.n_in;
    float bound = sqrtf(3.0f / (float)n);
    f->weights = random_values(f, (size_t)c->n_out * n, -bound, bound, random);
    if (c->n_out > 4)
        memset(f->weights + 3 * n, 0, n * sizeof(float));
    f->n_groups = c->flags & GROUPS ? N_GROUPS : 1;
    f->group_stride = c->n_out + (c->flags & STRIDED ? 5 : 0);
    if (c->flags & BIAS)
        f->bias = random_values(f, (size_t)(f->n_groups * f->group_stride), -1, 1, random);
    if (c->flags & SNAKE)
        f->alpha =
            random_values(f, (size_t)(c->flags & DEPTHWISE ? c->n_out : c->n_in), 0.5f, 2, random);
}

static void init_embed(struct fixture *f, uint64_t *random) {
    int32_t rows = f->v.rows, n = f->v.c->n_in;
    f->y = fixture_guarded(f, rows, n);
    f->table_rows = N_TABLE_ROWS;
    float *table = random_values(f, N_TABLE_ROWS * (size_t)n, -1, 1, random);
    f->table = table;
    if (f->v.dtype == MILL_BF16) {
        uint16_t *half = fixture_take(f, N_TABLE_ROWS * (size_t)n, sizeof *half);
        for (size_t i = 0; i < N_TABLE_ROWS * (size_t)n; i++)
            half[i] = mill_bf16_from_f32(table[i]);
        f->table = half;
    }
    f->ids = fixture_take(f, (size_t)rows, sizeof *f->ids);
    for (int32_t r = 0; r < rows; r++)
        f->ids[r] = r == 0 ? N_TABLE_ROWS - 1 : (int32_t)random_below(random, N_TABLE_ROWS);
    if (!(f->v.c->flags & TOKENS))
        return;
    f->drawn = fixture_take(f, (size_t)rows, sizeof *f->drawn);
    for (int32_t r = 0; r < rows; r++) {
        f->drawn[r] = r % 5 ? (int32_t)random_below(random, N_TABLE_ROWS) : -1;
        if (r % 3)
            f->ids[r] = -1 - (int32_t)random_below(random, (uint32_t)rows);
    }
}

/* Gains of the rows' groups. */
static void init_gain(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    f->n_groups = c->flags & GROUPS ? N_GROUPS : 1;
    f->group_stride = c->n_in + (c->flags & STRIDED ? 5 : 0);
    f->gain = random_values(f, (size_t)(f->n_groups * f->group_stride), -2, 2, random);
    if (c->flags & GROUPS)
        f->group = random_groups(f, f->v.rows, random);
}

static void init_norm(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    f->x = fixture_guarded(f, f->v.rows, c->n_in);
    guarded_fill(&f->x, 0, f->v.rows, random);
    if (!(c->flags & IN_PLACE))
        f->y = fixture_guarded(f, f->v.rows, c->n_in);
    init_gain(f, random);
    if (c->norm != MILL_NORM_RMS)
        f->shift = random_values(f, (size_t)(f->n_groups * f->group_stride), -1, 1, random);
}

static void init_mix(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    f->x = fixture_guarded(f, f->v.rows, c->n_in);
    f->z = fixture_guarded(f, f->v.rows, c->n_in);
    guarded_fill(&f->x, 0, f->v.rows, random);
    guarded_fill(&f->z, 0, f->v.rows, random);
    if (!(c->flags & IN_PLACE))
        f->y = fixture_guarded(f, f->v.rows, c->n_in);
    if (c->flags & (BIAS | GROUPS))
        init_gain(f, random);
}

/* Scale row `row` of x, if there is one. */
static void scale_row(struct guarded *x, int32_t row, float scale) {
    for (int32_t i = 0; row < x->rows && i < x->columns; i++)
        x->values[((size_t)row + 1) * (size_t)x->stride + (size_t)i] *= scale;
}

/* The largest sums that there can be: every code of output 4 and of row 6 of x is at its limit, and
 * all their products are positive; a 32-bit sum has room for 516 of them. */
static void make_largest(struct fixture *f) {
    int32_t n = f->v.c->n_in;
    if (f->v.c->n_out <= 4 || f->v.rows <= 6)
        return;
    float *w = f->weights + 4 * (size_t)n;
    float *x = f->x.values + 7 * (size_t)f->x.stride;
    for (int32_t i = 0; i < n; i++) {
        w[i] = copysignf(0.01f, w[i]);
        x[i] = copysignf(1, w[i]);
    }
}

static void init_linear(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    int32_t n_out = (c->range_out ? c->range_out : c->n_out) / (c->pairs ? 2 : 1);
    init_weights(f, random);
    f->x = c->flags & OVERLAP ? poisoned(f, f->v.rows, c->n_in, c->stride)
                              : fixture_guarded(f, f->v.rows, c->n_in);
    guarded_fill(&f->x, 0, f->v.rows, random);
    scale_row(&f->x, 3, 0);
    if (f->v.dtype == MILL_I8) { /* judged by equality, so any scale will do */
        scale_row(&f->x, 4, 1000);
        scale_row(&f->x, 5, 1e-6f);
        if (!(c->flags & (NORMED | OVERLAP)))
            make_largest(f);
    }
    f->y = fixture_guarded(f, f->v.rows, n_out);
    if (c->flags & RESIDUAL_IS_Y)
        guarded_fill(&f->y, 0, f->v.rows, random);
    if (c->flags & RESIDUAL) {
        f->residual = fixture_guarded(f, f->v.rows, n_out);
        guarded_fill(&f->residual, 0, f->v.rows, random);
    }
    if (c->flags & GROUPS)
        f->group = random_groups(f, f->v.rows, random);
    if (!(c->flags & NORMED))
        return;
    f->gain = random_values(f, (size_t)c->n_in, -2, 2, random);
    f->z = fixture_guarded(f, f->v.rows, c->n_in);
}

/* Whole numbers in a row of logits: candidates that are equal. */
static void make_ties(struct guarded *x, int32_t row) {
    for (int32_t i = 0; i < x->columns; i++) {
        float *value = &x->values[((size_t)row + 1) * (size_t)x->stride + (size_t)i];
        *value = rintf(*value);
    }
}

/* The large logits of a row stand together, 80 in every 512 columns. */
static void make_uneven(struct guarded *x, int32_t row) {
    for (int32_t i = 0; i < x->columns; i++)
        if (i % 512 >= 80)
            x->values[((size_t)row + 1) * (size_t)x->stride + (size_t)i] -= 1000;
}

static void init_sample(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    size_t rows = (size_t)f->v.rows;
    f->x = fixture_guarded(f, f->v.rows, c->n_in);
    guarded_fill(&f->x, 0, f->v.rows, random);
    f->temperature = fixture_take(f, rows, sizeof(float));
    f->top_p = fixture_take(f, rows, sizeof(float));
    f->top_k = fixture_take(f, rows, sizeof(int32_t));
    f->u = fixture_take(f, rows, sizeof(double));
    for (int32_t r = 0; r < f->v.rows; r++) {
        scale_row(&f->x, r, r % 3 ? 8 : 1);
        if (r % 4 == 1)
            make_ties(&f->x, r);
        if (r % 4 == 2)
            make_uneven(&f->x, r);
        f->temperature[r] = c->top_p > 0 ? c->temperature : (float)random_below(random, 5) * 0.4f;
        f->top_p[r] = c->top_p > 0 ? c->top_p : (float)random_below(random, 11) * 0.1f;
        f->top_k[r] = c->top_p > 0 ? c->top_k : (int32_t)random_below(random, 70);
        f->u[r] = (double)(random_bits(random) >> 11) * 0x1p-53;
    }
    if (!(c->flags & TOKENS))
        return;
    f->ids = fixture_take(f, (size_t)c->n_in, sizeof *f->ids);
    for (int32_t i = 0; i < c->n_in; i++)
        f->ids[i] = 1000 + 7 * i;
}

/* Spans one behind the other with poisoned rows between them, and how many rows they take. */
static void lay_out_spans(struct fixture *f, int32_t *x_rows, int32_t *y_rows) {
    bool gaps = f->v.c->flags & SPANS;
    fixture_init_spans(f);
    *x_rows = *y_rows = 0;
    for (int32_t s = 0; s < f->n_spans; s++) {
        f->spans[s].x_first = *x_rows;
        f->spans[s].y_first = *y_rows;
        *x_rows += f->spans[s].n_x + (gaps ? 1 : 0);
        *y_rows += f->spans[s].n_y + (gaps ? 2 : 0);
    }
}

static void init_attn_dense(struct fixture *f, uint64_t *random) {
    int32_t x_rows, y_rows, columns = f->v.c->n_heads * f->v.c->head_dim;
    lay_out_spans(f, &x_rows, &y_rows);
    f->x = fixture_guarded(f, y_rows, columns);
    f->y = fixture_guarded(f, y_rows, columns);
    f->key = fixture_guarded(f, x_rows, columns);
    f->value = fixture_guarded(f, x_rows, columns);
    for (int32_t s = 0; s < f->n_spans; s++) {
        guarded_fill(&f->x, f->spans[s].y_first, f->spans[s].n_y, random);
        guarded_fill(&f->key, f->spans[s].x_first, f->spans[s].n_x, random);
        guarded_fill(&f->value, f->spans[s].x_first, f->spans[s].n_x, random);
    }
    for (int32_t r = 0; r < x_rows; r++)
        scale_row(&f->key, r, 2);
}

/* pool_mean and copy_rows. */
static void init_rows_of_spans(struct fixture *f, uint64_t *random) {
    int32_t x_rows, y_rows;
    lay_out_spans(f, &x_rows, &y_rows);
    f->x = fixture_guarded(f, x_rows, f->v.c->n_in);
    f->y = fixture_guarded(f, y_rows, f->v.c->n_in);
    for (int32_t s = 0; s < f->n_spans; s++)
        guarded_fill(&f->x, f->spans[s].x_first, f->spans[s].n_x, random);
}

static void init_convolution(struct fixture *f, uint64_t *random) {
    const struct kernel_case *c = f->v.c;
    int32_t x_rows, y_rows;
    init_weights(f, random);
    lay_out_spans(f, &x_rows, &y_rows);
    f->x = fixture_guarded(f, x_rows, c->flags & DEPTHWISE ? c->n_out : c->n_in);
    f->y = fixture_guarded(f, y_rows, c->n_out);
    if (c->flags & RESIDUAL)
        f->residual = fixture_guarded(f, y_rows, c->n_out);
    for (int32_t s = 0; s < f->n_spans; s++) {
        const struct mill_span *span = &f->spans[s];
        guarded_fill(&f->x, span->x_first, span->n_x, random);
        if (c->flags & RESIDUAL_IS_Y)
            guarded_fill(&f->y, span->y_first, span->n_y, random);
        if (c->flags & RESIDUAL)
            guarded_fill(&f->residual, span->y_first, span->n_y, random);
    }
}

static void init_residual_unit(struct fixture *f, uint64_t *random) {
    const size_t n = (size_t)f->v.c->n_out;
    init_convolution(f, random);
    float bound = sqrtf(3.0f / (float)n);
    f->pointwise = random_values(f, n * n, -bound, bound, random);
    f->bias2 = random_values(f, n, -1, 1, random);
    f->alpha2 = random_values(f, n, 0.5f, 2, random);
    f->z = fixture_guarded(f, f->y.rows, f->y.columns);
}

void fixture_init(struct fixture *f, const struct variant *v) {
    uint64_t random = seed_of(v);
    *f = (struct fixture){.v = *v};
    switch (v->c->op) {
    case OP_EMBED:
        init_embed(f, &random);
        break;
    case OP_NORM:
        init_norm(f, &random);
        break;
    case OP_LINEAR:
        init_linear(f, &random);
        break;
    case OP_ROPE_APPEND:
    case OP_ATTN_PAGED:
        fixture_init_batch(f, &random);
        break;
    case OP_SAMPLE:
        init_sample(f, &random);
        break;
    case OP_CONV1D:
    case OP_CONV_TRANSPOSE1D:
        init_convolution(f, &random);
        break;
    case OP_RESIDUAL_UNIT:
        init_residual_unit(f, &random);
        break;
    case OP_ATTN_DENSE:
        init_attn_dense(f, &random);
        break;
    case OP_COPY_ROWS:
    case OP_POOL_MEAN:
        init_rows_of_spans(f, &random);
        break;
    case OP_MIX:
        init_mix(f, &random);
        break;
    }
}

void fixture_deinit(struct fixture *f) {
    for (int32_t i = 0; i < f->n_owned; i++)
        free(f->owned[i]);
}

int32_t fixture_rows(const struct fixture *f) {
    return f->y.values ? f->y.rows : f->x.rows;
}

bool variant_is_optional(const struct variant *v) {
    return v->c->flags & OPTIONAL || v->c->op == OP_RESIDUAL_UNIT || v->c->op == OP_ATTN_DENSE ||
           v->c->op == OP_POOL_MEAN;
}

const char *variant_name(const struct variant *v, char text[128]) {
    snprintf(text, 128, "%s %s x%d", v->c->name, mill_dtype_name(v->dtype), v->rows);
    return text;
}

static const char *beginning = "";

static bool is_wanted(const struct kernel_case *c) {
    return strncmp(c->name, beginning, strlen(beginning)) == 0;
}

static int32_t each_of_list(struct case_list list, bool timed, variant_visit *visit,
                            void *context) {
    static const int32_t rows_of_sequences[] = {1, -1};
    int32_t n_failed = 0;
    for (int32_t i = 0; i < list.n; i++) {
        const struct kernel_case *c = &list.cases[i];
        if (!is_wanted(c))
            continue;
        if (timed ? !(c->flags & (PERF | PERF_ONLY)) : (c->flags & PERF_ONLY) != 0)
            continue;
        for (int dtype = 0; dtype < MILL_DTYPE_COUNT; dtype++) {
            if (!(c->dtypes & DTYPE_BIT(dtype)))
                continue;
            for (const int32_t *r = c->rows ? c->rows : rows_of_sequences; *r >= 0; r++)
                n_failed += !visit(&(struct variant){c, *r, (enum mill_dtype)dtype}, context);
        }
    }
    return n_failed;
}

enum { N_LISTS = 4 };
static struct case_list (*const lists[N_LISTS])(void) = {cases_common, cases_language_model,
                                                         cases_codec, cases_encoder};

int32_t each_variant(bool timed, variant_visit *visit, void *context) {
    int32_t n_failed = 0;
    for (int i = 0; i < N_LISTS; i++)
        n_failed += each_of_list(lists[i](), timed, visit, context);
    return n_failed;
}

int32_t each_variant_only(const char *wanted) {
    int32_t n = 0;
    beginning = wanted;
    for (int i = 0; i < N_LISTS; i++)
        for (int32_t j = 0; j < lists[i]().n; j++)
            n += is_wanted(&lists[i]().cases[j]);
    return n;
}
