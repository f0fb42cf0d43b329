/* wait.c - see wait.h. */
#include "runtime/base/wait.h"

#include "runtime/base/clock.h"

#include <errno.h>
#include <math.h>

#define YEAR_S 3e7

mill_status mill_wait_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return MILL_E_MEMORY;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failure = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return failure ? MILL_E_MEMORY : MILL_OK;
}

double mill_wait_deadline(double timeout_s) {
    return timeout_s < 0 || timeout_s > YEAR_S ? INFINITY : mill_clock_seconds() + timeout_s;
}

bool mill_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, double until_s) {
    if (until_s == INFINITY)
        return pthread_cond_wait(condition, lock) == 0;
    double whole_s = floor(until_s);
    const struct timespec time = {.tv_sec = (time_t)whole_s,
                                  .tv_nsec = (long)(1e9 * (until_s - whole_s))};
    return pthread_cond_timedwait(condition, lock, &time) != ETIMEDOUT;
}
