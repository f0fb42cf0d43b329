/* checker.h - the judge of accesses. Those of kernels come from the compiler's calls
 * (checker_hooks.cpp), the others from the emulator (checker_observer.cpp). */
#ifndef MILL_TESTS_EMULATOR_CHECKER_H
#define MILL_TESTS_EMULATOR_CHECKER_H

#include "tests/emulator/checker_shadow.h"
#include "tests/emulator/observer.h"

namespace emulator {

/* From now on the emulator tells. */
void checker_install();
void checker_begin_launch();

/* The running thread's; outside kernels nothing is looked at. `bytes` is also the alignment. */
void checker_access(const void *at, size_t bytes, bool write, const void *return_address);
/* The same without an alignment. */
void checker_range(const void *at, size_t bytes, bool write, const void *return_address);

/* Any thread's, at a place of checker_places.h. */
void checker_check(const thread &, const void *at, size_t bytes, access, uint32_t place);
/* Could the running thread do this to a byte that has this history? */
void checker_judge(const cell &, const void *at, access, uint32_t place);
/* A copy writes its destination, for the running thread; flags of a stamp. */
void checker_copy(const pending_copy &, uint64_t flags);
/* What runs on its own does this: is what the block's threads wrote there published to it? */
void checker_fenced(const void *at, size_t bytes, access, uint32_t place);

} // namespace emulator

#endif
