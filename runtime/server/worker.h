/* worker.h - a thread for what takes time and is not speech: cloning, files that must be durable.
 *
 * A task stands behind a call (call.h): it is done on the worker's thread, in order of arrival,
 * then answers on an HTTP thread. It owns all it needs, for its client may leave before it is done;
 * what nobody waits for any more is not begun. */
#ifndef MILL_SERVER_WORKER_H
#define MILL_SERVER_WORKER_H

#include "runtime/server/call.h"

#include <stdbool.h>

struct mill_worker;

/* The first member of what a task needs; private but for the functions, which its owner sets. */
struct mill_task {
    /* On the worker's thread; `call` may not be used. */
    void (*work)(struct mill_task *task);
    /* On an HTTP thread: reply, or let the call wait for another job. Last of all before free. */
    void (*answer)(struct mill_call *call, struct mill_task *task);
    void (*free)(struct mill_task *task);
    struct mill_worker *worker;
    struct mill_call *call;
    struct mill_task *next;
    bool done, left; /* guarded by the worker's lock */
};

mill_status mill_worker_open(struct mill_worker **out, struct mill_error *err);
/* All tasks' calls must be over. NULL is fine. */
void mill_worker_close(struct mill_worker *worker);

/* The call waits for the task, which is taken: also when too many wait, the call being refused
 * then.
 */
void mill_worker_submit(struct mill_worker *worker, struct mill_call *call,
                        struct mill_task *taken);

#endif
