/* pool.c - see pool.h.
 *
 * `run` is one word: the number of the run, odd while it is open, and how many workers are in it. A
 * worker joins an open run by counting itself in, takes tasks from `next` until none are left, and
 * counts itself out. The owner opens a run, works along, closes it and waits for those inside, so
 * nothing of a run is in use when mill_pool_run returns. A worker that comes too late finds it
 * closed: where other programs hold its processor, or where it shares one with the owner, the owner
 * does the work alone rather than wait for its turn. Waiting is spinning first (SPINS rounds, at
 * most half a millisecond), then a futex through a condition variable. */
#include "runtime/base/pool.h"

#include "runtime/base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS = 20000, MAX_WORKERS = 256 };
#define RUN (1ULL << 32)

struct worker {
    struct mill_pool *pool;
    int index;
    pthread_t thread;
};

struct mill_pool {
    int n_workers;
    int n_started; /* threads that exist, workers[1 .. n_started] */
    struct worker workers[MAX_WORKERS];

    /* the run in progress: written by the owner before it is opened */
    mill_pool_task *task;
    void *context;
    int n_tasks;

    _Alignas(64) atomic_int next;
    _Alignas(64) atomic_ullong run; /* its number by RUN, and workers in it */
    atomic_bool closing;
    atomic_int sleepers;
    pthread_mutex_t mutex; /* with wake: only for workers that gave up spinning */
    pthread_cond_t wake;
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

static void work(struct mill_pool *pool, int worker) {
    for (;;) {
        int i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->n_tasks)
            return;
        pool->task(pool->context, i, worker);
    }
}

/* Whether run number `number` is open and the worker, which was in `seen` last, has yet to join. */
static bool is_new(unsigned long long number, unsigned long long seen) {
    return number % 2 == 1 && number != seen;
}

static bool try_join(struct mill_pool *pool, unsigned long long *seen) {
    unsigned long long run = atomic_load(&pool->run);
    while (is_new(run / RUN, *seen))
        if (atomic_compare_exchange_weak(&pool->run, &run, run + 1)) {
            *seen = run / RUN;
            return true;
        }
    return false;
}

/* Until a run is opened; it may be closed again by the time that this thread wakes. */
static void sleep_until_opened(struct mill_pool *pool, unsigned long long seen) {
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    unsigned long long number = atomic_load(&pool->run) / RUN;
    if (!is_new(number, seen))
        while (atomic_load(&pool->run) / RUN == number)
            pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void join_next_run(struct mill_pool *pool, unsigned long long *seen) {
    for (;; sleep_until_opened(pool, *seen))
        for (int i = 0; i < SPINS; i++) {
            if (try_join(pool, seen))
                return;
            relax();
        }
}

static void *worker_main(void *argument) {
    struct worker *self = argument;
    struct mill_pool *pool = self->pool;
    unsigned long long seen = 0;
    for (;;) {
        join_next_run(pool, &seen);
        if (atomic_load(&pool->closing))
            return NULL;
        work(pool, self->index);
        atomic_fetch_sub_explicit(&pool->run, 1, memory_order_release);
    }
}

/* Sleepers are woken under the mutex, so none can miss the run between its look and its wait. */
static void open_run(struct mill_pool *pool) {
    atomic_fetch_add(&pool->run, RUN);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void close_run(struct mill_pool *pool) {
    unsigned long long run = atomic_fetch_add(&pool->run, RUN) + RUN;
    for (int spins = 0; run % RUN > 0; spins++) {
        if (spins < SPINS)
            relax();
        else
            sched_yield(); /* a worker lost its processor; let it have this one */
        run = atomic_load_explicit(&pool->run, memory_order_acquire);
    }
}

static int available_processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n;
}

mill_status mill_pool_open(struct mill_pool **out, int n_workers, struct mill_error *err) {
    *out = NULL;
    if (n_workers < 0 || n_workers > MAX_WORKERS)
        return mill_fail(err, MILL_E_INPUT, "%d threads: at most %d are possible", n_workers,
                         MAX_WORKERS);
    struct mill_pool *pool = mill_alloc_aligned(sizeof *pool);
    if (!pool)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a thread pool");
    memset(pool, 0, sizeof *pool);
    int n = n_workers ? n_workers : available_processors();
    pool->n_workers = n > MAX_WORKERS ? MAX_WORKERS : n;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int i = 1; i < pool->n_workers; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
        if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]) != 0) {
            mill_pool_close(pool);
            return mill_fail(err, MILL_E_MEMORY, "thread %d of %d cannot be started", i, n);
        }
        pool->n_started = i;
    }
    *out = pool;
    return MILL_OK;
}

void mill_pool_close(struct mill_pool *pool) {
    if (!pool)
        return;
    atomic_store(&pool->closing, true);
    open_run(pool); /* who joins this one leaves for good */
    for (int i = 1; i <= pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

int mill_pool_workers(const struct mill_pool *pool) {
    return pool->n_workers;
}

void mill_pool_run(struct mill_pool *pool, mill_pool_task *task, void *context, int n_tasks) {
    if (pool->n_workers == 1 || n_tasks <= 1) {
        for (int i = 0; i < n_tasks; i++)
            task(context, i, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    open_run(pool);
    work(pool, 0);
    close_run(pool);
}
