/* hopper.h - the parts of the block that only sm_90a has: barriers in shared memory, copies that
 * arrive at them, products in flight. */
#ifndef MILL_TESTS_EMULATOR_HOPPER_H
#define MILL_TESTS_EMULATOR_HOPPER_H

namespace emulator {

void mbarrier_begin_block();
void wgmma_begin_block();
/* Complains of warps of a group that did not multiply together. */
void wgmma_end_block();
/* Nothing else can run: lets the oldest bulk copy land. False when there is none. */
bool bulk_copy_land();

} // namespace emulator

#endif
