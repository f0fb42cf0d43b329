/* test_cursor.c - reads at and past the end, and lines. */
#include "runtime/base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void numbers(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct mill_cursor c = {.data = bytes, .size = sizeof bytes};
    uint8_t a;
    uint16_t b;
    uint32_t d;
    uint64_t e;
    assert_true(mill_cursor_u8(&c, &a) && mill_cursor_u16(&c, &b) && mill_cursor_u32(&c, &d) &&
                mill_cursor_u64(&c, &e));
    assert_int_equal(a, 1);
    assert_int_equal(b, 0x0302);
    assert_int_equal(d, 0x07060504);
    assert_true(e == 0x0f0e0d0c0b0a0908);
    assert_false(mill_cursor_u8(&c, &a));
    assert_int_equal(c.at, 15);
    c.at = 12;
    assert_false(mill_cursor_u32(&c, &d)); /* one byte short: nothing moves */
    assert_int_equal(c.at, 12);
    assert_null(mill_cursor_take(&c, SIZE_MAX));
    assert_ptr_equal(mill_cursor_take(&c, 3), bytes + 12);
    assert_ptr_equal(mill_cursor_take(&c, 0), bytes + 15);
}

static void lines(void **state) {
    (void)state;
    static const char text[] = "one\n\nthree";
    struct mill_cursor c = {.data = (const uint8_t *)text, .size = sizeof text - 1};
    size_t length;
    assert_ptr_equal(mill_cursor_line(&c, &length), text);
    assert_int_equal(length, 3);
    assert_ptr_equal(mill_cursor_line(&c, &length), text + 4);
    assert_int_equal(length, 0);
    assert_ptr_equal(mill_cursor_line(&c, &length), text + 5);
    assert_int_equal(length, 5);
    assert_null(mill_cursor_line(&c, &length));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
