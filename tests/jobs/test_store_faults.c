/* test_store_faults.c - the job store when memory, disk or database fail it: what was answered
 * stays, what was not has no effect, and nothing is taken for durable that may not be. */
#include "tests/jobs/store_fixture.h"
#include "tests/support/fail_alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a disk that fails on demand */

static int write_fault; /* errno; 0 = none */
static bool sync_fault;
static int n_syncs, sync_fault_at; /* 0 = none */
static bool no_sync;               /* for what only wants many runs */

static ssize_t faulty_pwrite(int fd, const void *data, size_t size, off_t at) {
    if (write_fault) {
        errno = write_fault;
        return -1;
    }
    return pwrite(fd, data, size, at);
}

static ssize_t faulty_write(int fd, const void *data, size_t size) {
    if (write_fault) {
        errno = write_fault;
        return -1;
    }
    return write(fd, data, size);
}

/* SQLite's calls, as it lets tests replace them; the sync, which it does not, by name. */
static void replace_calls(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)faulty_pwrite);
    vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)faulty_pwrite);
    vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)faulty_write);
}

__attribute__((visibility("default"))) int fsync(int fd);
__attribute__((visibility("default"))) int fdatasync(int fd);

static int faulty_sync(long number, int fd) {
    n_syncs++;
    if (sync_fault || n_syncs == sync_fault_at) {
        errno = EIO;
        return -1;
    }
    return no_sync ? 0 : (int)syscall(number, fd);
}

