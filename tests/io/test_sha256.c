/* test_sha256.c - hashes of files and of pieces against the examples of FIPS 180-2. */
#include "runtime/io/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char of_nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char of_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char of_million[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void write_letters(const char *path, size_t n) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fputc('a', file), 'a');
    assert_int_equal(fclose(file), 0);
}

static void test_file(void **state) {
    (void)state;
    char hex[MILL_SHA256_HEX_BYTES];
    struct mill_error err;
    const char *path = MILL_SCRATCH "/sha256";
    write_letters(path, 0);
    assert_int_equal(mill_sha256_file(path, hex, &err), MILL_OK);
    assert_string_equal(hex, of_nothing);
    write_letters(path, 1000000); /* more than one read */
    assert_int_equal(mill_sha256_file(path, hex, &err), MILL_OK);
    assert_string_equal(hex, of_million);
    remove(path);
    assert_int_equal(mill_sha256_file(path, hex, &err), MILL_E_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(mill_sha256_file(MILL_SCRATCH, hex, &err), MILL_E_IO);
}

static void test_bytes(void **state) {
    (void)state;
    char hex[MILL_SHA256_HEX_BYTES];
    assert_int_equal(mill_sha256_bytes("abc", 3, hex, NULL), MILL_OK);
    assert_string_equal(hex, of_abc);
    assert_int_equal(mill_sha256_bytes(NULL, 0, hex, NULL), MILL_OK);
    assert_string_equal(hex, of_nothing);
}

static void test_pieces(void **state) {
    (void)state;
    char hex[MILL_SHA256_HEX_BYTES];
    struct mill_sha256 *hash;
    assert_int_equal(mill_sha256_open(&hash, NULL), MILL_OK);
    assert_int_equal(mill_sha256_add(hash, "forgotten", 9, NULL), MILL_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(mill_sha256_restart(hash, NULL), MILL_OK);
        assert_int_equal(mill_sha256_add(hash, "a", 1, NULL), MILL_OK);
        assert_int_equal(mill_sha256_add(hash, "", 0, NULL), MILL_OK);
        assert_int_equal(mill_sha256_add(hash, "bc", 2, NULL), MILL_OK);
        assert_int_equal(mill_sha256_finish(hash, hex, NULL), MILL_OK);
        assert_string_equal(hex, of_abc);
    }
    mill_sha256_close(hash);
    mill_sha256_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file), cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
