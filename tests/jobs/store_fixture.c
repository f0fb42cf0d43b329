/* store_fixture.c - see store_fixture.h. */
#include "tests/jobs/store_fixture.h"

#include "runtime/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void remove_all(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_type == DT_REG)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

const char *empty_folder(const char *name) {
    static char path[256];
    char files[300];
    snprintf(path, sizeof path, "%s/%s-%s", MILL_SCRATCH, program_invocation_short_name, name);
    snprintf(files, sizeof files, "%s/files", path);
    remove_all(files);
    remove_all(path);
    return path;
}

struct mill_job_store *open_store(const char *folder) {
    return open_store_for(folder, 0);
}

struct mill_job_store *open_store_for(const char *folder, int64_t max_age_s) {
    const struct mill_job_limits limits = {
        .max_bytes = 1 << 20, .max_lines = 100, .max_line_bytes = 1000, .max_age_s = max_age_s};
    struct mill_job_store *store = NULL;
    struct mill_error err = {""};
    if (mill_job_store_open(&store, folder, &limits, &err) != MILL_OK)
        fail_msg("%s", err.text);
    return store;
}

struct mill_job_batch begin_batch_of(struct mill_job_store *store, const char *owner,
                                     const char *text) {
    struct mill_job_file file = {.name = "in.jsonl"};
    struct mill_job_batch batch = {.window = "24h", .expires_s = NOW_S + DAY_S};
    snprintf(file.owner, sizeof file.owner, "%s", owner);
    snprintf(batch.owner, sizeof batch.owner, "%s", owner);
    assert_int_equal(mill_job_store_add_file(store, &file, text, strlen(text), NOW_S, NULL),
                     MILL_OK);
    memcpy(batch.input_file, file.id, sizeof file.id);
    assert_int_equal(mill_job_store_add_batch(store, &batch, NOW_S, NULL), MILL_OK);
    assert_int_equal(mill_job_store_turn(store, NOW_S + 1, NULL), MILL_OK);
    assert_int_equal(mill_job_store_turn(store, NOW_S + 1, NULL), MILL_DONE);
    return batch;
}

struct mill_job_batch begin_batch(struct mill_job_store *store, const char *owner,
                                  const char *names) {
    char text[4096] = "";
    for (size_t n = 0; *names; names++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "{\"custom_id\": \"%c\", \"method\": \"POST\", \"url\": "
                              "\"/v1/audio/speech\", \"body\": {}}\n",
                              *names);
    return begin_batch_of(store, owner, text);
}

struct mill_job_batch get_batch(struct mill_job_store *store, const struct mill_job_batch *batch) {
    struct mill_job_batch now;
    assert_int_equal(mill_job_store_get_batch(store, batch->owner, batch->id, &now, NULL), MILL_OK);
    return now;
}

struct mill_job_item take_item(struct mill_job_store *store, const char *custom_id) {
    struct mill_job_item item;
    int64_t behind = 0;
    assert_int_equal(mill_job_store_take_item(store, NULL, NULL, &behind, &item, NULL), MILL_OK);
    assert_string_equal(item.custom_id, custom_id);
    return item;
}

void settle_item(struct mill_job_store *store, struct mill_job_item *item, bool done) {
    char sound[MILL_JOB_ID_BYTES], *path = NULL;
    struct mill_job_answer answer = {.line = item->custom_id};
    if (done) {
        assert_int_equal(mill_job_store_name_sound(store, sound, &path, NULL), MILL_OK);
        assert_int_equal(mill_file_write(path, "abc", 3, NULL), MILL_OK);
        free(path);
        answer.sound = sound;
        answer.ending = "wav";
        answer.sound_bytes = 3;
    }
    assert_int_equal(mill_job_store_settle_item(store, item, &answer, NOW_S + 5, NULL), MILL_OK);
    mill_job_item_deinit(item);
}

char *read_results(struct mill_job_store *store, const char *owner, const char *id) {
    struct mill_job_file file;
    struct mill_buffer text;
    int64_t at = 0;
    mill_status status;
    mill_buffer_init(&text, 1 << 20);
    assert_int_equal(mill_job_store_get_file(store, owner, id, &file, NULL), MILL_OK);
    while ((status = mill_job_store_read_results(store, &file, &at, &text, NULL)) == MILL_OK)
        ;
    assert_int_equal(status, MILL_DONE);
    assert_int_equal(text.size, file.bytes);
    assert_int_equal(mill_buffer_append(&text, "", 1, NULL), MILL_OK);
    return text.data;
}

void run_sql(const char *folder, const char *sql) {
    char path[300];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/jobs.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

int64_t ask_sql(const char *folder, const char *sql) {
    char path[300];
    sqlite3 *db;
    sqlite3_stmt *statement;
    snprintf(path, sizeof path, "%s/jobs.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

int count_bytes_files(const char *folder) {
    char path[300];
    int n = 0;
    snprintf(path, sizeof path, "%s/files", folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_type == DT_REG;
    closedir(dir);
    return n;
}
