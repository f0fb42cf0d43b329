/* store_items.c - see store.h: single requests on their way, and what time does to batches.
 *
 * Which requests are taken stands in a table of this connection's memory, so nothing must be undone
 * after a crash. */
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/jobs/store_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------ results files */

/* The batch's file of that column grows by so many bytes; it is made with its first line. */
static mill_status grow_results(struct mill_job_store *store, int64_t batch, bool is_output,
                                int64_t bytes, int64_t now_s, struct mill_error *err) {
    struct mill_database *db = &store->db;
    struct mill_job_file file = {.purpose = MILL_JOB_RESULTS, .created_s = now_s, .batch = batch};
    sqlite3_stmt *statement;
    char id[MILL_JOB_ID_BYTES];
    MILL_TRY(mill_database_ask(db, &statement, err,
                               is_output ? "SELECT output_file, id, owner FROM batches WHERE "
                                           "number=?"
                                         : "SELECT error_file, id, owner FROM batches WHERE "
                                           "number=?",
                               "i", batch));
    mill_status status = mill_database_step(db, statement, err);
    mill_database_copy_text(statement, 0, file.id, sizeof file.id);
    mill_database_copy_text(statement, 1, id, sizeof id);
    mill_database_copy_text(statement, 2, file.owner, sizeof file.owner);
    sqlite3_finalize(statement);
    MILL_TRY(status);
    if (!file.id[0]) {
        snprintf(file.name, sizeof file.name, "%s_%s.jsonl", id, is_output ? "output" : "error");
        MILL_TRY(mill_job_make_id("file-", file.id, err));
        MILL_TRY(mill_job_insert_file(store, &file, err));
        MILL_TRY(mill_database_run(db, err,
                                   is_output ? "UPDATE batches SET output_file=? WHERE number=?"
                                             : "UPDATE batches SET error_file=? WHERE number=?",
                                   "ti", file.id, batch));
    }
    store->change_bytes += bytes;
    return mill_database_run(db, err, "UPDATE files SET bytes=bytes+? WHERE id=?", "it", bytes,
                             file.id);
}

/* ------------------------------------------------------------------ the end of batches */

/* Requests without an answer get one that says why, and the batch is over. */
static mill_status end_batch(struct mill_job_store *store, int64_t batch, enum mill_job_state state,
                             const char *code, const char *message, int64_t now_s,
                             struct mill_error *err) {
    struct mill_database *db = &store->db;
    int64_t n = 0, bytes = 0;
    MILL_TRY(mill_database_run(
        db, err,
        "UPDATE items SET state=2, "
        "answer=json_object('id','batch_req_'||lower(hex(randomblob(12))),"
        "'custom_id',custom_id,'response',NULL,'error',json_object('code',?2,'message',?3))"
        " WHERE batch=?1 AND state=0",
        "itt", batch, code, message));
    n = sqlite3_changes64(db->handle);
    MILL_TRY(mill_database_ask_number(
        db, &bytes, err,
        "SELECT COALESCE(SUM(LENGTH(CAST(answer AS BLOB))+1),0) FROM items WHERE batch=?1 AND "
        "state=2 AND json_extract(answer,'$.error.code')=?2",
        "it", batch, code));
    if (n > 0)
        MILL_TRY(grow_results(store, batch, false, bytes, now_s, err));
    MILL_TRY(mill_database_run(db, err, "UPDATE batches SET n_failed=n_failed+? WHERE number=?",
                               "ii", n, batch));
    return mill_job_enter_state(store, batch, state, now_s, err);
}

/* The number of the first batch in `state` that expires by `expired_s`. */
static mill_status find_first(struct mill_job_store *store, enum mill_job_state state,
                              int64_t expired_s, int64_t *number, struct mill_error *err) {
    return mill_database_ask_number(
        &store->db, number, err,
        "SELECT number FROM batches WHERE state<3 AND state=?1 AND expires_s<=?2 ORDER BY number",
        "ii", (int64_t)state, expired_s);
}

