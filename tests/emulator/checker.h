/* checker.h - the accesses of kernels that are compiled with -fsanitize=thread: checker_hooks.cpp
 * is what the compiler's calls arrive at. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_H
#define MILL_TESTS_EMULATOR_CHECKER_H

#include <stddef.h>

namespace emulator {

/* Of the running thread; outside kernels nothing is looked at. `bytes` is also the alignment. */
void checker_access(const void *at, size_t bytes, bool write, const void *return_address);
/* The same without an alignment. */
void checker_range(const void *at, size_t bytes, bool write, const void *return_address);

} // namespace emulator

#endif
