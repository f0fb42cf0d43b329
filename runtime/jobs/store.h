/* store.h - uploaded files and batches of requests, as the disk keeps them: SQLite for what is
 * known, a folder for bytes.
 *
 *   DIR/jobs.db              files, batches, one row for each request of a batch and its answer
 *   DIR/files/file-...       what was uploaded, and the sound of each request, whole or not there
 *
 * A batch lives through these states; a process that dies takes it up where it was:
 *
 *     VALIDATING ──► IN_PROGRESS ──► COMPLETED         every request has an answer
 *         │               ├───────── ► EXPIRED         its time was over before
 *         ▼               └► CANCELLING ─► CANCELLED
 *       FAILED   a line of its input is none; `errors` names it
 *
 * Requests are taken by one runner, spoken, and settled. What a process had taken when it ended is
 * to be taken again, and counts as tried, so that a request that ends processes is not tried for
 * ever; what is settled is on the disk before settle returns, and its sound was there before it.
 * Answers are kept as the lines of the batch's two results files, which are views of the rows: in
 * the order of the input, readable at any time.
 *
 * What nobody needs any more is retired when it is as old as may be, or its owner wished so:
 * uploads from their making on, batches with their results and sounds from their end on.
 *
 * Who owns a file or batch is a name, and no other name sees it. Any thread. Changes wait for one
 * another and for the disk; looking (get, list, read, open) does neither: it has a connection of
 * its own, and takes as long as reading a few pages. After a failure of the disk that leaves it
 * unknown what is durable, every change fails until the store is opened again. */
#ifndef MILL_JOBS_STORE_H
#define MILL_JOBS_STORE_H

#include "runtime/base/buffer.h"
#include "runtime/jobs/store_types.h"

#include <stdbool.h>

struct mill_job_store;

struct mill_job_limits {
    int64_t max_bytes;      /* of all files together; the database may have as many */
    int64_t max_lines;      /* of a batch */
    int64_t max_line_bytes; /* of each */
    int64_t max_age_s;      /* of uploads, and of batches that are over; 0 = for ever */
};

/* The folder is made where it is not there. MILL_AGAIN, with a message, while another process has
 * it. */
mill_status mill_job_store_open(struct mill_job_store **out, const char *folder,
                                const struct mill_job_limits *limits, struct mill_error *err);
void mill_job_store_close(struct mill_job_store *store); /* NULL is fine */

/* ------------------------------------------------------------------ files */

/* An upload: owner, name and expires_s are given, the rest is filled in. Durable when it returns.
 * MILL_E_FULL when disk or store are full. */
mill_status mill_job_store_add_file(struct mill_job_store *store, struct mill_job_file *file,
                                    const void *data, size_t size, int64_t now_s,
                                    struct mill_error *err);
/* MILL_E_NOT_FOUND also for others' files. */
mill_status mill_job_store_get_file(struct mill_job_store *store, const char *owner, const char *id,
                                    struct mill_job_file *out, struct mill_error *err);
/* With results, the sounds they speak of go too. MILL_E_INPUT while a batch needs it. */
mill_status mill_job_store_remove_file(struct mill_job_store *store, const char *owner,
                                       const char *id, struct mill_error *err);
/* When it goes by itself, at the earliest; 0 = never, or not known before its batch is over. */
int64_t mill_job_store_get_expiry(const struct mill_job_store *store,
                                  const struct mill_job_file *file);
/* *out is the caller's to free. MILL_E_NOT_FOUND when what page->after names is not there. */
mill_status mill_job_store_list_files(struct mill_job_store *store,
                                      const struct mill_job_page *page, struct mill_job_file **out,
                                      size_t *n, bool *more, struct mill_error *err);
/* Its bytes; *fd is the caller's. Not for results. */
mill_status mill_job_store_open_file(struct mill_job_store *store, const struct mill_job_file *file,
                                     int *fd, struct mill_error *err);
/* Lines of results behind line *at (0 = from the first), as many as fit into some tens of
 * kilobytes, behind what `out` holds. MILL_DONE when there are no more now. */
mill_status mill_job_store_read_results(struct mill_job_store *store,
                                        const struct mill_job_file *file, int64_t *at,
                                        struct mill_buffer *out, struct mill_error *err);

/* ------------------------------------------------------------------ batches */

/* Owner, input_file, window, expires_s, output_lifetime_s and metadata are given, the rest is
 * filled in. MILL_E_NOT_FOUND when there is no such file, MILL_E_FULL when the database has no
 * room. */
mill_status mill_job_store_add_batch(struct mill_job_store *store, struct mill_job_batch *batch,
                                     int64_t now_s, struct mill_error *err);
mill_status mill_job_store_get_batch(struct mill_job_store *store, const char *owner,
                                     const char *id, struct mill_job_batch *out,
                                     struct mill_error *err);
/* As of files; each is to be deinitialised. */
mill_status mill_job_store_list_batches(struct mill_job_store *store,
                                        const struct mill_job_page *page,
                                        struct mill_job_batch **out, size_t *n, bool *more,
                                        struct mill_error *err);
/* MILL_E_INPUT for one that is over. */
mill_status mill_job_store_cancel_batch(struct mill_job_store *store, const char *owner,
                                        const char *id, int64_t now_s, struct mill_error *err);

/* ------------------------------------------------------------------ the runner's side */

/* What time and cancellations make of batches; and one of those that wait for it is validated.
 * MILL_DONE when none does. */
mill_status mill_job_store_turn(struct mill_job_store *store, int64_t now_s,
                                struct mill_error *err);
struct mill_job_retired {
    int64_t n_files, n_batches;
};
/* Some of what is too old goes; MILL_DONE when there is nothing, and a part of what the database
 * does not need any more is the disk's again. */
mill_status mill_job_store_retire(struct mill_job_store *store, int64_t now_s,
                                  struct mill_job_retired *out, struct mill_error *err);
/* The next request: of the batch behind *batch (0 = the first), in a circle, whose owner may have
 * one now (NULL = all may), its first that is not taken. MILL_DONE when there is none. */
mill_status mill_job_store_take_item(struct mill_job_store *store,
                                     bool (*may_have)(void *context, const char *owner),
                                     void *context, int64_t *batch, struct mill_job_item *out,
                                     struct mill_error *err);
/* Not done: somebody may take it again. `failed`: it was tried, and that counts. */
void mill_job_store_put_item(struct mill_job_store *store, const struct mill_job_item *item,
                             bool failed);
/* Is its answer still wanted? Not once its batch is over. */
bool mill_job_store_wants_item(struct mill_job_store *store, const struct mill_job_item *item);
/* A new name for its sound: the path to write it to, in new memory. */
mill_status mill_job_store_name_sound(struct mill_job_store *store, char id[MILL_JOB_ID_BYTES],
                                      char **path, struct mill_error *err);
/* The path of one that has a name, in new memory; NULL when it is short. */
char *mill_job_store_sound_path(const struct mill_job_store *store, const char *id);
/* Its answer is durable when this returns; on failure it may be settled again, or put back. A sound
 * that is not wanted any more is removed. */
mill_status mill_job_store_settle_item(struct mill_job_store *store,
                                       const struct mill_job_item *item,
                                       const struct mill_job_answer *answer, int64_t now_s,
                                       struct mill_error *err);

struct mill_job_totals {
    int64_t n_open;    /* batches that are not over */
    int64_t n_waiting; /* requests of these without an answer */
    int64_t bytes;     /* of all files */
};
mill_status mill_job_store_get_totals(struct mill_job_store *store, struct mill_job_totals *out,
                                      struct mill_error *err);

#endif