/* Of all that are cancelled or too old. */
static mill_status end_batches(struct mill_job_store *store, int64_t now_s,
                               struct mill_error *err) {
    static const enum mill_job_state open[] = {MILL_JOB_CANCELLING, MILL_JOB_VALIDATING,
                                               MILL_JOB_IN_PROGRESS};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        bool cancelled = open[i] == MILL_JOB_CANCELLING;
        int64_t number;
        mill_status status;
        while ((status = find_first(store, open[i], cancelled ? INT64_MAX : now_s, &number, err)) ==
               MILL_OK)
            MILL_TRY(cancelled
                         ? end_batch(store, number, MILL_JOB_CANCELLED, "batch_cancelled",
                                     "the batch was cancelled before this request was done", now_s,
                                     err)
                         : end_batch(store, number, MILL_JOB_EXPIRED, "batch_expired",
                                     "the batch's completion window was over before this request "
                                     "was done",
                                     now_s, err));
        MILL_TRY(status);
    }
    return MILL_OK;
}

static mill_status validate_first(struct mill_job_store *store, int64_t now_s,
                                  struct mill_error *err) {
    sqlite3_stmt *statement;
    struct mill_job_batch batch = {0};
    MILL_TRY(mill_database_ask(
        &store->db, &statement, err,
        "SELECT number,input_file FROM batches WHERE state<3 AND state=0 ORDER BY number"
        " LIMIT 1",
        ""));
    mill_status status = mill_database_step(&store->db, statement, err);
    batch.number = sqlite3_column_int64(statement, 0);
    mill_database_copy_text(statement, 1, batch.input_file, sizeof batch.input_file);
    sqlite3_finalize(statement);
    return status == MILL_OK ? mill_job_validate_batch(store, &batch, now_s, err) : status;
}

mill_status mill_job_store_turn(struct mill_job_store *store, int64_t now_s,
                                struct mill_error *err) {
    int64_t n = 0;
    /* Nearly always there is nothing to do: no transaction then. */
    pthread_mutex_lock(&store->lock);
    mill_status status = mill_database_ask_number(
        &store->db, &n, err,
        "SELECT COUNT(*) FROM batches WHERE state<3 AND (state<>1 OR expires_s<=?)", "i", now_s);
    pthread_mutex_unlock(&store->lock);
    if (status < 0 || n == 0)
        return status < 0 ? status : MILL_DONE;
    MILL_TRY(mill_job_begin_change(store, err));
    status = end_batches(store, now_s, err);
    if (status == MILL_OK)
        status = validate_first(store, now_s, err);
    return mill_job_end_change(store, status, err);
}

/* ------------------------------------------------------------------ taking */

/* Bytes that cannot be read leave an empty text: the request fails then, and the others go on. A
 * process that is short of memory or descriptors may read them later. */
static mill_status read_line(struct mill_job_store *store, const char *file, int64_t at,
                             struct mill_job_item *out, struct mill_error *err) {
    char *path = mill_job_file_path(store, file);
    out->text = mill_alloc_array(out->text_bytes + 1, 1);
    int fd = path && out->text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool is_short = !path || !out->text || (fd < 0 && mill_open_failure(errno) == MILL_E_MEMORY);
    ssize_t n = fd >= 0 ? pread(fd, out->text, out->text_bytes, (off_t)at) : -1;
    if (fd >= 0)
        close(fd);
    free(path);
    if (n != (ssize_t)out->text_bytes)
        out->text_bytes = 0;
    return is_short ? mill_fail(err, MILL_E_MEMORY, "no memory, or too many open files") : MILL_OK;
}

static void give_back(struct mill_job_store *store, const struct mill_job_item *item) {
    mill_database_run(&store->db, NULL, "DELETE FROM taken WHERE batch=? AND line=?", "ii",
                      item->batch, item->line);
}

static mill_status forget(struct mill_job_store *store, const struct mill_job_item *item,
                          struct mill_error *err) {
    return mill_database_run(&store->db, err, "DELETE FROM under_way WHERE batch=? AND line=?",
                             "ii", item->batch, item->line);
}

