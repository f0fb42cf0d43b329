/* memory.c - the few allocation helpers and the arena. No state. */
#include "runtime/base/memory.h"

#include <stdlib.h>

void *mill_alloc_array(size_t n, size_t size) {
    size_t bytes;
    return mill_mul_size(n, size, &bytes) ? calloc(1, bytes ? bytes : 1) : NULL;
}

void *mill_alloc_aligned(size_t size) {
    if (size > SIZE_MAX - MILL_ALIGNMENT)
        return NULL;
    return aligned_alloc(MILL_ALIGNMENT, size ? mill_align_size(size) : MILL_ALIGNMENT);
}

void *mill_arena_take(struct mill_arena *arena, size_t bytes) {
    size_t need = mill_align_size(bytes);
    if (arena->base && need > arena->capacity - arena->used)
        return NULL;
    char *memory = arena->base ? arena->base + arena->used : NULL;
    arena->used += need;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return memory;
}
