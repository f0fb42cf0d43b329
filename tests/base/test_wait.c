/* test_wait.c - waiting with a limit: the moment that never comes, one that is over, and a signal
 * before it. */
#include "runtime/base/clock.h"
#include "runtime/base/wait.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool there;
};

static void open_meeting(struct meeting *m) {
    *m = (struct meeting){0};
    assert_int_equal(mill_wait_init(&m->changed), MILL_OK);
    pthread_mutex_init(&m->lock, NULL);
}

static void close_meeting(struct meeting *m) {
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
}

static void test_deadlines(void **state) {
    (void)state;
    assert_true(mill_wait_deadline(-1) == INFINITY);
    assert_true(mill_wait_deadline(1e300) == INFINITY);
    double before_s = mill_clock_seconds(), deadline_s = mill_wait_deadline(5);
    assert_true(deadline_s >= before_s + 5 && deadline_s <= mill_clock_seconds() + 5);
}

static void test_over(void **state) {
    (void)state;
    struct meeting m;
    open_meeting(&m);
    pthread_mutex_lock(&m.lock);
    assert_false(mill_wait_until(&m.changed, &m.lock, 0));
    double deadline_s = mill_wait_deadline(0.01);
    while (mill_wait_until(&m.changed, &m.lock, deadline_s))
        ; /* woken by nobody */
    assert_true(mill_clock_seconds() >= deadline_s);
    pthread_mutex_unlock(&m.lock);
    close_meeting(&m);
}

static void *come(void *context) {
    struct meeting *m = context;
    pthread_mutex_lock(&m->lock);
    m->there = true;
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void meet(double timeout_s) {
    struct meeting m;
    pthread_t thread;
    open_meeting(&m);
    double until_s = mill_wait_deadline(timeout_s);
    pthread_mutex_lock(&m.lock);
    assert_int_equal(pthread_create(&thread, NULL, come, &m), 0);
    while (!m.there)
        assert_true(mill_wait_until(&m.changed, &m.lock, until_s));
    pthread_mutex_unlock(&m.lock);
    pthread_join(thread, NULL);
    close_meeting(&m);
}

static void test_signal(void **state) {
    (void)state;
    meet(-1);
    meet(1e6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_over),
        cmocka_unit_test(test_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
