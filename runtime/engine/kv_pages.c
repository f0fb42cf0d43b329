/* kv_pages.c - see kv_pages.h. Free pages are a list in the order in which they will be taken,
 * closed to a ring by an entry of its own (number n_pages). Names hang in buckets by a hash. */
#include "runtime/engine/kv_pages.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { NAMELESS = -2, BEGINNING = -1 }; /* in place of the page in front */

struct page {
    int32_t n_holders;      /* 0 = free */
    int32_t previous, next; /* free: in the list */
    int32_t in_front;       /* the page in front of it; BEGINNING: it is a first page; NAMELESS */
    int32_t next_named;     /* in its bucket; -1 = last */
    int32_t n_seen;         /* the audit's own count */
};

struct mill_kv_pool {
    int32_t n_pages, n_free, page_tokens;
    struct page *pages; /* [n_pages + 1]; the last is the free list's beginning and end */
    int32_t *tokens;    /* [n_pages][page_tokens]: of named pages */
    int32_t *buckets;   /* [bucket_mask + 1]: first page, -1 = none */
    uint32_t bucket_mask;
};

/* ------------------------------------------------------------------ open, close */

static mill_status open_arrays(struct mill_kv_pool *pool, struct mill_error *err) {
    size_t n = (size_t)pool->n_pages, n_buckets = 1, n_tokens;
    while (n_buckets < n)
        n_buckets *= 2;
    pool->bucket_mask = (uint32_t)n_buckets - 1;
    pool->pages = mill_alloc_array(n + 1, sizeof *pool->pages);
    if (mill_mul_size(n, (size_t)pool->page_tokens, &n_tokens))
        pool->tokens = mill_alloc_array(n_tokens, sizeof *pool->tokens);
    pool->buckets = mill_alloc_array(n_buckets, sizeof *pool->buckets);
    if (!pool->pages || !pool->tokens || !pool->buckets)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the books of %d pages", pool->n_pages);
    return MILL_OK;
}

mill_status mill_kv_pool_open(struct mill_kv_pool **out, int32_t n_pages, int32_t page_tokens,
                              struct mill_error *err) {
    *out = NULL;
    if (n_pages < 1 || n_pages > 1 << 30 || page_tokens < 1 || page_tokens > 1 << 16)
        return mill_fail(err, MILL_E_INPUT, "a pool of %d pages of %d tokens cannot be", n_pages,
                         page_tokens);
    struct mill_kv_pool *pool = mill_alloc_array(1, sizeof *pool);
    if (!pool)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the books of %d pages", n_pages);
    pool->n_pages = pool->n_free = n_pages;
    pool->page_tokens = page_tokens;
    mill_status status = open_arrays(pool, err);
    if (status < 0) {
        mill_kv_pool_close(pool);
        return status;
    }
    for (int32_t i = 0; i <= n_pages; i++) /* page 0 is taken first */
        pool->pages[i] = (struct page){.previous = i > 0 ? i - 1 : n_pages,
                                       .next = i < n_pages ? i + 1 : 0,
                                       .in_front = NAMELESS};
    for (uint32_t i = 0; i <= pool->bucket_mask; i++)
        pool->buckets[i] = -1;
    *out = pool;
    return MILL_OK;
}

void mill_kv_pool_close(struct mill_kv_pool *pool) {
    if (!pool)
        return;
    free(pool->pages);
    free(pool->tokens);
    free(pool->buckets);
    free(pool);
}

int32_t mill_kv_pool_n_free(const struct mill_kv_pool *pool) {
    return pool->n_free;
}

/* ------------------------------------------------------------------ names */

static int32_t *tokens_of(const struct mill_kv_pool *pool, int32_t page) {
    return pool->tokens + (size_t)page * (size_t)pool->page_tokens;
}

