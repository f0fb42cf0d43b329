/* checker_clocks.cpp - vector clocks of warps, and within a warp of lanes. Barriers are taken to be
 * of whole warps. */
#include "tests/emulator/checker_clocks.h"

#include <algorithm>
#include <string.h>

namespace emulator {

struct barrier_clocks {
    clock_vector arrived; /* of those that do not wait */
    uint32_t waiting;     /* warps */
};

static struct {
    uint32_t time;
    uint32_t own[MAX_THREADS];                   /* each thread's time */
    clock_vector seen[MAX_WARPS];                /* by each warp */
    clock_vector published[2][MAX_WARPS];        /* by fences of the block, of the device */
    uint32_t synced[MAX_WARPS];                  /* when all lanes of the warp met */
    uint32_t lane_seen[MAX_WARPS][LANES][LANES]; /* when lanes met that are not all */
    barrier_clocks barriers[N_BARRIERS];
} clocks;

void clock_join(clock_vector *into, const clock_vector &from) {
    for (size_t v = 0; v < into->size(); v++)
        (*into)[v] = std::max((*into)[v], from[v]);
}

void clocks_begin_block() {
    clocks.time = 1;
    for (unsigned i = 0; i < resident.n_threads; i++)
        clocks.own[i] = clocks.time;
    for (unsigned w = 0; w < resident.n_warps; w++) {
        clocks.seen[w] = clocks.published[0][w] = clocks.published[1][w] = {};
        clocks.synced[w] = 0;
        memset(clocks.lane_seen[w], 0, sizeof clocks.lane_seen[w]);
    }
    for (barrier_clocks &b : clocks.barriers)
        b = {};
}

uint32_t clock_of(const thread &t) {
    return clocks.own[t.index];
}

bool clock_ordered(const thread &later, unsigned earlier, uint32_t time) {
    unsigned warp = later.warp->index, earlier_warp = earlier / LANES;
    if (later.index == earlier)
        return true;
    if (warp != earlier_warp)
        return time < clocks.seen[warp][earlier_warp];
    return time < clocks.synced[warp] || time < clocks.lane_seen[warp][later.lane][earlier % LANES];
}

static void set_own(unsigned warp, uint32_t lanes, uint32_t time) {
    for (unsigned lane = 0; lane < LANES; lane++)
        if (lanes >> lane & 1)
            clocks.own[warp * LANES + lane] = time;
}

/* ------------------------------------------------------------------ barriers */

void clocks_barrier_arrived(unsigned number, bool waits) {
    barrier_clocks &b = clocks.barriers[number];
    unsigned warp = self->warp->index;
    if (waits) {
        b.waiting |= 1u << warp;
        return;
    }
    /* The lanes of a warp arrive one by one; what each did before is published, what it does then
     * is not, so the first one's time holds for all. */
    if (b.arrived[warp] == 0) {
        clock_join(&b.arrived, clocks.seen[warp]);
        b.arrived[warp] = ++clocks.time;
    }
    clocks.own[self->index] = b.arrived[warp];
}

void clocks_barrier_held(unsigned number) {
    barrier_clocks &b = clocks.barriers[number];
    uint32_t time = ++clocks.time;
    clock_vector all = b.arrived, published[2] = {};
    for (unsigned w = 0; w < resident.n_warps; w++)
        if (b.waiting >> w & 1) {
            clock_join(&all, clocks.seen[w]);
            for (int device = 0; device < 2; device++)
                clock_join(&published[device], clocks.published[device][w]);
        }
    for (unsigned w = 0; w < resident.n_warps; w++)
        if (b.waiting >> w & 1)
            all[w] = time;
    for (unsigned w = 0; w < resident.n_warps; w++)
        if (b.waiting >> w & 1) {
            clocks.seen[w] = all;
            for (int device = 0; device < 2; device++)
                clocks.published[device][w] = published[device];
            clocks.synced[w] = time;
            set_own(w, ~0u, time);
        }
    b = {};
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

void clocks_fence(bool device) {
    unsigned warp = self->warp->index;
    for (int wider = 0; wider <= (device ? 1 : 0); wider++) {
        clocks.published[wider][warp] = clocks.seen[warp];
        clocks.published[wider][warp][warp] = clocks.time + 1;
    }
    clocks.own[self->index] = ++clocks.time;
}

const clock_vector &clocks_published(bool device) {
    return clocks.published[device][self->warp->index];
}

void clocks_acquire(const clock_vector &from) {
    unsigned warp = self->warp->index;
    clock_join(&clocks.seen[warp], from);
    for (uint32_t &seen : clocks.lane_seen[warp][self->lane])
        seen = std::max(seen, from[warp]);
    clocks.own[self->index] = ++clocks.time;
}

} // namespace emulator
