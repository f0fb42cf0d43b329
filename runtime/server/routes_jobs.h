/* routes_jobs.h - what the routes of files and of batches share; functions in routes_files.c. */
#ifndef MILL_SERVER_ROUTES_JOBS_H
#define MILL_SERVER_ROUTES_JOBS_H

#include "runtime/base/memory.h"
#include "runtime/server/file_task.h"

/* False with the call refused: this server has no batches. */
bool mill_jobs_ready(struct mill_call *call);
/* A failure of the store as a client hears of it; the log hears more. */
void mill_jobs_explain(struct mill_server *server, mill_status status, const struct mill_error *err,
                       struct mill_problem *problem);
void mill_jobs_refuse(struct mill_call *call, mill_status status, const struct mill_error *err);
/* Seconds that something is to be kept: {"anchor": "created_at", "seconds": ...}, as OpenAI has it;
 * false with *problem filled in. */
bool mill_jobs_check_lifetime(const char *field, const char *anchor, int64_t seconds,
                              struct mill_problem *problem);
/* Of a list: `after`, `order` and `limit`; false with the call refused. */
bool mill_jobs_read_page(struct mill_call *call, int usual, int most, struct mill_job_page *out);
/* Why there is no such page. */
void mill_jobs_refuse_page(struct mill_call *call, mill_status status,
                           const struct mill_error *err);
/* A change on the jobs' worker, with its owner; NULL with the call refused. */
struct mill_file_task *mill_jobs_new_task(struct mill_call *call,
                                          void (*run)(struct mill_file_task *task));

#endif
