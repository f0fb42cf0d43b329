/* test_origin.c - which headers are of this machine's own programs and pages. */
#include "runtime/server/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_hosts(void **state) {
    (void)state;
    const char *const local[] = {"localhost", "LocalHost:8000", "127.0.0.1", "127.1.2.3:80",
                                 "[::1]",     "[::1]:8000",     "localhost:"};
    const char *const other[] = {"",
                                 "x",
                                 "evil.com",
                                 "evil.com:8000",
                                 "127.evil.com",
                                 "localhost.evil.com",
                                 "127.0.0.1.evil.com:80",
                                 "10.0.0.1",
                                 "[::2]",
                                 "[::1]x",
                                 "::1",
                                 "localhost:80@evil.com",
                                 "127.0.0.1000000000000000",
                                 "localhost "};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (!mill_origin_is_local(local[i], NULL))
            fail_msg("'%s' is refused", local[i]);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (mill_origin_is_local(other[i], NULL))
            fail_msg("'%s' is taken", other[i]);
}

static void test_origins(void **state) {
    (void)state;
    assert_true(mill_origin_is_local(NULL, NULL));
    assert_true(mill_origin_is_local("localhost", "http://127.0.0.1:8000"));
    assert_true(mill_origin_is_local(NULL, "https://localhost"));
    assert_false(mill_origin_is_local("localhost", "http://evil.com"));
    assert_false(mill_origin_is_local("localhost", "https://localhost.evil.com"));
    assert_false(mill_origin_is_local("localhost", "null")); /* a file, a sandboxed frame */
    assert_false(mill_origin_is_local("localhost", "file://localhost"));
    assert_false(mill_origin_is_local("evil.com", "http://localhost"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts),
                                       cmocka_unit_test(test_origins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
