/* kv_pages.c - see kv_pages.h. The free pages are a stack: what was used last is still warm. */
#include "runtime/engine/kv_pages.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct mill_kv_pool {
    int32_t n_pages, n_free;
    int32_t *free_pages; /* [n_pages]; the first n_free count */
    int32_t *n_holders;  /* [n_pages]; 0 = free */
    int32_t *n_seen;     /* [n_pages]: the audit's own count */
};

mill_status mill_kv_pool_open(struct mill_kv_pool **out, int32_t n_pages, struct mill_error *err) {
    *out = NULL;
    if (n_pages < 1 || n_pages > 1 << 30)
        return mill_fail(err, MILL_E_INPUT, "a pool of %d pages cannot be", n_pages);
    struct mill_kv_pool *pool = mill_alloc_array(1, sizeof *pool);
    if (pool) {
        pool->free_pages = mill_alloc_array((size_t)n_pages, sizeof *pool->free_pages);
        pool->n_holders = mill_alloc_array((size_t)n_pages, sizeof *pool->n_holders);
        pool->n_seen = mill_alloc_array((size_t)n_pages, sizeof *pool->n_seen);
    }
    if (!pool || !pool->free_pages || !pool->n_holders || !pool->n_seen) {
        mill_kv_pool_close(pool);
        return mill_fail(err, MILL_E_MEMORY, "no memory for the books of %d pages", n_pages);
    }
    pool->n_pages = pool->n_free = n_pages;
    for (int32_t i = 0; i < n_pages; i++)
        pool->free_pages[i] = n_pages - 1 - i; /* so that page 0 is taken first */
    *out = pool;
    return MILL_OK;
}

void mill_kv_pool_close(struct mill_kv_pool *pool) {
    if (!pool)
        return;
    free(pool->free_pages);
    free(pool->n_holders);
    free(pool->n_seen);
    free(pool);
}

int32_t mill_kv_pool_n_free(const struct mill_kv_pool *pool) {
    return pool->n_free;
}

int32_t mill_kv_pool_take(struct mill_kv_pool *pool) {
    if (pool->n_free == 0)
        return -1;
    int32_t page = pool->free_pages[--pool->n_free];
    pool->n_holders[page] = 1;
    return page;
}

void mill_kv_pool_share(struct mill_kv_pool *pool, int32_t page) {
    pool->n_holders[page]++;
}

void mill_kv_pool_put(struct mill_kv_pool *pool, int32_t page) {
    if (--pool->n_holders[page] == 0)
        pool->free_pages[pool->n_free++] = page;
}

mill_status mill_kv_table_grow(struct mill_kv_table *table, struct mill_kv_pool *pool,
                               int32_t n_pages) {
    if (n_pages > table->max_pages)
        return MILL_E_INPUT;
    if (n_pages - table->n_pages > pool->n_free)
        return MILL_AGAIN;
    while (table->n_pages < n_pages)
        table->pages[table->n_pages++] = mill_kv_pool_take(pool);
    return MILL_OK;
}

void mill_kv_table_share(struct mill_kv_table *table, struct mill_kv_pool *pool,
                         const struct mill_kv_table *donor, int32_t n_pages) {
    for (int32_t i = 0; i < n_pages; i++) {
        mill_kv_pool_share(pool, donor->pages[i]);
        table->pages[i] = donor->pages[i];
    }
    table->n_pages = n_pages;
}

mill_status mill_kv_table_own(struct mill_kv_table *table, struct mill_kv_pool *pool, int32_t index,
                              struct mill_kv_copy *copy) {
    int32_t page = table->pages[index];
    if (pool->n_holders[page] == 1)
        return MILL_OK;
    int32_t fresh = mill_kv_pool_take(pool);
    if (fresh < 0)
        return MILL_AGAIN;
    *copy = (struct mill_kv_copy){.from = page, .to = fresh};
    mill_kv_pool_put(pool, page);
    table->pages[index] = fresh;
    return MILL_DONE;
}

void mill_kv_table_clear(struct mill_kv_table *table, struct mill_kv_pool *pool) {
    while (table->n_pages > 0)
        mill_kv_pool_put(pool, table->pages[--table->n_pages]);
}

static mill_status count_table(struct mill_kv_pool *pool, const struct mill_kv_table *table,
                               struct mill_error *err) {
    for (int32_t i = 0; i < table->n_pages; i++) {
        int32_t page = table->pages[i];
        if (page < 0 || page >= pool->n_pages)
            return mill_fail(err, MILL_E_DEVICE, "a sequence holds page %d of %d", page,
                             pool->n_pages);
        pool->n_seen[page]++;
    }
    return MILL_OK;
}

mill_status mill_kv_pool_audit(struct mill_kv_pool *pool, const struct mill_kv_table *tables,
                               int32_t n_tables, struct mill_error *err) {
    memset(pool->n_seen, 0, (size_t)pool->n_pages * sizeof *pool->n_seen);
    for (int32_t i = 0; i < n_tables; i++)
        MILL_TRY(count_table(pool, &tables[i], err));
    for (int32_t p = 0; p < pool->n_pages; p++)
        if (pool->n_seen[p] != pool->n_holders[p])
            return mill_fail(err, MILL_E_DEVICE, "page %d counts %d holders and has %d", p,
                             pool->n_holders[p], pool->n_seen[p]);
    for (int32_t i = 0; i < pool->n_free; i++)
        if (pool->n_seen[pool->free_pages[i]]++ != 0)
            return mill_fail(err, MILL_E_DEVICE, "page %d is free and held, or free twice",
                             pool->free_pages[i]);
    for (int32_t p = 0; p < pool->n_pages; p++)
        if (pool->n_seen[p] == 0)
            return mill_fail(err, MILL_E_DEVICE, "page %d is neither free nor held", p);
    return MILL_OK;
}
