/* test_cpu_spans.c - convolutions of more spans, and of longer ones, than the cpu backend takes
 * through one product: the same bits as span by span. */
#include "kernels/backend.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_OUT = 17, N_IN = 8, N_TAPS = 8, MAX_SPANS = 150 };

struct fixture {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_weight w;
    void *image;
    float *x, *y[2], bias[N_OUT], alpha[N_IN];
    struct mill_span spans[MAX_SPANS];
    int32_t n_spans, n_x, n_y;
};

static float *numbers(size_t n, uint64_t seed) {
    float *out = mill_alloc_array(n, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(2 * mill_philox_uniform(seed, i) - 1);
    return out;
}

/* Spans of `n_rows` input rows, more or less, that begin at times of all phases. */
static void fixture_open(struct fixture *f, enum mill_dtype dtype, int32_t n_spans, int32_t n_rows,
                         int32_t stride) {
    *f = (struct fixture){.n_spans = n_spans, .w.shape = {N_OUT, N_TAPS, N_IN, dtype}};
    f->ops = mill_backend_find("cpu", NULL);
    assert_int_equal(
        f->ops->open(&f->backend, &(struct mill_backend_options){.n_threads = 2}, NULL), MILL_OK);
    float *rows = numbers(N_OUT * N_TAPS * N_IN, 1);
    f->image = mill_alloc_aligned(f->ops->weight_bytes(&f->w.shape));
    assert_non_null(f->image);
    f->ops->weight_pack(&f->w.shape, 0, N_OUT, rows, f->image);
    free(rows);
    f->w.image = f->ops->upload(f->backend, f->image, f->ops->weight_bytes(&f->w.shape));
    f->w.bias = f->bias;
    for (int i = 0; i < N_IN; i++)
        f->alpha[i] = 0.5f + (float)i;
    for (int32_t s = 0; s < n_spans; s++) {
        int32_t n = n_rows + s % 3;
        f->spans[s] = (struct mill_span){.x_first = f->n_x,
                                         .n_x = n,
                                         .x_place = s % 7,
                                         .y_first = f->n_y,
                                         .n_y = s % 5 == 4 ? 0 : n * stride - s % 4,
                                         .y_place = (s % 7) * stride + s % 3};
        f->n_x += n;
        f->n_y += n * stride;
    }
    f->x = numbers((size_t)f->n_x * N_IN, 2);
    for (int i = 0; i < 2; i++)
        f->y[i] = numbers((size_t)f->n_y * N_OUT, 3);
}

static void fixture_close(struct fixture *f) {
    f->ops->release(f->backend, f->w.image);
    f->ops->close(f->backend);
    free(f->image);
    free(f->x);
    free(f->y[0]);
    free(f->y[1]);
}

static void run(const struct fixture *f, int32_t stride, float *y, const struct mill_span *spans,
                int32_t n_spans) {
    const struct mill_matrix to = {y, MILL_F32, f->n_y, N_OUT, N_OUT},
                             from = {f->x, MILL_F32, f->n_x, N_IN, N_IN};
    const struct mill_conv_transpose1d_args transpose = {.y = to,
                                                         .x = from,
                                                         .w = f->w,
                                                         .stride = stride,
                                                         .padding = 1,
                                                         .alpha = f->alpha,
                                                         .spans = spans,
                                                         .n_spans = n_spans};
    const struct mill_conv1d_args conv = {.y = to,
                                          .x = from,
                                          .w = f->w,
                                          .dilation = 2,
                                          .padding = 7,
                                          .alpha = f->alpha,
                                          .residual = to,
                                          .spans = spans,
                                          .n_spans = n_spans};
    assert_int_equal(stride > 1 ? f->ops->conv_transpose1d(f->backend, &transpose)
                                : f->ops->conv1d(f->backend, &conv),
                     MILL_OK);
}

static void check(enum mill_dtype dtype, int32_t n_spans, int32_t n_rows, int32_t stride) {
    struct fixture f;
    fixture_open(&f, dtype, n_spans, n_rows, stride);
    run(&f, stride, f.y[0], f.spans, n_spans);
    for (int32_t s = 0; s < n_spans; s++)
        run(&f, stride, f.y[1], &f.spans[s], 1);
    assert_memory_equal(f.y[0], f.y[1], (size_t)f.n_y * N_OUT * sizeof(float));
    fixture_close(&f);
}

static void test_many_spans(void **state) {
    (void)state;
    for (int32_t stride = 1; stride <= 4; stride++) {
        check(MILL_F32, MAX_SPANS, 3, stride);
        check(MILL_BF16, MAX_SPANS, 20, stride);
    }
}

static void test_long_spans(void **state) {
    (void)state;
    for (int32_t stride = 1; stride <= 2; stride++) {
        check(MILL_F32, 4, 300000, stride); /* room for 524,288 prepared rows */
        check(MILL_F32, 1, 600000, stride);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_spans),
        cmocka_unit_test(test_long_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