/* Known to this process, and for the next one. */
static mill_status hold(struct mill_job_store *store, const struct mill_job_item *item,
                        struct mill_error *err) {
    struct mill_database *db = &store->db;
    MILL_TRY(
        mill_database_run(db, err, "INSERT INTO taken VALUES(?,?)", "ii", item->batch, item->line));
    mill_status status = mill_database_run(db, err, "INSERT OR IGNORE INTO under_way VALUES(?,?)",
                                           "ii", item->batch, item->line);
    if (status < 0)
        give_back(store, item);
    return status;
}

static mill_status take(struct mill_job_store *store,
                        bool (*may_have)(void *context, const char *owner), void *context,
                        int64_t behind, struct mill_job_item *out, struct mill_error *err) {
    struct mill_database *db = &store->db;
    sqlite3_stmt *statement;
    char file[MILL_JOB_ID_BYTES];
    /* A row a batch, walked in the order of two indexes: what one costs does not grow with the
     * batch. */
    MILL_TRY(mill_database_ask(
        db, &statement, err,
        "SELECT b.number, b.owner, b.input_file, i.line, i.at, i.bytes, i.custom_id, i.n_attempts"
        " FROM batches b CROSS JOIN items i ON i.batch=b.number AND i.line="
        "(SELECT w.line FROM items w INDEXED BY waiting_items WHERE w.batch=b.number AND w.state=0"
        " AND NOT EXISTS (SELECT 1 FROM taken t WHERE t.batch=w.batch AND t.line=w.line)"
        " ORDER BY w.line LIMIT 1)"
        " WHERE b.state<3 AND b.state=1 AND b.number>? ORDER BY b.number",
        "i", behind));
    mill_status status;
    do {
        status = mill_database_step(db, statement, err);
        mill_database_copy_text(statement, 1, out->owner, sizeof out->owner);
    } while (status == MILL_OK && may_have && !may_have(context, out->owner));
    out->batch = sqlite3_column_int64(statement, 0);
    mill_database_copy_text(statement, 2, file, sizeof file);
    out->line = sqlite3_column_int64(statement, 3);
    int64_t at = sqlite3_column_int64(statement, 4);
    out->text_bytes = (size_t)sqlite3_column_int64(statement, 5);
    mill_database_copy_text(statement, 6, out->custom_id, sizeof out->custom_id);
    out->n_attempts = sqlite3_column_int64(statement, 7);
    sqlite3_finalize(statement);
    if (status != MILL_OK)
        return status;
    MILL_TRY(read_line(store, file, at, out, err));
    return hold(store, out, err);
}

mill_status mill_job_store_take_item(struct mill_job_store *store,
                                     bool (*may_have)(void *context, const char *owner),
                                     void *context, int64_t *batch, struct mill_job_item *out,
                                     struct mill_error *err) {
    *out = (struct mill_job_item){0};
    pthread_mutex_lock(&store->lock);
    mill_status status = take(store, may_have, context, *batch, out, err);
    if (status == MILL_DONE && *batch > 0)
        status = take(store, may_have, context, 0, out, err);
    pthread_mutex_unlock(&store->lock);
    if (status == MILL_OK)
        *batch = out->batch;
    else
        mill_job_item_deinit(out);
    return status;
}

void mill_job_store_put_item(struct mill_job_store *store, const struct mill_job_item *item,
                             bool failed) {
    pthread_mutex_lock(&store->lock);
    if (failed)
        mill_database_run(&store->db, NULL,
                          "UPDATE items SET n_attempts=n_attempts+1 WHERE batch=? AND line=?", "ii",
                          item->batch, item->line);
    /* Where the disk is full it stays: one attempt too many, should the process end. */
    forget(store, item, NULL);
    give_back(store, item);
    pthread_mutex_unlock(&store->lock);
}

