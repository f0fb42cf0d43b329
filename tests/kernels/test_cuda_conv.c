/* test_cuda_conv.c - the convolution kernels on emulated cards of several sizes: a card's size
 * decides about tiles and about units in one kernel or two, and no bit depends on either. */
#include "tests/kernels/conv_problem.h"
#include "tests/support/emulated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each on a card whose threads run in another order. */
static void use_card(int capability, int n_multiprocessors) {
    struct emulator_settings settings = emulated()->defaults();
    settings.capability = capability;
    settings.n_multiprocessors = n_multiprocessors;
    settings.order = (enum emulator_order)(n_multiprocessors % 3);
    settings.seed = 1;
    emulated()->configure(&settings);
}

static int n_launches(void) {
    return (int)emulated()->n_calls(EMULATOR_LAUNCH);
}

/* The result on a card with so many multiprocessors, and how many launches it took. */
static float *result_on(int capability, int n_multiprocessors, const struct conv_sizes *sizes,
                        size_t *bytes, int *launches) {
    struct conv_problem p;
    use_card(capability, n_multiprocessors);
    conv_problem_open(&p, "emulator", sizes);
    int before = n_launches();
    conv_problem_run(&p, p.spans, sizes->n_spans);
    *launches = n_launches() - before;
    *bytes = conv_problem_result_bytes(&p);
    float *y = conv_problem_result(&p);
    conv_problem_close(&p);
    return y;
}

/* One multiprocessor wants the tiles that are best per product; many want many small tiles. */
static void check_sizes(int capability, const struct conv_sizes *sizes, int launches_of_small,
                        int launches_of_large) {
    static const int n_multiprocessors[] = {1, 5, 12, 100000};
    float *first = NULL;
    for (int i = 0; i < 4; i++) {
        size_t bytes;
        int launches;
        float *y = result_on(capability, n_multiprocessors[i], sizes, &bytes, &launches);
        if (i == 0)
            assert_int_equal(launches, launches_of_small);
        if (i == 3)
            assert_int_equal(launches, launches_of_large);
        if (first)
            assert_memory_equal(first, y, bytes);
        else
            first = y;
        if (first != y)
            free(y);
    }
    free(first);
}

static const int capabilities[] = {75, 80, 90}; /* of which each has kernels of its own */

/* Three runs of channels and more, several tiles of outputs and rows. */
static void test_tiles_change_no_bit(void **state) {
    (void)state;
    const struct conv_sizes plain = {CONV_PLAIN, MILL_BF16, 104, 3, 150, 9, 3, 270};
    const struct conv_sizes transposed = {CONV_TRANSPOSED, MILL_BF16, 104, 11, 140, 5, 3, 260};
    for (int i = 0; i < 3; i++) {
        int launches = capabilities[i] == 90 ? 2 : 1; /* rows are prepared by one of their own */
        check_sizes(capabilities[i], &plain, launches, launches);
        check_sizes(capabilities[i], &transposed, launches, launches);
    }
}

static void test_units_change_no_bit(void **state) {
    (void)state;
    for (int32_t c = 90; c <= 360; c *= 2) {
        const struct conv_sizes unit = {CONV_UNIT, MILL_BF16, c, 7, c, 9, 3, 150};
        check_sizes(80, &unit, 1, 2);
        /* by warp groups at once: up to 192 channels, in quads */
        check_sizes(90, &unit, c == 180 ? 1 : 3, 3);
    }
    const struct conv_sizes two_groups = {CONV_UNIT, MILL_BF16, 100, 7, 100, 9, 3, 150};
    check_sizes(90, &two_groups, 1, 3);
    const struct conv_sizes half_a_stage = {CONV_UNIT, MILL_BF16, 96, 7, 96, 1, 2, 450};
    check_sizes(90, &half_a_stage, 1, 3);
    const struct conv_sizes short_spans = {CONV_UNIT, MILL_BF16, 180, 7, 180, 1, 40, 15};
    check_sizes(90, &short_spans, 1, 3); /* a tile has rows of several */
}

/* Other kernels, the same definition. */
static void test_cards_are_close(void **state) {
    (void)state;
    const struct conv_sizes sizes = {CONV_PLAIN, MILL_BF16, 40, 7, 70, 3, 2, 50};
    float *of[3];
    size_t bytes;
    int launches;
    for (int i = 0; i < 3; i++)
        of[i] = result_on(capabilities[i], 4, &sizes, &bytes, &launches);
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        assert_float_equal(of[0][i], of[1][i], 1e-4);
        assert_float_equal(of[0][i], of[2][i], 1e-4);
    }
    for (int i = 0; i < 3; i++)
        free(of[i]);
}

/* More hidden rows than there is scratch memory for: 67,108,864 bytes. */
static void test_units_larger_than_scratch(void **state) {
    (void)state;
    const struct conv_sizes unit = {CONV_UNIT, MILL_BF16, 64, 1, 64, 1, 2, 140000};
    size_t bytes;
    int one, two;
    float *at_once = result_on(80, 1, &unit, &bytes, &one);
    float *in_two = result_on(80, 100000, &unit, &bytes, &two);
    assert_int_equal(one, 1);
    assert_int_equal(two, 4);
    assert_memory_equal(at_once, in_two, bytes);
    free(at_once);
    free(in_two);
}

/* Cut where scratch memory is full, in the middle of spans, with tiles of several sizes. */
static void test_pieces_change_no_bit(void **state) {
    (void)state;
    const struct conv_sizes sizes[] = {
        {CONV_UNIT, MILL_BF16, 18, 3, 18, 9, 3, 84000}, /* no quads: in steps */
        {CONV_TRANSPOSED, MILL_BF16, 16, 4, 16, 2, 2, 240000},
    };
    for (int i = 0; i < 2; i++) {
        size_t bytes;
        int few, many;
        float *large_tiles = result_on(90, 1, &sizes[i], &bytes, &few);
        float *small_tiles = result_on(90, 100000, &sizes[i], &bytes, &many);
        assert_true(few > 3 && many > 3);
        assert_memory_equal(large_tiles, small_tiles, bytes);
        free(large_tiles);
        free(small_tiles);
    }
}

static int n_attributes(void) {
    return (int)emulated()->n_calls(EMULATOR_ATTRIBUTE);
}

/* A launch asks for nothing that the kernel has from an earlier one. */
static void test_shared_memory_is_asked_for_once(void **state) {
    (void)state;
    const struct conv_sizes sizes = {CONV_PLAIN, MILL_BF16, 104, 3, 96, 9, 1, 70};
    struct conv_problem p;
    use_card(90, 1);
    int before = n_attributes();
    conv_problem_open(&p, "emulator", &sizes);
    conv_problem_run(&p, p.spans, 1);
    int first = n_attributes() - before;
    conv_problem_run(&p, p.spans, 1);
    assert_int_equal(first, 2); /* what it has, and all there is */
    assert_int_equal(n_attributes() - before, first);
    conv_problem_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles_change_no_bit),
        cmocka_unit_test(test_units_change_no_bit),
        cmocka_unit_test(test_cards_are_close),
        cmocka_unit_test(test_units_larger_than_scratch),
        cmocka_unit_test(test_pieces_change_no_bit),
        cmocka_unit_test(test_shared_memory_is_asked_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
