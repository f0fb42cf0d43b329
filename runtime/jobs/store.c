/* store.c - see store.h: the folder, the tables, opening and closing. */
#include "runtime/base/file.h"
#include "runtime/base/hex.h"
#include "runtime/base/memory.h"
#include "runtime/jobs/store_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* An empty database has some tens of kilobytes. */
enum { SCHEMA = 3, MIN_DATABASE_BYTES = 1 << 20 };

/* What makes each schema of the one before. entered_0, ... are the times of the states; an item's
 * line is kept by its place in the input; under_way are items that were taken, should the process
 * end meanwhile. */
static const struct {
    int64_t schema;
    const char *sql;
} steps[] = {
    {1,
     "CREATE TABLE files(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
     " owner TEXT NOT NULL, name TEXT NOT NULL, purpose INTEGER NOT NULL, bytes INTEGER NOT NULL,"
     " created_s INTEGER NOT NULL, batch INTEGER NOT NULL)"},
    {1, "CREATE INDEX files_of_owners ON files(owner, purpose, number)"},
    {1, "CREATE INDEX listed_files ON files(owner, number) WHERE purpose<2"},
    {1, "CREATE INDEX files_of_batches ON files(batch) WHERE batch<>0"},
    {1, "CREATE TABLE batches(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " owner TEXT NOT NULL, input_file TEXT NOT NULL, output_file TEXT NOT NULL DEFAULT '',"
        " error_file TEXT NOT NULL DEFAULT '', window TEXT NOT NULL, state INTEGER NOT NULL,"
        " expires_s INTEGER NOT NULL, n_total INTEGER NOT NULL DEFAULT 0,"
        " n_completed INTEGER NOT NULL DEFAULT 0, n_failed INTEGER NOT NULL DEFAULT 0,"
        " metadata TEXT, errors TEXT, entered_0 INTEGER NOT NULL DEFAULT 0,"
        " entered_1 INTEGER NOT NULL DEFAULT 0, entered_2 INTEGER NOT NULL DEFAULT 0,"
        " entered_3 INTEGER NOT NULL DEFAULT 0, entered_4 INTEGER NOT NULL DEFAULT 0,"
        " entered_5 INTEGER NOT NULL DEFAULT 0, entered_6 INTEGER NOT NULL DEFAULT 0)"},
    {1, "CREATE INDEX batches_of_owners ON batches(owner, number)"},
    {1, "CREATE INDEX open_batches ON batches(state, number) WHERE state<3"},
    {1, "CREATE TABLE items(batch INTEGER NOT NULL, line INTEGER NOT NULL, at INTEGER NOT NULL,"
        " bytes INTEGER NOT NULL, custom_id TEXT NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
        " n_attempts INTEGER NOT NULL DEFAULT 0, answer TEXT, PRIMARY KEY(batch, line)) WITHOUT "
        "ROWID"},
    {1, "CREATE UNIQUE INDEX item_ids ON items(batch, custom_id)"},
    {1, "CREATE INDEX waiting_items ON items(batch, line) WHERE state=0"},
    {2, "CREATE TABLE under_way(batch INTEGER NOT NULL, line INTEGER NOT NULL, PRIMARY KEY(batch, "
        "line)) WITHOUT ROWID"},
    {3, "ALTER TABLE files ADD COLUMN expires_s INTEGER NOT NULL DEFAULT 0"},
    {3, "ALTER TABLE batches ADD COLUMN output_lifetime_s INTEGER NOT NULL DEFAULT 0"},
    {3, "CREATE INDEX uploads ON files(created_s) WHERE batch=0"},
    {3, "CREATE INDEX expiring_files ON files(expires_s) WHERE expires_s>0"},
    {3, "CREATE INDEX batches_that_are_over ON batches(" MILL_JOB_ENDED_S ") WHERE state>2"},
    {3, "PRAGMA user_version=3"},
};
_Static_assert(MILL_JOB_STATE_COUNT == 7 && MILL_JOB_COMPLETED == 3 && MILL_JOB_SOUND == 2,
               "the tables say so");

/* ------------------------------------------------------------------ what all parts share */

const char *mill_job_purpose_text(enum mill_job_purpose purpose) {
    static const char *const texts[] = {
#define X(name, text) text,
        MILL_JOB_PURPOSE_MAP(X)
#undef X
    };
    return texts[purpose];
}

const char *mill_job_state_text(enum mill_job_state state) {
    static const char *const texts[] = {
#define X(name, text) text,
        MILL_JOB_STATE_MAP(X)
#undef X
    };
    return texts[state];
}

void mill_job_batch_deinit(struct mill_job_batch *batch) {
    free(batch->metadata);
    free(batch->errors);
    *batch = (struct mill_job_batch){0};
}

void mill_job_item_deinit(struct mill_job_item *item) {
    free(item->text);
    *item = (struct mill_job_item){0};
}

