/* shared.h - shared memory: an arena for each block of the cluster, the dynamic part first, then
 * one piece for every CU_SHARED in the order of first use, in the same place of each arena. Red
 * zones lie between; all is poison (0xff: NaN, -1) when a block begins. */
#ifndef MILL_TESTS_EMULATOR_SHARED_H
#define MILL_TESTS_EMULATOR_SHARED_H

#include "tests/emulator/block.h"

#include <stddef.h>

namespace emulator {

const size_t shared_default_bytes = 48 << 10; /* what a kernel has without asking for more */
const size_t shared_most_bytes = 227 << 10;
const size_t shared_arena_bytes = 320 << 10; /* of a block, with red zones */
const size_t shared_arenas_bytes = MAX_BLOCKS * shared_arena_bytes;

/* most_bytes: of dynamic and all CU_SHARED together. */
void shared_begin_launch(size_t dynamic_bytes, size_t most_bytes);
void shared_begin_cluster();
/* Complains about red zones that were written. */
void shared_end_block(const block &);

/* Does [at, at + bytes) lie in one piece? */
bool shared_has(const void *at, size_t bytes);
/* Where in the arenas; shared_arenas_bytes or more: not there. */
size_t shared_offset(const void *at);
/* In the running thread's block. */
void *shared_at(size_t offset);
/* The block that has this address, and what has the same place in another block. */
const block &shared_owner(const void *at);
void *shared_of(const void *at, unsigned rank);
/* "4 bytes past the end of 'tile', 512 bytes of shared memory". */
void shared_describe(const void *at, char *text, size_t capacity);

} // namespace emulator

#endif
