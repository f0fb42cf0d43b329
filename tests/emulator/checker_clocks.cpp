/* checker_clocks.cpp - vector clocks of warps, and within a warp of lanes. Barriers are taken to be
 * of whole warps. */
#include "tests/emulator/checker_clocks.h"

#include <algorithm>
#include <string.h>

namespace emulator {

static struct {
    uint32_t time;
    uint32_t own[MAX_THREADS]; /* each thread's time */
    knowledge warps[MAX_WARPS];
    uint32_t synced[MAX_WARPS];                  /* when all lanes of the warp met */
    uint32_t accessed[MAX_WARPS];                /* lanes, since they met others */
    uint32_t lane_seen[MAX_WARPS][LANES][LANES]; /* when lanes met that are not all */
    uint32_t waiting[CLUSTER_BARRIER + 1];       /* warps */
    struct {
        uint32_t time, place;
    } reached[MAX_BLOCKS][MAX_WARPS]; /* the last of each warp */
} clocks;

void clock_join(clock_vector *into, const clock_vector &from) {
    for (size_t v = 0; v < into->size(); v++)
        (*into)[v] = std::max((*into)[v], from[v]);
}

void knowledge_join(knowledge *into, const knowledge &from) {
    clock_join(&into->seen, from.seen);
    for (int scope = 0; scope < 3; scope++)
        clock_join(&into->published[scope], from.published[scope]);
}

void clocks_begin_cluster() {
    clocks.time = 1;
    for (unsigned i = 0; i < resident.n_threads; i++)
        clocks.own[i] = clocks.time;
    for (unsigned w = 0; w < resident.n_warps; w++) {
        clocks.warps[w] = {};
        clocks.synced[w] = clocks.accessed[w] = 0;
        memset(clocks.lane_seen[w], 0, sizeof clocks.lane_seen[w]);
    }
    for (uint32_t &waiting : clocks.waiting)
        waiting = 0;
    memset(clocks.reached, 0, sizeof clocks.reached);
}

uint32_t clock_of(const thread &t) {
    return clocks.own[t.index];
}

void clocks_accessed(const thread &t) {
    clocks.accessed[t.warp->index] |= 1u << t.lane;
}

bool clock_ordered(const thread &later, unsigned earlier, uint32_t time) {
    unsigned warp = later.warp->index, earlier_warp = earlier / LANES;
    if (later.index == earlier)
        return true;
    if (warp != earlier_warp)
        return time < clocks.warps[warp].seen[earlier_warp];
    return time < clocks.synced[warp] || time < clocks.lane_seen[warp][later.lane][earlier % LANES];
}

int clock_unordered_lane(const thread &later, unsigned warp, uint32_t lanes, uint32_t time) {
    unsigned own = later.warp->index;
    if (time < (warp == own ? clocks.synced[warp] : clocks.warps[own].seen[warp]))
        return -1;
    for (unsigned lane = 0; lane < LANES; lane++)
        if (lanes >> lane & 1 && !clock_ordered(later, warp * LANES + lane, time))
            return (int)lane;
    return -1;
}

bool clock_published(const thread &later, unsigned earlier, uint32_t time, fence_scope scope) {
    return time < clocks.warps[later.warp->index].published[(int)scope][earlier / LANES];
}

static void set_own(unsigned warp, uint32_t lanes, uint32_t time) {
    clocks.accessed[warp] &= ~lanes;
    for (unsigned lane = 0; lane < LANES; lane++)
        if (lanes >> lane & 1)
            clocks.own[warp * LANES + lane] = time;
}

/* ------------------------------------------------------------------ barriers */

void clocks_barrier_arrived(unsigned number) {
    clocks.waiting[number] |= 1u << self->warp->index;
}

void clocks_barrier_held(unsigned number) {
    uint32_t waiting = clocks.waiting[number], time = ++clocks.time;
    knowledge all = {};
    for (unsigned w = 0; w < resident.n_warps; w++)
        if (waiting >> w & 1)
            knowledge_join(&all, clocks.warps[w]);
    for (unsigned w = 0; w < resident.n_warps; w++)
        if (waiting >> w & 1)
            all.seen[w] = time;
    for (unsigned w = 0; w < resident.n_warps; w++)
        if (waiting >> w & 1) {
            clocks.warps[w] = all;
            clocks.synced[w] = time;
            set_own(w, ~0u, time);
        }
    clocks.waiting[number] = 0;
}

/* ------------------------------------------------------------------ warps */

void clocks_warp_synced(uint32_t mask) {
    unsigned warp = self->warp->index;
    uint32_t time = ++clocks.time;
    set_own(warp, mask, time);
    if (mask == self->warp->existing) {
        clocks.synced[warp] = time;
        return;
    }
    uint32_t(*seen)[LANES] = clocks.lane_seen[warp];
    uint32_t all[LANES] = {};
    for (unsigned lane = 0; lane < LANES; lane++)
        if (mask >> lane & 1)
            for (unsigned of = 0; of < LANES; of++)
                all[of] = std::max(all[of], seen[lane][of]);
    for (unsigned of = 0; of < LANES; of++)
        if (mask >> of & 1)
            all[of] = time;
    for (unsigned lane = 0; lane < LANES; lane++)
        if (mask >> lane & 1)
            memcpy(seen[lane], all, sizeof all);
}

/* ------------------------------------------------------------------ fences, and what is passed on
 */

void clocks_fence(fence_scope scope) {
    unsigned warp = self->warp->index;
    knowledge &own = clocks.warps[warp];
    uint32_t time = ++clocks.time;
    auto publish = [&](fence_scope to) {
        own.published[(int)to] = own.seen;
        own.published[(int)to][warp] = time;
    };
    publish(scope);
    if (scope == fence_scope::device)
        publish(fence_scope::block);
    clocks.own[self->index] = time;
}

const clock_vector &clocks_published(fence_scope scope) {
    return clocks.warps[self->warp->index].published[(int)scope];
}

knowledge clocks_release(uint32_t lanes) {
    unsigned warp = self->warp->index;
    knowledge released = clocks.warps[warp];
    bool all = (clocks.accessed[warp] & ~lanes) == 0;
    clocks.own[self->index] = ++clocks.time;
    released.seen[warp] = all ? clocks.time : clocks.synced[warp];
    return released;
}

void clocks_acquire(const knowledge &from) {
    unsigned warp = self->warp->index;
    knowledge_join(&clocks.warps[warp], from);
    for (uint32_t &seen : clocks.lane_seen[warp][self->lane])
        seen = std::max(seen, from.seen[warp]);
    clocks.own[self->index] = ++clocks.time;
}

uint32_t clocks_copy_landed(knowledge *seen_by) {
    uint32_t time = ++clocks.time;
    seen_by->seen[COPY_WARP] = ++clocks.time;
    return time;
}

void clocks_reached(unsigned block, unsigned warp, uint32_t time, uint32_t place) {
    clocks.reached[block][warp] = {time, place};
}

bool clocks_reached_unseen(unsigned block, uint32_t *place) {
    unsigned n_warps = resident.n_warps / resident.n_blocks;
    clock_vector seen = {};
    for (unsigned w = block * n_warps; w < (block + 1) * n_warps; w++)
        clock_join(&seen, clocks.warps[w].seen);
    for (unsigned w = 0; w < MAX_WARPS; w++)
        if (seen[w] < clocks.reached[block][w].time) {
            *place = clocks.reached[block][w].place;
            return true;
        }
    return false;
}

} // namespace emulator
