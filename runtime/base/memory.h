/* memory.h - sizes that cannot overflow, allocation that says so, and the arena.
 *
 * Sizes that come from a file or a socket are multiplied and added only through these helpers.
 * Memory for vectors and device-like slabs is 64-byte aligned. Everything here returns NULL or
 * false on failure and leaves the message to the caller, who knows what the memory was for. */
#ifndef MILL_BASE_MEMORY_H
#define MILL_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MILL_ALIGNMENT ((size_t)64)

/* *out = a * b or a + b; false, with *out untouched, when that does not fit. */
static inline bool mill_mul_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}
static inline bool mill_add_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* `size` rounded up to MILL_ALIGNMENT; the caller's sizes stay far below SIZE_MAX. */
static inline size_t mill_align_size(size_t size) {
    return (size + MILL_ALIGNMENT - 1) & ~(MILL_ALIGNMENT - 1);
}

/* n zeroed elements; NULL when n * size overflows or memory is short. n = 0 gives a freeable
 * pointer. */
void *mill_alloc_array(size_t n, size_t size);

/* 64-byte aligned, not zeroed; free with free(). */
void *mill_alloc_aligned(size_t size);

/* Arena: memory carved front to back, given back as a whole.
 *
 *     base                    used                 capacity
 *      | taken | taken | taken | free ...             |
 *
 * With base NULL it only counts, so the code that carves also tells how much to reserve: run it
 * once on a counting arena, allocate `peak`, run it again. */
struct mill_arena {
    char *base;      /* borrowed; NULL = count only */
    size_t used;     /* bytes, a multiple of MILL_ALIGNMENT */
    size_t capacity; /* bytes; ignored while counting */
    size_t peak;     /* largest `used` so far */
};

/* Aligned memory from the arena; NULL when it is full, and always NULL while counting: callers that
 * carve must not look at the memory before they know that it is there. */
void *mill_arena_take(struct mill_arena *arena, size_t bytes);

/* Remember `used`, and later set it back, to release everything taken since. */
static inline size_t mill_arena_mark(const struct mill_arena *arena) {
    return arena->used;
}
static inline void mill_arena_release(struct mill_arena *arena, size_t mark) {
    arena->used = mark;
}

#endif
