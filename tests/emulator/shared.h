/* shared.h - a block's shared memory: one arena, the dynamic part first, then one piece for every
 * CU_SHARED in the order of first use. Red zones lie between; all is poison (0xff: NaN, -1) when a
 * block begins. */
#ifndef MILL_TESTS_EMULATOR_SHARED_H
#define MILL_TESTS_EMULATOR_SHARED_H

#include <cuda_runtime.h>

#include <stddef.h>

namespace emulator {

const size_t shared_default_bytes = 48 << 10; /* what a kernel has without asking for more */
const size_t shared_most_bytes = 227 << 10;
const size_t shared_arena_bytes = 320 << 10; /* with red zones */

/* most_bytes: of dynamic and all CU_SHARED together. */
void shared_begin_launch(size_t dynamic_bytes, size_t most_bytes);
void shared_begin_block();
/* Complains about red zones that were written. */
void shared_end_block();

/* Does [at, at + bytes) lie in one piece? */
bool shared_has(const void *at, size_t bytes);
/* Where in the arena; shared_arena_bytes or more: not there. */
size_t shared_offset(const void *at);
void *shared_at(size_t offset);
/* "4 bytes past the end of 'tile', 512 bytes of shared memory". */
void shared_describe(const void *at, char *text, size_t capacity);

} // namespace emulator

#endif
