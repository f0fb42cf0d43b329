/* test_pool.c - each task runs exactly once, in every number of workers and tasks, over many runs,
 * also after the workers have gone to sleep, and while one of them cannot run at all. */
#include "runtime/base/pool.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TASKS_MAXIMUM = 300, WORKERS_MAXIMUM = 5 };

struct work {
    atomic_int times[TASKS_MAXIMUM];
    atomic_int busy[WORKERS_MAXIMUM]; /* a worker is in one task at a time */
    atomic_int collisions;
    int n_workers;
};

static void task(void *context, int i, int worker) {
    struct work *w = context;
    if (worker < 0 || worker >= w->n_workers || atomic_exchange(&w->busy[worker], 1) != 0)
        atomic_fetch_add(&w->collisions, 1);
    atomic_fetch_add(&w->times[i], 1);
    atomic_store(&w->busy[worker], 0);
}

static void run(struct mill_pool *pool, int n_tasks) {
    struct work w = {.n_workers = mill_pool_workers(pool)};
    mill_pool_run(pool, task, &w, n_tasks);
    for (int i = 0; i < TASKS_MAXIMUM; i++)
        assert_int_equal(atomic_load(&w.times[i]), i < n_tasks ? 1 : 0);
    assert_int_equal(atomic_load(&w.collisions), 0);
}

static void all_counts(void **state) {
    (void)state;
    for (int n_workers = 1; n_workers <= WORKERS_MAXIMUM; n_workers++) {
        struct mill_pool *pool;
        assert_int_equal(mill_pool_open(&pool, n_workers, NULL), MILL_OK);
        assert_int_equal(mill_pool_workers(pool), n_workers);
        for (int n_tasks = 0; n_tasks <= TASKS_MAXIMUM; n_tasks += n_tasks < 10 ? 1 : 29)
            run(pool, n_tasks);
        mill_pool_close(pool);
    }
}

static void many_runs(void **state) {
    (void)state;
    struct mill_pool *pool;
    assert_int_equal(mill_pool_open(&pool, 3, NULL), MILL_OK);
    for (int i = 0; i < 500; i++)
        run(pool, i % 7);
    for (int i = 0; i < 5; i++) { /* let the workers fall asleep in between */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        run(pool, 20);
    }
    mill_pool_close(pool);
}

/* A worker that the system does not let run, by a signal whose handler waits for a byte.
 * ThreadSanitizer puts handlers off until the thread runs again, so there is no such thing there.
 */
static int held[2], release[2];

static void hold(int signal_number) {
    (void)signal_number;
    char byte = 0;
    if (write(held[1], &byte, 1) != 1 || read(release[0], &byte, 1) != 1)
        _exit(3);
}

static int other_thread(void) {
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int other = 0;
    for (struct dirent *entry; !other && (entry = readdir(tasks));) {
        int id = (int)strtol(entry->d_name, NULL, 10);
        if (id != 0 && id != gettid())
            other = id;
    }
    closedir(tasks);
    return other;
}

static void run_without_a_worker(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip();
#endif
    struct mill_pool *pool;
    char byte = 0;
    assert_int_equal(pipe(held), 0);
    assert_int_equal(pipe(release), 0);
    assert_int_equal(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = hold}, NULL), 0);
    assert_int_equal(mill_pool_open(&pool, 2, NULL), MILL_OK);
    run(pool, 20);
    int other = other_thread();
    assert_int_not_equal(other, 0);
    assert_int_equal(syscall(SYS_tgkill, getpid(), other, SIGUSR1), 0);
    assert_int_equal(read(held[0], &byte, 1), 1);
    for (int i = 2; i < 20; i++)
        run(pool, i);
    assert_int_equal(write(release[1], &byte, 1), 1);
    for (int i = 2; i < 20; i++)
        run(pool, i);
    mill_pool_close(pool);
}

static void open_and_close(void **state) {
    (void)state;
    struct mill_pool *pool;
    struct mill_error err;
    assert_int_equal(mill_pool_open(&pool, -1, &err), MILL_E_INPUT);
    assert_null(pool);
    assert_int_equal(mill_pool_open(&pool, 100000, &err), MILL_E_INPUT);
    mill_pool_close(NULL);
    for (int i = 0; i < 50; i++) { /* closing at once, without a run */
        assert_int_equal(mill_pool_open(&pool, 1 + i % 4, NULL), MILL_OK);
        mill_pool_close(pool);
    }
    assert_int_equal(mill_pool_open(&pool, 0, NULL), MILL_OK);
    assert_true(mill_pool_workers(pool) >= 1);
    mill_pool_close(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_counts),
        cmocka_unit_test(many_runs),
        cmocka_unit_test(run_without_a_worker),
        cmocka_unit_test(open_and_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
