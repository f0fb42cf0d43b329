/* file_task.h - a small change or look at files behind a call: done on the worker's thread,
 * answered with JSON or a problem. */
#ifndef MILL_SERVER_FILE_TASK_H
#define MILL_SERVER_FILE_TASK_H

#include "runtime/server/consents.h"
#include "runtime/server/form.h"
#include "runtime/server/server_state.h"

struct mill_file_task {
    struct mill_task task; /* first */
    struct mill_server *server;
    /* On the worker's thread: fills in `reply` or `problem`. */
    void (*run)(struct mill_file_task *task);
    char subject[MILL_CALL_PARAM_BYTES]; /* id or name that it is about: the path's, unless said */
    char after[MILL_CALL_PARAM_BYTES];   /* of a list: the id before its first */
    int limit;                           /* of a list */
    bool oldest_first;                   /* likewise */
    struct mill_worker *worker;          /* that does it; the server's, unless said */
    struct mill_consent consent;
    struct mill_job_file file;
    struct mill_job_batch batch;
    char type[256];        /* of the body */
    struct mill_body body; /* owned, as the form that lies in it */
    struct mill_form form;
    const struct mill_form_field *recording; /* in it */
    json_t *reply;                           /* owned */
    struct mill_problem problem;
};

/* NULL, with the call refused, when memory is short: then submit does nothing. */
struct mill_file_task *mill_file_task_new(struct mill_call *call,
                                          void (*run)(struct mill_file_task *task));
/* Where it has a problem already, the call is refused with that. */
void mill_file_task_submit(struct mill_call *call, struct mill_file_task *taken);

#endif
