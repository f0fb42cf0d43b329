/* test_kv_pages.c - the page pool under random operations, against a plain list of who holds what;
 * and that the audit sees wrong books. */
#include "runtime/engine/kv_pages.h"

#include "runtime/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_PAGES = 37, MAX_HELD = 400 };

/* As if one sequence held all of it. */
static mill_status audit(struct mill_kv_pool *pool, int32_t *held, int32_t n_held,
                         struct mill_error *err) {
    const struct mill_kv_table table = {.pages = held, .n_pages = n_held};
    return mill_kv_pool_audit(pool, &table, 1, err);
}

static void test_random(void **state) {
    (void)state;
    struct mill_kv_pool *pool;
    assert_int_equal(mill_kv_pool_open(&pool, N_PAGES, NULL), MILL_OK);
    int32_t held[MAX_HELD], n_held = 0, n_empty = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        double what = mill_philox_uniform(1, 2 * i), which = mill_philox_uniform(1, 2 * i + 1);
        bool filling = i / 1000 % 2 == 0; /* in turns mostly filling and mostly emptying */
        if (what < 0.3 && n_held > 0 && n_held < MAX_HELD) {
            held[n_held] = held[(int)(which * n_held)];
            mill_kv_pool_share(pool, held[n_held++]);
        } else if (what < (filling ? 0.65 : 0.35)) {
            int32_t page = n_held < MAX_HELD ? mill_kv_pool_take(pool) : -1;
            n_empty += page < 0;
            for (int32_t j = 0; page >= 0 && j < n_held; j++)
                assert_int_not_equal(held[j], page);
            if (page >= 0)
                held[n_held++] = page;
        } else if (n_held > 0) {
            int32_t j = (int32_t)(which * n_held);
            mill_kv_pool_put(pool, held[j]);
            held[j] = held[--n_held];
        }
        if (i % 10 == 0)
            assert_int_equal(audit(pool, held, n_held, NULL), MILL_OK);
    }
    assert_true(n_empty > 0); /* the pool ran dry at times */
    while (n_held > 0)
        mill_kv_pool_put(pool, held[--n_held]);
    assert_int_equal(mill_kv_pool_n_free(pool), N_PAGES);
    assert_int_equal(audit(pool, held, 0, NULL), MILL_OK);
    mill_kv_pool_close(pool);
}

static void test_audit_sees(void **state) {
    (void)state;
    struct mill_kv_pool *pool;
    struct mill_error err;
    assert_int_equal(mill_kv_pool_open(&pool, 4, NULL), MILL_OK);
    int32_t held[2] = {mill_kv_pool_take(pool), mill_kv_pool_take(pool)};
    assert_int_equal(audit(pool, held, 2, &err), MILL_OK);
    assert_int_equal(audit(pool, held, 1, &err), MILL_E_DEVICE); /* leaked */
    assert_non_null(strstr(err.text, "page 1 counts 1 holders and has 0"));
    mill_kv_pool_put(pool, held[1]);
    assert_int_equal(audit(pool, held, 2, &err), MILL_E_DEVICE); /* used when free */
    held[1] = 4;
    assert_int_equal(audit(pool, held, 2, &err), MILL_E_DEVICE);
    mill_kv_pool_put(pool, held[0]);
    mill_kv_pool_share(pool, held[0]); /* a holder that came after the last one left */
    assert_int_equal(audit(pool, held, 1, &err), MILL_E_DEVICE);
    assert_non_null(strstr(err.text, "free and held"));
    mill_kv_pool_close(pool);
    mill_kv_pool_close(NULL);
}

static void test_table(void **state) {
    (void)state;
    struct mill_kv_pool *pool;
    int32_t pages[2][4];
    struct mill_kv_table tables[2] = {{pages[0], 0, 4}, {pages[1], 0, 4}};
    struct mill_kv_table *a = &tables[0], *b = &tables[1];
    assert_int_equal(mill_kv_pool_open(&pool, 5, NULL), MILL_OK);
    assert_int_equal(mill_kv_table_grow(a, pool, 3), MILL_OK);
    assert_int_equal(mill_kv_table_grow(a, pool, 2), MILL_OK); /* it never shrinks */
    assert_int_equal(a->n_pages, 3);
    assert_int_equal(mill_kv_table_grow(b, pool, 3), MILL_AGAIN);
    assert_int_equal(b->n_pages, 0); /* all or nothing */
    assert_int_equal(mill_kv_pool_n_free(pool), 2);
    assert_int_equal(mill_kv_table_grow(a, pool, 5), MILL_E_INPUT);
    mill_kv_table_clear(a, pool);
    assert_int_equal(mill_kv_table_grow(b, pool, 3), MILL_OK);
    assert_int_equal(mill_kv_pool_audit(pool, tables, 2, NULL), MILL_OK);
    mill_kv_table_clear(b, pool);
    mill_kv_pool_close(pool);
    assert_int_equal(mill_kv_pool_open(&pool, 0, NULL), MILL_E_INPUT);
}

/* Three sequences of one beginning: full pages stay shared, the last page is copied by each that
 * writes it but the last holder. */
static void test_shared_beginning(void **state) {
    (void)state;
    struct mill_kv_pool *pool;
    int32_t pages[3][4];
    struct mill_kv_table tables[3] = {{pages[0], 0, 4}, {pages[1], 0, 4}, {pages[2], 0, 4}};
    assert_int_equal(mill_kv_pool_open(&pool, 4, NULL), MILL_OK);
    assert_int_equal(mill_kv_table_grow(&tables[0], pool, 2), MILL_OK);
    mill_kv_table_share(&tables[1], pool, &tables[0], 2);
    mill_kv_table_share(&tables[2], pool, &tables[1], 2);
    assert_int_equal(mill_kv_pool_n_free(pool), 2);
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);

    struct mill_kv_copy copy;
    int32_t last = pages[0][1];
    assert_int_equal(mill_kv_table_own(&tables[1], pool, 1, &copy), MILL_DONE);
    assert_int_equal(copy.from, last);
    assert_int_equal(copy.to, pages[1][1]);
    assert_int_not_equal(copy.to, last);
    assert_int_equal(mill_kv_table_own(&tables[1], pool, 1, &copy), MILL_OK);
    assert_int_equal(mill_kv_table_grow(&tables[1], pool, 3), MILL_OK);
    assert_int_equal(mill_kv_table_own(&tables[2], pool, 1, &copy), MILL_AGAIN); /* pool is empty */
    assert_int_equal(pages[2][1], last);
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);

    mill_kv_table_clear(&tables[0], pool);
    assert_int_equal(mill_kv_table_own(&tables[2], pool, 1, &copy), MILL_OK); /* alone now */
    assert_int_equal(pages[2][1], last);
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);
    mill_kv_table_clear(&tables[1], pool);
    mill_kv_table_clear(&tables[2], pool);
    assert_int_equal(mill_kv_pool_n_free(pool), 4);
    mill_kv_pool_close(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_audit_sees),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_shared_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
