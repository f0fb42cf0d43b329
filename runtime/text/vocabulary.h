/* vocabulary.h - the parts of a tokenizer while they are read from files: names, ids and merges,
 * checked one by one, then compiled into an image.
 *
 * Names are as the files write them: each byte stands as one character of GPT-2's alphabet. One
 * owner; private to runtime/text. */
#ifndef MILL_TEXT_VOCABULARY_H
#define MILL_TEXT_VOCABULARY_H

#include "runtime/base/buffer.h"
#include "runtime/text/tokenizer_image.h"

struct mill_named_token {
    uint32_t name_at, name_bytes; /* in the names */
    int32_t id;
};

struct mill_vocabulary {
    struct mill_buffer names;
    struct mill_buffer tokens; /* struct mill_named_token: the model's, and the added ones */
    struct mill_buffer merges; /* struct mill_merge, by rank */
    struct mill_buffer added;  /* struct mill_added_token */
    uint32_t *slots;           /* owned: hash table, token's number + 1 by name; 0 = free */
    uint32_t slots_log2;
    uint8_t *used_ids; /* owned: a bit an id */
    int32_t size;      /* largest id + 1 */
};

mill_status mill_vocabulary_init(struct mill_vocabulary *vocabulary, struct mill_error *err);
void mill_vocabulary_deinit(struct mill_vocabulary *vocabulary);

/* A token of the model. A name or an id that is there already is refused. */
mill_status mill_vocabulary_add_token(struct mill_vocabulary *vocabulary, const char *name,
                                      size_t name_bytes, int64_t id, struct mill_error *err);

/* The next merge: both parts and the whole must be tokens of the model. */
mill_status mill_vocabulary_add_merge(struct mill_vocabulary *vocabulary, const char *left,
                                      size_t left_bytes, const char *right, size_t right_bytes,
                                      struct mill_error *err);

/* The id of that name; MILL_NO_TOKEN when there is none. */
int32_t mill_vocabulary_find(const struct mill_vocabulary *vocabulary, const char *name,
                             size_t name_bytes);

/* A token beside the model. It may repeat a name of the model's with the same id. */
mill_status mill_vocabulary_add_added(struct mill_vocabulary *vocabulary, const char *name,
                                      size_t name_bytes, int64_t id, bool normalised,
                                      struct mill_error *err);

/* The character that stands for a byte, in UTF-8; its one or two bytes. `order` 0 .. 255 counts the
 * bytes as the published vocabulary does: printable ones first. */
size_t mill_byte_symbol(uint8_t byte, char symbol[2]);
uint8_t mill_byte_in_order(int order);

/* A search in a hash table that takes longer than this is refused: only files made to collide need
 * one. */
enum { MILL_MAX_PROBES = 1000 };

/* Compile. Fails naming what is missing: a byte's token, a control token. */
mill_status mill_vocabulary_compile(const struct mill_vocabulary *vocabulary,
                                    struct mill_tokenizer **out, struct mill_error *err);

#endif