mill_status mill_job_make_id(const char *prefix, char id[MILL_JOB_ID_BYTES],
                             struct mill_error *err) {
    enum { RANDOM_BYTES = 12 };
    size_t n = strlen(prefix);
    memcpy(id, prefix, n);
    return mill_hex_random(id + n, RANDOM_BYTES) ? MILL_OK
                                                 : mill_fail(err, MILL_E_IO, "no random numbers");
}

mill_status mill_job_begin_change(struct mill_job_store *store, struct mill_error *err) {
    pthread_mutex_lock(&store->lock);
    store->change_bytes = 0;
    mill_status status = mill_database_begin(&store->db, err);
    if (status < 0)
        pthread_mutex_unlock(&store->lock);
    return status;
}

mill_status mill_job_end_change(struct mill_job_store *store, mill_status status,
                                struct mill_error *err) {
    status = mill_database_end(&store->db, status, err);
    if (status >= 0)
        store->bytes += store->change_bytes;
    pthread_mutex_unlock(&store->lock);
    return status;
}

mill_status mill_job_check_room(struct mill_job_store *store, struct mill_error *err) {
    int64_t bytes = 0, maximum = store->limits.max_bytes;
    if (maximum < MIN_DATABASE_BYTES)
        maximum = MIN_DATABASE_BYTES;
    MILL_TRY(mill_database_ask_number(
        &store->db, &bytes, err,
        "SELECT (page_count-freelist_count)*page_size FROM pragma_page_count, "
        "pragma_freelist_count, pragma_page_size",
        ""));
    return bytes < maximum ? MILL_OK
                           : mill_fail(err, MILL_E_FULL,
                                       "the batches of the store of jobs have "
                                       "their %lld bytes: remove results of some",
                                       (long long)maximum);
}

mill_status mill_job_unknown(const char *what, struct mill_error *err) {
    return mill_fail(err, MILL_E_NOT_FOUND, "there is no such %s", what);
}

char *mill_job_file_path(const struct mill_job_store *store, const char *id) {
    return mill_path_join(store->files, id);
}

static mill_status take_rows(struct mill_database *db, const struct mill_job_list *list,
                             const struct mill_job_page *page, char *rows, size_t *n, bool *more,
                             struct mill_error *err) {
    sqlite3_stmt *statement;
    int64_t number = page->oldest_first ? 0 : INT64_MAX;
    mill_status status = MILL_OK;
    if (page->after[0])
        status =
            mill_database_ask_number(db, &number, err, list->find, "tt", page->owner, page->after);
    if (status == MILL_DONE)
        return mill_fail(err, MILL_E_NOT_FOUND, "after: it is not there, or not any more");
    MILL_TRY(status);
    MILL_TRY(mill_database_ask(db, &statement, err,
                               page->oldest_first ? list->oldest_first : list->newest_first, "tii",
                               page->owner, number, (int64_t)page->limit + 1));
    while ((status = mill_database_step(db, statement, err)) == MILL_OK) {
        *more = *n == (size_t)page->limit;
        if (*more || (status = list->take(statement, rows + *n * list->row_bytes, err)) < 0)
            break;
        ++*n;
    }
    sqlite3_finalize(statement);
    return status;
}

mill_status mill_job_list_page(struct mill_job_store *store, const struct mill_job_list *list,
                               const struct mill_job_page *page, void **out, size_t *n, bool *more,
                               struct mill_error *err) {
    char *rows = mill_alloc_array((size_t)page->limit, list->row_bytes);
    *out = rows;
    *n = 0;
    *more = false;
    if (!rows)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    pthread_mutex_lock(&store->view_lock);
    mill_status status = take_rows(&store->view, list, page, rows, n, more, err);
    pthread_mutex_unlock(&store->view_lock);
    if (status >= 0)
        return MILL_OK;
    while (*n > 0)
        list->deinit(rows + --*n * list->row_bytes);
    free(rows);
    *out = NULL;
    return status;
}

/* ------------------------------------------------------------------ open, close */

static mill_status lock_folder(struct mill_job_store *store, const char *folder,
                               struct mill_error *err) {
    store->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->folder_fd < 0)
        return mill_fail(err, MILL_E_IO, "'%s': %s", folder, strerror(errno));
    if (flock(store->folder_fd, LOCK_EX | LOCK_NB) == 0)
        return MILL_OK;
    if (errno != EWOULDBLOCK)
        return mill_fail(err, MILL_E_IO, "'%s': it cannot be locked: %s", folder, strerror(errno));
    mill_fail(err, MILL_AGAIN, "'%s' is in use by another process", folder);
    return MILL_AGAIN;
}

static mill_status make_folders(struct mill_job_store *store, const char *folder,
                                struct mill_error *err) {
    store->files = mill_path_join(folder, "files");
    if (!store->files)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    return mill_folder_make(store->files, err);
}

