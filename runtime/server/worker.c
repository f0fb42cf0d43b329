/* worker.c - see worker.h. A task belongs to its call and to the worker: whoever lets go of it last
 * frees it. */
#include "runtime/server/worker.h"

#include "runtime/base/memory.h"

#include <pthread.h>
#include <stdlib.h>

enum { MAX_WAITING = 64 };

struct mill_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    struct mill_task *first, *last;
    size_t n_waiting;
    bool closing;
};

static void *run(void *context) {
    struct mill_worker *w = context;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->first && !w->closing)
            pthread_cond_wait(&w->arrived, &w->lock);
        struct mill_task *task = w->first;
        if (!task)
            break;
        w->first = task->next;
        w->last = w->first ? w->last : NULL;
        w->n_waiting--;
        if (!task->left) {
            pthread_mutex_unlock(&w->lock);
            task->work(task);
            pthread_mutex_lock(&w->lock);
        }
        task->done = true;
        if (task->left)
            task->free(task);
        else
            mill_call_wake(task->call);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

mill_status mill_worker_open(struct mill_worker **out, struct mill_error *err) {
    struct mill_worker *w = mill_alloc_array(1, sizeof *w);
    if (!w)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->arrived, NULL);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        free(w);
        return mill_fail(err, MILL_E_MEMORY, "no thread for slow work");
    }
    *out = w;
    return MILL_OK;
}

void mill_worker_close(struct mill_worker *worker) {
    if (!worker)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->closing = true;
    pthread_cond_signal(&worker->arrived);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->arrived);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

/* ------------------------------------------------------------------ as the call's job */

static void woken(struct mill_call *call, void *job) {
    struct mill_task *task = job;
    pthread_mutex_lock(&task->worker->lock);
    bool done = task->done;
    pthread_mutex_unlock(&task->worker->lock);
    if (done)
        task->answer(call, task);
}

static void gone(void *job) {
    (void)job; /* the end of the call says so */
}

static void let_go(void *job) {
    struct mill_task *task = job;
    struct mill_worker *w = task->worker;
    pthread_mutex_lock(&w->lock);
    bool done = task->done;
    task->left = true;
    pthread_mutex_unlock(&w->lock);
    if (done)
        task->free(task);
}

static const struct mill_call_job kind = {.woken = woken, .gone = gone, .free = let_go};

void mill_worker_submit(struct mill_worker *worker, struct mill_call *call,
                        struct mill_task *taken) {
    taken->worker = worker;
    taken->call = call;
    taken->next = NULL;
    pthread_mutex_lock(&worker->lock);
    bool room = worker->n_waiting < MAX_WAITING && !worker->closing;
    if (room) {
        if (worker->last)
            worker->last->next = taken;
        else
            worker->first = taken;
        worker->last = taken;
        worker->n_waiting++;
        pthread_cond_signal(&worker->arrived);
    }
    pthread_mutex_unlock(&worker->lock);
    if (room) {
        mill_call_wait(call, &kind, taken);
        return;
    }
    struct mill_problem problem;
    mill_problem_set(&problem, 429, "server_is_overloaded", NULL,
                     "%d other things wait to be done already", MAX_WAITING);
    problem.retry_after_s = MAX_WAITING;
    taken->free(taken);
    mill_call_refuse(call, &problem);
}
