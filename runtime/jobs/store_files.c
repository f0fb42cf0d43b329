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
#define COLUMNS                                                                                    \
    "number,id,owner,name,purpose,bytes,created_s,batch,expires_s,CASE WHEN batch=0 THEN "         \
    "created_s "                                                                                   \
    "ELSE COALESCE((SELECT " MILL_JOB_ENDED_S " FROM batches b WHERE b.number=files.batch),0) END"

/* ------------------------------------------------------------------ rows */

static mill_status take_file(sqlite3_stmt *statement, void *file, struct mill_error *err) {
    struct mill_job_file *out = file;
    (void)err;
    *out =
        (struct mill_job_file){.number = sqlite3_column_int64(statement, 0),
                               .purpose = (enum mill_job_purpose)sqlite3_column_int(statement, 4),
                               .bytes = sqlite3_column_int64(statement, 5),
                               .created_s = sqlite3_column_int64(statement, 6),
                               .batch = sqlite3_column_int64(statement, 7),
                               .expires_s = sqlite3_column_int64(statement, 8),
                               .ages_from_s = sqlite3_column_int64(statement, 9)};
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
    MILL_TRY(
        mill_database_run(&store->db, err,
                          "INSERT INTO files(id,owner,name,purpose,bytes,created_s,batch,expires_s)"
                          " VALUES(?,?,?,?,?,?,?,?)",
                          "tttiiiii", file->id, file->owner, file->name, (int64_t)file->purpose,
                          file->bytes, file->created_s, file->batch, file->expires_s));
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

mill_status mill_job_store_add_file(struct mill_job_store *store, struct mill_job_file *file,
                                    const void *data, size_t size, int64_t now_s,
                                    struct mill_error *err) {
    if ((int64_t)size > store->limits.max_bytes - store->bytes)
        return mill_fail(err, MILL_E_FULL, "the store of jobs has its %lld bytes",
                         (long long)store->limits.max_bytes);
    file->purpose = MILL_JOB_INPUT;
    file->bytes = (int64_t)size;
    file->created_s = file->ages_from_s = now_s;
    file->batch = 0;
    MILL_TRY(mill_job_make_id("file-", file->id, err));
    MILL_TRY(write_bytes(store, file->id, data, size, err));
    mill_status status = mill_job_begin_change(store, err);
    if (status == MILL_OK)
        status = mill_job_end_change(store, mill_job_insert_file(store, file, err), err);
    if (status < 0 && status != MILL_E_IO) /* else nobody knows whether the disk has the row */
        mill_job_remove_bytes(store, file->id);
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
        MILL_JOB_LIST(COLUMNS, "files", " AND purpose" which),                                     \
            .row_bytes = sizeof(struct mill_job_file), .take = take_file, .deinit = deinit_file    \
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