static mill_status make_tables(struct mill_job_store *store, struct mill_error *err) {
    struct mill_database *db = &store->db;
    int64_t version = 0;
    MILL_TRY(mill_database_ask_number(db, &version, err, "PRAGMA user_version", ""));
    if (version > SCHEMA)
        return mill_fail(err, MILL_E_UNSUPPORTED, "'%s' was made by a newer version", db->path);
    if (version == SCHEMA)
        return MILL_OK;
    MILL_TRY(mill_database_begin(db, err));
    mill_status status = MILL_OK;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == MILL_OK; i++)
        if (steps[i].schema > version)
            status = mill_database_run(db, err, steps[i].sql, "");
    return mill_database_end(db, status, err);
}

/* What was under way when the last process ended was tried in vain. */
static mill_status count_attempts(struct mill_database *db, struct mill_error *err) {
    MILL_TRY(mill_database_begin(db, err));
    mill_status status = mill_database_run(
        db, err, "UPDATE items SET n_attempts=n_attempts+1 WHERE (batch, line) IN under_way", "");
    if (status == MILL_OK)
        status = mill_database_run(db, err, "DELETE FROM under_way", "");
    return mill_database_end(db, status, err);
}

/* Bytes that no row knows: of a process that died between the one and the other. */
static mill_status sweep(struct mill_job_store *store, struct mill_error *err) {
    DIR *dir = opendir(store->files);
    if (!dir)
        return mill_fail(err, MILL_E_IO, "'%s': %s", store->files, strerror(errno));
    mill_status status = MILL_OK;
    for (struct dirent *entry; status >= 0 && (entry = readdir(dir));) {
        struct mill_job_file file;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        status = mill_job_find_file(&store->db, NULL, entry->d_name, &file, err);
        if (status == MILL_E_NOT_FOUND)
            status = unlinkat(dirfd(dir), entry->d_name, 0) == 0
                         ? MILL_OK
                         : mill_fail(err, MILL_E_IO, "'%s/%s': %s", store->files, entry->d_name,
                                     strerror(errno));
    }
    closedir(dir);
    return status;
}

static mill_status open_parts(struct mill_job_store *store, const char *folder,
                              struct mill_error *err) {
    MILL_TRY(make_folders(store, folder, err));
    mill_status status = lock_folder(store, folder, err);
    if (status != MILL_OK)
        return status;
    if (fchmod(store->folder_fd, 0700) != 0)
        return mill_fail(err, MILL_E_IO, "'%s': %s", folder, strerror(errno));
    char *path = mill_path_join(folder, "jobs.db");
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    status = mill_database_open(&store->db, path, true, err);
    if (status == MILL_OK)
        status = make_tables(store, err);
    if (status == MILL_OK)
        status = mill_database_open(&store->view, path, false, err);
    free(path);
    MILL_TRY(status);
    MILL_TRY(count_attempts(&store->db, err));
    MILL_TRY(mill_database_run(&store->db, err,
                               "CREATE TEMP TABLE taken(batch INTEGER NOT NULL, line INTEGER NOT "
                               "NULL, PRIMARY KEY(batch, line)) WITHOUT ROWID",
                               ""));
    int64_t bytes = 0;
    MILL_TRY(mill_database_ask_number(&store->db, &bytes, err,
                                      "SELECT COALESCE(SUM(bytes),0) FROM files", ""));
    store->bytes = bytes;
    return sweep(store, err);
}

mill_status mill_job_store_open(struct mill_job_store **out, const char *folder,
                                const struct mill_job_limits *limits, struct mill_error *err) {
    struct mill_job_store *store = mill_alloc_array(1, sizeof *store);
    if (!store)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    store->limits = *limits;
    store->folder_fd = -1;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->view_lock, NULL);
    mill_status status = open_parts(store, folder, err);
    if (status != MILL_OK) {
        mill_job_store_close(store);
        return status == MILL_AGAIN ? status : mill_context(err, status, "the store of jobs");
    }
    *out = store;
    return MILL_OK;
}

void mill_job_store_close(struct mill_job_store *store) {
    if (!store)
        return;
    mill_database_close(&store->view);
    mill_database_close(&store->db);
    if (store->folder_fd >= 0)
        close(store->folder_fd);
    free(store->files);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->view_lock);
    free(store);
}

mill_status mill_job_store_get_totals(struct mill_job_store *store, struct mill_job_totals *out,
                                      struct mill_error *err) {
    *out = (struct mill_job_totals){0};
    pthread_mutex_lock(&store->view_lock);
    mill_status status = mill_database_ask_number(&store->view, &out->n_open, err,
                                                  "SELECT COUNT(*) FROM batches WHERE state<3", "");
    if (status >= 0)
        status = mill_database_ask_number(
            &store->view, &out->n_waiting, err,
            "SELECT COALESCE(SUM(n_total-n_completed-n_failed),0) FROM batches WHERE state<3", "");
    pthread_mutex_unlock(&store->view_lock);
    out->bytes = store->bytes;
    return status < 0 ? status : MILL_OK;
}
