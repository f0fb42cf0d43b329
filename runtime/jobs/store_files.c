/* store_files.c - see store.h: uploads, sounds, and results as views of a batch's rows.
 *
 * Bytes come before the row that knows them, and go behind it: what a crash leaves over is swept
 * away when the store is opened. */
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/jobs/store_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESULT_BYTES = 1 << 15 };

/* Of mill_job_file, in order. */
#define COLUMNS "number,id,owner,name,purpose,bytes,created_s,batch"

/* ------------------------------------------------------------------ rows */

static mill_status take_file(sqlite3_stmt *statement, void *file, struct mill_error *err) {
    struct mill_job_file *out = file;
    (void)err;
    *out =
        (struct mill_job_file){.number = sqlite3_column_int64(statement, 0),
                               .purpose = (enum mill_job_purpose)sqlite3_column_int(statement, 4),
                               .bytes = sqlite3_column_int64(statement, 5),
                               .created_s = sqlite3_column_int64(statement, 6),
                               .batch = sqlite3_column_int64(statement, 7)};
    mill_database_copy_text(statement, 1, out->id, sizeof out->id);
    mill_database_copy_text(statement, 2, out->owner, sizeof out->owner);
    mill_database_copy_text(statement, 3, out->name, sizeof out->name);
    return MILL_OK;
}

static void deinit_file(void *file) {
    (void)file; /* it owns nothing */
}

mill_status mill_job_find_file(struct mill_database *db, const char *owner, const char *id,
                               struct mill_job_file *out, struct mill_error *err) {
    sqlite3_stmt *statement;
    MILL_TRY(mill_database_ask(
        db, &statement, err,
        "SELECT " COLUMNS " FROM files WHERE id=?1 AND owner=COALESCE(?2,owner)", "tt", id, owner));
    mill_status status = mill_database_step(db, statement, err);
    if (status == MILL_OK)
        status = take_file(statement, out, err);
    sqlite3_finalize(statement);
    return status == MILL_DONE ? mill_job_unknown("file", err) : status;
}

mill_status mill_job_insert_file(struct mill_job_store *store, struct mill_job_file *file,
                                 struct mill_error *err) {
    MILL_TRY(mill_database_run(&store->db, err,
                               "INSERT INTO files(id,owner,name,purpose,bytes,created_s,batch)"
                               " VALUES(?,?,?,?,?,?,?)",
                               "tttiiii", file->id, file->owner, file->name, (int64_t)file->purpose,
                               file->bytes, file->created_s, file->batch));
    store->change_bytes += file->bytes;
    file->number = sqlite3_last_insert_rowid(store->db.handle);
    return MILL_OK;
}

/* ------------------------------------------------------------------ adding */

static mill_status write_bytes(const struct mill_job_store *store, const char *id, const void *data,
                               size_t size, struct mill_error *err) {
    char *path = mill_job_file_path(store, id);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_file_write(path, data, size, err);
    free(path);
    return status;
}

static void remove_bytes(const struct mill_job_store *store, const char *id) {
    char *path = mill_job_file_path(store, id);
    if (path)
        unlink(path);
    free(path);
}

mill_status mill_job_store_add_file(struct mill_job_store *store, struct mill_job_file *file,
                                    const void *data, size_t size, int64_t now_s,
                                    struct mill_error *err) {
    if ((int64_t)size > store->limits.max_bytes - store->bytes)
        return mill_fail(err, MILL_E_FULL, "the store of jobs has its %lld bytes",
                         (long long)store->limits.max_bytes);
    file->purpose = MILL_JOB_INPUT;
    file->bytes = (int64_t)size;
    file->created_s = now_s;
    file->batch = 0;
    MILL_TRY(mill_job_make_id("file-", file->id, err));
    MILL_TRY(write_bytes(store, file->id, data, size, err));
    mill_status status = mill_job_begin_change(store, err);
    if (status == MILL_OK)
        status = mill_job_end_change(store, mill_job_insert_file(store, file, err), err);
    if (status < 0)
        remove_bytes(store, file->id);
    return status;
}

/* ------------------------------------------------------------------ removing */

static mill_status check_unused(struct mill_job_store *store, const struct mill_job_file *file,
                                struct mill_error *err) {
    int64_t n = 0;
    mill_status status =
        file->purpose == MILL_JOB_INPUT
            ? mill_database_ask_number(
                  &store->db, &n, err,
                  "SELECT COUNT(*) FROM batches WHERE state<3 AND input_file=?", "t", file->id)
            : mill_database_ask_number(&store->db, &n, err,
                                       "SELECT COUNT(*) FROM batches WHERE state<3 AND number=?",
                                       "i", file->batch);
    MILL_TRY(status);
    return n == 0 ? MILL_OK
                  : mill_fail(err, MILL_E_INPUT,
                              "a batch that is not over needs this file: cancel "
                              "it first");
}

/* Ids of a batch's sounds, one behind the other in `out`, and their bytes. */
static mill_status list_sounds(struct mill_job_store *store, int64_t batch, struct mill_buffer *out,
                               int64_t *bytes, struct mill_error *err) {
    sqlite3_stmt *statement;
    MILL_TRY(
        mill_database_ask(&store->db, &statement, err,
                          "SELECT id, bytes FROM files WHERE batch=? AND batch<>0 AND purpose=?",
                          "ii", batch, (int64_t)MILL_JOB_SOUND));
    mill_status status;
    while ((status = mill_database_step(&store->db, statement, err)) == MILL_OK) {
        char id[MILL_JOB_ID_BYTES] = "";
        mill_database_copy_text(statement, 0, id, sizeof id);
        *bytes += sqlite3_column_int64(statement, 1);
        if ((status = mill_buffer_append(out, id, sizeof id, err)) < 0)
            break;
    }
    sqlite3_finalize(statement);
    return status < 0 ? status : MILL_OK;
}

