/* checker_clocks.h - what comes behind what in the resident cluster.
 *
 * Time is the cluster's: it counts what orders threads. A thread's own time is that of the last
 * such event it took part in, so an access is (thread, time). Another warp comes behind it when the
 * later one has seen the earlier one's warp up to a later time; a lane of the same warp, when a
 * barrier or __syncwarp of both lay between. Shuffles order nothing. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_CLOCKS_H
#define MILL_TESTS_EMULATOR_CHECKER_CLOCKS_H

#include "tests/emulator/observer.h"

#include <array>

namespace emulator {

/* [v]: what warp v did before this time. */
using clock_vector = std::array<uint32_t, MAX_WARPS>;
void clock_join(clock_vector *into, const clock_vector &from);

/* What a warp comes behind; and the part of it that fences have published: a fence's scope says to
 * whom. */
struct knowledge {
    clock_vector seen, published[3];
};
void knowledge_join(knowledge *into, const knowledge &from);

void clocks_begin_cluster();
uint32_t clock_of(const thread &);
/* It has touched memory that threads share. */
void clocks_accessed(const thread &);
/* Is (earlier, time) ordered before what `later` does now? Both are of this cluster. */
bool clock_ordered(const thread &later, unsigned earlier, uint32_t time);
/* A lane of these, of a warp, for which that does not hold; -1: it holds for all. */
int clock_unordered_lane(const thread &later, unsigned warp, uint32_t lanes, uint32_t time);
/* Has a fence published it that `later` comes behind? */
bool clock_published(const thread &later, unsigned earlier, uint32_t time, fence_scope);

void clocks_barrier_arrived(unsigned number);
void clocks_barrier_held(unsigned number);
void clocks_warp_synced(uint32_t mask);

/* What the running thread's warp has seen is published from now on. */
void clocks_fence(fence_scope);
const clock_vector &clocks_published(fence_scope);
/* What the running thread comes behind, itself included; what it does from now on is not in it. It
 * releases with these lanes of its warp. If any other one has done something since the warp met,
 * nothing since then is released. */
knowledge clocks_release(uint32_t lanes);
void clocks_acquire(const knowledge &);

/* Copies that run on their own are a thread that the cluster does not have. */
enum { COPY_THREAD = MAX_THREADS - 1, COPY_WARP = MAX_WARPS - 1 };
uint32_t clocks_copy_landed(knowledge *seen_by);

/* Something was done from afar to the shared memory of a block, which comes behind it when one of
 * its threads has seen the warp up to this time. */
void clocks_reached(unsigned block, unsigned warp, uint32_t time, uint32_t place);
/* Is there something of the kind that it does not come behind? Then *place is where. */
bool clocks_reached_unseen(unsigned block, uint32_t *place);

} // namespace emulator

#endif
