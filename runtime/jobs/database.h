/* database.h - one connection to a SQLite database, with our statuses and messages.
 *
 * A statement's values follow its text: in `kinds` 'i' is an int64_t, 't' a text (NULL = null).
 * What is changed between begin and end is on the disk when end returns; a change by itself does
 * not wait for the disk: it outlives the process, and the machine only by luck. One thread at a
 * time. */
#ifndef MILL_JOBS_DATABASE_H
#define MILL_JOBS_DATABASE_H

#include "runtime/base/status.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mill_database {
    sqlite3 *handle;
    char *path;  /* owned */
    bool broken; /* a failure left it unknown what is durable */
};

/* `writes`: the file is made where it is not there. On failure close it too. */
mill_status mill_database_open(struct mill_database *db, const char *path, bool writes,
                               struct mill_error *err);
void mill_database_close(struct mill_database *db);

/* A statement that gives no rows. */
mill_status mill_database_run(struct mill_database *db, struct mill_error *err, const char *sql,
                              const char *kinds, ...);
/* One that does: step through it, then finalize it. */
mill_status mill_database_ask(struct mill_database *db, sqlite3_stmt **out, struct mill_error *err,
                              const char *sql, const char *kinds, ...);
/* MILL_OK: a row; MILL_DONE: there are no more. */
mill_status mill_database_step(struct mill_database *db, sqlite3_stmt *statement,
                               struct mill_error *err);
/* One number; MILL_DONE, *out untouched, where there is no row. */
mill_status mill_database_ask_number(struct mill_database *db, int64_t *out, struct mill_error *err,
                                     const char *sql, const char *kinds, ...);

/* Up to so many pages that nothing lies in are given back to the disk. */
mill_status mill_database_shrink(struct mill_database *db, int64_t n_pages, struct mill_error *err);

/* Everything between these is durable, or nothing of it is there. */
mill_status mill_database_begin(struct mill_database *db, struct mill_error *err);
/* `status` of what was done: a failure undoes it and is returned. */
mill_status mill_database_end(struct mill_database *db, mill_status status, struct mill_error *err);

/* A column's text, cut to fit. */
void mill_database_copy_text(sqlite3_stmt *statement, int column, char *out, size_t capacity);

#endif
