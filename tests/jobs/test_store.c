/* test_store.c - files and batches of the job store: owners, states, results in order, restarts. */
#include "tests/jobs/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_files(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("files"));
    struct mill_job_file a = {.owner = "ann", .name = "a"}, b = {.owner = "bob", .name = "b"}, got;
    struct mill_error err;
    struct mill_job_totals totals;
    char bytes[4];
    int fd;
    assert_int_equal(mill_job_store_add_file(store, &a, "abc", 3, NOW_S, NULL), MILL_OK);
    assert_int_equal(mill_job_store_add_file(store, &b, "", 0, NOW_S, NULL), MILL_OK);
    assert_int_equal(strlen(a.id), 29);
    assert_int_equal(mill_job_store_get_file(store, "ann", a.id, &got, NULL), MILL_OK);
    assert_memory_equal(&got, &a, sizeof got);
    assert_int_equal(mill_job_store_open_file(store, &got, &fd, NULL), MILL_OK);
    assert_int_equal(read(fd, bytes, sizeof bytes), 3);
    assert_memory_equal(bytes, "abc", 3);
    close(fd);
    /* Others' files are not there. */
    assert_int_equal(mill_job_store_get_file(store, "bob", a.id, &got, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_job_store_remove_file(store, "bob", a.id, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_job_store_get_totals(store, &totals, NULL), MILL_OK);
    assert_int_equal(totals.bytes, 3);
    assert_int_equal(mill_job_store_remove_file(store, "ann", a.id, NULL), MILL_OK);
    assert_int_equal(mill_job_store_get_file(store, "ann", a.id, &got, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_job_store_get_totals(store, &totals, NULL), MILL_OK);
    assert_int_equal(totals.bytes, 0);
    mill_job_store_close(store);
}

/* Batches without end: their rows count, and there is room again where results are removed. */
static void test_full(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("full"));
    struct mill_job_batch batch = begin_batch(store, "ann", "abc"), waiting, now;
    static char metadata[20000];
    struct mill_error err = {""};
    mill_status status = MILL_OK;
    int n = 0;
    memset(metadata, 'm', sizeof metadata - 1);
    waiting = batch;
    assert_int_equal(mill_job_store_add_batch(store, &waiting, NOW_S, NULL), MILL_OK);
    batch.metadata = metadata;
    for (; n < 200 && status == MILL_OK; n++)
        status = mill_job_store_add_batch(store, &batch, NOW_S, &err);
    assert_int_equal(status, MILL_E_FULL);
    assert_true(n > 20);
    /* A batch that was there, but has no rows for its lines yet, gets none. */
    assert_int_equal(mill_job_store_turn(store, NOW_S, NULL), MILL_OK);
    now = get_batch(store, &waiting);
    assert_int_equal(now.state, MILL_JOB_FAILED);
    assert_non_null(strstr(now.errors, "store_full"));
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

static void test_lists(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("lists"));
    struct mill_job_file files[5] = {0}, *got;
    size_t n;
    bool more;
    for (int i = 0; i < 5; i++) {
        snprintf(files[i].owner, sizeof files[i].owner, "%s", i == 2 ? "bob" : "ann");
        assert_int_equal(mill_job_store_add_file(store, &files[i], "x", 1, NOW_S, NULL), MILL_OK);
    }
    struct mill_job_page page = {.owner = "ann", .after = "", .filter = "", .limit = 3};
    assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL), MILL_OK);
    assert_true(n == 3 && more);
    assert_string_equal(got[0].id, files[4].id);
    assert_string_equal(got[2].id, files[1].id);
    free(got);
    page.after = files[1].id;
    assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL), MILL_OK);
    assert_true(n == 1 && !more);
    assert_string_equal(got[0].id, files[0].id);
    free(got);
    page.oldest_first = true;
    assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL), MILL_OK);
    assert_true(n == 2 && !more);
    assert_string_equal(got[0].id, files[3].id);
    assert_string_equal(got[1].id, files[4].id);
    free(got);
    page.after = "";
    assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL), MILL_OK);
    assert_true(n == 3 && more);
    assert_string_equal(got[0].id, files[0].id);
    free(got);
    /* Behind what is not there, or is another's, there is no page, rather than an empty one. */
    const char *strange[] = {"file-x", files[2].id};
    for (int i = 0; i < 2; i++) {
        page.after = strange[i];
        assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL),
                         MILL_E_NOT_FOUND);
        assert_null(got);
    }
    page = (struct mill_job_page){.owner = "ann", .after = "", .filter = "batch_audio", .limit = 3};
    assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL), MILL_OK);
    assert_true(n == 0 && !more);
    free(got);
    page.filter = "no purpose";
    assert_int_equal(mill_job_store_list_files(store, &page, &got, &n, &more, NULL), MILL_OK);
    assert_int_equal(n, 0);
    free(got);
    mill_job_store_close(store);
}

