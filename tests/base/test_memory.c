/* test_memory.c - sizes that overflow, aligned memory, the arena and its counting twin. */
#include "runtime/base/memory.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void sizes(void **state) {
    (void)state;
    size_t r = 7;
    assert_true(mill_mul_size(3, 5, &r));
    assert_int_equal(r, 15);
    assert_false(mill_mul_size(SIZE_MAX / 2 + 1, 2, &r));
    assert_false(mill_add_size(SIZE_MAX, 1, &r));
    assert_int_equal(r, 15);
    assert_true(mill_add_size(SIZE_MAX, 0, &r));
    assert_int_equal(mill_align_size(0), 0);
    assert_int_equal(mill_align_size(1), 64);
    assert_int_equal(mill_align_size(64), 64);
}

static void allocations(void **state) {
    (void)state;
    int *numbers = mill_alloc_array(100, sizeof *numbers);
    assert_non_null(numbers);
    for (int i = 0; i < 100; i++)
        assert_int_equal(numbers[i], 0);
    free(numbers);
    assert_null(mill_alloc_array(SIZE_MAX / 2, 4));
    assert_null(mill_alloc_aligned(SIZE_MAX - 3));
    void *none = mill_alloc_array(0, 4), *aligned = mill_alloc_aligned(0);
    assert_non_null(none);
    assert_non_null(aligned);
    assert_int_equal((uintptr_t)aligned % MILL_ALIGNMENT, 0);
    free(none);
    free(aligned);
}

static void arena(void **state) {
    (void)state;
    struct mill_arena count = {0};
    assert_null(mill_arena_take(&count, 100));
    assert_null(mill_arena_take(&count, 1));
    assert_int_equal(count.peak, 128 + 64);

    struct mill_arena a = {.base = mill_alloc_aligned(count.peak), .capacity = count.peak};
    assert_non_null(a.base);
    char *first = mill_arena_take(&a, 100);
    assert_ptr_equal(first, a.base);
    size_t mark = mill_arena_mark(&a);
    char *second = mill_arena_take(&a, 64);
    assert_ptr_equal(second, a.base + 128);
    assert_null(mill_arena_take(&a, 1));
    mill_arena_release(&a, mark);
    assert_ptr_equal(mill_arena_take(&a, 1), second);
    assert_int_equal(a.peak, count.peak);
    free(a.base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(allocations),
        cmocka_unit_test(arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
