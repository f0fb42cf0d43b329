/* store_batches.c - see store.h: batches from their making to their end, but for what becomes of
 * single requests. */
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"
#include "runtime/jobs/batch_line.h"
#include "runtime/jobs/store_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many faults are told of a batch. */
enum { MAX_FAULTS = 20 };

#define COLUMNS                                                                                    \
    "number,id,owner,input_file,output_file,error_file,window,state,expires_s,n_total,"            \
    "n_completed,n_failed,metadata,errors,entered_0,entered_1,entered_2,entered_3,entered_4,"      \
    "entered_5,entered_6"

/* ------------------------------------------------------------------ rows */

/* A copy of a column's text in new memory; NULL where it is null. */
static mill_status keep_text(sqlite3_stmt *statement, int column, char **out,
                             struct mill_error *err) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    *out = text ? strdup(text) : NULL;
    return text && !*out ? mill_fail(err, MILL_E_MEMORY, "no memory") : MILL_OK;
}

static void deinit_batch(void *batch) {
    mill_job_batch_deinit(batch);
}

static mill_status take_batch(sqlite3_stmt *s, void *batch, struct mill_error *err) {
    enum { STATE = 7, METADATA = 12, ERRORS, ENTERED };
    struct mill_job_batch *out = batch;
    *out = (struct mill_job_batch){.number = sqlite3_column_int64(s, 0),
                                   .state = (enum mill_job_state)sqlite3_column_int(s, STATE),
                                   .expires_s = sqlite3_column_int64(s, 8),
                                   .n_total = sqlite3_column_int64(s, 9),
                                   .n_completed = sqlite3_column_int64(s, 10),
                                   .n_failed = sqlite3_column_int64(s, 11)};
    mill_database_copy_text(s, 1, out->id, sizeof out->id);
    mill_database_copy_text(s, 2, out->owner, sizeof out->owner);
    mill_database_copy_text(s, 3, out->input_file, sizeof out->input_file);
    mill_database_copy_text(s, 4, out->output_file, sizeof out->output_file);
    mill_database_copy_text(s, 5, out->error_file, sizeof out->error_file);
    mill_database_copy_text(s, 6, out->window, sizeof out->window);
    for (int i = 0; i < MILL_JOB_STATE_COUNT; i++)
        out->entered_s[i] = sqlite3_column_int64(s, ENTERED + i);
    mill_status status = keep_text(s, METADATA, &out->metadata, err);
    if (status == MILL_OK)
        status = keep_text(s, ERRORS, &out->errors, err);
    if (status < 0)
        mill_job_batch_deinit(out);
    return status;
}

static mill_status find_batch(struct mill_database *db, const char *owner, const char *id,
                              struct mill_job_batch *out, struct mill_error *err) {
    sqlite3_stmt *statement;
    MILL_TRY(mill_database_ask(db, &statement, err,
                               "SELECT " COLUMNS " FROM batches WHERE id=? AND owner=?", "tt", id,
                               owner));
    mill_status status = mill_database_step(db, statement, err);
    if (status == MILL_OK)
        status = take_batch(statement, out, err);
    sqlite3_finalize(statement);
    return status == MILL_DONE ? mill_job_unknown("batch", err) : status;
}

mill_status mill_job_enter_state(struct mill_job_store *store, int64_t batch,
                                 enum mill_job_state state, int64_t now_s, struct mill_error *err) {
    char sql[96];
    snprintf(sql, sizeof sql, "UPDATE batches SET state=?, entered_%d=? WHERE number=?",
             (int)state);
    MILL_TRY(mill_database_run(&store->db, err, sql, "iii", (int64_t)state, now_s, batch));
    if (state < MILL_JOB_COMPLETED)
        return MILL_OK;
    return mill_database_run(
        &store->db, err,
        "UPDATE files SET expires_s=?1+(SELECT output_lifetime_s FROM batches WHERE number=?2)"
        " WHERE id IN (SELECT output_file FROM batches WHERE number=?2 AND output_lifetime_s>0 "
        "UNION"
        " SELECT error_file FROM batches WHERE number=?2 AND output_lifetime_s>0)",
        "ii", now_s, batch);
}

/* ------------------------------------------------------------------ what clients do */

