/* book.h - the text that benches read when they are given none: the opening of Lewis Carroll's
 * "Alice's Adventures in Wonderland" (1865, public domain), for the mix of narration, speech and
 * sentence lengths that audiobooks have. */
#ifndef MILL_BENCH_BOOK_H
#define MILL_BENCH_BOOK_H

#include <stddef.h>

extern const char bench_book[];
extern const size_t bench_book_bytes;

#endif
