/* router.c - see router.h. */
#include "runtime/engine/router.h"

static double done_s(const struct mill_router_replica *replica, double frames) {
    return (replica->backlog_frames + frames) / replica->frames_per_second;
}

int32_t mill_router_choose(const struct mill_router_replica *replicas, int32_t n, int32_t tokens,
                           double frames) {
    int32_t best = -1;
    for (int32_t i = 0; i < n; i++) {
        const struct mill_router_replica *r = &replicas[i], *b = &replicas[best < 0 ? i : best];
        if (!r->ready || r->max_tokens < tokens)
            continue;
        bool better = r->slow != b->slow ? b->slow : done_s(r, frames) < done_s(b, frames);
        if (best < 0 || better)
            best = i;
    }
    return best;
}

bool mill_router_has_stand_in(const struct mill_router_replica *replicas, int32_t n, int32_t i) {
    for (int32_t j = 0; j < n; j++)
        if (j != i && replicas[j].ready && !replicas[j].slow &&
            replicas[j].max_tokens >= replicas[i].max_tokens)
            return true;
    return false;
}

int32_t mill_router_max_tokens(const struct mill_router_replica *replicas, int32_t n) {
    int32_t most = 0;
    for (int32_t i = 0; i < n; i++)
        if (replicas[i].ready && replicas[i].max_tokens > most)
            most = replicas[i].max_tokens;
    return most;
}

double mill_router_backlog_s(const struct mill_router_replica *replicas, int32_t n) {
    double frames = 0, frames_per_second = 0;
    for (int32_t i = 0; i < n; i++)
        if (replicas[i].ready) {
            frames += replicas[i].backlog_frames;
            frames_per_second += replicas[i].frames_per_second;
        }
    return frames_per_second > 0 ? frames / frames_per_second : 0;
}
