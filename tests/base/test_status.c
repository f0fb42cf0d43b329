/* test_status.c - messages: one line, context in front, never past the end. */
#include "runtime/base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void messages(void **state) {
    (void)state;
    struct mill_error err;
    assert_int_equal(mill_fail(&err, MILL_E_INPUT, "tensor '%s': %d", "a.b", 7), MILL_E_INPUT);
    assert_string_equal(err.text, "tensor 'a.b': 7");
    assert_int_equal(mill_context(&err, MILL_E_INPUT, "file '%s'", "x"), MILL_E_INPUT);
    assert_string_equal(err.text, "file 'x': tensor 'a.b': 7");
    mill_fail(&err, MILL_E_INPUT, "%s", "a\nb\x1b[31m\x7f");
    assert_string_equal(err.text, "a?b?[31m?");
    mill_fail(&err, MILL_E_INPUT, "'%.4s' is none",
              "a\xe2\x82\xac\xc3\xa9"); /* cut in a character */
    assert_string_equal(err.text, "'a\xe2\x82\xac' is none");
    mill_fail(&err, MILL_E_INPUT, "'%.3s' is none", "a\xe2\x82\xac");
    assert_string_equal(err.text, "'a?\?' is none");
    mill_fail(&err, MILL_E_INPUT,
              "\xc2\x9b\x32J \xff\xc0\xaf \xed\xa0\x80 \xc3\xa9"); /* a terminal's CSI */
    assert_string_equal(err.text, "?\?2J ?\?? ?\?? \xc3\xa9");
    assert_int_equal(mill_fail(NULL, MILL_E_IO, "x"), MILL_E_IO);
    assert_int_equal(mill_context(NULL, MILL_E_IO, "x"), MILL_E_IO);
}

static void long_messages(void **state) {
    (void)state;
    struct mill_error err;
    mill_fail(&err, MILL_E_INPUT, "%0600d", 1);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    mill_context(&err, MILL_E_INPUT, "context");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "context: 000", 12);
    mill_context(&err, MILL_E_INPUT, "%0509d",
                 3); /* room for the colon, and for nothing behind it */
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    mill_context(&err, MILL_E_INPUT, "%0600d", 2);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static mill_status try(mill_status status) {
    MILL_TRY(status);
    return MILL_DONE;
}

static void codes(void **state) {
    (void)state;
    assert_int_equal(try(MILL_OK), MILL_DONE);
    assert_int_equal(try(MILL_AGAIN), MILL_DONE);
    assert_int_equal(try(MILL_E_MEMORY), MILL_E_MEMORY);
    assert_string_equal(mill_status_text(MILL_E_MEMORY), "out of memory");
    assert_string_equal(mill_status_text(-1000), "unknown status");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(long_messages),
        cmocka_unit_test(codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