bool mill_job_store_wants_item(struct mill_job_store *store, const struct mill_job_item *item) {
    int64_t state = 0;
    pthread_mutex_lock(&store->view_lock);
    mill_status status = mill_database_ask_number(
        &store->view, &state, NULL, "SELECT state FROM batches WHERE number=?", "i", item->batch);
    pthread_mutex_unlock(&store->view_lock);
    return status < 0 || (status == MILL_OK && state == MILL_JOB_IN_PROGRESS);
}

/* ------------------------------------------------------------------ settling */

mill_status mill_job_store_name_sound(struct mill_job_store *store, char id[MILL_JOB_ID_BYTES],
                                      char **path, struct mill_error *err) {
    if (store->bytes >= store->limits.max_bytes)
        return mill_fail(err, MILL_E_FULL, "the store of jobs has its %lld bytes",
                         (long long)store->limits.max_bytes);
    MILL_TRY(mill_job_make_id("file-", id, err));
    *path = mill_job_file_path(store, id);
    return *path ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
}

char *mill_job_store_sound_path(const struct mill_job_store *store, const char *id) {
    return mill_job_file_path(store, id);
}

static mill_status insert_sound(struct mill_job_store *store, const struct mill_job_item *item,
                                const struct mill_job_answer *answer, int64_t now_s,
                                struct mill_error *err) {
    struct mill_job_file file = {.purpose = MILL_JOB_SOUND,
                                 .bytes = answer->sound_bytes,
                                 .created_s = now_s,
                                 .batch = item->batch};
    snprintf(file.id, sizeof file.id, "%s", answer->sound);
    snprintf(file.owner, sizeof file.owner, "%s", item->owner);
    snprintf(file.name, sizeof file.name, "%.240s.%s", item->custom_id, answer->ending);
    return mill_job_insert_file(store, &file, err);
}

/* MILL_DONE: nobody wants it any more. */
static mill_status settle(struct mill_job_store *store, const struct mill_job_item *item,
                          const struct mill_job_answer *answer, int64_t now_s,
                          struct mill_error *err) {
    struct mill_database *db = &store->db;
    bool done = answer->sound != NULL;
    MILL_TRY(forget(store, item, err));
    MILL_TRY(mill_database_run(
        db, err,
        "UPDATE items SET state=?3, answer=?4 WHERE batch=?1 AND line=?2 AND state=0 AND"
        " (SELECT state FROM batches WHERE number=?1)=1",
        "iiit", item->batch, item->line, (int64_t)(done ? MILL_JOB_DONE : MILL_JOB_REFUSED),
        answer->line));
    if (sqlite3_changes(db->handle) == 0)
        return MILL_DONE;
    if (done)
        MILL_TRY(insert_sound(store, item, answer, now_s, err));
    MILL_TRY(grow_results(store, item->batch, done, (int64_t)strlen(answer->line) + 1, now_s, err));
    MILL_TRY(mill_database_run(db, err,
                               done ? "UPDATE batches SET n_completed=n_completed+1 WHERE number=?"
                                    : "UPDATE batches SET n_failed=n_failed+1 WHERE number=?",
                               "i", item->batch));
    int64_t n_left = 0;
    MILL_TRY(mill_database_ask_number(
        db, &n_left, err, "SELECT n_total-n_completed-n_failed FROM batches WHERE number=?", "i",
        item->batch));
    return n_left > 0 ? MILL_OK
                      : mill_job_enter_state(store, item->batch, MILL_JOB_COMPLETED, now_s, err);
}

mill_status mill_job_store_settle_item(struct mill_job_store *store,
                                       const struct mill_job_item *item,
                                       const struct mill_job_answer *answer, int64_t now_s,
                                       struct mill_error *err) {
    MILL_TRY(mill_job_begin_change(store, err));
    mill_status status = settle(store, item, answer, now_s, err);
    if (status >= 0)
        give_back(store, item);
    status = mill_job_end_change(store, status, err);
    char *path =
        status == MILL_DONE && answer->sound ? mill_job_file_path(store, answer->sound) : NULL;
    if (path)
        unlink(path);
    free(path);
    return status < 0 ? status : MILL_OK;
}
