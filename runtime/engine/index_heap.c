/* index_heap.c - see index_heap.h. A binary heap in an array: the children of place i stand at 2i +
 * 1 and 2i + 2. */
#include "runtime/engine/index_heap.h"

void mill_index_heap_init(struct mill_index_heap *heap, struct mill_arena *arena,
                          int32_t capacity) {
    size_t n = (size_t)capacity;
    heap->n = 0;
    heap->items = mill_arena_take(arena, n * sizeof *heap->items);
    heap->place = mill_arena_take(arena, n * sizeof *heap->place);
    heap->rank = mill_arena_take(arena, n * sizeof *heap->rank);
    for (int32_t i = 0; heap->place && i < capacity; i++)
        heap->place[i] = -1;
}

static bool is_before(const struct mill_index_heap *heap, int32_t a, int32_t b) {
    return heap->rank[a] < heap->rank[b] || (heap->rank[a] == heap->rank[b] && a < b);
}

static void set(struct mill_index_heap *heap, int32_t place, int32_t item) {
    heap->items[place] = item;
    heap->place[item] = place;
}

/* Move the item at `place` to where its rank belongs. */
static void settle(struct mill_index_heap *heap, int32_t place) {
    int32_t item = heap->items[place];
    while (place > 0 && is_before(heap, item, heap->items[(place - 1) / 2])) {
        set(heap, place, heap->items[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        int32_t child = 2 * place + 1;
        if (child + 1 < heap->n && is_before(heap, heap->items[child + 1], heap->items[child]))
            child++;
        if (child >= heap->n || !is_before(heap, heap->items[child], item))
            break;
        set(heap, place, heap->items[child]);
        place = child;
    }
    set(heap, place, item);
}

void mill_index_heap_put(struct mill_index_heap *heap, int32_t item, double rank) {
    if (heap->place[item] < 0)
        set(heap, heap->n++, item);
    heap->rank[item] = rank;
    settle(heap, heap->place[item]);
}

void mill_index_heap_remove(struct mill_index_heap *heap, int32_t item) {
    int32_t place = heap->place[item];
    if (place < 0)
        return;
    heap->place[item] = -1;
    int32_t last = heap->items[--heap->n];
    if (last == item)
        return;
    set(heap, place, last);
    settle(heap, place);
}