static void test_batch(void **state) {
    (void)state;
    const char *folder = empty_folder("batch");
    struct mill_job_store *store = open_store(folder);
    struct mill_job_batch batch = begin_batch(store, "ann", "abc"), now = get_batch(store, &batch);
    struct mill_error err;
    assert_int_equal(now.state, MILL_JOB_IN_PROGRESS);
    assert_int_equal(now.entered_s[MILL_JOB_IN_PROGRESS], NOW_S + 1);
    assert_int_equal(now.n_total, 3);
    assert_string_equal(now.output_file, "");
    mill_job_batch_deinit(&now);

    struct mill_job_item a = take_item(store, "a"), b = take_item(store, "b"),
                         c = take_item(store, "c"), none;
    int64_t behind = 0;
    assert_int_equal(mill_job_store_take_item(store, NULL, NULL, &behind, &none, NULL), MILL_DONE);
    assert_true(a.line == 1 && c.line == 3 && a.text[0] == '{' && a.text[a.text_bytes - 1] == '}');
    mill_job_store_put_item(store, &b, true);
    mill_job_item_deinit(&b);
    b = take_item(store, "b");
    assert_int_equal(b.n_attempts, 1);

    /* Whatever comes first, results stand in the order of the input, and can be read before the
     * end. */
    settle_item(store, &c, true);
    now = get_batch(store, &batch);
    char *text = read_results(store, "ann", now.output_file);
    assert_string_equal(text, "c\n");
    free(text);
    assert_int_equal(mill_job_store_remove_file(store, "ann", now.output_file, &err), MILL_E_INPUT);
    assert_int_equal(mill_job_store_remove_file(store, "ann", batch.input_file, &err),
                     MILL_E_INPUT);
    mill_job_batch_deinit(&now);
    settle_item(store, &a, true);
    settle_item(store, &b, false);
    now = get_batch(store, &batch);
    assert_int_equal(now.state, MILL_JOB_COMPLETED);
    assert_true(now.n_completed == 2 && now.n_failed == 1 && now.entered_s[MILL_JOB_COMPLETED]);
    text = read_results(store, "ann", now.output_file);
    assert_string_equal(text, "a\nc\n");
    free(text);
    text = read_results(store, "ann", now.error_file);
    assert_string_equal(text, "b\n");
    free(text);

    /* Results go with their sounds. */
    assert_int_equal(count_bytes_files(folder), 3);
    assert_int_equal(mill_job_store_remove_file(store, "ann", now.output_file, NULL), MILL_OK);
    assert_int_equal(count_bytes_files(folder), 1);
    assert_int_equal(mill_job_store_remove_file(store, "ann", now.error_file, NULL), MILL_OK);
    assert_int_equal(mill_job_store_remove_file(store, "ann", batch.input_file, NULL), MILL_OK);
    assert_int_equal(count_bytes_files(folder), 0);
    struct mill_job_totals totals;
    assert_int_equal(mill_job_store_get_totals(store, &totals, NULL), MILL_OK);
    assert_int_equal(totals.bytes, 0);
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

/* Batches take turns, so that a long one does not hold up the others. */
static void test_turns(void **state) {
    (void)state;
    struct mill_job_store *store = open_store(empty_folder("turns"));
    begin_batch(store, "ann", "abc");
    begin_batch(store, "bob", "xy");
    const char *const wanted[] = {"a", "x", "b", "y", "c"};
    int64_t behind = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct mill_job_item item;
        assert_int_equal(mill_job_store_take_item(store, NULL, NULL, &behind, &item, NULL),
                         MILL_OK);
        assert_string_equal(item.custom_id, wanted[i]);
        mill_job_item_deinit(&item);
    }
    mill_job_store_close(store);
}