/* The rows of a file; with the answers of done requests their sounds, with others' only these. */
static mill_status remove_rows(struct mill_job_store *store, const struct mill_job_file *file,
                               struct mill_buffer *sounds, struct mill_error *err) {
    struct mill_database *db = &store->db;
    int64_t is_output = 0, bytes = 0;
    MILL_TRY(check_unused(store, file, err));
    store->change_bytes -= file->bytes;
    MILL_TRY(mill_database_run(db, err, "DELETE FROM files WHERE number=?", "i", file->number));
    if (file->purpose != MILL_JOB_RESULTS)
        return MILL_OK;
    MILL_TRY(mill_database_ask_number(db, &is_output, err,
                                      "SELECT output_file=? FROM batches WHERE number=?", "ti",
                                      file->id, file->batch));
    MILL_TRY(mill_database_run(db, err, "DELETE FROM items WHERE batch=? AND state=?", "ii",
                               file->batch,
                               (int64_t)(is_output ? MILL_JOB_DONE : MILL_JOB_REFUSED)));
    if (!is_output)
        return MILL_OK;
    MILL_TRY(list_sounds(store, file->batch, sounds, &bytes, err));
    store->change_bytes -= bytes;
    return mill_database_run(db, err, "DELETE FROM files WHERE batch=? AND batch<>0 AND purpose=?",
                             "ii", file->batch, (int64_t)MILL_JOB_SOUND);
}

mill_status mill_job_store_remove_file(struct mill_job_store *store, const char *owner,
                                       const char *id, struct mill_error *err) {
    struct mill_job_file file;
    struct mill_buffer sounds;
    mill_buffer_init(&sounds, (size_t)store->limits.max_lines * MILL_JOB_ID_BYTES);
    mill_status status = mill_job_begin_change(store, err);
    if (status == MILL_OK) {
        status = mill_job_find_file(&store->db, owner, id, &file, err);
        if (status == MILL_OK)
            status = remove_rows(store, &file, &sounds, err);
        status = mill_job_end_change(store, status, err);
    }
    if (status == MILL_OK && file.purpose != MILL_JOB_RESULTS)
        remove_bytes(store, id);
    for (size_t at = 0; status == MILL_OK && at < sounds.size; at += MILL_JOB_ID_BYTES)
        remove_bytes(store, sounds.data + at);
    mill_buffer_deinit(&sounds);
    return status;
}

/* ------------------------------------------------------------------ looking */

mill_status mill_job_store_get_file(struct mill_job_store *store, const char *owner, const char *id,
                                    struct mill_job_file *out, struct mill_error *err) {
    pthread_mutex_lock(&store->view_lock);
    mill_status status = mill_job_find_file(&store->view, owner, id, out, err);
    pthread_mutex_unlock(&store->view_lock);
    return status;
}

/* -1 for a word that is none. */
static int purpose_of(const char *word) {
    int purpose = MILL_JOB_PURPOSE_COUNT - 1;
    while (purpose >= 0 && strcmp(word, mill_job_purpose_text((enum mill_job_purpose)purpose)) != 0)
        purpose--;
    return purpose;
}

#define LIST_FILES(which)                                                                          \
    {                                                                                              \
        .sql = MILL_JOB_LIST(COLUMNS, "files", " AND purpose" which),                              \
        .row_bytes = sizeof(struct mill_job_file), .take = take_file, .deinit = deinit_file        \
    }

mill_status mill_job_store_list_files(struct mill_job_store *store,
                                      const struct mill_job_page *page, struct mill_job_file **out,
                                      size_t *n, bool *more, struct mill_error *err) {
    static const struct mill_job_list listed = LIST_FILES("<2"), none = LIST_FILES("<0"),
                                      lists[] = {LIST_FILES("=0"), LIST_FILES("=1"),
                                                 LIST_FILES("=2")};
    int purpose = purpose_of(page->filter);
    void *rows;
    mill_status status = mill_job_list_page(store,
                                            !page->filter[0] ? &listed
                                            : purpose < 0    ? &none
                                                             : &lists[purpose],
                                            page, &rows, n, more, err);
    *out = rows;
    return status;
}

mill_status mill_job_store_open_file(struct mill_job_store *store, const struct mill_job_file *file,
                                     int *fd, struct mill_error *err) {
    char *path = mill_job_file_path(store, file->id);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    mill_status status = *fd >= 0 ? MILL_OK
                         : errno == ENOENT
                             ? mill_job_unknown("file", err)
                             : mill_fail(err, MILL_E_IO, "'%s': %s", path, strerror(errno));
    free(path);
    return status;
}

mill_status mill_job_store_read_results(struct mill_job_store *store,
                                        const struct mill_job_file *file, int64_t *at,
                                        struct mill_buffer *out, struct mill_error *err) {
    sqlite3_stmt *statement;
    size_t before = out->size;
    pthread_mutex_lock(&store->view_lock);
    mill_status status = mill_database_ask(
        &store->view, &statement, err,
        "SELECT line, answer FROM items WHERE batch=?1 AND line>?2 AND state=(SELECT CASE WHEN "
        "output_file=?3 THEN 1 ELSE 2 END FROM batches WHERE number=?1) ORDER BY line",
        "iit", file->batch, *at, file->id);
    while (status == MILL_OK && out->size - before < RESULT_BYTES &&
           (status = mill_database_step(&store->view, statement, err)) == MILL_OK) {
        const char *answer = (const char *)sqlite3_column_text(statement, 1);
        status = mill_buffer_printf(out, err, "%s\n", answer ? answer : "");
        if (status == MILL_OK)
            *at = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&store->view_lock);
    return status;
}
