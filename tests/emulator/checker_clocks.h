/* checker_clocks.h - what comes behind what in the resident block.
 *
 * Time is the block's: it counts what orders threads. A thread's own time is that of the last such
 * event it took part in, so an access is (thread, time). Another warp comes behind it when the
 * later one has seen the earlier one's warp up to a later time; a lane of the same warp, when a
 * barrier or __syncwarp of both lay between. Shuffles order nothing. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_CLOCKS_H
#define MILL_TESTS_EMULATOR_CHECKER_CLOCKS_H

#include "tests/emulator/block.h"

#include <array>

namespace emulator {

/* [v]: what warp v did before this time. */
using clock_vector = std::array<uint32_t, MAX_WARPS>;
void clock_join(clock_vector *into, const clock_vector &from);

void clocks_begin_block();
uint32_t clock_of(const thread &);
/* Is (earlier, time) ordered before what `later` does now? Both are of this block. */
bool clock_ordered(const thread &later, unsigned earlier, uint32_t time);

void clocks_barrier_arrived(unsigned number, bool waits);
void clocks_barrier_held(unsigned number);
void clocks_warp_synced(uint32_t mask);
/* What the running thread's warp has seen counts as published from now on. */
void clocks_fence(bool device);
/* What the running thread's warp has published: to the block, or to all blocks. */
const clock_vector &clocks_published(bool device);
/* The running thread comes behind all of this. */
void clocks_acquire(const clock_vector &);

} // namespace emulator

#endif
