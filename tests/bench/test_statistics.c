/* test_statistics.c - percentiles, intervals and what counts as a change, against values worked out
 * by hand. */
#include "bench/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int near(double a, double b) {
    return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static void test_percentile(void **state) {
    (void)state;
    double values[] = {5, 1, 3, 2, 4};
    bench_sort(values, 5);
    assert_true(values[0] == 1 && values[4] == 5);
    assert_true(near(bench_percentile(values, 5, 0), 1));
    assert_true(near(bench_percentile(values, 5, 50), 3));
    assert_true(near(bench_percentile(values, 5, 90), 4.6)); /* rank 3.6 */
    assert_true(near(bench_percentile(values, 5, 100), 5));
    assert_true(near(bench_percentile(values, 1, 99), 1));
    assert_true(bench_percentile(values, 0, 50) == 0);
}

static void test_mean(void **state) {
    (void)state;
    const double values[] = {9, 10, 11};
    struct bench_mean mean = bench_mean_of(values, 3);
    assert_true(near(mean.mean, 10));
    /* deviation 1, t of 2 degrees 4.303 */
    assert_true(near(mean.half_width, 4.303 / sqrt(3)));
    mean = bench_mean_of(values, 1);
    assert_true(near(mean.mean, 9) && mean.half_width == 0 && mean.n == 1);
}

static void test_change(void **state) {
    (void)state;
    const struct bench_mean before = {.mean = 100, .half_width = 3, .n = 3};
    struct bench_mean after = {.mean = 104, .half_width = 4, .n = 3};
    assert_false(bench_change_of(before, after, 0).beyond_noise); /* 4 < 5 */
    after.mean = 106;
    struct bench_change change = bench_change_of(before, after, 0);
    assert_true(change.beyond_noise && near(change.share, 0.06));
    assert_false(bench_change_of(before, after, 0.07).beyond_noise); /* too small to matter */
    after.mean = 94;
    change = bench_change_of(before, after, 0.05);
    assert_true(change.beyond_noise && change.noise_known);
    after = (struct bench_mean){.mean = 50, .n = 1};
    change = bench_change_of(before, after, 0.05);
    assert_false(change.beyond_noise || change.noise_known);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_percentile),
                                       cmocka_unit_test(test_mean), cmocka_unit_test(test_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
