/* clock.h - time for measuring and for timeouts: monotonic, in seconds. Wall-clock time is only
 * ever shown, never reckoned with. */
#ifndef MILL_BASE_CLOCK_H
#define MILL_BASE_CLOCK_H

#include <time.h>

static inline double mill_clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