static mill_status insert_batch(struct mill_job_store *store, struct mill_job_batch *batch,
                                struct mill_error *err) {
    struct mill_job_file file;
    MILL_TRY(mill_job_find_file(&store->db, batch->owner, batch->input_file, &file, err));
    if (file.purpose != MILL_JOB_INPUT)
        return mill_fail(err, MILL_E_INPUT, "the file's purpose is '%s', not 'batch'",
                         mill_job_purpose_text(file.purpose));
    MILL_TRY(mill_job_check_room(store, err));
    return mill_database_run(
        &store->db, err,
        "INSERT INTO batches(id,owner,input_file,window,state,expires_s,metadata,entered_0,"
        "output_lifetime_s) VALUES(?,?,?,?,?,?,?,?,?)",
        "ttttiitii", batch->id, batch->owner, batch->input_file, batch->window,
        (int64_t)MILL_JOB_VALIDATING, batch->expires_s, batch->metadata,
        batch->entered_s[MILL_JOB_VALIDATING], batch->output_lifetime_s);
}

mill_status mill_job_store_add_batch(struct mill_job_store *store, struct mill_job_batch *batch,
                                     int64_t now_s, struct mill_error *err) {
    batch->state = MILL_JOB_VALIDATING;
    batch->entered_s[MILL_JOB_VALIDATING] = now_s;
    MILL_TRY(mill_job_make_id("batch_", batch->id, err));
    MILL_TRY(mill_job_begin_change(store, err));
    return mill_job_end_change(store, insert_batch(store, batch, err), err);
}

mill_status mill_job_store_get_batch(struct mill_job_store *store, const char *owner,
                                     const char *id, struct mill_job_batch *out,
                                     struct mill_error *err) {
    pthread_mutex_lock(&store->view_lock);
    mill_status status = find_batch(&store->view, owner, id, out, err);
    pthread_mutex_unlock(&store->view_lock);
    return status;
}

mill_status mill_job_store_list_batches(struct mill_job_store *store,
                                        const struct mill_job_page *page,
                                        struct mill_job_batch **out, size_t *n, bool *more,
                                        struct mill_error *err) {
    static const struct mill_job_list list = {MILL_JOB_LIST(COLUMNS, "batches", ""),
                                              .row_bytes = sizeof **out, .take = take_batch,
                                              .deinit = deinit_batch};
    void *rows;
    mill_status status = mill_job_list_page(store, &list, page, &rows, n, more, err);
    *out = rows;
    return status;
}

static mill_status cancel(struct mill_job_store *store, const char *owner, const char *id,
                          int64_t now_s, struct mill_error *err) {
    struct mill_job_batch batch;
    MILL_TRY(find_batch(&store->db, owner, id, &batch, err));
    enum mill_job_state state = batch.state;
    int64_t number = batch.number;
    mill_job_batch_deinit(&batch);
    if (state >= MILL_JOB_COMPLETED)
        return mill_fail(err, MILL_E_INPUT, "the batch is over: %s", mill_job_state_text(state));
    return state == MILL_JOB_CANCELLING
               ? MILL_OK
               : mill_job_enter_state(store, number, MILL_JOB_CANCELLING, now_s, err);
}

mill_status mill_job_store_cancel_batch(struct mill_job_store *store, const char *owner,
                                        const char *id, int64_t now_s, struct mill_error *err) {
    MILL_TRY(mill_job_begin_change(store, err));
    return mill_job_end_change(store, cancel(store, owner, id, now_s, err), err);
}

/* ------------------------------------------------------------------ validating */

/* `line` 0: it is about none. */
static mill_status add_fault(json_t *faults, const struct mill_batch_fault *fault,
                             const char *message, size_t line, struct mill_error *err) {
    mill_json_ran_short();
    json_array_append_new(faults, json_pack("{s:s, s:s, s:s?, s:o}", "code", fault->code, "message",
                                            message, "param", fault->param, "line",
                                            line ? json_integer((json_int_t)line) : json_null()));
    return mill_json_ran_short() ? mill_fail(err, MILL_E_MEMORY, "no memory") : MILL_OK;
}

static mill_status insert_item(struct mill_job_store *store, int64_t batch, size_t line, size_t at,
                               size_t size, const char *custom_id, struct mill_error *err) {
    int64_t other = 0;
    MILL_TRY(mill_database_ask_number(&store->db, &other, err,
                                      "SELECT line FROM items WHERE batch=? AND custom_id=?", "it",
                                      batch, custom_id));
    if (other)
        return mill_fail(err, MILL_E_INPUT, "custom_id: line %lld has the same", (long long)other);
    return mill_database_run(&store->db, err,
                             "INSERT INTO items(batch,line,at,bytes,custom_id) VALUES(?,?,?,?,?)",
                             "iiiit", batch, (int64_t)line, (int64_t)at, (int64_t)size, custom_id);
}

