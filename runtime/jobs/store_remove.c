/* store_remove.c - see store.h: files and batches on their way out, by their owner's word or by
 * age.
 *
 * Rows go first, in one change; then the bytes that no row knows any more, which a crash between
 * the two leaves to the sweep when the store is opened. What the rows took of the database is given
 * back to the disk some pages at a time. */
#include "runtime/base/memory.h"
#include "runtime/jobs/store_state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ids of the sounds of a batch, at least; files that one change removes; pages (1 MB) that a call
 * gives back. */
enum { MAX_GONE_BYTES = 1 << 26, AT_ONCE = 100, SHRINK_PAGES = 256 };

/* ------------------------------------------------------------------ bytes */

void mill_job_remove_bytes(const struct mill_job_store *store, const char *id) {
    char *path = mill_job_file_path(store, id);
    if (path)
        unlink(path);
    free(path);
}

/* Of files whose ids stand one behind the other in `gone`. */
static void remove_all_bytes(const struct mill_job_store *store, const struct mill_buffer *gone) {
    for (size_t at = 0; at < gone->size; at += MILL_JOB_ID_BYTES)
        mill_job_remove_bytes(store, gone->data + at);
}

/* ------------------------------------------------------------------ rows */

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

/* The first column of what the statement gives, an id, behind those in `out`. */
static mill_status take_ids(struct mill_database *db, sqlite3_stmt *taken, struct mill_buffer *out,
                            struct mill_error *err) {
    mill_status status;
    while ((status = mill_database_step(db, taken, err)) == MILL_OK) {
        char id[MILL_JOB_ID_BYTES] = "";
        mill_database_copy_text(taken, 0, id, sizeof id);
        if ((status = mill_buffer_append(out, id, sizeof id, err)) < 0)
            break;
    }
    sqlite3_finalize(taken);
    return status < 0 ? status : MILL_OK;
}

/* A batch's files, all or but its results. */
static mill_status remove_files_of(struct mill_job_store *store, int64_t batch, bool results,
                                   struct mill_buffer *gone, struct mill_error *err) {
    struct mill_database *db = &store->db;
    sqlite3_stmt *statement;
    int64_t bytes = 0, from = results ? MILL_JOB_RESULTS : MILL_JOB_SOUND;
    MILL_TRY(mill_database_ask(db, &statement, err,
                               "SELECT id FROM files WHERE batch=? AND batch<>0 AND purpose=?",
                               "ii", batch, (int64_t)MILL_JOB_SOUND));
    MILL_TRY(take_ids(db, statement, gone, err));
    MILL_TRY(mill_database_ask_number(
        db, &bytes, err,
        "SELECT COALESCE(SUM(bytes),0) FROM files WHERE batch=? AND batch<>0 AND purpose>=?", "ii",
        batch, from));
    store->change_bytes -= bytes;
    return mill_database_run(db, err, "DELETE FROM files WHERE batch=? AND batch<>0 AND purpose>=?",
                             "ii", batch, from);
}

/* The rows of a file; with the answers of done requests their sounds, with others' only these. */
static mill_status remove_file(struct mill_job_store *store, const struct mill_job_file *file,
                               struct mill_buffer *gone, struct mill_error *err) {
    struct mill_database *db = &store->db;
    int64_t is_output = 0;
    MILL_TRY(check_unused(store, file, err));
    store->change_bytes -= file->bytes;
    MILL_TRY(mill_database_run(db, err, "DELETE FROM files WHERE number=?", "i", file->number));
    if (file->purpose != MILL_JOB_RESULTS)
        return mill_buffer_append(gone, file->id, sizeof file->id, err);
    MILL_TRY(mill_database_ask_number(db, &is_output, err,
                                      "SELECT output_file=? FROM batches WHERE number=?", "ti",
                                      file->id, file->batch));
    MILL_TRY(mill_database_run(db, err, "DELETE FROM items WHERE batch=? AND state=?", "ii",
                               file->batch,
                               (int64_t)(is_output ? MILL_JOB_DONE : MILL_JOB_REFUSED)));
    return is_output ? remove_files_of(store, file->batch, false, gone, err) : MILL_OK;
}

static mill_status remove_batch(struct mill_job_store *store, int64_t batch,
                                struct mill_buffer *gone, struct mill_error *err) {
    struct mill_database *db = &store->db;
    MILL_TRY(remove_files_of(store, batch, true, gone, err));
    MILL_TRY(mill_database_run(db, err, "DELETE FROM items WHERE batch=?", "i", batch));
    return mill_database_run(db, err, "DELETE FROM batches WHERE number=?", "i", batch);
}

/* ------------------------------------------------------------------ by the owner's word */

