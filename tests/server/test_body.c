/* test_body.c - bodies in memory and in a file read the same; too large ones are refused; nothing
 * is left in the folder. */
#include "runtime/base/file.h"
#include "runtime/server/body.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char folder[] = MILL_SCRATCH "/bodies";

static int count_files(void) {
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void check(size_t size, size_t piece) {
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 31 >> 3);
    struct mill_body body;
    mill_body_init(&body, size, folder);
    for (size_t at = 0; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        assert_int_equal(mill_body_append(&body, bytes + at, n, NULL), MILL_OK);
    }
    assert_int_equal(count_files(), 0);
    struct mill_error err;
    assert_int_equal(mill_body_append(&body, "x", 1, &err), MILL_E_INPUT);
    assert_int_equal(mill_body_finish(&body, NULL), MILL_OK);
    assert_int_equal(body.size, size);
    assert_memory_equal(body.data, bytes, size);
    mill_body_deinit(&body);
    free(bytes);
}

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(mill_folder_make(folder, NULL), MILL_OK);
    check(0, 1);
    check(1, 1);
    check(65536, 1000);
    check(65537, 1000);
    check(65537, 65537);
    check(1000000, 4096);
}

static void test_no_folder(void **state) {
    (void)state;
    struct mill_body body;
    struct mill_error err;
    char *bytes = calloc(1, 70000);
    mill_body_init(&body, 100000, MILL_SCRATCH "/none");
    assert_int_equal(mill_body_append(&body, bytes, 70000, &err), MILL_E_IO);
    mill_body_deinit(&body);
    free(bytes);
}

/* Every write fails there. */
static void test_full_disk(void **state) {
    (void)state;
    struct mill_body body;
    struct mill_error err;
    char *bytes = calloc(1, 70000);
    mill_body_init(&body, 100000, folder);
    body.fd = open("/dev/full", O_WRONLY);
    assert_true(body.fd >= 0);
    assert_int_equal(mill_body_append(&body, bytes, 70000, &err), MILL_E_FULL);
    mill_body_deinit(&body);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes),
                                       cmocka_unit_test(test_no_folder),
                                       cmocka_unit_test(test_full_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
