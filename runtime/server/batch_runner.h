/* batch_runner.h - the thread that speaks what batches ask for, when nobody who listens waits.
 *
 * It takes requests from the store of jobs, as many at once as the devices have room for beside
 * live ones: it takes another only while no utterance waits for a device, and at the lowest
 * priority, so that whoever listens goes before. Each request's sound becomes a file of the store;
 * then its answer is settled. What it had under way when the process ended is begun again by the
 * next one. */
#ifndef MILL_SERVER_BATCH_RUNNER_H
#define MILL_SERVER_BATCH_RUNNER_H

#include "runtime/base/status.h"

#include <stdbool.h>

struct mill_batch_runner;
struct mill_server;

/* The server has a store of jobs, and takes work. */
mill_status mill_batch_runner_open(struct mill_batch_runner **out, struct mill_server *server,
                                   struct mill_error *err);
/* There is something new in the store. Any thread. */
void mill_batch_runner_wake(struct mill_batch_runner *runner);
/* What is under way is given back; at once, without waiting for it. */
void mill_batch_runner_stop(struct mill_batch_runner *runner);
bool mill_batch_runner_is_over(struct mill_batch_runner *runner);
void mill_batch_runner_close(struct mill_batch_runner *runner); /* NULL is fine */

#endif
