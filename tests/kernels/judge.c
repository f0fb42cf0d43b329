/* judge.c - compares outputs: within the tolerance that kernels/README.md derives, or to the last
 * bit. Poison in the expected output must be poison in the actual one; any other NaN or infinity is
 * a failure. Misses are printed, the first of each output. */
#include "tests/kernels/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_poison(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits == 0xffffffff;
}

/* Root of the mean square of a matrix's finite values. */
static double rms(const float *values, size_t n) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i])) {
            sum += (double)values[i] * values[i];
            count++;
        }
    return count ? sqrt(sum / (double)count) : 0;
}

static double largest(const float *values, size_t n) {
    double max = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i]))
            max = fmax(max, fabs((double)values[i]));
    return max;
}

/* What an error of a sum does to a pair of them: `largest` bounds the sums. What is added to it may
 * leave little of it, but not of its own error. */
static struct tolerance of_pairs(const struct kernel_case *c, double sum, double largest) {
    double gelu = c->act == MILL_ACT_GELU ? 0x1p-21 * largest : 0;
    double absolute = c->pairs == MILL_PAIRS_GATE ? largest * (2.2 * sum + gelu) : 1.5 * sum;
    double added = c->flags & (RESIDUAL | RESIDUAL_IS_Y) ? 0x1p-20 : 0x1p-60;
    return (struct tolerance){absolute + added, 0x1p-20};
}

/* linear and the convolutions: n products of values of x up to `largest_x` and weights, root of the
 * mean square of a product `term`; see kernels/README.md. */
static struct tolerance of_sum(const struct fixture *f, double n, double term, double largest_x) {
    const struct kernel_case *c = f->v.c;
    struct mill_weight_shape shape = fixture_weight_shape(f);
    double w = largest(f->weights, (size_t)shape.n_out * (size_t)shape.n_taps * (size_t)shape.n_in);
    struct tolerance t = {0x1p-21 * (n + 8) * term, 0x1p-22};
    if (f->v.dtype == MILL_I8)
        t = (struct tolerance){0, 0};
    if (f->v.dtype == MILL_BF16 && c->flags & (SNAKE | NORMED)) /* at the edge of two bf16 values */
        t.absolute += 0x1p-7 * 2 * largest_x * w;
    if (c->flags & NORMED) {
        t.absolute += 0x1p-22 * (2 + sqrt(n) / 4) * 6 * sqrt(n) * term;
        if (f->v.dtype == MILL_I8) /* ... of two codes, some of them */
            t.absolute += (8 + n / 16) * largest_x / 32767 * w;
    }
    return t;
}

static struct tolerance of_products(const struct fixture *f) {
    const struct kernel_case *c = f->v.c;
    struct mill_weight_shape shape = fixture_weight_shape(f);
    size_t n_x = guarded_elements(&f->x), n_in = (size_t)shape.n_in;
    size_t n_w = (size_t)shape.n_out * (size_t)shape.n_taps * n_in;
    double n_taps =
        c->op == OP_CONV_TRANSPOSE1D ? ceil((double)shape.n_taps / c->stride) : shape.n_taps;
    double n = n_taps * shape.n_in, snake = c->flags & SNAKE ? 2 : 1;
    double rms_x = rms(f->x.values, n_x), largest_x = largest(f->x.values, n_x);
    if (c->flags & NORMED) { /* uniform values: their largest is 1.73 times their rms */
        rms_x = rms(f->gain, n_in);
        largest_x = 2 * largest(f->gain, n_in);
    }
    double term = snake * rms_x * rms(f->weights, n_w);
    struct tolerance t = of_sum(f, n, term, largest_x);
    bool curved = c->act == MILL_ACT_GELU || c->act == MILL_ACT_TANH || c->act == MILL_ACT_SILU;
    if (c->pairs)
        return of_pairs(c, t.absolute, 6 * sqrt(n) * term + (f->bias ? 1 : 0));
    return curved ? (struct tolerance){1.2 * t.absolute + 0x1p-21, 0x1p-21} : t;
}

/* Two convolutions: the first one's error goes through snake (slope 2 at most) and a second sum of
 * products, of values of unit scale that may lie at the edge of two bf16 values. */
static struct tolerance of_residual_unit(const struct fixture *f) {
    struct mill_weight_shape shape = fixture_pointwise_shape(f);
    size_t n = (size_t)shape.n_out * (size_t)shape.n_in;
    struct tolerance t = of_products(f);
    double own = 0x1p-21 * (shape.n_in + 8) * 2 * rms(f->pointwise, n);
    double edge = f->v.dtype == MILL_BF16 ? 0x1p-7 * 2 * 8 * largest(f->pointwise, n) : 0;
    t.absolute = 8 * t.absolute + own + edge;
    return t;
}

static struct tolerance of_norm(const struct fixture *f) {
    size_t n = (size_t)(f->n_groups * f->group_stride);
    double gain = largest(f->gain, n), shift = f->shift ? largest(f->shift, n) : 0;
    double absolute = 0x1p-22 * (2 + sqrt(f->x.columns) / 4) * (2 * gain + shift);
    return f->v.c->act ? (struct tolerance){1.2 * absolute + 0x1p-21, 0x1p-21}
                       : (struct tolerance){absolute, 0};
}

static struct tolerance of_attention(const struct fixture *f) {
    int32_t longest = 0;
    for (int32_t s = 0; s < f->n_sequences; s++) {
        int32_t n = f->n_cached[s] + f->row_first[s + 1] - f->row_first[s];
        longest = n > longest ? n : longest;
    }
    double rounded = f->v.dtype == MILL_I8 ? 0x1p-18 : 0; /* weights, apart from their sum */
    return (struct tolerance){rounded + 0x1p-22 * (8 + f->v.c->head_dim * 0.125 + sqrt(longest)),
                              0};
}

