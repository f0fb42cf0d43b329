/* file_task.c - see file_task.h. */
#include "runtime/server/file_task.h"

#include "runtime/base/memory.h"
#include "runtime/io/config.h"

#include <stdio.h>
#include <stdlib.h>

static struct mill_file_task *file_task_of(struct mill_task *task) {
    return (struct mill_file_task *)task;
}

static void work(struct mill_task *task) {
    struct mill_file_task *t = file_task_of(task);
    mill_json_ran_short();
    t->run(t);
    if (mill_json_ran_short()) { /* the answer may lack something */
        json_decref(t->reply);
        t->reply = NULL;
    }
}

static void free_task(struct mill_task *task) {
    struct mill_file_task *t = file_task_of(task);
    json_decref(t->reply);
    mill_job_batch_deinit(&t->batch);
    mill_form_deinit(&t->form);
    mill_body_deinit(&t->body);
    free(t);
}

static void answer(struct mill_call *call, struct mill_task *task) {
    struct mill_file_task *t = file_task_of(task);
    json_t *reply = t->reply;
    t->reply = NULL;
    if (t->problem.status) {
        json_decref(reply);
        mill_call_refuse(call, &t->problem);
    } else {
        mill_call_reply_json(call, 200, reply);
    }
}

struct mill_file_task *mill_file_task_new(struct mill_call *call,
                                          void (*run)(struct mill_file_task *task)) {
    struct mill_file_task *task = mill_alloc_array(1, sizeof *task);
    if (!task) {
        struct mill_problem problem;
        mill_problem_of_status(&problem, MILL_E_MEMORY, NULL);
        mill_call_refuse(call, &problem);
        return NULL;
    }
    task->task = (struct mill_task){.work = work, .answer = answer, .free = free_task};
    task->server = mill_call_server(call);
    task->worker = task->server->worker;
    task->run = run;
    snprintf(task->subject, sizeof task->subject, "%s", mill_call_param(call));
    mill_body_init(&task->body, 0, NULL);
    return task;
}

void mill_file_task_submit(struct mill_call *call, struct mill_file_task *taken) {
    if (!taken)
        return;
    if (!taken->problem.status) {
        mill_worker_submit(taken->worker, call, &taken->task);
        return;
    }
    mill_call_refuse(call, &taken->problem);
    free_task(&taken->task);
}
