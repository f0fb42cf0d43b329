/* conv_problem.c - see conv_problem.h. */
#include "tests/kernels/conv_problem.h"

#include "tests/kernels/numbers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void *put(struct conv_problem *p, float *host, size_t n) {
    void *device = p->ops->alloc(p->backend, n * sizeof *host);
    assert_non_null(device);
    assert_int_equal(p->ops->copy_in(p->backend, device, host, n * sizeof *host), MILL_OK);
    free(host);
    return device;
}

static struct mill_matrix put_rows(struct conv_problem *p, int32_t rows, int32_t columns,
                                   uint64_t seed) {
    size_t n = (size_t)rows * (size_t)columns;
    return (struct mill_matrix){put(p, numbers(n, seed), n), MILL_F32, rows, columns, columns};
}

static struct mill_weight put_weight(struct conv_problem *p, int32_t n_taps, int32_t n_in,
                                     int which) {
    struct mill_weight w = {.shape = {p->sizes.n_out, n_taps, n_in, p->sizes.dtype}};
    size_t bytes = p->ops->weight_bytes(&w.shape), n_out = (size_t)w.shape.n_out;
    float *rows = numbers(n_out * (size_t)n_taps * (size_t)n_in, (uint64_t)(4 + which));
    p->image[which] = mill_alloc_aligned(bytes);
    assert_non_null(p->image[which]);
    p->ops->weight_pack(&w.shape, 0, w.shape.n_out, rows, p->image[which]);
    free(rows);
    w.image = p->ops->upload(p->backend, p->image[which], bytes);
    w.bias = put(p, numbers(n_out, 6), n_out);
    return w;
}

/* Outputs of a unit are times of its input. */
static void lay_out(struct conv_problem *p, int32_t *n_x, int32_t *n_y) {
    const struct conv_sizes *sizes = &p->sizes;
    int32_t rate = sizes->kind == CONV_TRANSPOSED ? sizes->step : 1;
    for (int32_t s = 0; s < sizes->n_spans; s++) {
        int32_t n = sizes->n_rows + s % 3, less = n * rate > s % 4 + s % 3 ? s % 4 + s % 3 : 0;
        p->spans[s] = (struct mill_span){.x_first = *n_x,
                                         .n_x = n,
                                         .x_place = s % 7,
                                         .y_first = *n_y,
                                         .n_y = s % 5 == 4 ? 0 : n * rate - less,
                                         .y_place = s % 7 * rate + s % 3};
        *n_x += n;
        *n_y += n * rate;
    }
}

void conv_problem_open(struct conv_problem *p, const char *backend,
                       const struct conv_sizes *sizes) {
    struct mill_error err = {""};
    const struct mill_backend_options options = {.n_threads = 2};
    *p = (struct conv_problem){.sizes = *sizes, .ops = mill_backend_find(backend, &err)};
    if (!p->ops || p->ops->open(&p->backend, &options, &err) != MILL_OK)
        fail_msg("%s", err.text);
    int32_t n_x = 0, n_y = 0;
    p->spans = mill_alloc_array((size_t)sizes->n_spans, sizeof *p->spans);
    assert_non_null(p->spans);
    lay_out(p, &n_x, &n_y);
    p->w = put_weight(p, sizes->n_taps, sizes->n_in, 0);
    p->pointwise = put_weight(p, 1, sizes->n_out, 1);
    p->x = put_rows(p, n_x, sizes->n_in, 1);
    p->y = put_rows(p, n_y, sizes->n_out, 2);
    p->alpha = put(p, numbers((size_t)sizes->n_in, 3), (size_t)sizes->n_in);
}

void conv_problem_close(struct conv_problem *p) {
    const struct mill_weight *weights[2] = {&p->w, &p->pointwise};
    void *device[] = {p->x.data, p->y.data, p->alpha, (void *)p->w.bias, (void *)p->pointwise.bias};
    for (int i = 0; i < 2; i++) {
        p->ops->release(p->backend, weights[i]->image);
        free(p->image[i]);
    }
    for (size_t i = 0; i < sizeof device / sizeof *device; i++)
        p->ops->free(p->backend, device[i]);
    p->ops->close(p->backend);
    free(p->spans);
}

size_t conv_problem_result_bytes(const struct conv_problem *p) {
    return (size_t)p->y.rows * (size_t)p->y.columns * sizeof(float);
}

void conv_problem_clear(struct conv_problem *p) {
    size_t bytes = conv_problem_result_bytes(p);
    float *y = numbers(bytes / sizeof(float), 2);
    assert_int_equal(p->ops->copy_in(p->backend, p->y.data, y, bytes), MILL_OK);
    free(y);
}

void conv_problem_run(struct conv_problem *p, const struct mill_span *spans, int32_t n_spans) {
    const struct conv_sizes *sizes = &p->sizes;
    int32_t padding = sizes->kind == CONV_TRANSPOSED ? 1 : sizes->step * (sizes->n_taps - 1) / 2;
    const struct mill_conv1d_args plain = {p->y,        p->x,    p->w,     false,
                                           sizes->step, padding, p->alpha, MILL_ACT_NONE,
                                           p->y,        spans,   n_spans};
    const struct mill_conv_transpose1d_args transposed = {p->y,    p->x,     p->w,  sizes->step,
                                                          padding, p->alpha, spans, n_spans};
    const struct mill_residual_unit_args unit = {
        p->y, p->x, p->w, p->pointwise, p->alpha, p->alpha, sizes->step, padding, spans, n_spans};
    mill_status status = sizes->kind == CONV_UNIT ? p->ops->residual_unit(p->backend, &unit)
                         : sizes->kind == CONV_PLAIN
                             ? p->ops->conv1d(p->backend, &plain)
                             : p->ops->conv_transpose1d(p->backend, &transposed);
    assert_int_equal(status, MILL_OK);
}

float *conv_problem_result(struct conv_problem *p) {
    size_t bytes = conv_problem_result_bytes(p);
    float *y = mill_alloc_array(bytes, 1);
    assert_non_null(y);
    assert_int_equal(p->ops->copy_out(p->backend, y, p->y.data, bytes), MILL_OK);
    assert_int_equal(p->ops->synchronize(p->backend), MILL_OK);
    for (size_t i = 0; i < bytes / sizeof *y; i++)
        assert_true(isfinite(y[i]));
    return y;
}
