/* test_plugin.c - backends that are libraries: what is said when there is none, or a wrong one, or
 * one whose device is missing. Run beside libraries that are wrong (argument `wrong`), and beside
 * the program's own. */
#include "kernels/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_says(const struct mill_error *err, const char *words) {
    if (!strstr(err->text, words))
        fail_msg("'%s' does not say '%s'", err->text, words);
}

static void test_unknown_name(void **state) {
    (void)state;
    struct mill_error err = {""};
    assert_null(mill_backend_find("../cuda", &err));
    assert_says(&err, "there are 'cpu', 'cuda' and 'reference'");
}

static void test_wrong_libraries(void **state) {
    (void)state;
    struct mill_error err = {""};
    assert_null(mill_backend_find("cuda", &err)); /* fake_plugin.c */
    assert_says(&err, "is of another version than the program");
    assert_null(mill_backend_find("emulator", &err)); /* a text file */
    assert_says(&err, "libsparkmill-emulator.so");
}

/* A build without nvcc has no library; with one, what it needs may be missing here. Either way it
 * is one sentence and no failure. */
static void test_own_library(void **state) {
    (void)state;
    struct mill_error err = {""};
    struct mill_backend *backend = NULL;
    const struct mill_backend_options options = {.device = 0};
    const struct mill_backend_ops *ops = mill_backend_find("cuda", &err);
    if (!MILL_TEST_HAS_CUDA) {
        assert_null(ops);
        assert_says(&err, "this build has none");
        return;
    }
    if (!ops)
        fail_msg("%s", err.text);
    assert_ptr_equal(ops, mill_backend_find("cuda", NULL));
    assert_true(ops->asynchronous);
    if (ops->n_devices(&err) > 0) {
        assert_int_equal(ops->open(&backend, &options, &err), MILL_OK);
        printf("%s\n", ops->describe(backend));
        ops->close(backend);
        return;
    }
    printf("%s\n", err.text);
    if (access("/proc/driver/nvidia", F_OK) != 0)
        assert_says(&err, "no NVIDIA driver: install one");
    struct mill_error of_open = {""};
    assert_true(ops->open(&backend, &options, &of_open) < 0);
    assert_null(backend);
    assert_string_equal(err.text, of_open.text);
}

int main(int argc, char **argv) {
    const struct CMUnitTest beside_wrong[] = {cmocka_unit_test(test_wrong_libraries)};
    const struct CMUnitTest own[] = {cmocka_unit_test(test_unknown_name),
                                     cmocka_unit_test(test_own_library)};
    return argc > 1 && strcmp(argv[1], "wrong") == 0
               ? cmocka_run_group_tests(beside_wrong, NULL, NULL)
               : cmocka_run_group_tests(own, NULL, NULL);
}
