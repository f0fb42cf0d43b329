/* test_file.c - mappings, reading with a limit, and outputs that are there whole or not at all. */
#include "runtime/base/file.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char folder[] = MILL_SCRATCH "/file/deep";
static const char path[] = MILL_SCRATCH "/file/deep/out";

static int make_folder(void **state) {
    (void)state;
    struct mill_error err;
    if (mill_folder_make(folder, &err) != MILL_OK)
        return -1;
    unlink(path);
    return mill_folder_make(folder, &err); /* an existing one is fine */
}

static int count_files(void) {
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void assert_content(const char *wanted) {
    struct mill_buffer b;
    mill_buffer_init(&b, 1000);
    assert_int_equal(mill_file_read(path, &b, NULL), MILL_OK);
    assert_int_equal(b.size, strlen(wanted));
    assert_memory_equal(b.data, wanted, b.size);
    mill_buffer_deinit(&b);
}

static void folders_and_one_file_by_two_names(void **state) {
    (void)state;
    static const char link[] = MILL_SCRATCH "/file/deep/link";
    struct mill_error err;
    assert_int_equal(mill_file_write(path, "x", 1, &err), MILL_OK);
    unlink(link);
    assert_false(mill_file_same(path, link)); /* one is not there */
    assert_int_equal(symlink("out", link), 0);
    assert_true(mill_file_same(path, link));
    assert_true(mill_file_same(path, MILL_SCRATCH "/file/../file/deep/out"));
    assert_false(mill_file_same(path, folder));
    assert_int_equal(mill_folder_make(path, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "no folder"));
    unlink(path); /* from here on nothing is there: what counts is where it would be made */
    assert_true(mill_file_same(path, path));
    assert_true(mill_file_same(path, MILL_SCRATCH "/file/deep/.././/deep/out"));
    assert_true(mill_file_same(path, link));
    assert_false(mill_file_same(path, MILL_SCRATCH "/file/out"));
    assert_false(mill_file_same(path, MILL_SCRATCH "/file/deep/OUT"));
    assert_false(mill_file_same(MILL_SCRATCH "/none/out", MILL_SCRATCH "/none/out"));
    assert_true(mill_file_same("out", "./out"));
    unlink(link);
}

static void atomic_output(void **state) {
    (void)state;
    struct mill_output out;
    struct mill_error err;
    assert_int_equal(mill_output_open(&out, path, &err), MILL_OK);
    assert_int_equal(mill_output_write(&out, "old", 3, &err), MILL_OK);
    assert_int_equal(access(path, F_OK), -1); /* not there before commit */
    assert_int_equal(mill_output_commit(&out, &err), MILL_OK);
    mill_output_close(&out);
    assert_content("old");
    assert_int_equal(count_files(), 1);

    assert_int_equal(mill_output_open(&out, path, &err), MILL_OK);
    assert_int_equal(mill_output_write(&out, "half of the ne", 14, &err), MILL_OK);
    assert_content("old");
    mill_output_close(&out); /* given up */
    mill_output_close(&out);
    assert_content("old");
    assert_int_equal(count_files(), 1); /* no temporary file is left */

    assert_int_equal(mill_output_open(&out, path, &err), MILL_OK);
    assert_int_equal(mill_output_write(&out, "?ew", 3, &err), MILL_OK);
    assert_int_equal(mill_output_write_at(&out, 0, "n", 1, &err), MILL_OK);
    assert_int_equal(mill_output_write(&out, "er", 2, &err), MILL_OK);
    assert_int_equal(mill_output_commit(&out, &err), MILL_OK);
    assert_content("newer");
    assert_int_equal(count_files(), 1);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_mode & S_IRUSR && !(info.st_mode & S_IXUSR));
}

static void *open_many(void *wrong_mode) {
    char own[sizeof path + 20];
    snprintf(own, sizeof own, "%s-%p", path, wrong_mode);
    for (int i = 0; i < 10000; i++) {
        struct mill_output out;
        struct stat info = {0};
        if (mill_output_open(&out, own, NULL) == MILL_OK)
            fstat(out.fd, &info);
        if ((info.st_mode & 0777) != 0640)
            *(mode_t *)wrong_mode = info.st_mode;
        mill_output_close(&out);
    }
    return NULL;
}

