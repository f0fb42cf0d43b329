/* store_state.h - the job store's insides, for store*.c alone. */
#ifndef MILL_JOBS_STORE_STATE_H
#define MILL_JOBS_STORE_STATE_H

#include "runtime/jobs/database.h"
#include "runtime/jobs/store.h"

#include <pthread.h>

/* `lock` guards what changes, `view_lock` the connection that looks; nobody holds both. */
struct mill_job_store {
    struct mill_job_limits limits;
    char *files;   /* owned: the folder of bytes */
    int folder_fd; /* locked: one process at a time */
    pthread_mutex_t lock, view_lock;
    struct mill_database db, view;
    _Atomic int64_t bytes; /* of all files */
    int64_t change_bytes;  /* what the change under way makes of them */
};

/* When a batch was over, in SQL; 0 = it is not. An index has it. */
#define MILL_JOB_ENDED_S "max(entered_3,entered_4,entered_5,entered_6)"

/* How a request stands. */
enum mill_job_item_state { MILL_JOB_WAITING, MILL_JOB_DONE, MILL_JOB_REFUSED };

/* A change, whole or not at all: from a MILL_OK of begin to end it has the lock. Its end gives the
 * status on, or says why it was not kept. */
mill_status mill_job_begin_change(struct mill_job_store *store, struct mill_error *err);
mill_status mill_job_end_change(struct mill_job_store *store, mill_status status,
                                struct mill_error *err);
/* MILL_E_FULL when the database is so large that no batch may come to it. */
mill_status mill_job_check_room(struct mill_job_store *store, struct mill_error *err);
mill_status mill_job_unknown(const char *what, struct mill_error *err);
/* In new memory; NULL when it is short. */
char *mill_job_file_path(const struct mill_job_store *store, const char *id);
void mill_job_remove_bytes(const struct mill_job_store *store, const char *id);
mill_status mill_job_insert_file(struct mill_job_store *store, struct mill_job_file *file,
                                 struct mill_error *err);
/* Of any owner (NULL), on either connection. */
mill_status mill_job_find_file(struct mill_database *db, const char *owner, const char *id,
                               struct mill_job_file *out, struct mill_error *err);
/* Pages of a list: what a row is, and how it is read. */
struct mill_job_list {
    const char *find, *newest_first, *oldest_first; /* SQL, as MILL_JOB_LIST makes it */
    size_t row_bytes;
    mill_status (*take)(sqlite3_stmt *statement, void *row, struct mill_error *err);
    void (*deinit)(void *row);
};
/* `which` (begins with AND, or is empty) and the order must have an index: there may be a million
 * rows. */
#define MILL_JOB_LIST(columns, table, which)                                                       \
    .find = "SELECT number FROM " table " WHERE owner=? AND id=?",                                 \
    .newest_first = "SELECT " columns " FROM " table " WHERE owner=?" which                        \
                    " AND number<? ORDER BY number DESC LIMIT ?",                                  \
    .oldest_first = "SELECT " columns " FROM " table " WHERE owner=?" which                        \
                    " AND number>? ORDER BY number LIMIT ?"
/* *out is the caller's to free, as are its rows. */
mill_status mill_job_list_page(struct mill_job_store *store, const struct mill_job_list *list,
                               const struct mill_job_page *page, void **out, size_t *n, bool *more,
                               struct mill_error *err);
mill_status mill_job_enter_state(struct mill_job_store *store, int64_t batch,
                                 enum mill_job_state state, int64_t now_s, struct mill_error *err);
/* The lines of a batch that waits for it become requests, or faults. Inside a transaction. */
mill_status mill_job_validate_batch(struct mill_job_store *store,
                                    const struct mill_job_batch *batch, int64_t now_s,
                                    struct mill_error *err);

#endif