mill_status mill_job_store_remove_file(struct mill_job_store *store, const char *owner,
                                       const char *id, struct mill_error *err) {
    struct mill_job_file file;
    struct mill_buffer gone;
    mill_buffer_init(&gone, MAX_GONE_BYTES);
    mill_status status = mill_job_begin_change(store, err);
    if (status == MILL_OK) {
        status = mill_job_find_file(&store->db, owner, id, &file, err);
        if (status == MILL_OK)
            status = remove_file(store, &file, &gone, err);
        status = mill_job_end_change(store, status, err);
    }
    if (status == MILL_OK)
        remove_all_bytes(store, &gone);
    mill_buffer_deinit(&gone);
    return status;
}

/* ------------------------------------------------------------------ by age */

int64_t mill_job_store_get_expiry(const struct mill_job_store *store,
                                  const struct mill_job_file *file) {
    int64_t max_age_s = store->limits.max_age_s;
    int64_t by_age_s = max_age_s > 0 && file->ages_from_s > 0 ? file->ages_from_s + max_age_s : 0;
    return file->expires_s > 0 && (by_age_s == 0 || file->expires_s < by_age_s) ? file->expires_s
                                                                                : by_age_s;
}

/* Ids of files that nobody needs any more, some of all, and a batch's number, 0 = none. */
static mill_status find_old(struct mill_job_store *store, int64_t now_s, struct mill_buffer *files,
                            int64_t *batch, struct mill_error *err) {
    struct mill_database *db = &store->db;
    int64_t old_s = store->limits.max_age_s > 0 ? now_s - store->limits.max_age_s : INT64_MIN;
    sqlite3_stmt *statement;
    files->size = 0;
    *batch = 0;
    MILL_TRY(mill_database_ask(
        db, &statement, err,
        "SELECT file FROM (SELECT id AS file FROM files WHERE batch=0 AND created_s<=?1 UNION ALL"
        " SELECT id FROM files WHERE expires_s>0 AND expires_s<=?2) WHERE NOT EXISTS"
        " (SELECT 1 FROM batches WHERE state<3 AND input_file=file) LIMIT ?3",
        "iii", old_s, now_s, (int64_t)AT_ONCE));
    MILL_TRY(take_ids(db, statement, files, err));
    mill_status status = mill_database_ask_number(
        db, batch, err,
        "SELECT number FROM batches WHERE state>2 AND " MILL_JOB_ENDED_S "<=? LIMIT 1", "i", old_s);
    return status < 0 ? status : MILL_OK;
}

/* Files until one took many sounds along, then the batch. */
static mill_status remove_old(struct mill_job_store *store, const struct mill_buffer *files,
                              int64_t batch, struct mill_buffer *gone,
                              struct mill_job_retired *counted, struct mill_error *err) {
    struct mill_job_file file;
    for (size_t at = 0; at < files->size && gone->size <= AT_ONCE * MILL_JOB_ID_BYTES;
         at += MILL_JOB_ID_BYTES) {
        mill_status status = mill_job_find_file(&store->db, NULL, files->data + at, &file, err);
        if (status == MILL_E_NOT_FOUND) /* for two reasons at once */
            continue;
        MILL_TRY(status);
        MILL_TRY(remove_file(store, &file, gone, err));
        counted->n_files++;
    }
    if (batch == 0 || gone->size > AT_ONCE * MILL_JOB_ID_BYTES)
        return MILL_OK;
    counted->n_batches++;
    return remove_batch(store, batch, gone, err);
}

/* Nearly always there is nothing: no transaction then. */
static mill_status look_for_old(struct mill_job_store *store, int64_t now_s,
                                struct mill_buffer *files, struct mill_error *err) {
    int64_t batch;
    pthread_mutex_lock(&store->lock);
    mill_status status = find_old(store, now_s, files, &batch, err);
    if (status == MILL_OK && files->size == 0 && batch == 0) {
        status = mill_database_shrink(&store->db, SHRINK_PAGES, err);
        status = status < 0 ? status : MILL_DONE;
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

mill_status mill_job_store_retire(struct mill_job_store *store, int64_t now_s,
                                  struct mill_job_retired *out, struct mill_error *err) {
    struct mill_buffer files, gone;
    int64_t batch;
    *out = (struct mill_job_retired){0};
    mill_buffer_init(&files, AT_ONCE * MILL_JOB_ID_BYTES);
    mill_buffer_init(&gone, MAX_GONE_BYTES);
    mill_status status = look_for_old(store, now_s, &files, err);
    if (status == MILL_OK)
        status = mill_job_begin_change(store, err);
    if (status == MILL_OK) {
        status = find_old(store, now_s, &files, &batch, err);
        if (status == MILL_OK)
            status = remove_old(store, &files, batch, &gone, out, err);
        status = mill_job_end_change(store, status, err);
        if (status == MILL_OK)
            remove_all_bytes(store, &gone);
        else
            *out = (struct mill_job_retired){0};
    }
    mill_buffer_deinit(&files);
    mill_buffer_deinit(&gone);
    return status;
}
