/* router.h - which replica gets a request, and whether any may: sums over a few numbers of each
 * replica, no state. */
#ifndef MILL_ENGINE_ROUTER_H
#define MILL_ENGINE_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

struct mill_router_replica {
    bool ready;
    double backlog_frames;    /* estimated frames that it still has to make */
    double frames_per_second; /* that it makes when it has much to do, greater than 0 */
};

/* The ready replica that would be done with `frames` more first; the lowest number of equal ones;
 * -1 when none is ready. */
int32_t mill_router_choose(const struct mill_router_replica *replicas, int32_t n, double frames);

/* Seconds of work that wait: every frame of the backlog over what the ready replicas make together;
 * 0 when none is ready. */
double mill_router_backlog_s(const struct mill_router_replica *replicas, int32_t n);

#endif
