/* icu_memory.c - see icu_memory.h. Under sanitizers, where no allocation fails, nothing is done. */
#include "tests/support/icu_memory.h"

#include "tests/support/fail_alloc.h"

#include <stddef.h>
#include <unicode/uclean.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static void *take(const void *context, size_t size) {
    (void)context;
    return __libc_malloc(size);
}

static void *resize(const void *context, void *p, size_t size) {
    (void)context;
    return __libc_realloc(p, size);
}

static void give_back(const void *context, void *p) {
    (void)context;
    __libc_free(p);
}

bool mill_icu_memory_apart(void) {
    UErrorCode code = U_ZERO_ERROR;
    if (mill_fail_alloc_works())
        u_setMemoryFunctions(NULL, take, resize, give_back, &code);
    return U_SUCCESS(code);
}
