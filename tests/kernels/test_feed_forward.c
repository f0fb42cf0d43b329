/* test_feed_forward.c - two linear layers at once are, to the last bit, two calls of `linear`: for
 * every kind of weights, at rows around the tiles in which kernels hand rows on, and where they
 * cannot.
 *
 *     test_feed_forward BACKEND */
#include "kernels/backend.h"
#include "tests/kernels/numbers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct sizes {
    int32_t n_in, n_between, n_out;
    bool gated;    /* of pairs, behind a norm, no bias: a language model's; else the decoder's */
    int32_t apart; /* elements between rows of what lies between */
} all_sizes[] = {
    {96, 256, 72, true, 0},   /* whole chunks of 128 */
    {40, 1152, 72, true, 0},  /* two segments */
    {64, 640, 392, false, 0}, /* by pairs of blocks, on eight multiprocessors of sm_90 */
    {64, 128, 64, false, 8},  /* rows apart, on 16 bytes */
    {64, 128, 64, false, 2},  /* rows not on 16 bytes */
    {64, 160, 64, false, 0},  /* part of a chunk */
};
static const int32_t all_rows[] = {1, 9, 40, 65, 130, 250};

enum { MAX_ROWS = 250, N_WEIGHTS = 2 };

struct problem {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_feed_forward_args args;
    void *images[N_WEIGHTS], *device[16];
    int32_t n_device;
};

static void *room(struct problem *p, size_t n) {
    void *device = p->ops->alloc(p->backend, n * sizeof(float));
    assert_non_null(device);
    return p->device[p->n_device++] = device;
}

static void *put(struct problem *p, size_t n, uint64_t seed) {
    float *host = numbers(n, seed);
    void *device = room(p, n);
    assert_int_equal(p->ops->copy_in(p->backend, device, host, n * sizeof *host), MILL_OK);
    free(host);
    return device;
}

static struct mill_weight put_weight(struct problem *p, int which, int32_t n_out, int32_t n_in,
                                     enum mill_dtype dtype) {
    struct mill_weight w = {.shape = {n_out, 1, n_in, dtype}};
    size_t bytes = p->ops->weight_bytes(&w.shape);
    float *rows = numbers((size_t)n_out * (size_t)n_in, (uint64_t)(4 + which));
    p->images[which] = mill_alloc_aligned(bytes);
    assert_non_null(p->images[which]);
    p->ops->weight_pack(&w.shape, 0, n_out, rows, p->images[which]);
    free(rows);
    w.image = p->ops->upload(p->backend, p->images[which], bytes);
    assert_non_null(w.image);
    return w;
}

static void problem_open(struct problem *p, const char *backend, const struct sizes *s,
                         enum mill_dtype dtype) {
    struct mill_error err = {""};
    *p = (struct problem){.ops = mill_backend_find(backend, &err)};
    if (!p->ops || p->ops->open(&p->backend, &(struct mill_backend_options){0}, &err))
        fail_msg("%s", err.text);
    int32_t n_up = s->gated ? 2 * s->n_between : s->n_between;
    struct mill_linear_args *up = &p->args.up, *down = &p->args.down;
    up->w = put_weight(p, 0, n_up, s->n_in, dtype);
    down->w = put_weight(p, 1, s->n_out, s->n_between, dtype);
    down->w.bias = put(p, (size_t)s->n_out, 3);
    if (s->gated) {
        up->gain = put(p, (size_t)s->n_in, 2);
        up->eps = 1e-6f;
        up->act = MILL_ACT_SILU;
        up->pairs = MILL_PAIRS_GATE;
    } else {
        up->act = MILL_ACT_GELU;
        up->w.bias = put(p, (size_t)n_up, 2);
    }
    up->x = (struct mill_matrix){put(p, (size_t)(MAX_ROWS * s->n_in), 1), MILL_F32, 0, s->n_in,
                                 s->n_in};
    up->y = (struct mill_matrix){room(p, (size_t)(MAX_ROWS * (s->n_between + s->apart))), MILL_F32,
                                 0, s->n_between, s->n_between + s->apart};
    down->x = up->y;
}

