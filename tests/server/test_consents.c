/* test_consents.c - recorded consents as files: kept, found, damaged, full. */
#include "runtime/base/file.h"
#include "runtime/server/consents.h"
#include "tests/support/bad_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char folder[] = MILL_SCRATCH "/consents";

enum { MAX_BYTES = 100000 };

static void empty_folder(void) {
    struct mill_consent *all;
    size_t n;
    assert_int_equal(mill_consents_list(folder, &all, &n, NULL), MILL_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(mill_consents_remove(folder, all[i].id, NULL), MILL_OK);
    free(all);
}

static struct mill_consent make(const char *name) {
    struct mill_consent consent = {.language = "en-US", .client = "alice"};
    snprintf(consent.name, sizeof consent.name, "%s", name);
    return consent;
}

static void test_keeping(void **state) {
    (void)state;
    struct mill_consent a = make("Anna"), b = make("Bo \xc3\xa4"), got, *all;
    size_t n;
    empty_folder();
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &a, "abc", 3, NULL), MILL_OK);
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &b, "abc", 3, NULL), MILL_OK);
    assert_string_equal(a.sha256,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_not_equal(a.id, b.id);
    assert_int_equal(mill_consents_get(folder, a.id, &got, NULL), MILL_OK);
    assert_memory_equal(&got, &a, sizeof got);
    assert_int_equal(mill_consents_rename(folder, b.id, "Bob", &got, NULL), MILL_OK);
    assert_string_equal(got.name, "Bob");
    assert_int_equal(mill_consents_list(folder, &all, &n, NULL), MILL_OK);
    assert_int_equal(n, 2);
    free(all);
    assert_int_equal(mill_consents_remove(folder, a.id, NULL), MILL_OK);
    struct mill_error err;
    assert_int_equal(mill_consents_get(folder, a.id, &got, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_consents_remove(folder, a.id, &err), MILL_E_NOT_FOUND);
    empty_folder();
}

static void test_full(void **state) {
    (void)state;
    struct mill_consent a = make("Anna"), b = make("Bob");
    struct mill_error err;
    static char recording[MAX_BYTES / 2];
    empty_folder();
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &a, recording, sizeof recording, NULL),
                     MILL_OK);
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &b, recording, sizeof recording, &err),
                     MILL_E_FULL);
    assert_int_equal(mill_consents_remove(folder, a.id, NULL), MILL_OK);
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &b, recording, sizeof recording, NULL),
                     MILL_OK);
    empty_folder();
}

static void test_refused(void **state) {
    (void)state;
    struct mill_error err;
    struct mill_consent got, bad = make("");
    static const char *const ids[] = {"",
                                      "x",
                                      "../x",
                                      "cons_",
                                      "cons_0123456789abcdef0123456",
                                      "cons_0123456789abcdef0123456/",
                                      "cons_0123456789ABCDEF01234567"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_int_equal(mill_consents_get(folder, ids[i], &got, &err), MILL_E_NOT_FOUND);
        assert_int_equal(mill_consents_remove(folder, ids[i], &err), MILL_E_NOT_FOUND);
        assert_int_equal(mill_consents_rename(folder, ids[i], "n", &got, &err), MILL_E_NOT_FOUND);
    }
    assert_refused(mill_consents_add(folder, MAX_BYTES, &bad, "", 0, &err), &err, "name");
    bad = make("a\nb");
    assert_refused(mill_consents_add(folder, MAX_BYTES, &bad, "", 0, &err), &err, "name");
    bad = make("\xff");
    assert_refused(mill_consents_add(folder, MAX_BYTES, &bad, "", 0, &err), &err, "name");
    bad = make("n");
    snprintf(bad.language, sizeof bad.language, "e");
    assert_refused(mill_consents_add(folder, MAX_BYTES, &bad, "", 0, &err), &err, "language");
    snprintf(bad.language, sizeof bad.language, "en--GB");
    assert_refused(mill_consents_add(folder, MAX_BYTES, &bad, "", 0, &err), &err, "language");
}

/* A damaged file is the server's trouble, and does not hide the others. */
static void test_damaged(void **state) {
    (void)state;
    struct mill_consent a = make("Anna"), b = make("Bob"), got, *all;
    struct mill_error err;
    size_t n;
    char path[256];
    empty_folder();
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &a, "abc", 3, NULL), MILL_OK);
    assert_int_equal(mill_consents_add(folder, MAX_BYTES, &b, "abc", 3, NULL), MILL_OK);
    snprintf(path, sizeof path, "%s/%s.json", folder, a.id);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(mill_consents_get(folder, a.id, &got, &err), MILL_E_IO);
    assert_int_equal(mill_consents_list(folder, &all, &n, NULL), MILL_OK);
    assert_int_equal(n, 1);
    assert_string_equal(all[0].id, b.id);
    free(all);
    unlink(path);
    empty_folder();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keeping), cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
