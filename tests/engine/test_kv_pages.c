/* test_kv_pages.c - sequences that take pages, share them and go, in known orders and at random,
 * against a plain list of what each page holds; and that the audit sees wrong books. */
#include "runtime/engine/kv_pages.h"

#include "runtime/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_audit_sees(void **state) {
    (void)state;
    struct mill_kv_pool *pool;
    struct mill_error err;
    int32_t pages[2];
    struct mill_kv_table table = {.pages = pages, .max_pages = 2}, wrong;
    assert_int_equal(mill_kv_pool_open(&pool, 4, 1, NULL), MILL_OK);
    assert_int_equal(mill_kv_table_grow(&table, pool, 2), MILL_OK);
    assert_int_equal(mill_kv_pool_audit(pool, &table, 1, &err), MILL_OK);
    wrong = table;
    wrong.n_pages = 1;
    assert_int_equal(mill_kv_pool_audit(pool, &wrong, 1, &err), MILL_E_DEVICE); /* leaked */
    assert_non_null(strstr(err.text, "page 1 counts 1 holders and has 0"));
    wrong = table;
    wrong.n_named = 1;
    assert_int_equal(mill_kv_pool_audit(pool, &wrong, 1, &err), MILL_E_DEVICE);
    assert_non_null(strstr(err.text, "page 0 is not named"));
    wrong = table;
    mill_kv_table_clear(&table, pool);
    assert_int_equal(mill_kv_pool_audit(pool, &wrong, 1, &err), MILL_E_DEVICE); /* used when free */
    mill_kv_table_clear(&wrong, pool);                                          /* put back twice */
    assert_int_equal(mill_kv_pool_audit(pool, &table, 1, &err), MILL_E_DEVICE);
    assert_non_null(strstr(err.text, "page 0 counts -1"));
    wrong.n_pages = 1;
    pages[0] = 4;
    assert_int_equal(mill_kv_pool_audit(pool, &wrong, 1, &err), MILL_E_DEVICE);
    mill_kv_pool_close(pool);
    mill_kv_pool_close(NULL);
}

static void test_table(void **state) {
    (void)state;
    struct mill_kv_pool *pool;
    int32_t pages[2][4];
    struct mill_kv_table tables[2] = {{pages[0], .max_pages = 4}, {pages[1], .max_pages = 4}};
    struct mill_kv_table *a = &tables[0], *b = &tables[1];
    assert_int_equal(mill_kv_pool_open(&pool, 5, 1, NULL), MILL_OK);
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
    assert_int_equal(mill_kv_pool_open(&pool, 0, 1, NULL), MILL_E_INPUT);
}

/* Three sequences: two of one beginning, the third of its first page. Names are found in any order
 * of coming and going, and given once. */
static void test_shared_beginning(void **state) {
    (void)state;
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7}, others[] = {1, 2, 9, 4, 5, 6};
    struct mill_kv_pool *pool;
    int32_t pages[3][4];
    struct mill_kv_table tables[3] = {
        {pages[0], .max_pages = 4}, {pages[1], .max_pages = 4}, {pages[2], .max_pages = 4}};
    struct mill_kv_table *a = &tables[0], *b = &tables[1], *c = &tables[2];
    assert_int_equal(mill_kv_pool_open(&pool, 6, 2, NULL), MILL_OK);
    assert_int_equal(mill_kv_table_share(a, pool, tokens, 7), 0);
    assert_int_equal(mill_kv_table_grow(a, pool, 2), MILL_OK);
    mill_kv_table_name(a, pool, tokens, 3); /* the second is not full */
    assert_int_equal(a->n_named, 1);
    assert_int_equal(mill_kv_table_share(c, pool, others, 6), 1);
    mill_kv_table_name(a, pool, tokens, 4);
    assert_int_equal(mill_kv_table_share(b, pool, tokens, 7), 2);
    assert_memory_equal(pages[0], pages[1], 2 * sizeof(int32_t));
    assert_int_equal(mill_kv_pool_n_free(pool), 4);
    assert_int_equal(mill_kv_table_share(b, pool, tokens, 7), 0); /* that was all */
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);

    assert_int_equal(mill_kv_table_grow(a, pool, 3), MILL_OK);
    assert_int_equal(mill_kv_table_grow(b, pool, 3), MILL_OK);
    mill_kv_table_name(b, pool, tokens, 6);
    mill_kv_table_name(a, pool, tokens, 6); /* b was first; a keeps its own page */
    assert_int_equal(a->n_named, 2);
    assert_int_equal(mill_kv_table_share(c, pool, others, 6), 0);
    assert_int_equal(mill_kv_pool_count_shared(pool, tokens, 7), 3);
    assert_int_equal(mill_kv_pool_count_shared(pool, others, 6), 1);
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);

    mill_kv_table_clear(b, pool);
    assert_int_equal(mill_kv_pool_count_shared(pool, tokens, 7), 2);
    assert_int_equal(mill_kv_table_share(b, pool, tokens, 7), 3); /* free, and still found */
    mill_kv_table_clear(a, pool);
    mill_kv_table_clear(b, pool);
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);
    assert_int_equal(mill_kv_table_grow(c, pool, 4), MILL_OK); /* the nameless ones */
    assert_int_equal(mill_kv_table_share(a, pool, tokens, 7), 3);
    mill_kv_table_clear(a, pool);
    mill_kv_table_clear(c, pool); /* puts one with a name and three without, after a's */
    assert_int_equal(mill_kv_table_grow(c, pool, 3), MILL_OK);
    assert_int_equal(mill_kv_table_share(a, pool, tokens, 7), 3);
    mill_kv_table_clear(a, pool);
    assert_int_equal(mill_kv_table_grow(b, pool, 1), MILL_OK);    /* the last of a's */
    assert_int_equal(mill_kv_table_share(a, pool, tokens, 7), 2); /* the rest is there */
    assert_int_equal(mill_kv_pool_audit(pool, tables, 3, NULL), MILL_OK);
    for (int i = 0; i < 3; i++)
        mill_kv_table_clear(&tables[i], pool);
    assert_int_equal(mill_kv_pool_n_free(pool), 6);
    mill_kv_pool_close(pool);
}

