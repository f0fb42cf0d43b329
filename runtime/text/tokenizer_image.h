/* tokenizer_image.h - the compiled tokenizer: one flat block without pointers, and a view of it.
 *
 *     header | merges: open-addressing table | added tokens, sorted | families' ids | names
 *
 * Offsets are bytes from the header, multiples of 64; integers are native (the image is a cache of
 * this machine, not an exchange format: a foreign byte order fails the version check). Private to
 * runtime/text. */
#ifndef MILL_TEXT_TOKENIZER_IMAGE_H
#define MILL_TEXT_TOKENIZER_IMAGE_H

#include "runtime/text/control_tokens.h"
#include "runtime/text/normalise.h"
#include "runtime/text/pretokenise.h"
#include "runtime/text/tokenizer.h"

#include <stdint.h>

enum {
    MILL_TOKEN_ID_LIMIT = 1 << 22, /* ids are below this */
    MILL_ADDED_NAME_LIMIT = 256,   /* bytes of an added token's name */
    MILL_NO_TOKEN = -1,
    MILL_IMAGE_VERSION = 1,
    MILL_N_FAMILIES = 7,
    MILL_N_MARKERS = 12,
};

/* One slot: the pair (left, right) becomes id; lower ranks merge first. left = MILL_NO_TOKEN: free.
 */
struct mill_merge {
    int32_t left, right, rank, id;
};

struct mill_added_token {
    uint32_t name_at, name_bytes; /* in the names */
    int32_t id;
    int32_t normalised; /* 1 = looked for after normalisation, 0 = before it */
};

struct mill_image_header {
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t image_bytes;
    uint64_t merges_at, added_at, families_at, names_at;
    uint32_t merge_slots_log2, n_added, names_bytes;
    int32_t vocabulary_size;
    int32_t markers[MILL_N_MARKERS];   /* in the order of mill_control_markers */
    int32_t family_n[MILL_N_FAMILIES]; /* in the order of mill_control_families */
    int32_t byte_ids[256];             /* the token of each byte */
};

/* "im_end", "bicodec_global" and so on: the names inside <|...|>, without a family's _N. */
extern const char *const mill_control_markers[MILL_N_MARKERS];
extern const char *const mill_control_families[MILL_N_FAMILIES];

struct mill_tokenizer {
    void *owned;                            /* the image, unless it is borrowed */
    const struct mill_image_header *header; /* the rest points into the same image */
    const struct mill_merge *merges;
    const struct mill_added_token *added;
    const char *names;
    struct mill_control_tokens control;
    struct mill_normaliser normaliser;
    struct mill_pretokeniser pretokeniser;
};

/* The first slot to look at for a pair: multiplication spreads it over the upper bits. */
static inline uint32_t mill_merge_slot(uint32_t slots_log2, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (uint32_t)(pair * 0x9e3779b97f4a7c15u >> (64 - slots_log2));
}

/* The pair's merge; NULL when the two do not merge. The table always has a free slot. */
static inline const struct mill_merge *mill_merge_find(const struct mill_tokenizer *tokenizer,
                                                       int32_t left, int32_t right) {
    uint32_t log2 = tokenizer->header->merge_slots_log2, mask = (1u << log2) - 1;
    for (uint32_t i = mill_merge_slot(log2, left, right);; i = (i + 1) & mask) {
        const struct mill_merge *merge = &tokenizer->merges[i];
        if (merge->left == left && merge->right == right)
            return merge;
        if (merge->left == MILL_NO_TOKEN)
            return NULL;
    }
}

/* Like mill_tokenizer_map, but the tokenizer frees `image` (from malloc) when it is closed; on
 * failure it is freed at once. */
mill_status mill_tokenizer_take_image(struct mill_tokenizer **out, void *image, size_t bytes,
                                      struct mill_error *err);

#endif
