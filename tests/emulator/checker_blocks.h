/* checker_blocks.h - clusters and launches: serial numbers, and what one thread passes to another,
 * maybe of a later cluster, by an atomic. Where this says block, it is the blocks of a cluster.
 *
 * An atomic publishes what its warp had seen at its last fence, and takes over what atomics on the
 * same address published. Towards other blocks both sides need __threadfence: the first before its
 * atomic, the second behind it. Launches are ordered as a whole, but for those that may begin
 * early: a thread of these comes behind the launches in front when it has called grid_wait. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_BLOCKS_H
#define MILL_TESTS_EMULATOR_CHECKER_BLOCKS_H

#include "tests/emulator/checker_clocks.h"
#include "tests/emulator/checker_shadow.h"

namespace emulator {

void blocks_begin_launch(const launch &);
void blocks_begin_cluster();
uint32_t blocks_serial(); /* of the resident one */
/* Is it of the launch that runs? */
bool blocks_in_launch(stamp);
/* Is it of a launch in front that may still run, as far as the thread knows? */
bool blocks_unfinished(const thread &later, stamp);
/* Does the resident block come behind all blocks of the launch before it? */
bool blocks_all_acquired();

/* Is it ordered before what the thread does now? */
bool stamp_ordered(const thread &later, stamp);

/* Of the running thread. */
void blocks_atomic(const void *at);
void blocks_fence(fence_scope);

} // namespace emulator

#endif
