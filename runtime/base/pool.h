/* pool.h - a few threads that work through numbered tasks of one kind at a time.
 *
 * For operators that take tens of microseconds and come by the hundred per step: between two runs
 * the workers spin for a short while before they sleep, so that a run starts in about a microsecond
 * when work is dense and costs nothing when it is not. Tasks are handed out by number from one
 * counter; which worker gets which task, and whether it gets any, is not defined, so a task's
 * result must not depend on it. One thread owns the pool and calls run; it works too. */
#ifndef MILL_BASE_POOL_H
#define MILL_BASE_POOL_H

#include "runtime/base/status.h"

struct mill_pool;

/* `task` counts from 0; `worker` from 0 to workers - 1, each in one task at a time (for scratch
 * memory). */
typedef void mill_pool_task(void *context, int task, int worker);

/* n_workers >= 1, the caller included; 0 = one per available processor. */
mill_status mill_pool_open(struct mill_pool **out, int n_workers, struct mill_error *err);
void mill_pool_close(struct mill_pool *pool);
int mill_pool_workers(const struct mill_pool *pool);

/* Run tasks 0 .. n_tasks - 1 and return when all are done. Never allocates. */
void mill_pool_run(struct mill_pool *pool, mill_pool_task *task, void *context, int n_tasks);

#endif
