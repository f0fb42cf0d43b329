/* encoder.c - one thread's way through text: valid, normal, cut into words, merged.
 *
 * Words repeat, so the tokens of short ones are kept in a small table that each word has one place
 * in; the last one in stays. When added tokens are matched, those that are not "normalized" are
 * taken out of the raw text first, and the others out of each normalised piece between them, as the
 * published tokenizer does; at each place the longest name wins. */
#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/text/bpe.h"
#include "runtime/text/tokenizer_image.h"

#include <stdlib.h>
#include <string.h>

enum {
    CACHE_LOG2 = 13,
    CACHED_BYTES = 24, /* longest word kept */
    CACHED_IDS = 9,    /* so that an entry is one cache line */
    MAX_TEXT_BYTES = 1 << 24,
    KEPT_SCRATCH_BYTES = 1 << 22, /* what a text larger than this needed is given back */
};

struct cached_word {
    char bytes[CACHED_BYTES]; /* filled up with zeros */
    uint8_t n_bytes, n_ids;   /* 0 bytes = empty */
    int32_t ids[CACHED_IDS];
};
_Static_assert(sizeof(struct cached_word) == 64, "a cached word is a cache line");

struct mill_encoder {
    const struct mill_tokenizer *tokenizer; /* borrowed */
    struct mill_pretokeniser_match match;
    struct mill_normaliser_scratch normal;
    struct cached_word *cache; /* owned: [1 << CACHE_LOG2] */
    bool starts_added[256];    /* bytes that an added token's name begins with */
    struct mill_buffer ids;    /* int32_t */
};

mill_status mill_encoder_open(struct mill_encoder **out, const struct mill_tokenizer *tokenizer,
                              struct mill_error *err) {
    *out = NULL;
    struct mill_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return mill_fail(err, MILL_E_MEMORY, "no memory for an encoder");
    encoder->tokenizer = tokenizer;
    mill_normaliser_scratch_init(&encoder->normal);
    /* Normalisation makes a text at most three times as long, and a byte is at most a token. */
    mill_buffer_init(&encoder->ids, (size_t)MAX_TEXT_BYTES * 3 * sizeof(int32_t));
    size_t cache_bytes = sizeof *encoder->cache << CACHE_LOG2;
    encoder->cache = mill_alloc_aligned(cache_bytes);
    mill_status status =
        mill_pretokeniser_match_open(&encoder->match, &tokenizer->pretokeniser, err);
    if (status == MILL_OK && !encoder->cache)
        status = mill_fail(err, MILL_E_MEMORY, "no memory for an encoder");
    if (status < 0) {
        mill_encoder_close(encoder);
        return status;
    }
    memset(encoder->cache, 0, cache_bytes);
    for (uint32_t i = 0; i < tokenizer->header->n_added; i++)
        encoder->starts_added[(uint8_t)tokenizer->names[tokenizer->added[i].name_at]] = true;
    *out = encoder;
    return MILL_OK;
}

void mill_encoder_close(struct mill_encoder *encoder) {
    if (!encoder)
        return;
    mill_pretokeniser_match_close(&encoder->match);
    mill_normaliser_scratch_deinit(&encoder->normal);
    mill_buffer_deinit(&encoder->ids);
    free(encoder->cache);
    free(encoder);
}

/* The place of a word whose bytes are filled up with zeros. */
static struct cached_word *find_cached(struct mill_encoder *encoder, const char bytes[CACHED_BYTES],
                                       size_t n_bytes) {
    uint64_t part[CACHED_BYTES / sizeof(uint64_t)];
    memcpy(part, bytes, CACHED_BYTES);
    uint64_t mixed = (part[0] ^ n_bytes) * 0x9e3779b97f4a7c15u;
    mixed = ((mixed ^ mixed >> 32) + part[1]) * 0xd6e8feb86659fd93u;
    mixed = ((mixed ^ mixed >> 32) + part[2]) * 0x9e3779b97f4a7c15u;
    return &encoder->cache[mixed >> (64 - CACHE_LOG2)];
}

static mill_status append_word(struct mill_encoder *encoder, const char *word, size_t n_bytes,
                               struct mill_error *err) {
    MILL_TRY(mill_buffer_reserve(&encoder->ids, n_bytes * sizeof(int32_t), err));
    int32_t *ids = (int32_t *)(void *)(encoder->ids.data + encoder->ids.size);
    size_t n_ids;
    if (n_bytes > CACHED_BYTES) {
        MILL_TRY(mill_bpe_encode_word(encoder->tokenizer, word, n_bytes, ids, &n_ids, err));
        encoder->ids.size += n_ids * sizeof *ids;
        return MILL_OK;
    }
    char bytes[CACHED_BYTES] = {0};
    memcpy(bytes, word, n_bytes);
    struct cached_word *cached = find_cached(encoder, bytes, n_bytes);
    if (cached->n_bytes == n_bytes && memcmp(cached->bytes, bytes, CACHED_BYTES) == 0) {
        n_ids = cached->n_ids;
        memcpy(ids, cached->ids, n_ids * sizeof *ids);
    } else {
        MILL_TRY(mill_bpe_encode_word(encoder->tokenizer, word, n_bytes, ids, &n_ids, err));
        if (n_ids <= CACHED_IDS) {
            memcpy(cached->bytes, bytes, CACHED_BYTES);
            memcpy(cached->ids, ids, n_ids * sizeof *ids);
            cached->n_bytes = (uint8_t)n_bytes;
            cached->n_ids = (uint8_t)n_ids;
        }
    }
    encoder->ids.size += n_ids * sizeof *ids;
    return MILL_OK;
}

