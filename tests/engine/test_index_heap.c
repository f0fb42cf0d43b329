/* test_index_heap.c - the heap under random puts, changes and removals, against a search through a
 * plain list. */
#include "runtime/engine/index_heap.h"

#include "runtime/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CAPACITY = 50 };

static void test_random(void **state) {
    (void)state;
    struct mill_index_heap heap;
    struct mill_arena arena = {0};
    mill_index_heap_init(&heap, &arena, CAPACITY);
    char *memory = mill_alloc_aligned(arena.peak);
    assert_non_null(memory);
    arena = (struct mill_arena){.base = memory, .capacity = arena.peak};
    mill_index_heap_init(&heap, &arena, CAPACITY);
    double rank[CAPACITY];
    bool there[CAPACITY] = {false};
    for (uint64_t i = 0; i < 100000; i++) {
        int32_t item = (int32_t)(mill_philox_uniform(1, 3 * i) * CAPACITY);
        there[item] = mill_philox_uniform(1, 3 * i + 1) < 0.6;
        if (there[item]) {
            rank[item] = (int)(mill_philox_uniform(1, 3 * i + 2) * 30); /* many are equal */
            mill_index_heap_put(&heap, item, rank[item]);
        } else {
            mill_index_heap_remove(&heap, item);
        }
        int32_t first = -1, n = 0;
        for (int32_t j = 0; j < CAPACITY; j++) {
            n += there[j];
            if (there[j] && (first < 0 || rank[j] < rank[first]))
                first = j;
        }
        assert_int_equal(heap.n, n);
        assert_int_equal(mill_index_heap_first(&heap), first);
    }
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