static struct tolerance of_attn_dense(const struct fixture *f) {
    double longest = f->key.rows;
    return (struct tolerance){0x1p-22 * (8 + f->v.c->head_dim * 0.125 + sqrt(longest)), 0};
}

/* Sums of n values of unit scale that may cancel. */
static struct tolerance of_pool_mean(const struct fixture *f) {
    return (struct tolerance){0x1p-23 * (1 + sqrt(f->x.rows) / 4), 0};
}

static struct tolerance of_mix(const struct fixture *f) {
    size_t n = (size_t)(f->n_groups * f->group_stride);
    double gain = f->gain ? largest(f->gain, n) : 1;
    return (struct tolerance){0x1p-23 * (fabs((double)MIX_X) + fabs((double)MIX_Z) * gain),
                              0x1p-23};
}

struct tolerance tolerance_of(const struct fixture *f) {
    switch (f->v.c->op) {
    case OP_NORM:
        return of_norm(f);
    case OP_LINEAR:
    case OP_CONV1D:
    case OP_CONV_TRANSPOSE1D:
        return of_products(f);
    case OP_RESIDUAL_UNIT:
        return of_residual_unit(f);
    case OP_ROPE_APPEND:
        return (struct tolerance){0x1p-20, 0};
    case OP_ATTN_PAGED:
        return of_attention(f);
    case OP_ATTN_DENSE:
        return of_attn_dense(f);
    case OP_POOL_MEAN:
        return of_pool_mean(f);
    case OP_MIX:
        return of_mix(f);
    case OP_EMBED:
    case OP_COPY_ROWS:
    case OP_SAMPLE:
        break;
    }
    return (struct tolerance){0, 0};
}

static bool report(const struct fixture *f, const char *what, size_t at, float expected,
                   float actual) {
    char name[128];
    fprintf(stderr, "  %s: %s: value %zu is %.9g, expected %.9g\n", variant_name(&f->v, name), what,
            at, (double)actual, (double)expected);
    return false;
}

static bool values_close(const struct fixture *f, struct tolerance t, const float *expected,
                         const float *actual, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (is_poison(expected[i])) {
            if (memcmp(&expected[i], &actual[i], sizeof(float)) != 0)
                return report(f, "written where nothing is to be written", i, expected[i],
                              actual[i]);
        } else if (!(fabs((double)actual[i] - expected[i]) <=
                     t.absolute + t.relative * fabs((double)expected[i]))) {
            return report(f, "out of tolerance", i, expected[i], actual[i]);
        }
    }
    return true;
}

static bool pages_equal(const struct fixture *f, const void *expected, const void *actual) {
    const uint8_t *e = expected, *a = actual;
    for (size_t i = 0; i < f->page_bytes; i++)
        if (e[i] != a[i])
            return report(f, "byte of the pages", i, e[i], a[i]);
    return true;
}

/* What pages hold is the keys and values that x has become, to the bit. */
static bool judge_pages(const struct fixture *f, const struct output *actual) {
    void *expected = malloc(f->page_bytes);
    if (!expected)
        return false;
    memcpy(expected, f->pages, f->page_bytes);
    fixture_append(f, actual->values, expected);
    bool equal = pages_equal(f, expected, actual->pages);
    free(expected);
    return equal;
}

/* A refused call has left its output as it was. */
static bool untouched(const struct fixture *f, const struct output *actual) {
    const float *before = f->y.values ? f->y.values : f->x.values;
    for (size_t i = 0; i < actual->n_values; i++)
        if (memcmp(&before[i], &actual->values[i], sizeof(float)) != 0)
            return report(f, "refused, yet written", i, before[i], actual->values[i]);
    return true;
}

bool judge_close(const struct fixture *f, const struct output *expected,
                 const struct output *actual) {
    if (actual->refused)
        return untouched(f, actual);
    return values_close(f, tolerance_of(f), expected->values, actual->values, expected->n_values) &&
           (!f->pages || f->v.c->op != OP_ROPE_APPEND || judge_pages(f, actual));
}

bool judge_equal(const struct fixture *f, const struct output *expected,
                 const struct output *actual, const char *what) {
    for (size_t i = 0; i < expected->n_values; i++)
        if (memcmp(&expected->values[i], &actual->values[i], sizeof(float)) != 0)
            return report(f, what, i, expected->values[i], actual->values[i]);
    return !expected->pages || pages_equal(f, expected->pages, actual->pages);
}

/* Whether y row `row` is one that the operator writes. */
static bool row_is_written(const struct fixture *f, int32_t row, int32_t rows) {
    if (row < 0 || row >= rows)
        return false;
    bool written = f->n_spans == 0;
    for (int32_t s = 0; s < f->n_spans; s++)
        written |= row >= f->spans[s].y_first && row < f->spans[s].y_first + f->spans[s].n_y;
    return written;
}

bool judge_written(const struct fixture *f, const struct output *actual) {
    const struct guarded *m = f->y.values ? &f->y : &f->x;
    struct guarded columns = {NULL, f->v.rows, 1, 1};
    if (f->u)
        m = &columns;
    for (size_t i = 0; i < actual->n_values; i++) {
        int32_t row = (int32_t)(i / (size_t)m->stride) - 1;
        bool own = row_is_written(f, row, m->rows) && (int32_t)(i % (size_t)m->stride) < m->columns;
        float value = actual->values[i];
        if (own ? !isfinite(value) : !is_poison(value))
            return report(f, own ? "not a finite number" : "written beyond the output", i, 0,
                          value);
    }
    return true;
}
