/* wait.h - conditions that are waited for until a moment of clock.h's clock: with a limit in
 * seconds, whatever happens to the time of day. */
#ifndef MILL_BASE_WAIT_H
#define MILL_BASE_WAIT_H

#include "runtime/base/status.h"

#include <pthread.h>
#include <stdbool.h>

/* pthread_cond_destroy ends it. MILL_E_MEMORY is the only failure. */
mill_status mill_wait_init(pthread_cond_t *condition);

/* The moment that far from now. It never comes (INFINITY) where timeout_s is negative, or longer
 * than a year. */
double mill_wait_deadline(double timeout_s);

/* Wait, under the lock, until somebody signals or the moment comes: then false. As with
 * pthread_cond_wait, true does not say that what was waited for is there. */
bool mill_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, double until_s);

#endif
