/* test_watchdog.c - when a call counts as slow or stuck, on a clock that the test turns. */
#include "runtime/engine/watchdog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const enum mill_watchdog_call STEP = MILL_WATCHDOG_COLLECT_STEP,
                                     WINDOWS = MILL_WATCHDOG_COLLECT_WINDOWS;

/* A call that comes back. */
static void take(struct mill_watchdog *dog, enum mill_watchdog_call call, int32_t n,
                 double seconds) {
    mill_watchdog_begin(dog, call, n, 100);
    mill_watchdog_end(dog, 100 + seconds);
}

/* What is said of a call so many seconds after it began; it then comes back at once. */
static enum mill_watchdog_verdict after(struct mill_watchdog *dog, enum mill_watchdog_call call,
                                        int32_t n, double seconds) {
    mill_watchdog_begin(dog, call, n, 7);
    enum mill_watchdog_verdict verdict = mill_watchdog_check(dog, 7 + seconds);
    mill_watchdog_end(dog, 7);
    assert_int_equal(mill_watchdog_check(dog, 7000),
                     MILL_WATCHDOG_FINE); /* nothing is on its way */
    return verdict;
}

static void test_slow(void **state) {
    (void)state;
    struct mill_watchdog dog;
    mill_watchdog_init(&dog, 30, false);
    /* The first of its kind and size may take what it takes. */
    assert_int_equal(after(&dog, STEP, 4, 29), MILL_WATCHDOG_FINE);
    take(&dog, STEP, 4, 0.002);
    assert_int_equal(after(&dog, STEP, 4, 0.049), MILL_WATCHDOG_FINE);
    assert_int_equal(after(&dog, STEP, 3, 0.051), MILL_WATCHDOG_SLOW);
    assert_int_equal(after(&dog, STEP, 5, 29), MILL_WATCHDOG_FINE);
    assert_int_equal(after(&dog, WINDOWS, 4, 29), MILL_WATCHDOG_FINE);
    /* Four times the longest: a step of 20 ms is found slow within 100 ms. */
    take(&dog, STEP, 4, 0.020);
    take(&dog, STEP, 4, 0.002);
    assert_int_equal(after(&dog, STEP, 4, 0.078), MILL_WATCHDOG_FINE);
    assert_int_equal(after(&dog, STEP, 4, 0.081), MILL_WATCHDOG_SLOW);
}

/* A device that pauses is left alone when it does so again, and long after that it is not. */
static void test_learns_and_forgets(void **state) {
    (void)state;
    struct mill_watchdog dog;
    mill_watchdog_init(&dog, 30, false);
    take(&dog, STEP, 1, 0.001);
    assert_int_equal(after(&dog, STEP, 1, 0.3), MILL_WATCHDOG_SLOW);
    take(&dog, STEP, 1, 0.3);
    assert_int_equal(after(&dog, STEP, 1, 1.1), MILL_WATCHDOG_FINE);
    for (int i = 0; i < 40000; i++)
        take(&dog, STEP, 1, 0.001);
    assert_int_equal(after(&dog, STEP, 1, 0.1), MILL_WATCHDOG_SLOW);
}

static void test_stuck(void **state) {
    (void)state;
    struct mill_watchdog dog;
    for (int host_computes = 0; host_computes < 2; host_computes++) {
        mill_watchdog_init(&dog, 30, host_computes);
        assert_int_equal(after(&dog, STEP, 1, 31), MILL_WATCHDOG_STUCK);
        take(&dog, STEP, 1, 0.01);
        assert_int_equal(after(&dog, STEP, 1, 1),
                         host_computes ? MILL_WATCHDOG_FINE : MILL_WATCHDOG_SLOW);
        assert_int_equal(after(&dog, STEP, 1, 31), MILL_WATCHDOG_STUCK);
        /* A slow device: 20 times what it should take, in proportion to what was seen. */
        take(&dog, STEP, 1, 4);
        assert_int_equal(after(&dog, STEP, 1, 79),
                         host_computes ? MILL_WATCHDOG_FINE : MILL_WATCHDOG_SLOW);
        assert_int_equal(after(&dog, STEP, 1, 81), MILL_WATCHDOG_STUCK);
        assert_int_equal(after(&dog, STEP, INT32_MAX, 1e5), MILL_WATCHDOG_FINE);
        assert_int_equal(after(&dog, STEP, 64, 64 * 79), MILL_WATCHDOG_FINE);
        take(&dog, STEP, 64, 64 * 4);
        assert_int_equal(after(&dog, STEP, 64, 64 * 81), MILL_WATCHDOG_STUCK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_learns_and_forgets),
        cmocka_unit_test(test_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