int fsync(int fd) {
    return faulty_sync(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return faulty_sync(SYS_fdatasync, fd);
}

/* ------------------------------------------------------------------ full, broken */

static void test_full_disk(void **state) {
    (void)state;
    const char *folder = empty_folder("full");
    struct mill_job_store *store = open_store(folder);
    struct mill_job_batch batch = begin_batch(store, "ann", "ab"), more = batch;
    struct mill_job_item a = take_item(store, "a");
    struct mill_job_file file = {.owner = "ann", .name = "f"};
    const struct mill_job_answer answer = {.line = "a"};
    struct mill_error err;
    struct mill_job_file brief = {.owner = "ann", .name = "f", .expires_s = NOW_S};
    struct mill_job_retired gone;
    assert_int_equal(mill_job_store_add_file(store, &brief, "x", 1, NOW_S, NULL), MILL_OK);
    int n_files = count_bytes_files(folder);
    write_fault = ENOSPC;
    assert_int_equal(mill_job_store_retire(store, NOW_S, &gone, &err), MILL_E_FULL);
    assert_int_equal(gone.n_files, 0);
    assert_int_equal(mill_job_store_add_batch(store, &more, NOW_S, &err), MILL_E_FULL);
    assert_int_equal(mill_job_store_add_file(store, &file, "x", 1, NOW_S, &err), MILL_E_FULL);
    assert_int_equal(count_bytes_files(folder), n_files);
    assert_int_equal(mill_job_store_settle_item(store, &a, &answer, NOW_S, &err), MILL_E_FULL);
    struct mill_job_batch now = get_batch(store, &batch); /* looking goes on */
    assert_int_equal(now.n_failed, 0);
    mill_job_batch_deinit(&now);
    write_fault = 0; /* and with room, everything, without a restart */
    assert_int_equal(mill_job_store_add_file(store, &file, "x", 1, NOW_S, &err), MILL_OK);
    assert_int_equal(mill_job_store_retire(store, NOW_S, &gone, &err), MILL_OK);
    assert_int_equal(gone.n_files, 1);
    assert_int_equal(count_bytes_files(folder), n_files); /* one came, one went */
    settle_item(store, &a, false);
    now = get_batch(store, &batch);
    assert_int_equal(now.n_failed, 1);
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

static void test_full_store(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("limit"));
    struct mill_job_file file = {.owner = "ann", .name = "f"};
    static char bytes[1 << 20];
    struct mill_error err;
    char id[MILL_JOB_ID_BYTES], *path;
    assert_int_equal(mill_job_store_add_file(store, &file, bytes, sizeof bytes, NOW_S, &err),
                     MILL_OK);
    struct mill_job_file one = {.owner = "ann", .name = "g"};
    assert_int_equal(mill_job_store_add_file(store, &one, "x", 1, NOW_S, &err), MILL_E_FULL);
    assert_int_equal(mill_job_store_name_sound(store, id, &path, &err), MILL_E_FULL);
    assert_int_equal(mill_job_store_remove_file(store, "ann", file.id, &err), MILL_OK);
    assert_int_equal(mill_job_store_add_file(store, &one, "x", 1, NOW_S, &err), MILL_OK);
    mill_job_store_close(store);
}

/* Whether an upload that failed, since its row could not be synced, is there whole or not at all
 * when the process is killed. */
static void test_killed_after_failed_sync(void **state) {
    (void)state;
    const char *folder = empty_folder("killed");
    pid_t child = fork();
    if (child == 0) {
        struct mill_job_file file = {.owner = "ann", .name = "f"};
        struct mill_job_store *store = open_store(folder);
        n_syncs = 0;
        sync_fault_at = 3; /* behind the bytes and their name */
        _exit(mill_job_store_add_file(store, &file, "x", 1, NOW_S, NULL) == MILL_E_IO ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct mill_job_store *store = open_store(folder);
    assert_int_equal(ask_sql(folder, "SELECT COUNT(*) FROM files"), count_bytes_files(folder));
    mill_job_store_close(store);
}

/* After a sync that failed nobody knows what is on the disk: nothing is promised any more until the
 * store is opened again. */
static void test_failed_sync(void **state) {
    (void)state;
    const char *folder = empty_folder("sync");
    struct mill_job_store *store = open_store(folder);
    struct mill_job_batch batch = begin_batch(store, "ann", "ab");
    struct mill_job_item a = take_item(store, "a");
    const struct mill_job_answer answer = {.line = "a"};
    struct mill_error err;
    sync_fault = true;
    assert_int_equal(mill_job_store_settle_item(store, &a, &answer, NOW_S, &err), MILL_E_IO);
    sync_fault = false;
    assert_int_equal(mill_job_store_settle_item(store, &a, &answer, NOW_S, &err), MILL_E_IO);
    assert_non_null(strstr(err.text, "start again"));
    mill_job_item_deinit(&a);
    mill_job_store_close(store);
    store = open_store(folder);
    a = take_item(store, "a");
    settle_item(store, &a, false);
    struct mill_job_batch now = get_batch(store, &batch);
    assert_int_equal(now.n_failed, 1);
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

/* While the process may open no more files nothing is taken, and no batch is blamed for it. */
static void test_no_descriptors(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("descriptors"));
    struct mill_job_batch batch = begin_batch(store, "ann", "a"), more = batch, now;
    struct rlimit before, none;
    struct mill_job_item item;
    struct mill_error err;
    int64_t behind = 0;
    assert_int_equal(mill_job_store_add_batch(store, &more, NOW_S, &err), MILL_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    mill_status taken = mill_job_store_take_item(store, NULL, NULL, &behind, &item, &err);
    mill_status validated = mill_job_store_turn(store, NOW_S, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(taken, MILL_E_MEMORY);
    assert_int_equal(validated, MILL_E_MEMORY);
    item = take_item(store, "a");
    assert_true(item.text_bytes > 0);
    mill_job_item_deinit(&item);
    assert_int_equal(mill_job_store_turn(store, NOW_S, &err), MILL_OK);
    now = get_batch(store, &more);
    assert_int_equal(now.state, MILL_JOB_IN_PROGRESS);
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

/* What was promised waits for the disk, once; taking and giving back do not. */
static void test_syncs(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("syncs"));
    struct mill_job_file file = {.owner = "ann", .name = "f"};
    begin_batch(store, "ann", "ab");
    n_syncs = 0;
    struct mill_job_item a = take_item(store, "a"), b = take_item(store, "b");
    mill_job_store_put_item(store, &b, true);
    mill_job_item_deinit(&b);
    assert_int_equal(n_syncs, 0);
    settle_item(store, &a, false);
    assert_int_equal(n_syncs, 1);
    assert_int_equal(mill_job_store_add_file(store, &file, "x", 1, NOW_S, NULL), MILL_OK);
    assert_int_equal(n_syncs, 4); /* the bytes, their name, its row */
    mill_job_store_close(store);
}

static void test_damaged(void **state) {
    (void)state;
    const char *folder = empty_folder("damaged");
    const struct mill_job_limits limits = {
        .max_bytes = 1 << 20, .max_lines = 100, .max_line_bytes = 1000};
    struct mill_job_store *store = open_store(folder);
    struct mill_error err;
    char path[300], noise[4096];
    begin_batch(store, "ann", "abcdefgh");
    mill_job_store_close(store);
    snprintf(path, sizeof path, "%s/jobs.db", folder);
    memset(noise, 0x5a, sizeof noise);
    for (int page = 2; page >= 0; page -= 2) { /* a table, then the head */
        int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, noise, sizeof noise, (off_t)page * 4096), sizeof noise);
        close(fd);
        assert_int_equal(mill_job_store_open(&store, folder, &limits, &err), MILL_E_IO);
        assert_non_null(strstr(err.text, "jobs.db' is damaged"));
        assert_non_null(strstr(err.text, "move it away"));
    }
}

/* ------------------------------------------------------------------ memory */

/* A store without rows, as bytes: making its tables each time would be most of the work. */
static char empty_store[1 << 17];
static ssize_t empty_store_bytes;

static void keep_empty_store(const char *folder) {
    char path[300];
    mill_job_store_close(open_store(folder));
    snprintf(path, sizeof path, "%s/jobs.db", folder);
    int fd = open(path, O_RDONLY);
    empty_store_bytes = read(fd, empty_store, sizeof empty_store);
    assert_in_range(empty_store_bytes, 1, sizeof empty_store - 1);
    close(fd);
}

static void put_empty_store(const char *folder) {
    char path[300];
    empty_folder("memory");
    snprintf(path, sizeof path, "%s/jobs.db", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, empty_store, (size_t)empty_store_bytes), empty_store_bytes);
    close(fd);
}

static mill_status whole_life(void *context, struct mill_error *err) {
    const char *folder = context;
    const struct mill_job_limits limits = {
        .max_bytes = 1 << 20, .max_lines = 100, .max_line_bytes = 1000, .max_age_s = DAY_S};
    static const char text[] = "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":"
                               "\"/v1/audio/speech\",\"body\":{}}";
    struct mill_job_store *store = NULL;
    struct mill_job_file file = {.owner = "ann", .name = "f"};
    struct mill_job_batch batch = {.owner = "ann", .window = "1h", .expires_s = NOW_S + DAY_S};
    struct mill_job_batch *batches = NULL, got = {0};
    struct mill_job_item item = {0};
    struct mill_job_page page = {.owner = "ann", .after = "", .filter = "", .limit = 2};
    struct mill_job_retired gone;
    int64_t behind = 0;
    size_t n = 0;
    bool more;
    put_empty_store(folder);
    mill_status status = mill_job_store_open(&store, folder, &limits, err);
    if (status == MILL_OK)
        status = mill_job_store_add_file(store, &file, text, strlen(text), NOW_S, err);
    memcpy(batch.input_file, file.id, sizeof file.id);
    if (status == MILL_OK)
        status = mill_job_store_add_batch(store, &batch, NOW_S, err);
    if (status == MILL_OK)
        status = mill_job_store_turn(store, NOW_S, err);
    if (status == MILL_OK)
        status = mill_job_store_take_item(store, NULL, NULL, &behind, &item, err);
    if (status == MILL_OK)
        status = mill_job_store_settle_item(store, &item, &(struct mill_job_answer){.line = "a"},
                                            NOW_S, err);
    if (status == MILL_OK)
        status = mill_job_store_get_batch(store, "ann", batch.id, &got, err);
    if (status == MILL_OK)
        status = mill_job_store_list_batches(store, &page, &batches, &n, &more, err);
    if (status == MILL_OK)
        status = mill_job_store_retire(store, NOW_S + DAY_S, &gone, err);
    for (size_t i = 0; i < n; i++)
        mill_job_batch_deinit(&batches[i]);
    free(batches);
    mill_job_batch_deinit(&got);
    mill_job_item_deinit(&item);
    mill_job_store_close(store);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    if (!mill_fail_alloc_works())
        skip();
    const char *folder = empty_folder("memory");
    keep_empty_store(folder);
    no_sync = true;
    long n = mill_fail_alloc_sweep(whole_life, (void *)(uintptr_t)folder);
    no_sync = false;
    assert_true(n > 100);
}

int main(void) {
    replace_calls();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_disk),
                                       cmocka_unit_test(test_full_store),
                                       cmocka_unit_test(test_no_descriptors),
                                       cmocka_unit_test(test_failed_sync),
                                       cmocka_unit_test(test_killed_after_failed_sync),
                                       cmocka_unit_test(test_syncs),
                                       cmocka_unit_test(test_damaged),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
