/* router.c - see router.h. */
#include "runtime/engine/router.h"

int32_t mill_router_choose(const struct mill_router_replica *replicas, int32_t n, double frames) {
    int32_t best = -1;
    double best_s = 0;
    for (int32_t i = 0; i < n; i++) {
        double done_s = (replicas[i].backlog_frames + frames) / replicas[i].frames_per_second;
        if (replicas[i].ready && (best < 0 || done_s < best_s)) {
            best = i;
            best_s = done_s;
        }
    }
    return best;
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
