/* test_store_remove.c - what the job store lets go by itself: uploads and batches that are old,
 * files whose owner wished so; their rows, their bytes, and the room of the database. */
#include "tests/jobs/store_fixture.h"

#include <stdio.h>
#include <sys/stat.h>

enum { AGE_S = 1000, END_S = NOW_S + 5 /* when the fixture's batches are over */ };

/* Everything that may go at that time. */
static struct mill_job_retired retire(struct mill_job_store *store, int64_t now_s) {
    struct mill_job_retired all = {0}, some;
    struct mill_error err = {""};
    mill_status status;
    while ((status = mill_job_store_retire(store, now_s, &some, &err)) == MILL_OK) {
        assert_true(some.n_files + some.n_batches > 0);
        all.n_files += some.n_files;
        all.n_batches += some.n_batches;
    }
    if (status != MILL_DONE)
        fail_msg("%s", err.text);
    return all;
}

static void expect(struct mill_job_store *store, int64_t now_s, int n_files, int n_batches) {
    struct mill_job_retired gone = retire(store, now_s);
    assert_int_equal(gone.n_files, n_files);
    assert_int_equal(gone.n_batches, n_batches);
}

static struct mill_job_file add_file(struct mill_job_store *store, int64_t expires_s) {
    struct mill_job_file file = {.owner = "ann", .name = "f", .expires_s = expires_s};
    assert_int_equal(mill_job_store_add_file(store, &file, "abc", 3, NOW_S, NULL), MILL_OK);
    return file;
}

static bool is_there(struct mill_job_store *store, const char *id) {
    struct mill_job_file file;
    return mill_job_store_get_file(store, "ann", id, &file, NULL) == MILL_OK;
}

static void test_uploads(void **state) {
    (void)state;
    const char *folder = empty_folder("uploads");
    struct mill_job_store *store = open_store_for(folder, AGE_S);
    struct mill_job_file old = add_file(store, 0), brief = add_file(store, NOW_S + 10),
                         both = add_file(store, NOW_S + AGE_S);
    struct mill_job_batch batch = begin_batch(store, "ann", "a");
    assert_int_equal(mill_job_store_get_expiry(store, &old), NOW_S + AGE_S);
    assert_int_equal(mill_job_store_get_expiry(store, &brief), NOW_S + 10);
    expect(store, NOW_S + 9, 0, 0);
    expect(store, NOW_S + 10, 1, 0);
    assert_false(is_there(store, brief.id));
    assert_int_equal(count_bytes_files(folder), 3);
    expect(store, NOW_S + AGE_S - 1, 0, 0);
    expect(store, NOW_S + AGE_S, 2, 0);
    assert_false(is_there(store, old.id) || is_there(store, both.id));
    /* As old, but needed. */
    assert_true(is_there(store, batch.input_file));
    struct mill_job_item item = take_item(store, "a");
    settle_item(store, &item, false);
    expect(store, NOW_S + AGE_S, 1, 0);
    assert_false(is_there(store, batch.input_file));
    assert_int_equal(count_bytes_files(folder), 0);
    mill_job_store_close(store);
    /* Without an age only what was wished for goes. */
    store = open_store_for(folder, 0);
    brief = add_file(store, NOW_S + 10), old = add_file(store, 0);
    assert_int_equal(mill_job_store_get_expiry(store, &old), 0);
    expect(store, INT64_MAX, 1, 0);
    assert_true(is_there(store, old.id) && !is_there(store, brief.id));
    mill_job_store_close(store);
}

static struct mill_job_batch end_batch(struct mill_job_store *store, const char *owner) {
    struct mill_job_batch batch = begin_batch(store, owner, "abc");
    for (int i = 0; i < 3; i++) {
        struct mill_job_item item = take_item(store, (const char *[]){"a", "b", "c"}[i]);
        settle_item(store, &item, i != 1);
    }
    return get_batch(store, &batch);
}