static void problem_close(struct problem *p) {
    p->ops->synchronize(p->backend);
    p->ops->release(p->backend, p->args.up.w.image);
    p->ops->release(p->backend, p->args.down.w.image);
    while (p->n_device > 0)
        p->ops->free(p->backend, p->device[--p->n_device]);
    p->ops->close(p->backend);
    for (int i = 0; i < N_WEIGHTS; i++)
        free(p->images[i]);
}

/* y of so many rows, at once or in two calls; added to what is there. */
static float *run(struct problem *p, int32_t n_rows, bool at_once) {
    struct mill_feed_forward_args args = p->args;
    int32_t n_out = args.down.w.shape.n_out;
    size_t n = (size_t)(n_rows * n_out);
    args.down.y = (struct mill_matrix){put(p, n, 7), MILL_F32, n_rows, n_out, n_out};
    args.down.residual = args.down.y;
    args.up.x.rows = args.up.y.rows = args.down.x.rows = n_rows;
    if (at_once) {
        assert_int_equal(p->ops->feed_forward(p->backend, &args), MILL_OK);
    } else {
        assert_int_equal(p->ops->linear(p->backend, &args.up), MILL_OK);
        assert_int_equal(p->ops->linear(p->backend, &args.down), MILL_OK);
    }
    float *y = mill_alloc_array(n, sizeof *y);
    assert_non_null(y);
    assert_int_equal(p->ops->copy_out(p->backend, y, args.down.y.data, n * sizeof *y), MILL_OK);
    assert_int_equal(p->ops->synchronize(p->backend), MILL_OK);
    p->ops->free(p->backend, p->device[--p->n_device]);
    return y;
}

static void check(const char *backend, const struct sizes *sizes, enum mill_dtype dtype) {
    struct problem p;
    problem_open(&p, backend, sizes, dtype);
    for (size_t i = 0; i < sizeof all_rows / sizeof *all_rows; i++) {
        float *at_once = run(&p, all_rows[i], true), *in_two = run(&p, all_rows[i], false);
        if (memcmp(at_once, in_two, (size_t)(all_rows[i] * sizes->n_out) * sizeof *in_two) != 0)
            fail_msg("%s: %d rows, %d to %d to %d: not what two calls give", mill_dtype_name(dtype),
                     all_rows[i], sizes->n_in, sizes->n_between, sizes->n_out);
        free(at_once);
        free(in_two);
    }
    problem_close(&p);
}

static void test_as_two_calls(void **state) {
    for (size_t i = 0; i < sizeof all_sizes / sizeof *all_sizes; i++)
        check(*state, &all_sizes[i], MILL_BF16);
    check(*state, &all_sizes[0], MILL_I8);
    check(*state, &all_sizes[0], MILL_F32);
}

static void test_no_rows(void **state) {
    struct problem p;
    problem_open(&p, *state, &all_sizes[0], MILL_BF16);
    p.args.down.y = p.args.up.x;
    assert_int_equal(p.ops->feed_forward(p.backend, &p.args), MILL_OK);
    problem_close(&p);
}

static void test_down_reads_something_else(void **state) {
    struct problem p;
    problem_open(&p, *state, &all_sizes[0], MILL_BF16);
    p.args.down.y = p.args.down.x = p.args.up.x;
    assert_int_equal(p.ops->feed_forward(p.backend, &p.args), MILL_E_INPUT);
    problem_close(&p);
}

int main(int argc, char **argv) {
    assert_int_equal(argc, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_as_two_calls, argv[1]),
        cmocka_unit_test_prestate(test_no_rows, argv[1]),
        cmocka_unit_test_prestate(test_down_reads_something_else, argv[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