/* The umask is the whole process's: outputs of several threads heed it and leave it alone. */
static void umask_stays(void **state) {
    (void)state;
    mode_t before = umask(027), wrong[2] = {0};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_many, &wrong[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(umask(before), 027);
    assert_int_equal(wrong[0] | wrong[1], 0);
}

static void failures(void **state) {
    (void)state;
    struct mill_output out;
    struct mill_mapping map;
    struct mill_error err;
    assert_int_equal(mill_output_open(&out, MILL_SCRATCH "/none/x", &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "/none/x"));
    mill_output_close(&out);
    assert_int_equal(mill_output_open(&out, folder, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "is a folder"));
    assert_int_equal(mill_mapping_open(&map, MILL_SCRATCH "/none", &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_mapping_open(&map, folder, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "not a regular file"));
    struct mill_buffer b;
    mill_buffer_init(&b, 4);
    assert_int_equal(mill_file_read(path, &b, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "deep/out': larger than the limit of 4 bytes"));
    mill_buffer_deinit(&b);
    assert_int_equal(mill_folder_make(MILL_SCRATCH "/file/deep/out/x", &err), MILL_E_IO);
}

static void whole_files(void **state) {
    (void)state;
    struct mill_error err;
    assert_int_equal(mill_file_write(path, "whole", 5, &err), MILL_OK);
    assert_content("whole");
    assert_int_equal(count_files(), 1);
    assert_int_equal(mill_file_write(MILL_SCRATCH "/file/nowhere/out", "x", 1, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "nowhere"));
}

static void mappings(void **state) {
    (void)state;
    struct mill_output out;
    struct mill_mapping map;
    assert_int_equal(mill_output_open(&out, path, NULL), MILL_OK);
    assert_int_equal(mill_output_write_at(&out, 20000, "end", 3, NULL), MILL_OK);
    assert_int_equal(mill_output_commit(&out, NULL), MILL_OK);
    assert_int_equal(mill_mapping_open(&map, path, NULL), MILL_OK);
    assert_int_equal(map.size, 20003);
    assert_int_equal(map.data[0], 0);
    mill_mapping_forget(&map, 0, map.size);
    mill_mapping_forget(&map, map.size, 0);
    assert_memory_equal(map.data + 20000, "end", 3); /* read again from the file */
    mill_mapping_close(&map);
    mill_mapping_close(&map);

    assert_int_equal(mill_output_open(&out, path, NULL), MILL_OK);
    assert_int_equal(mill_output_commit(&out, NULL), MILL_OK);
    assert_int_equal(mill_mapping_open(&map, path, NULL), MILL_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    mill_mapping_close(&map);
}

/* A name that is no file's is not taken by one, and a link goes on being one. */
static void what_is_replaced(void **state) {
    (void)state;
    const char *pipe = MILL_SCRATCH "/test_file.pipe", *link = MILL_SCRATCH "/test_file.link";
    struct mill_error err;
    struct stat info;
    unlink(pipe);
    unlink(link);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(symlink(pipe, link), 0);
    assert_int_equal(mill_file_write(pipe, "x", 1, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(mill_file_write(link, "x", 1, &err), MILL_E_INPUT);
    assert_int_equal(lstat(pipe, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    struct mill_mapping map; /* nobody writes into it, and it is not waited for */
    assert_int_equal(mill_mapping_open(&map, pipe, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "not a regular file"));

    unlink(link);
    assert_int_equal(mill_file_write(path, "old", 3, NULL), MILL_OK);
    assert_int_equal(symlink("test_file.new", link), 0); /* where there is nothing */
    assert_int_equal(mill_file_write(link, "new", 3, NULL), MILL_OK);
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(MILL_SCRATCH "/test_file.new", &info), 0);
    assert_int_equal(info.st_size, 3);
    unlink(MILL_SCRATCH "/test_file.new");
    unlink(link);
    assert_int_equal(symlink("test_file.link", link), 0); /* to itself */
    assert_int_equal(mill_file_write(link, "x", 1, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "links"));
    unlink(link);
    assert_int_equal(symlink(MILL_SCRATCH "/none/x", link), 0);
    assert_int_equal(mill_file_write(link, "x", 1, &err), MILL_E_IO);
    unlink(link);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(mill_file_write(link, "newer", 5, NULL), MILL_OK);
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 5);
    assert_int_equal(info.st_mode & 0777, 0604);
    unlink(link);
    unlink(pipe);
}

/* What a killed process left goes; what is being written, and what is called otherwise, stays. */
static void sweeping(void **state) {
    (void)state;
    static const char *const others[] = {
        "out.0123456789ab.unfinishe", "out.0123456789a.unfinished", "out.0123456789AB.unfinished",
        "out2.0123456789ab.unfinished", "out.0123456789ab.unfinished.wav"};
    enum { N_OTHERS = sizeof others / sizeof *others };
    const char *link = MILL_SCRATCH "/file/link",
               *left = MILL_SCRATCH "/file/deep/out.0123456789ab.unfinished";
    char other[N_OTHERS][200];
    struct mill_output out;
    int before = count_files();
    for (int i = 0; i < N_OTHERS; i++) {
        snprintf(other[i], sizeof other[i], "%s/%s", folder, others[i]);
        assert_int_equal(mill_file_write(other[i], "x", 1, NULL), MILL_OK);
    }
    assert_int_equal(mill_output_open(&out, path, NULL), MILL_OK);
    unlink(link);
    assert_int_equal(symlink("deep/out", link), 0);
    const char *const ways[] = {path, link};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mill_file_write(left, "x", 1, NULL), MILL_OK);
        mill_output_sweep(ways[i]);
        assert_int_equal(access(left, F_OK), -1);
        assert_int_equal(count_files(), before + N_OTHERS + 1);
    }
    assert_int_equal(mill_file_write(left, "x", 1, NULL), MILL_OK);
    mill_output_sweep_folder(folder); /* out2's goes as well */
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(count_files(), before + N_OTHERS);
    assert_int_equal(mill_output_commit(&out, NULL), MILL_OK);
    mill_output_sweep(MILL_SCRATCH "/none/out");
    mill_output_sweep_folder(MILL_SCRATCH "/none");
    for (int i = 0; i < N_OTHERS; i++)
        unlink(other[i]);
    unlink(link);
}

static void paths(void **state) {
    (void)state;
    char *joined = mill_path_join("a/b", "c");
    assert_string_equal(joined, "a/b/c");
    free(joined);
    char beside[4096];
    assert_true(mill_path_beside_program(beside, sizeof beside, "test_file"));
    assert_int_equal(access(beside, X_OK), 0); /* this program */
    assert_false(mill_path_beside_program(beside, strlen(beside), "test_file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(atomic_output),
        cmocka_unit_test(umask_stays),
        cmocka_unit_test(failures),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(mappings),
        cmocka_unit_test(what_is_replaced),
        cmocka_unit_test(sweeping),
        cmocka_unit_test(paths),
        cmocka_unit_test(folders_and_one_file_by_two_names),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