/* The bucket's place in `buckets`. */
static int32_t *find_bucket(const struct mill_kv_pool *pool, int32_t in_front,
                            const int32_t *tokens) {
    uint64_t hash = (uint32_t)in_front;
    for (int32_t i = 0; i < pool->page_tokens; i++)
        hash = (hash ^ (uint32_t)tokens[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return &pool->buckets[(uint32_t)(hash >> 32) & pool->bucket_mask];
}

/* The page with these tokens behind that page; -1 = none. */
static int32_t find_page(const struct mill_kv_pool *pool, int32_t in_front, const int32_t *tokens) {
    size_t bytes = (size_t)pool->page_tokens * sizeof *tokens;
    int32_t page = *find_bucket(pool, in_front, tokens);
    while (page >= 0 && (pool->pages[page].in_front != in_front ||
                         memcmp(tokens_of(pool, page), tokens, bytes) != 0))
        page = pool->pages[page].next_named;
    return page;
}

static void give_name(struct mill_kv_pool *pool, int32_t page, int32_t in_front,
                      const int32_t *tokens) {
    int32_t *bucket = find_bucket(pool, in_front, tokens);
    memcpy(tokens_of(pool, page), tokens, (size_t)pool->page_tokens * sizeof *tokens);
    pool->pages[page].in_front = in_front;
    pool->pages[page].next_named = *bucket;
    *bucket = page;
}

static void take_name(struct mill_kv_pool *pool, int32_t page) {
    int32_t *link = find_bucket(pool, pool->pages[page].in_front, tokens_of(pool, page));
    while (*link != page)
        link = &pool->pages[*link].next_named;
    *link = pool->pages[page].next_named;
    pool->pages[page].in_front = NAMELESS;
}

/* ------------------------------------------------------------------ pages */

static void leave_free(struct mill_kv_pool *pool, int32_t page) {
    struct page *pages = pool->pages;
    pages[pages[page].previous].next = pages[page].next;
    pages[pages[page].next].previous = pages[page].previous;
    pool->n_free--;
}

/* A free page, nameless and held once from now on; there is one. */
static int32_t take_page(struct mill_kv_pool *pool) {
    int32_t page = pool->pages[pool->n_pages].next;
    leave_free(pool, page);
    if (pool->pages[page].in_front != NAMELESS)
        take_name(pool, page);
    pool->pages[page].n_holders = 1;
    return page;
}

/* One more holder of a held or named page. */
static void share_page(struct mill_kv_pool *pool, int32_t page) {
    if (pool->pages[page].n_holders++ == 0)
        leave_free(pool, page);
}

/* One holder less. A page that is free goes to the front where it has no name, as what was used
 * last is still warm; else to the end. */
static void put_page(struct mill_kv_pool *pool, int32_t page) {
    struct page *pages = pool->pages;
    if (--pages[page].n_holders > 0)
        return;
    int32_t previous =
        pages[page].in_front == NAMELESS ? pool->n_pages : pages[pool->n_pages].previous;
    int32_t next = pages[previous].next;
    pages[page].previous = previous;
    pages[page].next = next;
    pages[previous].next = pages[next].previous = page;
    pool->n_free++;
}

/* ------------------------------------------------------------------ tables */

mill_status mill_kv_table_grow(struct mill_kv_table *table, struct mill_kv_pool *pool,
                               int32_t n_pages) {
    if (n_pages > table->max_pages)
        return MILL_E_INPUT;
    if (n_pages - table->n_pages > pool->n_free)
        return MILL_AGAIN;
    while (table->n_pages < n_pages)
        table->pages[table->n_pages++] = take_page(pool);
    return MILL_OK;
}

void mill_kv_table_clear(struct mill_kv_table *table, struct mill_kv_pool *pool) {
    while (table->n_pages > 0)
        put_page(pool, table->pages[--table->n_pages]);
    table->n_named = 0;
}

/* The page in front of the table's first nameless one. */
static int32_t last_named(const struct mill_kv_table *table) {
    return table->n_named > 0 ? table->pages[table->n_named - 1] : BEGINNING;
}

int32_t mill_kv_table_share(struct mill_kv_table *table, struct mill_kv_pool *pool,
                            const int32_t *tokens, int32_t n_tokens) {
    int32_t n_full = n_tokens / pool->page_tokens, n_before = table->n_pages;
    while (table->n_named == table->n_pages && table->n_pages < n_full) {
        int32_t page = find_page(pool, last_named(table),
                                 tokens + (size_t)table->n_pages * (size_t)pool->page_tokens);
        if (page < 0)
            break;
        share_page(pool, page);
        table->pages[table->n_pages++] = page;
        table->n_named++;
    }
    return table->n_pages - n_before;
}

void mill_kv_table_name(struct mill_kv_table *table, struct mill_kv_pool *pool,
                        const int32_t *tokens, int32_t n_tokens) {
    int32_t n_full = n_tokens / pool->page_tokens;
    for (; table->n_named < n_full; table->n_named++) {
        const int32_t *its = tokens + (size_t)table->n_named * (size_t)pool->page_tokens;
        if (find_page(pool, last_named(table), its) >= 0)
            break;
        give_name(pool, table->pages[table->n_named], last_named(table), its);
    }
}

int32_t mill_kv_pool_count_shared(const struct mill_kv_pool *pool, const int32_t *tokens,
                                  int32_t n_tokens) {
    int32_t n_full = n_tokens / pool->page_tokens, n = 0;
    for (int32_t in_front = BEGINNING; n < n_full; n++) {
        in_front = find_page(pool, in_front, tokens + (size_t)n * (size_t)pool->page_tokens);
        if (in_front < 0 || pool->pages[in_front].n_holders == 0)
            break;
    }
    return n;
}

/* ------------------------------------------------------------------ audit */

static mill_status count_table(struct mill_kv_pool *pool, const struct mill_kv_table *table,
                               struct mill_error *err) {
    for (int32_t i = 0; i < table->n_pages; i++) {
        int32_t page = table->pages[i];
        if (page < 0 || page >= pool->n_pages)
            return mill_fail(err, MILL_E_DEVICE, "a sequence holds page %d of %d", page,
                             pool->n_pages);
        int32_t in_front = i > 0 ? table->pages[i - 1] : BEGINNING;
        if (i < table->n_named && pool->pages[page].in_front != in_front)
            return mill_fail(err, MILL_E_DEVICE, "page %d is not named behind page %d", page,
                             in_front);
        pool->pages[page].n_seen++;
    }
    return MILL_OK;
}

/* A free page is there once; its name, if it has one, is found; the page in front of it is held, or
 * goes later. */
static mill_status check_free(struct mill_kv_pool *pool, int32_t page, struct mill_error *err) {
    const struct page *p = &pool->pages[page];
    if (pool->pages[page].n_seen++ != 0)
        return mill_fail(err, MILL_E_DEVICE, "page %d is free and held, or free twice", page);
    if (p->in_front >= 0 && pool->pages[p->in_front].n_holders == 0 &&
        pool->pages[p->in_front].n_seen > 0)
        return mill_fail(err, MILL_E_DEVICE, "page %d would go before page %d behind it",
                         p->in_front, page);
    return MILL_OK;
}

static mill_status check_page(const struct mill_kv_pool *pool, int32_t page,
                              struct mill_error *err) {
    const struct page *p = &pool->pages[page];
    if (p->n_seen == 0)
        return mill_fail(err, MILL_E_DEVICE, "page %d is neither free nor held", page);
    if (p->in_front != NAMELESS && find_page(pool, p->in_front, tokens_of(pool, page)) != page)
        return mill_fail(err, MILL_E_DEVICE, "page %d has a name and is not found by it", page);
    if (p->in_front >= 0 && (pool->pages[p->in_front].in_front == NAMELESS ||
                             pool->pages[p->in_front].n_holders < p->n_holders))
        return mill_fail(err, MILL_E_DEVICE, "page %d is behind page %d, which is not kept", page,
                         p->in_front);
    return MILL_OK;
}

mill_status mill_kv_pool_audit(struct mill_kv_pool *pool, const struct mill_kv_table *tables,
                               int32_t n_tables, struct mill_error *err) {
    for (int32_t p = 0; p < pool->n_pages; p++)
        pool->pages[p].n_seen = 0;
    for (int32_t i = 0; i < n_tables; i++)
        MILL_TRY(count_table(pool, &tables[i], err));
    for (int32_t p = 0; p < pool->n_pages; p++)
        if (pool->pages[p].n_seen != pool->pages[p].n_holders)
            return mill_fail(err, MILL_E_DEVICE, "page %d counts %d holders and has %d", p,
                             pool->pages[p].n_holders, pool->pages[p].n_seen);
    int32_t page = pool->pages[pool->n_pages].next;
    for (int32_t i = 0; i < pool->n_free && page < pool->n_pages; i++) {
        MILL_TRY(check_free(pool, page, err));
        page = pool->pages[page].next;
    }
    if (page != pool->n_pages)
        return mill_fail(err, MILL_E_DEVICE, "the list of free pages does not end after %d",
                         pool->n_free);
    for (int32_t p = 0; p < pool->n_pages; p++)
        MILL_TRY(check_page(pool, p, err));
    return MILL_OK;
}
