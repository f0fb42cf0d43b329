/* store_fixture.h - a job store in a scratch folder, and short ways to fill it. */
#ifndef MILL_TESTS_JOBS_STORE_FIXTURE_H
#define MILL_TESTS_JOBS_STORE_FIXTURE_H

#include "runtime/jobs/store.h"
#include "tests/support/bad_input.h"

enum { NOW_S = 1000000, DAY_S = 86400 };

/* An empty folder of that name; its path. */
const char *empty_folder(const char *name);
struct mill_job_store *open_store(const char *folder);
struct mill_job_store *open_store_for(const char *folder, int64_t max_age_s);
/* On its database, past a store that is open or not. */
void run_sql(const char *folder, const char *sql);
int64_t ask_sql(const char *folder, const char *sql);

/* A batch of the given lines, each `{"custom_id": NAME, ...}` for one letter of `names`; it is
 * validated. */
struct mill_job_batch begin_batch(struct mill_job_store *store, const char *owner,
                                  const char *names);
struct mill_job_batch begin_batch_of(struct mill_job_store *store, const char *owner,
                                     const char *text);
struct mill_job_batch get_batch(struct mill_job_store *store, const struct mill_job_batch *batch);
/* Takes the next request; it must be that one. */
struct mill_job_item take_item(struct mill_job_store *store, const char *custom_id);
/* Settles it, done with a sound of three bytes or failed, with a line of its name. */
void settle_item(struct mill_job_store *store, struct mill_job_item *item, bool done);
/* All lines of a results file, in the caller's memory. */
char *read_results(struct mill_job_store *store, const char *owner, const char *id);
/* Files in the store's folder of bytes. */
int count_bytes_files(const char *folder);

#endif
