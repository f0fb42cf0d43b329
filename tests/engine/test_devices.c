/* test_devices.c - lists of devices, with the emulator's in the place of GPUs; and that a list may
 * ask for GPUs where there are none. */
#include "runtime/engine/devices.h"
#include "tests/support/emulated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CAPACITY = 6 };

/* The devices as "name number threads" with commas between, or the error. */
static void assert_list(const char *text, mill_status status, const char *expected) {
    struct mill_engine_device devices[CAPACITY];
    struct mill_error note, err = {""};
    int32_t n = 0;
    char found[512] = "";
    mill_status result = mill_devices_parse(devices, CAPACITY, &n, text, &note, &err);
    if (result != status)
        fail_msg("'%s': status %d (%s), expected %d", text, result, err.text, status);
    if (result < 0) {
        if (!strstr(err.text, expected))
            fail_msg("'%s': '%s' does not say '%s'", text, err.text, expected);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        size_t size = strlen(found);
        snprintf(found + size, sizeof found - size, "%s%s %d %d", i ? ", " : "", devices[i].name,
                 devices[i].number, devices[i].n_threads);
    }
    assert_string_equal(found, expected);
}

static void test_lists(void **state) {
    (void)state;
    struct emulator_settings settings = emulated()->defaults();
    settings.n_devices = 3;
    emulated()->configure(&settings);
    assert_list("cpu", MILL_OK, "cpu 0 0");
    assert_list("cpu:2,cpu:1,reference", MILL_OK, "cpu 0 2, cpu 0 1, reference 0 0");
    if (mill_backend_find("cuda", NULL)) {
        assert_list("0,2,cpu:4", MILL_OK, "cuda 0 0, cuda 2 0, cpu 0 4");
        assert_list("cuda:1", MILL_OK, "cuda 1 0");
    } else {
        assert_list("0", MILL_E_INPUT, "this build has none");
        assert_list("cuda:1", MILL_E_INPUT, "this build has none");
    }
    assert_list("emulator", MILL_OK, "emulator 0 0, emulator 1 0, emulator 2 0");
    assert_list("emulator:0,cpu", MILL_OK, "emulator 0 0, cpu 0 0");
    assert_list("emulator,emulator,cpu", MILL_E_INPUT, "more than 6 devices");
    settings.n_devices = 0;
    emulated()->configure(&settings);
    assert_list("emulator", MILL_E_NOT_FOUND, "sees no GPU");
    emulated()->configure(&(struct emulator_settings){0});
}

static void test_no_lists(void **state) {
    (void)state;
    const char *const wrong[] = {"",          ",",      "cpu,",   "cpu:",    "cpu:0",       "cpu:x",
                                 "cpu:99999", "cpu:-1", "auto:1", "10000",   "99999999999", "-1",
                                 "cuda:",     "cuda:x", ":1",     "cpu:1:1", "1 ",          " cpu"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_list(wrong[i], MILL_E_INPUT, "");
    assert_list("gpu", MILL_E_INPUT, "there are 'cpu', 'cuda' and 'reference'");
}

/* On a machine without GPU "auto" is the processor; "cuda" says why and fails. */
static void test_without_gpu(void **state) {
    (void)state;
    struct mill_error why = {""}, note, err = {""};
    const struct mill_backend_ops *cuda = mill_backend_find("cuda", &why);
    struct mill_engine_device devices[CAPACITY];
    int32_t n = 0;
    if (cuda && cuda->n_devices(&why) > 0) {
        assert_int_equal(mill_devices_parse(devices, CAPACITY, &n, "auto", &note, &err), MILL_OK);
        assert_string_equal(devices[0].name, "cuda");
        assert_true(devices[0].may_be_left);
        assert_string_equal(note.text, "");
        return;
    }
    assert_list("auto", MILL_OK, "cpu 0 0");
    assert_int_equal(mill_devices_parse(devices, CAPACITY, &n, "auto", &note, &err), MILL_OK);
    if (!cuda || cuda->n_devices(NULL) == 0)
        assert_string_equal(note.text, ""); /* nothing is wrong */
    assert_true(mill_devices_parse(devices, CAPACITY, &n, "cuda", &note, &err) < 0);
    assert_string_equal(err.text, why.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists),
                                       cmocka_unit_test(test_no_lists),
                                       cmocka_unit_test(test_without_gpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
