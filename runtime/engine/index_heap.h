/* index_heap.h - a priority queue of small numbers (slots): least rank first, ties by number.
 *
 * Every item knows its place, so any of them can be taken out. The caller gives the memory; every
 * operation takes O(log n); nothing is allocated. One thread. */
#ifndef MILL_ENGINE_INDEX_HEAP_H
#define MILL_ENGINE_INDEX_HEAP_H

#include "runtime/base/memory.h"

struct mill_index_heap {
    int32_t n;
    int32_t *items; /* [capacity]; the first n count, least in front of its two children */
    int32_t *place; /* [capacity]: item -> index in items, -1 = not in the heap */
    double *rank;   /* [capacity]: of item */
};

/* An empty heap for items 0 .. capacity - 1 in memory of the arena, which may only be counting. */
void mill_index_heap_init(struct mill_index_heap *heap, struct mill_arena *arena, int32_t capacity);
/* Put an item, or change the rank of one that is there. */
void mill_index_heap_put(struct mill_index_heap *heap, int32_t item, double rank);
/* Nothing happens to an item that is not there. */
void mill_index_heap_remove(struct mill_index_heap *heap, int32_t item);

/* The least; -1 in an empty heap. */
static inline int32_t mill_index_heap_first(const struct mill_index_heap *heap) {
    return heap->n > 0 ? heap->items[0] : -1;
}

#endif
