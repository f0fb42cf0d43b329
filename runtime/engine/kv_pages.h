/* kv_pages.h - who holds which page of the key/value cache, and which beginnings of prompts lie in
 * pages already: host bookkeeping, no arithmetic.
 *
 * The pool knows pages 0 .. n_pages - 1 by number alone; their memory is the model's. A page is
 * free, or held by one or more sequences: it counts its holders and is free again when the last one
 * puts it back. A table is one sequence's pages in order of position.
 *
 * A full page may be named: by its tokens and by the named page in front of it, so that a sequence
 * that begins with the same tokens finds it and holds it too instead of computing it again. Tokens
 * are compared, not hashes of them, so what is found is right. Only full pages have names and only
 * the last page of a table is written, so a page with several holders is only read. A page keeps
 * its name while it is free, until it is taken for something else: nameless pages are taken first,
 * then those that were put first. A table puts its last page first, so a name outlives the names
 * behind it. All calls take constant time a page; one thread. */
#ifndef MILL_ENGINE_KV_PAGES_H
#define MILL_ENGINE_KV_PAGES_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct mill_kv_pool;

/* n_pages in 1 .. 2^30, page_tokens in 1 .. 2^16. */
mill_status mill_kv_pool_open(struct mill_kv_pool **out, int32_t n_pages, int32_t page_tokens,
                              struct mill_error *err);
void mill_kv_pool_close(struct mill_kv_pool *pool);
/* Named ones included. */
int32_t mill_kv_pool_n_free(const struct mill_kv_pool *pool);

struct mill_kv_table {
    int32_t *pages;           /* borrowed: [max_pages] */
    int32_t n_pages, n_named; /* the first n_named pages are named, each behind the one before */
    int32_t max_pages;
};

/* Pages for at least n_pages: MILL_OK; MILL_AGAIN, with nothing changed, when the pool has too few;
 * MILL_E_INPUT past max_pages. */
mill_status mill_kv_table_grow(struct mill_kv_table *table, struct mill_kv_pool *pool,
                               int32_t n_pages);
/* Put every page back. */
void mill_kv_table_clear(struct mill_kv_table *table, struct mill_kv_pool *pool);

/* The table's sequence begins with these tokens. Hold the named pages that go on where the table
 * ends, as far as whole pages reach; none unless all its pages are named. How many. */
int32_t mill_kv_table_share(struct mill_kv_table *table, struct mill_kv_pool *pool,
                            const int32_t *tokens, int32_t n_tokens);
/* Name the table's pages that these tokens fill, as far as nobody else's page has the name: the
 * tokens are computed, or will be before anybody reads what is shared from now on. */
void mill_kv_table_name(struct mill_kv_table *table, struct mill_kv_pool *pool,
                        const int32_t *tokens, int32_t n_tokens);
/* Pages that an empty table would share and that somebody holds: they cost it nothing. */
int32_t mill_kv_pool_count_shared(const struct mill_kv_pool *pool, const int32_t *tokens,
                                  int32_t n_tokens);

/* Whether the books are right, given all tables: the counts agree with them, the rest is free, each
 * page once, every name is found and none is taken before those behind it. Takes no memory.
 * MILL_E_DEVICE with what is wrong. */
mill_status mill_kv_pool_audit(struct mill_kv_pool *pool, const struct mill_kv_table *tables,
                               int32_t n_tables, struct mill_error *err);

#endif
