/* router.h - which replica gets a request, and whether any may: sums over a few numbers of each
 * replica, no state. */
#ifndef MILL_ENGINE_ROUTER_H
#define MILL_ENGINE_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

struct mill_router_replica {
    bool ready;
    bool slow;                /* to be used where no other can be */
    int32_t max_tokens;       /* of one request that it has room for */
    double backlog_frames;    /* estimated frames that it still has to make */
    double frames_per_second; /* that it makes when it has much to do, greater than 0 */
};

/* Of the ready replicas that have room for `tokens`, the one that would be done with `frames` more
 * first, a slow one only where all are; the lowest number of equal ones; -1 when there is none. */
int32_t mill_router_choose(const struct mill_router_replica *replicas, int32_t n, int32_t tokens,
                           double frames);

/* Whether replica i, which is slow, can leave what it has to another one. */
bool mill_router_has_stand_in(const struct mill_router_replica *replicas, int32_t n, int32_t i);

/* Tokens of the longest request that a ready replica has room for; 0 when none is ready. */
int32_t mill_router_max_tokens(const struct mill_router_replica *replicas, int32_t n);

/* Seconds of work that wait: every frame of the backlog over what the ready replicas make together;
 * 0 when none is ready. */
double mill_router_backlog_s(const struct mill_router_replica *replicas, int32_t n);

#endif
