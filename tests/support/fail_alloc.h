/* fail_alloc.h - memory that runs short on demand, for tests of every path that allocates.
 *
 * A test program that is linked with fail_alloc.c has its own malloc, calloc, realloc,
 * aligned_alloc, posix_memalign and free: the C library's, counted, and failing where the test
 * says. Calls by libraries are counted too. Under sanitizers, which bring their own, nothing is
 * replaced: mill_fail_alloc_works is false and tests skip. Counters belong to the process; run one
 * thing at a time. */
#ifndef MILL_TESTS_FAIL_ALLOC_H
#define MILL_TESTS_FAIL_ALLOC_H

#include "runtime/base/status.h"

#include <stdbool.h>

bool mill_fail_alloc_works(void);

/* The n-th allocation from now (1 = the next) fails, once; 0 = none. */
void mill_fail_alloc_at(long n);
/* The n-th and all that follow fail, until the next call of this or of mill_fail_alloc_at. */
void mill_fail_alloc_from(long n);

/* Allocations asked for since the last mill_fail_alloc_at or _from, failed ones included. */
long mill_fail_alloc_count(void);
/* Blocks allocated and not yet freed, since the program's start. */
long mill_fail_alloc_live(void);

/* Run `attempt` with its first, second, ... allocation failing, each once and then for good, until
 * it no longer allocates that often; before that once without failure, so that what libraries keep
 * for ever is there. Each failing run must fail with a message, or succeed all the same, and leave
 * no block behind; the undisturbed run must succeed. (The code need not be MILL_E_MEMORY: jansson
 * reports some of its failing allocations as errors of the text.) `attempt` frees what it made.
 * Returns the number of allocations of one run; asserts through cmocka. */
long mill_fail_alloc_sweep(mill_status (*attempt)(void *context, struct mill_error *err),
                           void *context);

#endif
