/* test_registry.c - a folder of voices: one user, and many processes at once; and that a voice that
 * was revoked stays so under any name. */
#include "tests/voice/small_voice.h"

#include "runtime/voice/registry.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char folder[] = MILL_SCRATCH "/registry";
static const struct mill_registry registry = {.folder = folder};

static int empty_folder(void **state) {
    (void)state;
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(folder);
    return 0;
}

static mill_status add(const char *name, int32_t first, struct mill_error *err) {
    struct mill_voice_model model = small_model();
    int32_t global[] = {first, 1, 2};
    struct mill_voice voice = small_voice(&model, global);
    voice.name = name;
    return mill_registry_add(&registry, &voice, err);
}

static void write_file(const char *name, const char *text) {
    char path[sizeof folder + 100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_one_user(void **state) {
    (void)state;
    struct mill_registry_names names;
    struct mill_voice voice;
    struct mill_error err = {""};
    assert_int_equal(mill_registry_list(&registry, &names, &err), MILL_OK); /* no folder yet */
    assert_int_equal(names.n, 0);
    assert_int_equal(mill_registry_get(&registry, "anna", NULL, &voice, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_registry_remove(&registry, "anna", &err), MILL_E_NOT_FOUND);
    assert_int_equal(add("berta", 1, &err), MILL_OK);
    assert_int_equal(add("anna", 2, &err), MILL_OK);
    assert_int_equal(add("anna", 3, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "already"));
    write_file("x", "no voice");
    write_file(".hidden.voice", "no voice");
    write_file("anna.voice.AbCdEf", "torn");
    assert_int_equal(mill_registry_list(&registry, &names, &err), MILL_OK);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.names[0], "anna");
    assert_string_equal(names.names[1], "berta");
    mill_registry_names_deinit(&names);
    struct mill_voice_model model = small_model();
    assert_int_equal(mill_registry_get(&registry, "anna", &model, &voice, &err), MILL_OK);
    assert_string_equal(voice.name, "anna");
    assert_int_equal(voice.global[0], 2);
    mill_voice_deinit(&voice);
    assert_int_equal(mill_registry_rename(&registry, "anna", "berta", &err), MILL_E_INPUT);
    assert_int_equal(mill_registry_rename(&registry, "none", "x", &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_registry_rename(&registry, "anna", "clara", &err), MILL_OK);
    assert_int_equal(mill_registry_get(&registry, "anna", NULL, &voice, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_registry_get(&registry, "clara", NULL, &voice, &err), MILL_OK);
    assert_string_equal(voice.name, "clara");
    mill_voice_deinit(&voice);
    assert_int_equal(mill_registry_remove(&registry, "clara", &err), MILL_OK);
    assert_int_equal(mill_registry_get(&registry, "clara", NULL, &voice, &err), MILL_E_NOT_FOUND);
}

/* No name leads out of the folder. */
static void test_names_are_no_paths(void **state) {
    (void)state;
    static const char *const bad[] = {"../x", "/etc/passwd", ".",      "..",
                                      "",     ".lock",       "a/../b", "revoked.json"};
    struct mill_voice voice;
    struct mill_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(add(bad[i], 1, &err), MILL_E_INPUT);
        assert_int_equal(mill_registry_get(&registry, bad[i], NULL, &voice, &err), MILL_E_INPUT);
        assert_int_equal(mill_registry_remove(&registry, bad[i], &err), MILL_E_INPUT);
        assert_int_equal(mill_registry_rename(&registry, bad[i], "x", &err), MILL_E_INPUT);
        assert_int_equal(mill_registry_rename(&registry, "x", bad[i], &err), MILL_E_INPUT);
    }
}

static void test_copied_by_hand(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    int32_t global[] = {9, 1, 2};
    struct mill_voice voice = small_voice(&model, global);
    assert_int_equal(mill_voice_write(&voice, MILL_SCRATCH "/registry/other.voice", NULL), MILL_OK);
    assert_int_equal(mill_registry_get(&registry, "other", NULL, &voice, NULL), MILL_OK);
    assert_string_equal(voice.name, "other");
    mill_voice_deinit(&voice);
    write_file("torn.voice", "{\"format\": \"spark");
    struct mill_error err = {""};
    assert_int_equal(mill_registry_get(&registry, "torn", NULL, &voice, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "torn.voice"));
}

static void test_revoked(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    struct mill_voice voice, copy;
    struct mill_error err = {""};
    int32_t global[] = {11, 1, 2};
    assert_int_equal(add("dora", 11, &err), MILL_OK);
    assert_int_equal(add("emma", 12, &err), MILL_OK);
    assert_int_equal(mill_registry_get(&registry, "dora", NULL, &voice, &err), MILL_OK);
    assert_int_equal(mill_registry_check(&registry, &voice, &err), MILL_OK);
    assert_int_equal(mill_registry_revoke(&registry, &voice, "bell\a", &err), MILL_E_INPUT);
    assert_int_equal(mill_registry_check(&registry, &voice, &err), MILL_OK);
    assert_int_equal(mill_registry_revoke(&registry, &voice, "she asked", &err), MILL_OK);
    assert_int_equal(mill_registry_revoke(&registry, &voice, "twice", &err), MILL_OK);
    mill_voice_deinit(&voice);
    /* The file itself says so. */
    assert_int_equal(mill_voice_read(&voice, MILL_SCRATCH "/registry/dora.voice", &model, &err),
                     MILL_OK);
    assert_int_equal(mill_voice_check_revoked(&voice, &err), MILL_E_INPUT);
    assert_string_equal(voice.revoked.why, "she asked");
    mill_voice_deinit(&voice);
    /* A copy from before, under another name, does not say so itself, but is known. */
    copy = small_voice(&model, global);
    copy.name = "innocent";
    assert_int_equal(mill_voice_check_revoked(&copy, &err), MILL_OK);
    assert_int_equal(mill_registry_check(&registry, &copy, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "revoked"));
    assert_non_null(strstr(err.text, "she asked"));
    assert_int_equal(mill_registry_add(&registry, &copy, &err), MILL_E_INPUT);
    /* Put into the folder past the tool, it is seen as revoked too. */
    assert_int_equal(mill_voice_write(&copy, MILL_SCRATCH "/registry/innocent.voice", NULL),
                     MILL_OK);
    assert_int_equal(mill_registry_get(&registry, "innocent", NULL, &voice, &err), MILL_OK);
    assert_non_null(voice.revoked.when);
    mill_voice_deinit(&voice);
    /* Removing the file does not bring it back; others are free. */
    assert_int_equal(mill_registry_remove(&registry, "dora", &err), MILL_OK);
    assert_int_equal(add("dora", 11, &err), MILL_E_INPUT);
    assert_int_equal(mill_registry_get(&registry, "emma", NULL, &voice, &err), MILL_OK);
    assert_int_equal(mill_registry_check(&registry, &voice, &err), MILL_OK);
    mill_voice_deinit(&voice);
    /* A list that cannot be read refuses all. */
    write_file("revoked.json", "{\"format\": \"sparkmill-revoked\", \"ver");
    assert_int_equal(mill_registry_check(&registry, &copy, &err), MILL_E_INPUT);
    assert_int_equal(add("fanny", 13, &err), MILL_E_INPUT);
    write_file("revoked.json",
               "{\"format\": \"sparkmill-revoked\", \"version\": 1, \"voices\": [1]}");
    assert_int_equal(mill_registry_check(&registry, &copy, &err), MILL_E_INPUT);
    unlink(MILL_SCRATCH "/registry/revoked.json");
}

/* A list as long as one may be takes no more: longer ones are not read, and refuse every voice. */
static void test_full_list(void **state) {
    (void)state;
    enum { FULL = (8 << 20) - 1000 };
    static const char head[] =
        "{\"format\":\"sparkmill-revoked\",\"version\":1,\"voices\":[{\"id\":"
        "\"x\",\"when\":\"x\",\"why\":\"";
    char *list = malloc(FULL + 1), why[2000];
    struct mill_voice_model model = small_model();
    int32_t global[] = {21, 1, 2};
    struct mill_voice voice = small_voice(&model, global);
    struct mill_error err = {""};
    assert_non_null(list);
    memset(list, 'y', FULL);
    memcpy(list, head, sizeof head - 1);
    memcpy(list + FULL - 4, "\"}]}", 5);
    memset(why, 'z', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    assert_int_equal(add("gerd", 22, &err), MILL_OK);
    write_file("revoked.json", list);
    assert_int_equal(mill_registry_revoke(&registry, &voice, why, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "revoked.json"));
    assert_int_equal(mill_registry_check(&registry, &voice, &err), MILL_OK);
    assert_int_equal(mill_registry_revoke(&registry, &voice, "short", &err), MILL_OK);
    assert_int_equal(mill_registry_check(&registry, &voice, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "short"));
    unlink(MILL_SCRATCH "/registry/revoked.json");
    free(list);
}

/* ------------------------------------------------------------------ many processes */

enum { N_PROCESSES = 8, N_ROUNDS = 25 };

static struct mill_voice revoked_voice(const struct mill_voice_model *model, int32_t *global, int p,
                                       int round) {
    global[0] = p;
    global[1] = 7;
    global[2] = round % 20;
    return small_voice(model, global);
}

/* Process p adds a voice of its own each round, renames it, fights with the others for one name,
 * revokes one, and removes every second of its own; what it reads must always be whole. 0, or the
 * line that was not as it should be. */
static int work(int p) {
    struct mill_voice_model model = small_model();
    int32_t global[3];
    char first[32], second[32];
    struct mill_voice voice;
    for (int round = 0; round < N_ROUNDS; round++) {
        snprintf(first, sizeof first, "new-%d-%d", p, round);
        snprintf(second, sizeof second, "kept-%d-%d", p, round);
        if (add(first, p, NULL) != MILL_OK)
            return __LINE__;
        if (mill_registry_rename(&registry, first, second, NULL) != MILL_OK)
            return __LINE__;
        mill_status shared = add("shared", p, NULL);
        if (shared != MILL_OK && shared != MILL_E_INPUT)
            return __LINE__;
        shared = mill_registry_get(&registry, "shared", NULL, &voice, NULL);
        if (shared == MILL_OK)
            mill_voice_deinit(&voice);
        else if (shared != MILL_E_NOT_FOUND)
            return __LINE__; /* torn */
        shared = mill_registry_remove(&registry, "shared", NULL);
        if (shared != MILL_OK && shared != MILL_E_NOT_FOUND)
            return __LINE__;
        voice = revoked_voice(&model, global, p, round);
        if (round < 10 && mill_registry_revoke(&registry, &voice, "", NULL) != MILL_OK)
            return __LINE__;
        if (round % 2 && mill_registry_remove(&registry, second, NULL) != MILL_OK)
            return __LINE__;
    }
    return 0;
}

static void test_many_processes(void **state) {
    (void)state;
    empty_folder(NULL);
    pid_t children[N_PROCESSES];
    for (int p = 0; p < N_PROCESSES; p++) {
        children[p] = fork();
        assert_true(children[p] >= 0);
        if (children[p] == 0)
            _exit(work(p) % 256);
    }
    for (int p = 0; p < N_PROCESSES; p++) {
        int status;
        assert_int_equal(waitpid(children[p], &status, 0), children[p]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("process %d: line %d (modulo 256)", p, WEXITSTATUS(status));
    }
    struct mill_registry_names names;
    assert_int_equal(mill_registry_list(&registry, &names, NULL), MILL_OK);
    assert_int_equal(names.n, N_PROCESSES * ((N_ROUNDS + 1) / 2));
    for (size_t i = 0; i < names.n; i++) {
        struct mill_voice voice;
        assert_int_equal(mill_registry_get(&registry, names.names[i], NULL, &voice, NULL), MILL_OK);
        assert_int_equal(voice.global[0], names.names[i][5] - '0'); /* kept-P-... */
        mill_voice_deinit(&voice);
    }
    mill_registry_names_deinit(&names);
    for (int p = 0; p < N_PROCESSES; p++)
        for (int round = 0; round < 10; round++) {
            struct mill_voice_model model = small_model();
            int32_t global[3];
            struct mill_voice voice = revoked_voice(&model, global, p, round);
            assert_int_equal(mill_registry_check(&registry, &voice, NULL), MILL_E_INPUT);
        }
    DIR *d = opendir(folder); /* no temporary file is left */
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        if (strstr(e->d_name, ".voice."))
            fail_msg("left: %s", e->d_name);
    closedir(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_user),       cmocka_unit_test(test_names_are_no_paths),
        cmocka_unit_test(test_copied_by_hand), cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_full_list),      cmocka_unit_test(test_many_processes),
    };
    return cmocka_run_group_tests(tests, empty_folder, empty_folder);
}
