/* hopper.h - the parts of the cluster that only sm_90a has: barriers in shared memory, copies that
 * arrive at them, products in flight. */
#ifndef MILL_TESTS_EMULATOR_HOPPER_H
#define MILL_TESTS_EMULATOR_HOPPER_H

#include <stdint.h>

#include <string>

namespace emulator {

struct block;

void mbarrier_begin_cluster();
void wgmma_begin_cluster();
/* Complains of warps of a group that did not multiply together. */
void wgmma_end_cluster();
/* Ends the launch where copies are on their way to the block. */
void bulk_copies_end_block(const block &);
/* What the phase misses that a thread waits for by this counter; "" where it is no mbarrier's. */
std::string mbarrier_describe(const uint64_t *counter);
/* Nothing else can run: lets the oldest bulk copy land. False when there is none. */
bool bulk_copy_land();

} // namespace emulator

#endif
