/* cmocka.h - stands in for cmocka where it is not installed: on a bare machine with a card, where
 * nothing can be installed either (MILL_BARE). Only what the kernels' tests use of it: assertions
 * that end a test, groups of tests, skipping. A failed test is named, the rest goes on. One
 * program, one thread. */
#ifndef MILL_TESTS_BARE_CMOCKA_H
#define MILL_TESTS_BARE_CMOCKA_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
    void *initial_state;
};

enum { BARE_FAILED = 1, BARE_SKIPPED = 2 };
__attribute__((weak)) jmp_buf bare_end; /* one for all files of a program */

#define cmocka_unit_test(f)                                                                        \
    { #f, f, NULL, NULL, NULL }
#define cmocka_unit_test_prestate(f, state)                                                        \
    { #f, f, NULL, NULL, state }
#define cmocka_unit_test_setup(f, setup)                                                           \
    { #f, f, setup, NULL, NULL }
#define cmocka_unit_test_setup_teardown(f, setup, teardown)                                        \
    { #f, f, setup, teardown, NULL }

#define fail_msg(...)                                                                              \
    do {                                                                                           \
        printf("%s:%d: ", __FILE__, __LINE__);                                                     \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        longjmp(bare_end, BARE_FAILED);                                                            \
    } while (0)
#define skip() longjmp(bare_end, BARE_SKIPPED)
#define bare_assert(holds)                                                                         \
    do {                                                                                           \
        if (!(holds))                                                                              \
            fail_msg("%s", #holds);                                                                \
    } while (0)

#define print_error(...) fprintf(stderr, __VA_ARGS__)
#define print_message(...) printf(__VA_ARGS__)
#define assert_true(a) bare_assert((a) ? 1 : 0)
#define assert_false(a) bare_assert(!(a))
#define assert_null(a) bare_assert((a) == NULL)
#define assert_non_null(a) bare_assert((a) != NULL)
#define assert_ptr_equal(a, b) bare_assert((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b)                                                                     \
    do {                                                                                           \
        long long bare_a = (long long)(a), bare_b = (long long)(b);                                \
        if (bare_a != bare_b)                                                                      \
            fail_msg("%s is %lld, not %lld", #a, bare_a, bare_b);                                  \
    } while (0)
#define assert_int_not_equal(a, b) bare_assert((long long)(a) != (long long)(b))
#define assert_in_range(a, low, high)                                                              \
    bare_assert((uintmax_t)(a) >= (uintmax_t)(low) && (uintmax_t)(a) <= (uintmax_t)(high))
#define assert_float_equal(a, b, epsilon) bare_assert(fabs((double)(a) - (double)(b)) <= (epsilon))
#define assert_string_equal(a, b) bare_assert(strcmp((a), (b)) == 0)
#define assert_memory_equal(a, b, n) bare_assert(memcmp((a), (b), (n)) == 0)

/* BARE_FAILED, BARE_SKIPPED or 0. */
static inline int bare_run(const struct CMUnitTest *test) {
    void *state = test->initial_state;
    int end = setjmp(bare_end);
    if (end == 0) {
        if (test->setup && test->setup(&state) != 0)
            return BARE_FAILED;
        test->test(&state);
    }
    return test->teardown && test->teardown(&state) != 0 ? BARE_FAILED : end;
}

static inline int bare_run_group(const struct CMUnitTest *tests, size_t n) {
    int n_failed = 0;
    for (size_t i = 0; i < n; i++) {
        int end = bare_run(&tests[i]);
        printf("%s %s\n",
               end == BARE_FAILED    ? "FAILED"
               : end == BARE_SKIPPED ? "skipped"
                                     : "passed",
               tests[i].name);
        fflush(stdout);
        n_failed += end == BARE_FAILED;
    }
    printf("%d of %d failed\n", n_failed, (int)n);
    return n_failed;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    bare_run_group(tests, sizeof(tests) / sizeof *(tests))
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    cmocka_run_group_tests(tests, setup, teardown)

#endif