/* Normal text without added tokens. */
static mill_status append_plain(struct mill_encoder *encoder, const char *text, size_t size,
                                struct mill_error *err) {
    for (size_t at = 0, end; at < size; at = end) {
        MILL_TRY(mill_pretokenise_next(&encoder->tokenizer->pretokeniser, &encoder->match, text,
                                       size, at, &end, err));
        MILL_TRY(append_word(encoder, text + at, end - at, err));
    }
    return MILL_OK;
}

/* The longest added token of that kind that `text` begins with; NULL when there is none. The tokens
 * are sorted by name: each byte narrows the range [low, high) of those that agree so far. */
static const struct mill_added_token *find_added(const struct mill_tokenizer *tokenizer,
                                                 const char *text, size_t size,
                                                 int32_t normalised) {
    const struct mill_added_token *found = NULL, *added = tokenizer->added;
    uint32_t low = 0, high = tokenizer->header->n_added;
    for (size_t depth = 0; depth < size && low < high; depth++) {
        uint32_t bound[2]; /* the first that is not below the byte; the first above it */
        for (int above = 0; above < 2; above++) {
            uint32_t first = low, last = high;
            while (first < last) {
                uint32_t middle = first + (last - first) / 2;
                const struct mill_added_token *token = &added[middle];
                int byte = token->name_bytes > depth
                               ? (uint8_t)tokenizer->names[token->name_at + depth]
                               : -1;
                if (byte < (uint8_t)text[depth] + above)
                    first = middle + 1;
                else
                    last = middle;
            }
            bound[above] = first;
        }
        low = bound[0];
        high = bound[1];
        if (low < high && added[low].name_bytes == depth + 1 && added[low].normalised == normalised)
            found = &added[low];
    }
    return found;
}

/* Text with added tokens: raw text with the not normalised ones in it, or, inside, normal text with
 * the normalised ones. */
static mill_status append_with_added(struct mill_encoder *encoder, const char *text, size_t size,
                                     int32_t normalised, struct mill_error *err);

static mill_status append_between(struct mill_encoder *encoder, const char *text, size_t size,
                                  int32_t normalised, struct mill_error *err) {
    if (normalised)
        return append_plain(encoder, text, size, err);
    MILL_TRY(mill_normalise(&encoder->tokenizer->normaliser, &encoder->normal, text, size, &text,
                            &size, err));
    return append_with_added(encoder, text, size, 1, err);
}

static mill_status append_with_added(struct mill_encoder *encoder, const char *text, size_t size,
                                     int32_t normalised, struct mill_error *err) {
    size_t start = 0;
    for (size_t at = 0; at < size;) {
        const struct mill_added_token *token = NULL;
        if (encoder->starts_added[(uint8_t)text[at]])
            token = find_added(encoder->tokenizer, text + at, size - at, normalised);
        if (!token) {
            at++;
            continue;
        }
        MILL_TRY(append_between(encoder, text + start, at - start, normalised, err));
        MILL_TRY(mill_buffer_append(&encoder->ids, &token->id, sizeof token->id, err));
        at += token->name_bytes;
        start = at;
    }
    return append_between(encoder, text + start, size - start, normalised, err);
}

/* What an unusually large text needed should not stay for ever. */
static void drop_large_scratch(struct mill_encoder *encoder) {
    if (encoder->ids.capacity > KEPT_SCRATCH_BYTES)
        mill_buffer_deinit(&encoder->ids);
    if (encoder->normal.wide.capacity > KEPT_SCRATCH_BYTES)
        mill_normaliser_scratch_deinit(&encoder->normal);
    encoder->ids.size = 0;
}

mill_status mill_encoder_encode(struct mill_encoder *encoder, const char *text, size_t size,
                                bool match_added_tokens, const int32_t **ids, size_t *n_ids,
                                struct mill_error *err) {
    *ids = NULL;
    *n_ids = 0;
    if (size > MAX_TEXT_BYTES)
        return mill_fail(err, MILL_E_INPUT, "the text has %zu bytes; at most %d are taken", size,
                         MAX_TEXT_BYTES);
    MILL_TRY(mill_utf8_check(text, size, "the text", err));
    drop_large_scratch(encoder);
    if (match_added_tokens) {
        MILL_TRY(append_with_added(encoder, text, size, 0, err));
    } else {
        MILL_TRY(mill_normalise(&encoder->tokenizer->normaliser, &encoder->normal, text, size,
                                &text, &size, err));
        MILL_TRY(append_plain(encoder, text, size, err));
    }
    *ids = (const int32_t *)(const void *)encoder->ids.data;
    *n_ids = encoder->ids.size / sizeof(int32_t);
    return MILL_OK;
}
