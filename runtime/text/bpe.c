/* bpe.c - byte-pair merging: while neighbours merge, the pair of lowest rank does, the leftmost of
 * equals first.
 *
 * A short word is scanned for its best pair again and again, on the stack. A long one (a word may
 * be the whole text) keeps its pairs in a heap, which makes it O(n log n). */
#include "runtime/text/bpe.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_WORD = 96 }; /* bytes */
static const uint32_t NO_RANK = UINT32_MAX;

static uint32_t find_rank(const struct mill_tokenizer *tokenizer, int32_t left, int32_t right) {
    const struct mill_merge *merge = mill_merge_find(tokenizer, left, right);
    return merge ? (uint32_t)merge->rank : NO_RANK;
}

static size_t merge_short_word(const struct mill_tokenizer *tokenizer, int32_t *ids, size_t n) {
    uint32_t ranks[SHORT_WORD]; /* of the pair (i, i + 1); the last stays NO_RANK */
    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = find_rank(tokenizer, ids[i], ids[i + 1]);
    ranks[n - 1] = NO_RANK;
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            return n;
        ids[best] = mill_merge_find(tokenizer, ids[best], ids[best + 1])->id;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        memmove(ranks + best + 1, ranks + best + 2, (n - best - 1) * sizeof *ranks);
        ranks[best] = best + 1 < n ? find_rank(tokenizer, ids[best], ids[best + 1]) : NO_RANK;
        if (best > 0)
            ranks[best - 1] = find_rank(tokenizer, ids[best - 1], ids[best]);
    }
}

/* A word as a list: a symbol that was merged into its left neighbour drops out of it. */
struct symbol {
    int32_t id, previous, next; /* -1 at the ends */
    uint32_t rank;              /* of the pair with `next` */
};

/* A min-heap of rank << 32 | position, so that equal ranks come from left to right. An entry whose
 * rank is no longer its symbol's is stale; texts of pairs only grow, so it never becomes true
 * again. Each merge takes one entry out and puts at most two in: 2 n entries are enough. */
struct heap {
    uint64_t *entries; /* owned */
    size_t n;
};

static void heap_put(struct heap *heap, uint32_t rank, size_t position) {
    if (rank == NO_RANK)
        return;
    uint64_t entry = (uint64_t)rank << 32 | position;
    size_t at = heap->n++;
    for (; at > 0 && heap->entries[(at - 1) / 2] > entry; at = (at - 1) / 2)
        heap->entries[at] = heap->entries[(at - 1) / 2];
    heap->entries[at] = entry;
}

static uint64_t heap_take(struct heap *heap) {
    uint64_t least = heap->entries[0], last = heap->entries[--heap->n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap->n; at = child) {
        if (child + 1 < heap->n && heap->entries[child + 1] < heap->entries[child])
            child++;
        if (heap->entries[child] >= last)
            break;
        heap->entries[at] = heap->entries[child];
    }
    heap->entries[at] = last;
    return least;
}

static void rank_symbol(const struct mill_tokenizer *tokenizer, struct symbol *symbols, int32_t at,
                        struct heap *heap) {
    struct symbol *s = &symbols[at];
    s->rank = s->next < 0 ? NO_RANK : find_rank(tokenizer, s->id, symbols[s->next].id);
    heap_put(heap, s->rank, (size_t)at);
}

static void merge_symbols(const struct mill_tokenizer *tokenizer, struct symbol *symbols,
                          struct heap *heap) {
    while (heap->n > 0) {
        uint64_t entry = heap_take(heap);
        int32_t at = (int32_t)(uint32_t)entry;
        struct symbol *left = &symbols[at];
        if (left->rank != (uint32_t)(entry >> 32))
            continue;
        struct symbol *right = &symbols[left->next];
        left->id = mill_merge_find(tokenizer, left->id, right->id)->id;
        left->next = right->next;
        right->rank = NO_RANK;
        if (left->next >= 0)
            symbols[left->next].previous = at;
        rank_symbol(tokenizer, symbols, at, heap);
        if (left->previous >= 0)
            rank_symbol(tokenizer, symbols, left->previous, heap);
    }
}

static mill_status merge_long_word(const struct mill_tokenizer *tokenizer, int32_t *ids, size_t *n,
                                   struct mill_error *err) {
    struct symbol *symbols = mill_alloc_array(*n, sizeof *symbols);
    struct heap heap = {.entries = mill_alloc_array(2 * *n, sizeof *heap.entries)};
    mill_status status = MILL_OK;
    if (symbols && heap.entries) {
        for (size_t i = 0; i < *n; i++)
            symbols[i] = (struct symbol){
                .id = ids[i], .previous = (int32_t)i - 1, .next = i + 1 < *n ? (int32_t)i + 1 : -1};
        for (size_t i = 0; i < *n; i++)
            rank_symbol(tokenizer, symbols, (int32_t)i, &heap);
        merge_symbols(tokenizer, symbols, &heap);
        *n = 0;
        for (int32_t i = 0; i >= 0; i = symbols[i].next)
            ids[(*n)++] = symbols[i].id;
    } else {
        status = mill_fail(err, MILL_E_MEMORY, "no memory for a word of %zu bytes", *n);
    }
    free(symbols);
    free(heap.entries);
    return status;
}

mill_status mill_bpe_encode_word(const struct mill_tokenizer *tokenizer, const char *word,
                                 size_t n_bytes, int32_t *ids, size_t *n_ids,
                                 struct mill_error *err) {
    for (size_t i = 0; i < n_bytes; i++)
        ids[i] = tokenizer->header->byte_ids[(uint8_t)word[i]];
    *n_ids = n_bytes;
    if (n_bytes > SHORT_WORD)
        return merge_long_word(tokenizer, ids, n_ids, err);
    *n_ids = merge_short_word(tokenizer, ids, n_bytes);
    return MILL_OK;
}
