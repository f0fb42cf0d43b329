/* kv_pages.h - who holds which page of the key/value cache: host bookkeeping, no arithmetic.
 *
 * The pool knows pages 0 .. n_pages - 1 by number alone; their memory is the model's. A page is
 * free, or held by one or more sequences (a shared prefix): it counts its holders and is free again
 * when the last one puts it. A table is one sequence's pages in order of position. A page with more
 * than one holder is only read: who wants to write it takes a copy first (mill_kv_table_own). All
 * calls take constant time a page; one thread. */
#ifndef MILL_ENGINE_KV_PAGES_H
#define MILL_ENGINE_KV_PAGES_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct mill_kv_pool;

/* n_pages in 1 .. 2^30. */
mill_status mill_kv_pool_open(struct mill_kv_pool **out, int32_t n_pages, struct mill_error *err);
void mill_kv_pool_close(struct mill_kv_pool *pool);
int32_t mill_kv_pool_n_free(const struct mill_kv_pool *pool);

/* A free page, held once from now on; -1 when there is none. */
int32_t mill_kv_pool_take(struct mill_kv_pool *pool);
/* One more holder of a held page. */
void mill_kv_pool_share(struct mill_kv_pool *pool, int32_t page);
/* One holder less of a held page. */
void mill_kv_pool_put(struct mill_kv_pool *pool, int32_t page);

struct mill_kv_table {
    int32_t *pages; /* borrowed: [max_pages] */
    int32_t n_pages, max_pages;
};

/* Pages for at least n_pages: MILL_OK; MILL_AGAIN, with nothing changed, when the pool has too few;
 * MILL_E_INPUT past max_pages. */
mill_status mill_kv_table_grow(struct mill_kv_table *table, struct mill_kv_pool *pool,
                               int32_t n_pages);
/* The first n_pages pages of `donor` become this empty table's too. */
void mill_kv_table_share(struct mill_kv_table *table, struct mill_kv_pool *pool,
                         const struct mill_kv_table *donor, int32_t n_pages);

/* A page to be copied, keys and values of all layers, before anything is written to `to`. */
struct mill_kv_copy {
    int32_t from, to;
};
/* Make page `index` of the table its own, so that it may be written. MILL_OK: it is already;
 * MILL_DONE: a fresh page stands in its place and *copy is to be carried out; MILL_AGAIN, with
 * nothing changed, when the pool has no page. */
mill_status mill_kv_table_own(struct mill_kv_table *table, struct mill_kv_pool *pool, int32_t index,
                              struct mill_kv_copy *copy);

/* Put every page back. */
void mill_kv_table_clear(struct mill_kv_table *table, struct mill_kv_pool *pool);
/* Whether the books are right, given all tables: the counts agree with them and the rest is free,
 * each page once. Takes no memory. MILL_E_DEVICE with what is wrong. */
mill_status mill_kv_pool_audit(struct mill_kv_pool *pool, const struct mill_kv_table *tables,
                               int32_t n_tables, struct mill_error *err);

#endif
