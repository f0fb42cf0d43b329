/* test_golden_compare.c - golden_check's measures: known values, numbers that are none, and the
 * bounds on what a draw may be. */
#include "tools/golden_compare.h"

#include "runtime/base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool near(double a, double b) {
    return fabs(a - b) < 1e-6;
}

static void test_measures(void **state) {
    (void)state;
    const float golden[] = {3, -4, 0}, ours[] = {3, -4, 0.5f};
    assert_true(near(golden_snr_db(golden, ours, 3), 20)); /* 25 to 0.25 */
    assert_true(isinf(golden_snr_db(golden, golden, 3)));
    assert_true(near(golden_largest_difference(golden, ours, 3), 0.5));
    assert_true(near(golden_spread(golden, 3), 7));
    /* P = 1/2, 1/2 and Q = 1/4, 3/4: log 2 - log(3) / 2. */
    const float even[] = {1, 1}, uneven[] = {0, 1.0986123f};
    assert_true(near(golden_divergence(even, uneven, 2), log(2) - log(3) / 2));
    assert_true(near(golden_divergence(even, even, 2), 0));
}

/* A NaN must never pass for a good value. */
static void test_not_finite(void **state) {
    (void)state;
    const float golden[] = {1, 2}, bad[] = {1, NAN}, infinite[] = {INFINITY, 2};
    assert_true(isnan(golden_snr_db(golden, bad, 2)));
    assert_true(isnan(golden_snr_db(golden, infinite, 2)));
    assert_true(isnan(golden_largest_difference(golden, bad, 2)));
    assert_true(isnan(golden_divergence(golden, bad, 2)));
    struct golden_table table = {0};
    golden_table_figure(&table, "a", "not a number", NAN, GOLDEN_RECORDED, 0);
    golden_table_figure(&table, "a", "not a number", NAN, GOLDEN_AT_LEAST, 0);
    golden_table_figure(&table, "a", "not a number", NAN, GOLDEN_AT_MOST, 0);
    assert_int_equal(table.n_missed, 3);
    golden_table_figure(&table, "a", "good", 1, GOLDEN_AT_LEAST, 1);
    golden_table_figure(&table, "a", "good", 1, GOLDEN_AT_MOST, 1);
    assert_int_equal(table.n_missed, 3);
}

/* Softmax at temperature 0.8 of 0.8 log p is p. */
static void test_draw(void **state) {
    (void)state;
    const float logits[] = {0.8f * -1.6094379f, 0.8f * -0.6931472f, 0.8f * -1.2039728f};
    const int32_t expected[] = {1, 1, 2, 2, 0}; /* 0.5, then 0.3, then 0.2 */
    const double u[] = {0, 0.4999, 0.5001, 0.7999, 0.8001};
    double margin;
    for (int i = 0; i < 5; i++)
        assert_int_equal(golden_draw(logits, 3, u[i], &margin), expected[i]);
    assert_true(near(margin, 0.0001));
    /* 0.97 before the second: top-p drops it, and nothing is left to decide. */
    const float sure[] = {0.8f * -0.0304592f, 0.8f * -3.5065579f};
    assert_int_equal(golden_draw(sure, 2, 0.99, &margin), 0);
    assert_true(margin == 1);
}

enum { N = 100 };

static void test_possible_draws(void **state) {
    (void)state;
    const double error = 0.02;
    int n_possible = 0;
    for (int k = 0; k < 200; k++) {
        float true_logits[N], ours[N];
        for (int i = 0; i < N; i++) {
            true_logits[i] = 6 * (float)mill_philox_uniform(1, (uint64_t)(k * N + i));
            double shift = 2 * mill_philox_uniform(2, (uint64_t)(k * N + i)) - 1;
            ours[i] = true_logits[i] + (float)(0.99 * error * shift);
        }
        double u = mill_philox_uniform(3, (uint64_t)k);
        /* What the true logits draw is never called impossible. */
        double margin;
        int32_t drawn = golden_draw(true_logits, N, u, &margin);
        assert_true(golden_draw_possible(ours, N, drawn, u, error));
        for (int32_t i = 0; i < N; i++)
            n_possible += golden_draw_possible(ours, N, i, u, error);
    }
    /* But little else is possible: of 100 candidates a few each time. */
    assert_true(n_possible < 200 * 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_possible_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
