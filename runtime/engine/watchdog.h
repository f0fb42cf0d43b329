/* watchdog.h - whether a call that drives a device takes too long, by what such calls took before.
 *
 * Two limits. A call that is SLOW took four times as long as the longest of its kind and size so
 * far, and at least 50 ms: on a card, where steps take 0.2 to 20 ms, that is seen within 100 ms.
 * It may be a busy host, so it is no reason to lose anything; where others can take over they
 * should. A call that is STUCK took longer than the patience given at init, and than 20 times what
 * it should. What a call took counts for the next ones, also where it was slow, so a device that
 * pauses now and then is left alone after the first time; over thousands of calls it is forgotten.
 *
 * Where the host itself computes, only STUCK is ever said: its calls last as long as the machine is
 * busy with other things, and nothing in them waits. A function of calls and of a clock that the
 * caller reads; no thread, no lock of its own. */
#ifndef MILL_ENGINE_WATCHDOG_H
#define MILL_ENGINE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

/* A kind of call. */
enum mill_watchdog_call {
    MILL_WATCHDOG_LAUNCH_STEP,
    MILL_WATCHDOG_COLLECT_STEP,
    MILL_WATCHDOG_LAUNCH_WINDOWS,
    MILL_WATCHDOG_COLLECT_WINDOWS,
    MILL_WATCHDOG_CALLS
};

enum mill_watchdog_verdict { MILL_WATCHDOG_FINE, MILL_WATCHDOG_SLOW, MILL_WATCHDOG_STUCK };

enum { MILL_WATCHDOG_SIZES = 17 }; /* 1, 2, 3 to 4, 5 to 8 ... rows or frames, and what is more */

struct mill_watchdog {
    double patience_s;
    bool host_computes;
    bool watching; /* a call is on its way */
    double since_s;
    double *longest_s;                                       /* of its kind and size */
    double seen_s[MILL_WATCHDOG_CALLS][MILL_WATCHDOG_SIZES]; /* the longest; 0 = none */
    double slow_s, stuck_s;                                  /* limits of the call */
};

void mill_watchdog_init(struct mill_watchdog *dog, double patience_s, bool host_computes);
/* A call for n rows or frames begins. */
void mill_watchdog_begin(struct mill_watchdog *dog, enum mill_watchdog_call call, int32_t n,
                         double now_s);
/* It is back. */
void mill_watchdog_end(struct mill_watchdog *dog, double now_s);
enum mill_watchdog_verdict mill_watchdog_check(const struct mill_watchdog *dog, double now_s);

#endif