#define LINE(id)                                                                                   \
    "{\"custom_id\":\"" id "\",\"method\":\"POST\",\"url\":\"/v1/audio/speech\",\"body\":{}}"

static void test_bad_lines(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", "\"code\":\"empty_file\""},
        {"\n \n", "\"code\":\"empty_file\""},
        {LINE("a") "\n\n{", "\"message\":\"byte 1: string or '}' expected near "
                            "end of file\",\"param\":null,\"line\":3"},
        {LINE("a") "\n" LINE("a"), "line 1 has the same\",\"param\":\"custom_id\",\"line\":2"},
        {"[]", "no JSON object"},
        {"{\"custom_id\":\"\",\"method\":\"POST\"}", "\"code\":\"invalid_custom_id\""},
        {"{\"custom_id\":\"a\",\"method\":\"GET\"}", "\"code\":\"invalid_method\""},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/models\"}", "\"invalid_url\""},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/audio/speech\",\"body\":3}",
         "\"invalid_body\""},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/audio/"
         "speech\",\"body\":{},\"x\":1}",
         "\"unknown_parameter\""},
    };
    struct mill_job_store *store = open_store(empty_folder("lines"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_job_batch batch = begin_batch_of(store, "ann", cases[i].text),
                              now = get_batch(store, &batch);
        assert_int_equal(now.state, MILL_JOB_FAILED);
        if (!now.errors || !strstr(now.errors, cases[i].wanted))
            fail_msg("no %s in %s", cases[i].wanted, now.errors ? now.errors : "nothing");
        mill_job_batch_deinit(&now);
    }
    char many[200 * 100], *at = many;
    for (int i = 0; i < 101; i++)
        at += snprintf(at, 200,
                       "{\"custom_id\":\"%d\",\"method\":\"POST\",\"url\":\"/v1/audio/speech\","
                       "\"body\":{}}\n",
                       i);
    struct mill_job_batch batch = begin_batch_of(store, "ann", many),
                          now = get_batch(store, &batch);
    assert_non_null(strstr(now.errors, "\"too_many_requests\""));
    assert_non_null(strstr(now.errors, "\"line\":101"));
    mill_job_batch_deinit(&now);
    memset(many, ' ', 1500);
    memcpy(many, LINE("a"), strlen(LINE("a")));
    many[1500] = '\0';
    batch = begin_batch_of(store, "ann", many);
    now = get_batch(store, &batch);
    assert_non_null(strstr(now.errors, "\"line_too_long\""));
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

static void check_end(struct mill_job_store *store, const struct mill_job_batch *batch,
                      enum mill_job_state state, const char *code) {
    struct mill_job_batch now = get_batch(store, batch);
    assert_int_equal(now.state, state);
    assert_true(now.n_completed == 1 && now.n_failed == 2);
    char *text = read_results(store, batch->owner, now.error_file);
    assert_non_null(strstr(text, "\"custom_id\":\"b\",\"response\":null,\"error\":{\"code\":\""));
    assert_non_null(strstr(text, code));
    assert_non_null(strstr(text, "\"custom_id\":\"c\""));
    free(text);
    text = read_results(store, batch->owner, now.output_file);
    assert_string_equal(text, "a\n");
    free(text);
    mill_job_batch_deinit(&now);
}

/* What was done stays; what was not says why; what comes too late is dropped. */
static void test_cancel_and_expiry(void **state) {
    (void)state;
    const char *folder = empty_folder("cancel");
    struct mill_job_store *store = open_store(folder);
    struct mill_error err;
    for (int expires = 0; expires < 2; expires++) {
        struct mill_job_batch batch = begin_batch(store, "ann", "abc");
        struct mill_job_item a = take_item(store, "a"), b = take_item(store, "b");
        settle_item(store, &a, true);
        int64_t now_s = NOW_S + (expires ? DAY_S : 10);
        if (!expires)
            assert_int_equal(mill_job_store_cancel_batch(store, "ann", batch.id, now_s, NULL),
                             MILL_OK);
        assert_int_equal(mill_job_store_wants_item(store, &b), expires);
        if (expires)
            assert_int_equal(mill_job_store_turn(store, now_s - 1, NULL), MILL_DONE);
        mill_job_store_turn(store, now_s, NULL);
        assert_false(mill_job_store_wants_item(store, &b));
        int n_files = count_bytes_files(folder);
        settle_item(store, &b, true);
        assert_int_equal(count_bytes_files(folder), n_files);
        check_end(store, &batch, expires ? MILL_JOB_EXPIRED : MILL_JOB_CANCELLED,
                  expires ? "batch_expired" : "batch_cancelled");
        assert_int_equal(mill_job_store_cancel_batch(store, "ann", batch.id, now_s, &err),
                         MILL_E_INPUT);
    }
    assert_int_equal(mill_job_store_cancel_batch(store, "bob", "batch_x", NOW_S, &err),
                     MILL_E_NOT_FOUND);
    mill_job_store_close(store);
}

/* What was settled is there, what was taken is to be taken again, what no row knows is gone. */
static void test_restart(void **state) {
    (void)state;
    const char *folder = empty_folder("restart");
    struct mill_job_store *store = open_store(folder), *second = NULL;
    struct mill_job_batch batch = begin_batch(store, "ann", "abc");
    const struct mill_job_limits limits = {
        .max_bytes = 1 << 20, .max_lines = 100, .max_line_bytes = 1000};
    struct mill_error err;
    struct stat info;
    char path[300];
    assert_int_equal(mill_job_store_open(&second, folder, &limits, &err), MILL_AGAIN);
    assert_null(second);
    assert_non_null(strstr(err.text, "another process"));
    struct mill_job_item a = take_item(store, "a"), b = take_item(store, "b");
    settle_item(store, &b, true);
    mill_job_item_deinit(&a);
    mill_job_store_close(store);
    assert_true(stat(folder, &info) == 0 && (info.st_mode & 0777) == 0700);
    snprintf(path, sizeof path, "%s/files/file-0123456789abcdef01234567", folder);
    FILE *left = fopen(path, "w");
    assert_non_null(left);
    fclose(left);

    store = open_store(folder);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(count_bytes_files(folder), 2);
    a = take_item(store, "a");
    struct mill_job_item c = take_item(store, "c");
    settle_item(store, &c, true);
    settle_item(store, &a, true);
    struct mill_job_batch now = get_batch(store, &batch);
    assert_int_equal(now.state, MILL_JOB_COMPLETED);
    char *text = read_results(store, "ann", now.output_file);
    assert_string_equal(text, "a\nb\nc\n");
    free(text);
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
}

/* The next request, as a process that lives on gives it back. */
static int64_t count_attempts(struct mill_job_store *store, const char *custom_id) {
    struct mill_job_item item = take_item(store, custom_id);
    int64_t n = item.n_attempts;
    mill_job_store_put_item(store, &item, false);
    mill_job_item_deinit(&item);
    return n;
}

/* Only what was under way when a process ended was tried. */
static void test_attempts(void **state) {
    (void)state;
    const char *folder = empty_folder("attempts");
    struct mill_job_store *store = open_store(folder);
    begin_batch(store, "ann", "abc");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(count_attempts(store, "a"), i);
        struct mill_job_item a = take_item(store, "a"), b = take_item(store, "b");
        assert_int_equal(b.n_attempts, 0);
        if (i == 3)
            settle_item(store, &a, false);
        mill_job_store_put_item(store, &b, false);
        mill_job_item_deinit(&a);
        mill_job_item_deinit(&b);
        mill_job_store_close(store);
        store = open_store(folder);
    }
    assert_int_equal(count_attempts(store, "b"), 0);
    mill_job_store_close(store);
}

