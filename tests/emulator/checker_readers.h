/* checker_readers.h - the sets of threads that read a byte since it was written. Sets of the same
 * threads are one set, so that a tile that many read costs a number a byte; a set holds, for every
 * warp, the lanes and the latest of their times. Forgotten when a cluster ends. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_READERS_H
#define MILL_TESTS_EMULATOR_CHECKER_READERS_H

#include "tests/emulator/checker_blocks.h"
#include "tests/emulator/checker_shadow.h"

namespace emulator {

void readers_begin_cluster();
/* `before`, and this thread. Those that are ordered before it are left out. */
readers readers_add(readers before, const thread &, stamp now);
/* A reader that is not ordered before what the thread does now; nobody when there is none. */
stamp readers_unordered(readers, const thread &);

} // namespace emulator

#endif
