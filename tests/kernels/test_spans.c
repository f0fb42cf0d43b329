/* test_spans.c - convolutions of more spans than a backend takes at once (one product of cpu, one
 * launch of cuda), and of longer ones: the same bits as span by span, and as spans cut in pieces.
 *
 *     test_spans BACKEND LONGEST */
#include "tests/kernels/conv_problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY_SPANS = 150 };

struct options {
    const char *backend;
    int32_t longest; /* rows of a span */
};

/* In pieces of `most` outputs. */
static void run_in_pieces(struct conv_problem *p, const struct mill_span *span, int32_t most) {
    for (int32_t first = 0; first < span->n_y; first += most) {
        struct mill_span piece = *span;
        piece.y_first += first;
        piece.y_place += first;
        piece.n_y = span->n_y - first < most ? span->n_y - first : most;
        conv_problem_run(p, &piece, 1);
    }
}

static void check(const char *backend, const struct conv_sizes *sizes, int32_t piece) {
    struct conv_problem p;
    conv_problem_open(&p, backend, sizes);
    conv_problem_run(&p, p.spans, sizes->n_spans);
    float *at_once = conv_problem_result(&p);
    conv_problem_clear(&p);
    for (int32_t s = 0; s < sizes->n_spans; s++)
        run_in_pieces(&p, &p.spans[s], piece);
    float *in_pieces = conv_problem_result(&p);
    assert_memory_equal(at_once, in_pieces, conv_problem_result_bytes(&p));
    free(at_once);
    free(in_pieces);
    conv_problem_close(&p);
}

static void test_many_spans(void **state) {
    const struct options *options = *state;
    for (int32_t step = 1; step <= 4; step++)
        for (int dtype = 0; dtype < 2; dtype++) {
            struct conv_sizes sizes = {
                CONV_PLAIN,    dtype ? MILL_BF16 : MILL_F32, 17, 8, 8, step, MANY_SPANS,
                dtype ? 20 : 3};
            check(options->backend, &sizes, 1 << 20);
            sizes.kind = CONV_TRANSPOSED;
            check(options->backend, &sizes, 1 << 20);
        }
}

static void test_long_spans(void **state) {
    const struct options *options = *state;
    struct conv_sizes sizes = {CONV_PLAIN, MILL_F32, 17, 8, 8, 2, 4, options->longest / 2};
    check(options->backend, &sizes, options->longest / 2 + 9);
    sizes.n_spans = 1;
    sizes.n_rows = options->longest;
    check(options->backend, &sizes, options->longest / 3);
    sizes.kind = CONV_TRANSPOSED;
    check(options->backend, &sizes, options->longest / 3);
}

/* More channels than a kernel takes at a time, cut in pieces. */
static void test_many_channels(void **state) {
    const struct options *options = *state;
    struct conv_sizes sizes = {CONV_PLAIN, MILL_F32, 17, 3, 200, 2, 4, 40};
    for (int dtype = 0; dtype < 2; dtype++) {
        sizes.dtype = dtype ? MILL_BF16 : MILL_F32;
        sizes.kind = CONV_PLAIN;
        check(options->backend, &sizes, 7);
        sizes.kind = CONV_TRANSPOSED;
        check(options->backend, &sizes, 7);
    }
}

/* So many that a large card has units at once, by two of its kernels, and alone each in steps. */
static void test_units(void **state) {
    const struct options *options = *state;
    struct conv_problem p;
    struct conv_sizes sizes = {CONV_UNIT, MILL_BF16, 24, 7, 24, 3, MANY_SPANS, 30};
    conv_problem_open(&p, options->backend, &sizes);
    bool has_units = p.ops->residual_unit != NULL;
    conv_problem_close(&p);
    if (!has_units)
        skip();
    check(options->backend, &sizes, 7);
    for (int32_t c = 24; c <= 132; c += 108) {
        const struct conv_sizes wide = {CONV_UNIT, MILL_BF16, c, 3, c, 27, MANY_SPANS, 60};
        check(options->backend, &wide, 1 << 20);
    }
}

int main(int argc, char **argv) {
    assert_int_equal(argc, 3);
    struct options options = {argv[1], (int32_t)strtol(argv[2], NULL, 10)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_many_spans, &options),
        cmocka_unit_test_prestate(test_long_spans, &options),
        cmocka_unit_test_prestate(test_many_channels, &options),
        cmocka_unit_test_prestate(test_units, &options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