static void test_batches(void **state) {
    (void)state;
    const char *folder = empty_folder("batches");
    struct mill_job_store *store = open_store_for(folder, AGE_S);
    struct mill_job_batch old = end_batch(store, "ann"), open = begin_batch(store, "bob", "x"), got;
    struct mill_job_file output;
    struct mill_job_totals totals;
    assert_int_equal(mill_job_store_get_file(store, "ann", old.output_file, &output, NULL),
                     MILL_OK);
    assert_int_equal(mill_job_store_get_expiry(store, &output), END_S + AGE_S);
    expect(store, NOW_S + AGE_S, 1, 0); /* its input */
    expect(store, END_S + AGE_S - 1, 0, 0);
    assert_true(is_there(store, old.output_file));
    expect(store, END_S + AGE_S, 0, 1);
    assert_int_equal(mill_job_store_get_batch(store, "ann", old.id, &got, NULL), MILL_E_NOT_FOUND);
    assert_false(is_there(store, old.output_file) || is_there(store, old.error_file));
    assert_int_equal(ask_sql(folder, "SELECT COUNT(*) FROM items"), 1);
    assert_int_equal(ask_sql(folder, "SELECT COUNT(*) FROM files"), 1);
    assert_int_equal(count_bytes_files(folder), 1);
    assert_int_equal(mill_job_store_get_totals(store, &totals, NULL), MILL_OK);
    assert_int_equal(totals.bytes, ask_sql(folder, "SELECT SUM(bytes) FROM files"));
    got = get_batch(store, &open);
    assert_int_equal(got.state, MILL_JOB_IN_PROGRESS);
    mill_job_batch_deinit(&got);
    mill_job_batch_deinit(&old);
    mill_job_store_close(store);
}

/* Results whose owner wished so go with their sounds; the batch is known longer. */
static void test_results(void **state) {
    (void)state;
    const char *folder = empty_folder("results");
    struct mill_job_store *store = open_store_for(folder, AGE_S);
    struct mill_job_batch batch = begin_batch(store, "ann", "ab");
    run_sql(folder, "UPDATE batches SET output_lifetime_s=100");
    struct mill_job_item a = take_item(store, "a"), b = take_item(store, "b");
    settle_item(store, &a, true);
    batch = get_batch(store, &batch);
    struct mill_job_file output;
    assert_int_equal(mill_job_store_get_file(store, "ann", batch.output_file, &output, NULL),
                     MILL_OK);
    assert_int_equal(mill_job_store_get_expiry(store, &output), 0); /* it is not over */
    expect(store, NOW_S + 500, 0, 0);
    settle_item(store, &b, false);
    batch = get_batch(store, &batch);
    assert_int_equal(mill_job_store_get_file(store, "ann", batch.output_file, &output, NULL),
                     MILL_OK);
    assert_int_equal(mill_job_store_get_expiry(store, &output), END_S + 100);
    expect(store, END_S + 99, 0, 0);
    expect(store, END_S + 100, 2, 0);
    assert_false(is_there(store, batch.output_file) || is_there(store, batch.error_file));
    assert_int_equal(count_bytes_files(folder), 1);
    assert_int_equal(ask_sql(folder, "SELECT COUNT(*) FROM items"), 0);
    expect(store, END_S + AGE_S, 1, 1);
    assert_int_equal(count_bytes_files(folder), 0);
    mill_job_batch_deinit(&batch);
    mill_job_store_close(store);
}

static int64_t database_bytes(const char *folder) {
    struct stat info;
    char path[300];
    snprintf(path, sizeof path, "%s/jobs.db", folder);
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

/* Many batches come and go; the database is as small as before. */
static void test_room(void **state) {
    (void)state;
    const char *folder = empty_folder("room");
    struct mill_job_store *store = open_store_for(folder, AGE_S);
    static char metadata[20000];
    mill_job_store_close(store);
    int64_t before = database_bytes(folder);
    store = open_store_for(folder, AGE_S);
    memset(metadata, 'm', sizeof metadata - 1);
    struct mill_job_batch batch = begin_batch(store, "ann", "a");
    batch.metadata = metadata;
    batch.expires_s = NOW_S;
    for (int i = 0; i < 30; i++)
        assert_int_equal(mill_job_store_add_batch(store, &batch, NOW_S, NULL), MILL_OK);
    assert_int_equal(mill_job_store_turn(store, NOW_S, NULL), MILL_DONE);
    assert_int_equal(ask_sql(folder, "SELECT COUNT(*) FROM batches WHERE state=5"), 30);
    mill_job_store_close(store);
    assert_true(database_bytes(folder) > before + 30 * (int64_t)sizeof metadata);
    store = open_store_for(folder, AGE_S);
    expect(store, NOW_S + AGE_S, 0, 30);
    mill_job_store_close(store);
    assert_true(database_bytes(folder) < before + 3 * (int64_t)sizeof metadata);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_uploads),
                                       cmocka_unit_test(test_batches),
                                       cmocka_unit_test(test_results), cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