/* The lines of its input as items; what is wrong with them into `faults`. */
static mill_status read_items(struct mill_job_store *store, int64_t batch,
                              const struct mill_mapping *input, json_t *faults, int64_t *n_items,
                              struct mill_error *err) {
    /* `err` is there, for its text becomes a fault's. */
    const char *text = (const char *)input->data, *line;
    size_t at = 0, number = 0, size;
    while (json_array_size(faults) < MAX_FAULTS &&
           mill_batch_line_next(text, input->size, &at, &number, &line, &size)) {
        struct mill_batch_fault fault = {"too_many_requests", NULL};
        json_t *root = NULL;
        mill_status status = MILL_E_INPUT;
        if (*n_items == store->limits.max_lines) {
            mill_fail(err, status, "a batch has at most %lld requests",
                      (long long)store->limits.max_lines);
            at = input->size;
        } else if ((int64_t)size > store->limits.max_line_bytes) {
            fault.code = "line_too_long";
            mill_fail(err, status, "a line has at most %lld bytes",
                      (long long)store->limits.max_line_bytes);
        } else {
            status = mill_batch_line_read(&root, line, size, &fault, err);
        }
        if (status == MILL_OK) {
            fault = (struct mill_batch_fault){"duplicate_custom_id", "custom_id"};
            status = insert_item(store, batch, number, (size_t)(line - text), size,
                                 json_string_value(json_object_get(root, "custom_id")), err);
        }
        json_decref(root);
        *n_items += status == MILL_OK;
        if (status == MILL_E_INPUT)
            status = add_fault(faults, &fault, err->text, number, err);
        MILL_TRY(status);
    }
    return MILL_OK;
}

static mill_status fail_batch(struct mill_job_store *store, int64_t batch, const json_t *faults,
                              int64_t now_s, struct mill_error *err) {
    char *text = json_dumps(faults, JSON_COMPACT);
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status =
        mill_database_run(&store->db, err, "DELETE FROM items WHERE batch=?", "i", batch);
    if (status == MILL_OK)
        status = mill_database_run(&store->db, err, "UPDATE batches SET errors=? WHERE number=?",
                                   "ti", text, batch);
    free(text);
    MILL_TRY(status);
    return mill_job_enter_state(store, batch, MILL_JOB_FAILED, now_s, err);
}

mill_status mill_job_validate_batch(struct mill_job_store *store,
                                    const struct mill_job_batch *batch, int64_t now_s,
                                    struct mill_error *err) {
    struct mill_mapping input = {0};
    struct mill_error told;
    mill_status room = mill_job_check_room(store, &told);
    if (room < 0 && room != MILL_E_FULL)
        return mill_fail(err, room, "%s", told.text);
    int64_t n_items = 0;
    json_t *faults = json_array();
    char *path = mill_job_file_path(store, batch->input_file);
    mill_status status = path && faults ? mill_mapping_open(&input, path, err)
                                        : mill_fail(err, MILL_E_MEMORY, "no memory");
    free(path);
    if (status == MILL_E_NOT_FOUND || status == MILL_E_IO) { /* it would never become better */
        status = add_fault(faults, &(struct mill_batch_fault){"input_unreadable", NULL},
                           "the input file cannot be read", 0, err);
    } else if (status == MILL_OK && room < 0) {
        status =
            add_fault(faults, &(struct mill_batch_fault){"store_full", NULL}, told.text, 0, err);
    } else if (status == MILL_OK) {
        status = read_items(store, batch->number, &input, faults, &n_items, &told);
        if (status < 0)
            mill_fail(err, status, "%s", told.text);
    }
    mill_mapping_close(&input);
    if (status == MILL_OK && n_items == 0 && json_array_size(faults) == 0)
        status = add_fault(faults, &(struct mill_batch_fault){"empty_file", NULL},
                           "the file has no lines", 0, err);
    if (status == MILL_OK && json_array_size(faults) > 0) {
        status = fail_batch(store, batch->number, faults, now_s, err);
    } else if (status == MILL_OK) {
        status = mill_database_run(&store->db, err, "UPDATE batches SET n_total=? WHERE number=?",
                                   "ii", n_items, batch->number);
        if (status == MILL_OK)
            status = mill_job_enter_state(store, batch->number, MILL_JOB_IN_PROGRESS, now_s, err);
    }
    json_decref(faults);
    return status;
}