static bool is_not(void *context, const char *owner) {
    return strcmp(context, owner) != 0;
}

/* Whoever may have nothing now holds up nobody else. */
static void test_owners_that_wait(void **state) {
    (void)state;
    static char ann[] = "ann", bob[] = "bob";
    struct mill_job_store *store = open_store(empty_folder("owners"));
    struct mill_job_item item;
    begin_batch(store, "ann", "ab");
    begin_batch(store, "bob", "xy");
    begin_batch(store, "ann", "c");
    const struct {
        char *waits;
        const char *wanted; /* NULL = there is none */
    } cases[] = {{ann, "x"}, {ann, "y"},  {ann, NULL}, {bob, "c"},
                 {bob, "a"}, {ann, NULL}, {bob, "b"},  {bob, NULL}};
    int64_t behind = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mill_status status =
            mill_job_store_take_item(store, is_not, cases[i].waits, &behind, &item, NULL);
        assert_int_equal(status, cases[i].wanted ? MILL_OK : MILL_DONE);
        if (cases[i].wanted)
            assert_string_equal(item.custom_id, cases[i].wanted);
        mill_job_item_deinit(&item);
    }
    mill_job_store_close(store);
}

/* What an older version left goes on; what a newer one left is not touched. */
static void test_schemas(void **state) {
    (void)state;
    const char *folder = empty_folder("schemas");
    const struct mill_job_limits limits = {
        .max_bytes = 1 << 20, .max_lines = 100, .max_line_bytes = 1000};
    struct mill_error err;
    struct mill_job_store *store = open_store(folder);
    struct mill_job_batch batch = begin_batch(store, "ann", "a");
    mill_job_store_close(store);
    run_sql(folder,
            "DROP INDEX uploads; DROP INDEX expiring_files; DROP INDEX batches_that_are_over;"
            "ALTER TABLE files DROP COLUMN expires_s;"
            "ALTER TABLE batches DROP COLUMN output_lifetime_s;"
            "DROP TABLE under_way; PRAGMA user_version=1;"
            "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=NONE; VACUUM");
    assert_int_equal(ask_sql(folder, "PRAGMA auto_vacuum"), 0);
    store = open_store(folder);
    assert_int_equal(ask_sql(folder, "PRAGMA auto_vacuum"), 2);
    struct mill_job_item a = take_item(store, "a");
    mill_job_item_deinit(&a);
    mill_job_store_close(store);
    store = open_store(folder);
    assert_int_equal(count_attempts(store, "a"), 1);
    a = take_item(store, "a");
    settle_item(store, &a, true);
    struct mill_job_batch now = get_batch(store, &batch);
    assert_int_equal(now.state, MILL_JOB_COMPLETED);
    mill_job_batch_deinit(&now);
    mill_job_store_close(store);
    run_sql(folder, "PRAGMA user_version=4");
    assert_int_equal(mill_job_store_open(&store, folder, &limits, &err), MILL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer version"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_lists),
                                       cmocka_unit_test(test_batch),
                                       cmocka_unit_test(test_turns),
                                       cmocka_unit_test(test_bad_lines),
                                       cmocka_unit_test(test_cancel_and_expiry),
                                       cmocka_unit_test(test_restart),
                                       cmocka_unit_test(test_attempts),
                                       cmocka_unit_test(test_owners_that_wait),
                                       cmocka_unit_test(test_schemas)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