/* Tables that grow and go at random over prompts of two tokens: what is shared is what a list of
 * each page's whole beginning says. */
static void test_random_beginnings(void **state) {
    (void)state;
    enum { N_PAGES = 12, N_TABLES = 5, TABLE_PAGES = 4, PAGE_TOKENS = 2 };
    enum { N_IDS = TABLE_PAGES * PAGE_TOKENS };
    struct mill_kv_pool *pool;
    int32_t pages[N_TABLES][TABLE_PAGES], ids[N_TABLES][N_IDS], n_shared = 0, n_empty = 0;
    int32_t beginnings[N_PAGES][N_IDS]; /* of a page written last: all tokens up to its end */
    struct mill_kv_table tables[N_TABLES];
    assert_int_equal(mill_kv_pool_open(&pool, N_PAGES, PAGE_TOKENS, NULL), MILL_OK);
    for (int i = 0; i < N_TABLES; i++)
        tables[i] = (struct mill_kv_table){.pages = pages[i], .max_pages = TABLE_PAGES};
    for (uint64_t turn = 0; turn < 20000; turn++) {
        int t = (int)(mill_philox_uniform(2, 10 * turn) * N_TABLES);
        struct mill_kv_table *table = &tables[t];
        if (table->n_pages == TABLE_PAGES || mill_philox_uniform(2, 10 * turn + 1) < 0.2)
            mill_kv_table_clear(table, pool);
        if (table->n_pages == 0)
            for (int i = 0; i < N_IDS; i++)
                ids[t][i] = mill_philox_uniform(2, 10 * turn + 2 + (uint64_t)i) < 0.3;
        int32_t n_before = table->n_pages;
        n_shared += mill_kv_table_share(table, pool, ids[t], N_IDS);
        for (int32_t i = n_before; i < table->n_pages; i++)
            assert_memory_equal(beginnings[pages[t][i]], ids[t],
                                (size_t)(i + 1) * PAGE_TOKENS * sizeof(int32_t));
        mill_status status = mill_kv_table_grow(table, pool, n_before + 1);
        n_empty += status == MILL_AGAIN;
        if (status == MILL_OK) {
            int32_t n_tokens = table->n_pages * PAGE_TOKENS;
            if (table->n_named < table->n_pages)
                memcpy(beginnings[pages[t][table->n_pages - 1]], ids[t], sizeof ids[t]);
            mill_kv_table_name(table, pool, ids[t], n_tokens);
        }
        assert_int_equal(mill_kv_pool_audit(pool, tables, N_TABLES, NULL), MILL_OK);
    }
    assert_true(n_shared > 5000);
    assert_true(n_empty > 0); /* the pool ran dry at times */
    mill_kv_pool_close(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_sees),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_shared_beginning),
        cmocka_unit_test(test_random_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
