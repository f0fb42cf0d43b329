/* test_buffer.c - growing, the maximum, and that a failing call changes nothing. */
#include "runtime/base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void grows(void **state) {
    (void)state;
    struct mill_buffer b;
    mill_buffer_init(&b, 100000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(mill_buffer_append(&b, &i, sizeof i, NULL), MILL_OK);
    assert_int_equal(b.size, 10000 * sizeof(int));
    int value;
    memcpy(&value, b.data + 777 * sizeof value, sizeof value);
    assert_int_equal(value, 777);
    assert_int_equal(mill_buffer_append(&b, NULL, 0, NULL), MILL_OK);
    mill_buffer_deinit(&b);
    assert_null(b.data);
    mill_buffer_deinit(&b);
}

static void maximum(void **state) {
    (void)state;
    struct mill_buffer b;
    struct mill_error err;
    mill_buffer_init(&b, 10);
    assert_int_equal(mill_buffer_append(&b, "0123456789", 10, &err), MILL_OK);
    assert_int_equal(mill_buffer_append(&b, "x", 1, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "limit of 10 bytes"));
    assert_int_equal(mill_buffer_reserve(&b, SIZE_MAX, &err), MILL_E_INPUT);
    assert_int_equal(b.size, 10);
    assert_memory_equal(b.data, "0123456789", 10);
    mill_buffer_deinit(&b);
}

static void prints(void **state) {
    (void)state;
    struct mill_buffer b;
    mill_buffer_init(&b, 8);
    assert_int_equal(mill_buffer_printf(&b, NULL, "%d-", 12), MILL_OK);
    assert_int_equal(mill_buffer_printf(&b, NULL, "%s", "abcd"), MILL_OK);
    assert_int_equal(b.size, 7);
    assert_string_equal(b.data, "12-abcd"); /* a zero byte follows */
    assert_int_equal(mill_buffer_printf(&b, NULL, "x"), MILL_E_INPUT);
    assert_string_equal(b.data, "12-abcd");
    mill_buffer_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(maximum),
        cmocka_unit_test(prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
