/* watchdog.c - see watchdog.h. */
#include "runtime/engine/watchdog.h"

#include <math.h>

#define SLOW_TIMES 4.0
#define LEAST_SLOW_S 0.05
#define STUCK_TIMES 20.0
/* Of the longest after each call: half of it in 7,000. */
#define FORGET 0.9999

void mill_watchdog_init(struct mill_watchdog *dog, double patience_s, bool host_computes) {
    *dog = (struct mill_watchdog){.patience_s = patience_s, .host_computes = host_computes};
}

static int size_of(int32_t n) {
    int size = 0;
    while (size < MILL_WATCHDOG_SIZES - 1 && n > 1 << size)
        size++;
    return size;
}

/* What a call of that size should take at most: as long as the longest, or in proportion to the
 * next smaller size that was seen; 0 = not known. */
static double expect(const double *seen_s, int size) {
    for (int i = size; i >= 0; i--)
        if (seen_s[i] > 0)
            return ldexp(seen_s[i], size - i);
    return 0;
}

void mill_watchdog_begin(struct mill_watchdog *dog, enum mill_watchdog_call call, int32_t n,
                         double now_s) {
    double *seen_s = dog->seen_s[call];
    int size = size_of(n);
    dog->watching = true;
    dog->since_s = now_s;
    dog->longest_s = &seen_s[size];
    /* The first of its kind may load kernels or record a graph. */
    bool judged = !dog->host_computes && seen_s[size] > 0;
    dog->slow_s = judged ? fmax(LEAST_SLOW_S, SLOW_TIMES * seen_s[size]) : INFINITY;
    dog->stuck_s = fmax(dog->patience_s, STUCK_TIMES * expect(seen_s, size));
}

void mill_watchdog_end(struct mill_watchdog *dog, double now_s) {
    /* More than 0, also where the clock has not moved: it was seen. */
    double least_s = 1e-9;
    dog->watching = false;
    *dog->longest_s = fmax(fmax(now_s - dog->since_s, least_s), FORGET * *dog->longest_s);
}

enum mill_watchdog_verdict mill_watchdog_check(const struct mill_watchdog *dog, double now_s) {
    double seconds = now_s - dog->since_s;
    if (!dog->watching || seconds <= fmin(dog->slow_s, dog->stuck_s))
        return MILL_WATCHDOG_FINE;
    return seconds > dog->stuck_s ? MILL_WATCHDOG_STUCK : MILL_WATCHDOG_SLOW;
}
