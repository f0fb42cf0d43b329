/* test_options.c - numbers from the command line, and the exit status of a failure. What is wrong
 * is printed to standard error, which is not looked at here. */
#include "tools/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void test_int(void **state) {
    (void)state;
    long long value = 0;
    assert_true(mill_option_int("c", "--n", "-3", -3, 7, &value));
    assert_int_equal(value, -3);
    assert_true(mill_option_int("c", "--n", "7", -3, 7, &value));
    assert_int_equal(value, 7);
    const char *const wrong[] = {"-4", "8", "", "x", "7x", "7 ", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(mill_option_int("c", "--n", wrong[i], -3, 7, &value));
    assert_int_equal(value, 7); /* untouched by what is refused */
}

static void test_number(void **state) {
    (void)state;
    double value = 0;
    assert_true(mill_option_number("c", "--x", "0.25", 0, 1, &value));
    assert_true(value == 0.25);
    const char *const wrong[] = {"-0.1", "1.01", "", "x", "0.5x", "nan", "inf", "1e999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(mill_option_number("c", "--x", wrong[i], 0, 1, &value));
    assert_true(value == 0.25);
}

static void test_exit_status(void **state) {
    (void)state;
    struct mill_error err = {"cause"};
    assert_int_equal(mill_command_fail("c", MILL_E_INPUT, &err), MILL_EXIT_USAGE);
    assert_int_equal(mill_command_fail("c", MILL_E_NOT_FOUND, &err), MILL_EXIT_USAGE);
    assert_int_equal(mill_command_fail("c", MILL_E_IO, &err), MILL_EXIT_FAILED);
    assert_int_equal(mill_command_fail("c", MILL_E_MEMORY, NULL), MILL_EXIT_FAILED);
    assert_int_equal(mill_command_usage("c", "%d", 1), MILL_EXIT_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_int), cmocka_unit_test(test_number),
                                       cmocka_unit_test(test_exit_status)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
