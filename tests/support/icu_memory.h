/* icu_memory.h - ICU with memory of its own, which never runs short (fail_alloc.h) and is not
 * counted: some releases leak when their own allocations fail. */
#ifndef MILL_TESTS_ICU_MEMORY_H
#define MILL_TESTS_ICU_MEMORY_H

#include <stdbool.h>

/* Before anything else of ICU; false when ICU does not want to. */
bool mill_icu_memory_apart(void);

#endif
