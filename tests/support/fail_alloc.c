/* fail_alloc.c - see fail_alloc.h. glibc allows a program to bring its own malloc family and offers
 * the replaced one under __libc_* names. */
#include "tests/support/fail_alloc.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

static atomic_long requests; /* since the last setting */
static atomic_long first_failing, last_failing;
static atomic_long live;

#ifndef SANITIZED
#define REPLACES __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

static bool fails_now(void) {
    long n = atomic_fetch_add(&requests, 1) + 1;
    if (n < atomic_load(&first_failing) || n > atomic_load(&last_failing))
        return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p) {
    if (p)
        atomic_fetch_add(&live, 1);
    return p;
}

REPLACES void *malloc(size_t size) {
    return fails_now() ? NULL : counted(__libc_malloc(size));
}

REPLACES void *calloc(size_t n, size_t size) {
    return fails_now() ? NULL : counted(__libc_calloc(n, size));
}

REPLACES void *realloc(void *p, size_t size) {
    if (fails_now())
        return NULL;
    void *q = __libc_realloc(p, size);
    if (!p)
        counted(q);
    else if (!q && size == 0) /* glibc frees then */
        atomic_fetch_sub(&live, 1);
    return q;
}

REPLACES void *memalign(size_t alignment, size_t size) {
    return fails_now() ? NULL : counted(__libc_memalign(alignment, size));
}

REPLACES void *aligned_alloc(size_t alignment, size_t size) {
    return fails_now() ? NULL : counted(__libc_memalign(alignment, size));
}

REPLACES int posix_memalign(void **out, size_t alignment, size_t size) {
    if (fails_now())
        return ENOMEM;
    void *p = counted(__libc_memalign(alignment, size));
    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}

REPLACES void free(void *p) {
    if (p)
        atomic_fetch_sub(&live, 1);
    __libc_free(p);
}

bool mill_fail_alloc_works(void) {
    return true;
}
#else
bool mill_fail_alloc_works(void) {
    return false;
}
#endif

/* The range is emptied first, so that no request in between can fall into a half-set one. */
static void set(long first, long last) {
    atomic_store(&last_failing, 0);
    atomic_store(&requests, 0);
    atomic_store(&first_failing, first);
    atomic_store(&last_failing, first > 0 ? last : 0);
}

void mill_fail_alloc_at(long n) {
    set(n, n);
}

void mill_fail_alloc_from(long n) {
    set(n, INT64_MAX);
}

long mill_fail_alloc_count(void) {
    return atomic_load(&requests);
}

long mill_fail_alloc_live(void) {
    return atomic_load(&live);
}

/* One run with the n-th allocation failing; the number of allocations it asked for. */
static long run(mill_status (*attempt)(void *, struct mill_error *), void *context, long n,
                bool for_good) {
    struct mill_error err = {.text = ""};
    long before = mill_fail_alloc_live();
    if (for_good)
        mill_fail_alloc_from(n);
    else
        mill_fail_alloc_at(n);
    mill_status status = attempt(context, &err);
    long count = mill_fail_alloc_count();
    mill_fail_alloc_at(0);
    if (mill_fail_alloc_live() != before)
        fail_msg("allocation %ld failing%s leaks %ld blocks", n, for_good ? " for good" : "",
                 mill_fail_alloc_live() - before);
    bool hit = n > 0 && count >= n;
    if (status > 0 || (status < 0 && (!hit || err.text[0] == '\0')))
        fail_msg("allocation %ld failing%s gives status %d: %s", n, for_good ? " for good" : "",
                 status, err.text);
    return count;
}

long mill_fail_alloc_sweep(mill_status (*attempt)(void *context, struct mill_error *err),
                           void *context) {
    struct mill_error err;
    assert_int_equal(attempt(context, &err), MILL_OK); /* fills what libraries keep */
    long n_allocations = run(attempt, context, 0, false);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long n = 1; run(attempt, context, n, for_good) >= n; n++)
            ;
    return n_allocations;
}
