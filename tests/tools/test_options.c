/* test_options.c - numbers from the command line, and the exit status of a failure. What is wrong
 * is printed to standard error, which is not looked at here. */
#include "tools/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

struct fields {
    const char *text;
    double number;
    long long whole;
    bool flag;
};

static int read_line(struct fields *fields, int *first, int argc, const char **argv) {
    static const struct mill_option options[] = {
        {"text", 't', MILL_OPTION_TEXT, offsetof(struct fields, text), 0, 0},
        {"number", 0, MILL_OPTION_NUMBER, offsetof(struct fields, number), 0, 1},
        {"whole", 'n', MILL_OPTION_WHOLE, offsetof(struct fields, whole), -3, 7},
        {"flag", 'f', MILL_OPTION_FLAG, offsetof(struct fields, flag), 0, 0}};
    char *arguments[8] = {0};
    for (int i = 0; i < argc; i++)
        arguments[i] = (char *)(uintptr_t)argv[i];
    const struct mill_command_line line = {"c", "This helps.", options, 4};
    return mill_options_read(&line, argc, arguments, fields, first);
}

static void test_whole(void **state) {
    (void)state;
    struct fields fields = {0};
    int first;
    const char *words[] = {"c", "-n", "-3"};
    assert_int_equal(read_line(&fields, &first, 3, words), MILL_GO_ON);
    assert_int_equal(fields.whole, -3);
    words[2] = "7";
    assert_int_equal(read_line(&fields, &first, 3, words), MILL_GO_ON);
    const char *const wrong[] = {"-4", "8", "", "x", "7x", "7 ", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        words[2] = wrong[i];
        assert_int_equal(read_line(&fields, &first, 3, words), MILL_EXIT_USAGE);
    }
    assert_int_equal(fields.whole, 7); /* untouched by what is refused */
}

static void test_table(void **state) {
    (void)state;
    struct fields fields = {0};
    int first = 0;
    const char *all[] = {"c", "rest", "--number=0.5", "-n", "7", "-f", "--text", "hello"};
    assert_int_equal(read_line(&fields, &first, 8, all), MILL_GO_ON);
    assert_int_equal(first, 7);
    assert_string_equal(fields.text, "hello");
    assert_true(fields.number == 0.5 && fields.whole == 7 && fields.flag);

    const char *unknown[] = {"c", "--other"};
    const char *no_value[] = {"c", "-t"}, *help[] = {"c", "--help"}, *h[] = {"c", "-fh", "--x"};
    assert_int_equal(read_line(&fields, &first, 2, help), MILL_EXIT_OK);
    assert_int_equal(read_line(&fields, &first, 3, h), MILL_EXIT_OK);
    assert_int_equal(read_line(&fields, &first, 2, unknown), MILL_EXIT_USAGE);
    assert_int_equal(read_line(&fields, &first, 2, no_value), MILL_EXIT_USAGE);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_number), cmocka_unit_test(test_whole),
                                       cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_exit_status)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
