/* database.c - see database.h. */
#include "runtime/jobs/database.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 10000 };

/* Where WAL's commits are synced, and where they are not: it is whole after a crash either way. */
#define WAIT_FOR_DISK "PRAGMA synchronous=FULL"
#define WAIT_FOR_NO_DISK "PRAGMA synchronous=NORMAL"

/* What SQLite's code means. */
static mill_status fail(struct mill_database *db, int code, struct mill_error *err) {
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", db->path);
    case SQLITE_FULL:
        return mill_fail(err, MILL_E_FULL, "'%s': the disk is full", db->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        db->broken = true;
        return mill_fail(err, MILL_E_IO, "'%s' is damaged (%s): move it away to begin anew",
                         db->path, text);
    case SQLITE_IOERR:
        db->broken = true;
        break;
    default:
        break;
    }
    return mill_fail(err, MILL_E_IO, "'%s': %s", db->path, text);
}

/* ------------------------------------------------------------------ open, close */

static mill_status check_whole(struct mill_database *db, struct mill_error *err) {
    sqlite3_stmt *statement;
    MILL_TRY(mill_database_ask(db, &statement, err, "PRAGMA quick_check(1)", ""));
    mill_status status = mill_database_step(db, statement, err);
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    if (status == MILL_OK && (!text || strcmp(text, "ok") != 0))
        status = fail(db, SQLITE_CORRUPT, err);
    sqlite3_finalize(statement);
    return status;
}

/* What older versions made is written anew, once; a disk that has no room for that may have it next
 * time. The copy lies in a file, since there is no temp_store yet. */
static mill_status make_shrinkable(struct mill_database *db, struct mill_error *err) {
    enum { INCREMENTAL = 2 };
    int64_t kind = 0;
    MILL_TRY(mill_database_ask_number(db, &kind, err, "PRAGMA auto_vacuum", ""));
    if (kind == INCREMENTAL)
        return MILL_OK;
    MILL_TRY(mill_database_run(db, err, "PRAGMA auto_vacuum=INCREMENTAL", ""));
    mill_status status = mill_database_run(db, err, "VACUUM", "");
    return status == MILL_E_FULL ? MILL_OK : status;
}

mill_status mill_database_open(struct mill_database *db, const char *path, bool writes,
                               struct mill_error *err) {
    *db = (struct mill_database){.path = strdup(path)};
    if (!db->path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    int flags = writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return fail(db, code, err);
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    MILL_TRY(mill_database_run(db, err, "PRAGMA trusted_schema=OFF", ""));
    if (!writes)
        return MILL_OK;
    MILL_TRY(check_whole(db, err));
    MILL_TRY(make_shrinkable(db, err));
    MILL_TRY(mill_database_run(db, err, "PRAGMA journal_mode=WAL", ""));
    MILL_TRY(mill_database_run(db, err, WAIT_FOR_NO_DISK, ""));
    return mill_database_run(db, err, "PRAGMA temp_store=MEMORY", "");
}

void mill_database_close(struct mill_database *db) {
    sqlite3_close(db->handle);
    free(db->path);
    *db = (struct mill_database){0};
}

/* ------------------------------------------------------------------ statements */

static mill_status prepare(struct mill_database *db, sqlite3_stmt **out, struct mill_error *err,
                           const char *sql, const char *kinds, va_list values) {
    *out = NULL;
    if (db->broken)
        return mill_fail(err, MILL_E_IO, "'%s' failed before: start again", db->path);
    int code = sqlite3_prepare_v2(db->handle, sql, -1, out, NULL);
    for (int i = 0; code == SQLITE_OK && kinds[i]; i++)
        code = kinds[i] == 'i' ? sqlite3_bind_int64(*out, i + 1, va_arg(values, int64_t))
                               : sqlite3_bind_text(*out, i + 1, va_arg(values, const char *), -1,
                                                   SQLITE_TRANSIENT);
    if (code == SQLITE_OK)
        return MILL_OK;
    mill_status status = fail(db, code, err);
    sqlite3_finalize(*out);
    *out = NULL;
    return status;
}

mill_status mill_database_step(struct mill_database *db, sqlite3_stmt *statement,
                               struct mill_error *err) {
    int code = sqlite3_step(statement);
    return code == SQLITE_ROW ? MILL_OK : code == SQLITE_DONE ? MILL_DONE : fail(db, code, err);
}

mill_status mill_database_ask(struct mill_database *db, sqlite3_stmt **out, struct mill_error *err,
                              const char *sql, const char *kinds, ...) {
    va_list values;
    va_start(values, kinds);
    mill_status status = prepare(db, out, err, sql, kinds, values);
    va_end(values);
    return status;
}

/* Its first step; `number` (NULL = of no use): of the row that it gives. */
static mill_status step_once(struct mill_database *db, int64_t *number, struct mill_error *err,
                             const char *sql, const char *kinds, va_list values) {
    sqlite3_stmt *statement;
    mill_status status = prepare(db, &statement, err, sql, kinds, values);
    if (status == MILL_OK)
        status = mill_database_step(db, statement, err);
    if (status == MILL_OK && number)
        *number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

mill_status mill_database_run(struct mill_database *db, struct mill_error *err, const char *sql,
                              const char *kinds, ...) {
    va_list values;
    va_start(values, kinds);
    mill_status status = step_once(db, NULL, err, sql, kinds, values);
    va_end(values);
    return status < 0 ? status : MILL_OK; /* some pragmas answer with a row */
}

mill_status mill_database_ask_number(struct mill_database *db, int64_t *out, struct mill_error *err,
                                     const char *sql, const char *kinds, ...) {
    va_list values;
    va_start(values, kinds);
    mill_status status = step_once(db, out, err, sql, kinds, values);
    va_end(values);
    return status;
}

mill_status mill_database_shrink(struct mill_database *db, int64_t n_pages,
                                 struct mill_error *err) {
    char sql[64];
    int64_t n_free = 0;
    sqlite3_stmt *statement;
    MILL_TRY(mill_database_ask_number(db, &n_free, err, "PRAGMA freelist_count", ""));
    if (n_free == 0)
        return MILL_OK;
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%lld)", (long long)n_pages);
    MILL_TRY(mill_database_ask(db, &statement, err, sql, ""));
    mill_status status;
    do /* a page a step */
        status = mill_database_step(db, statement, err);
    while (status == MILL_OK);
    sqlite3_finalize(statement);
    return status < 0 ? status : MILL_OK;
}

mill_status mill_database_begin(struct mill_database *db, struct mill_error *err) {
    MILL_TRY(mill_database_run(db, err, WAIT_FOR_DISK, ""));
    return mill_database_run(db, err, "BEGIN IMMEDIATE", "");
}

mill_status mill_database_end(struct mill_database *db, mill_status status,
                              struct mill_error *err) {
    if (status >= 0) {
        mill_status committed = mill_database_run(db, err, "COMMIT", "");
        status = committed < 0 ? committed : status;
    }
    /* What it says is of no use: some failures have rolled back already. */
    if (status < 0 && !sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    /* If this fails, single changes wait for the disk: that harms nobody. */
    sqlite3_exec(db->handle, WAIT_FOR_NO_DISK, NULL, NULL, NULL);
    return status;
}

void mill_database_copy_text(sqlite3_stmt *statement, int column, char *out, size_t capacity) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(out, capacity, "%s", text ? text : "");
}
