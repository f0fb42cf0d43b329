/* passages.h - real text as load: sentences of a book, packed to the lengths that people send.
 *
 * Without a file of one's own it is the beginning of a public-domain book that is built into the
 * program. Loaded once, read-only afterwards. */
#ifndef MILL_BENCH_PASSAGES_H
#define MILL_BENCH_PASSAGES_H

#include "runtime/base/buffer.h"

#include <stddef.h>
#include <stdint.h>

struct bench_passage {
    const char *text; /* UTF-8, borrowed */
    size_t bytes;
};

struct bench_passages {
    struct mill_buffer book;
    struct bench_passage *items; /* owned */
    size_t n_items;
};

/* `path` NULL = the book that is built in. */
mill_status bench_passages_open(struct bench_passages *passages, const char *path,
                                struct mill_error *err);
void bench_passages_close(struct bench_passages *passages);

/* The same one for the same number, in an order without pattern. */
struct bench_passage bench_passage_at(const struct bench_passages *passages, uint64_t number);

#endif
