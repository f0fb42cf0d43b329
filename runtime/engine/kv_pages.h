/* kv_pages.h - who holds which page of the key/value cache: host bookkeeping, no arithmetic.
 *
 * The pool knows pages 0 .. n_pages - 1 by number alone; their memory is the model's. A page is
 * free, or held by one or more sequences (a shared prefix): it counts its holders and is free again
 * when the last one puts it. A table is one sequence's pages in order of position. All calls take
 * constant time a page; one thread. */
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

/* Whether the books are right, given every page that is held, once for each holder, in any order:
 * the counts agree and the rest is free, each page once. Allocates; for tests and for a server's
 * idle moments. MILL_E_MEMORY, or MILL_E_DEVICE with what is wrong. */
mill_status mill_kv_pool_audit(const struct mill_kv_pool *pool, const int32_t *held, int32_t n_held,
                               struct mill_error *err);

struct mill_kv_table {
    int32_t *pages; /* owned: [max_pages] */
    int32_t n_pages, max_pages;
};

mill_status mill_kv_table_init(struct mill_kv_table *table, int32_t max_pages,
                               struct mill_error *err);
/* Pages for at least n_pages: MILL_OK; MILL_AGAIN, with nothing changed, when the pool has too few;
 * MILL_E_INPUT past max_pages. */
mill_status mill_kv_table_grow(struct mill_kv_table *table, struct mill_kv_pool *pool,
                               int32_t n_pages);
/* Put every page back. */
void mill_kv_table_clear(struct mill_kv_table *table, struct mill_kv_pool *pool);
/* Frees the table alone: clear it first. Harmless on a zeroed one. */
void mill_kv_table_deinit(struct mill_kv_table *table);

#endif
