/* passages.c - see passages.h. A passage is cut where a sentence ends and it has the length of what
 * people send: one or two sentences. Line breaks become spaces, so that it is one paragraph. */
#include "bench/passages.h"

#include "bench/book.h"
#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"

#include <stdbool.h>
#include <stdlib.h>

enum { MAX_BOOK_BYTES = 64 << 20, LEAST_BYTES = 60, MOST_BYTES = 400 };

static bool ends_sentence(const char *text, size_t i, size_t size) {
    return (text[i] == '.' || text[i] == '!' || text[i] == '?') &&
           (i + 1 == size || text[i + 1] == ' ');
}

static bool is_break(char c) {
    return c == '\n' || c == '\r' || c == '\t';
}

/* Passages of the book; with `items` NULL they are only counted. */
static size_t cut(const char *text, size_t size, struct bench_passage *items) {
    size_t n = 0, first = 0;
    for (size_t i = 0; i < size; i++) {
        if (first == i && text[i] == ' ') {
            first = i + 1;
            continue;
        }
        size_t bytes = i + 1 - first;
        bool whole = ends_sentence(text, i, size) && bytes >= LEAST_BYTES;
        if (!whole && !(bytes >= MOST_BYTES && text[i] == ' '))
            continue;
        if (items)
            items[n] = (struct bench_passage){text + first, bytes};
        n++;
        first = i + 1;
    }
    return n;
}

mill_status bench_passages_open(struct bench_passages *passages, const char *path,
                                struct mill_error *err) {
    *passages = (struct bench_passages){0};
    mill_buffer_init(&passages->book, MAX_BOOK_BYTES);
    mill_status status =
        path ? mill_file_read(path, &passages->book, err)
             : mill_buffer_append(&passages->book, bench_book, bench_book_bytes, err);
    char *text = passages->book.data;
    size_t size = passages->book.size;
    for (size_t i = 0; i < size; i++)
        if (is_break(text[i]))
            text[i] = ' ';
    if (status == MILL_OK)
        passages->n_items = cut(text, size, NULL);
    if (status == MILL_OK && passages->n_items == 0)
        status = mill_fail(err, MILL_E_INPUT, "text '%s': no sentence of %d characters or more",
                           path ? path : "built in", LEAST_BYTES);
    if (status == MILL_OK) {
        passages->items = mill_alloc_array(passages->n_items, sizeof *passages->items);
        if (passages->items)
            cut(text, size, passages->items);
        else
            status = mill_fail(err, MILL_E_MEMORY, "no memory for %zu passages", passages->n_items);
    }
    if (status < 0)
        bench_passages_close(passages);
    return status;
}

void bench_passages_close(struct bench_passages *passages) {
    free(passages->items);
    mill_buffer_deinit(&passages->book);
    *passages = (struct bench_passages){0};
}

struct bench_passage bench_passage_at(const struct bench_passages *passages, uint64_t number) {
    return passages->items[mill_philox_words(number, 0, 0).word[0] % passages->n_items];
}
