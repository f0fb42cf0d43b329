/* tokenizer.h - text to token ids, exactly as the published tokenizer does.
 *
 * Byte-level BPE of Qwen2.5: NFC (ICU), split by the published regular expression (PCRE2 with JIT),
 * bytes to symbols, merges by rank. The compiled form is one flat image that can be written beside
 * the converted weights and mapped back in a millisecond. Immutable after open: any number of
 * threads may encode with it, each with its own struct mill_encoder (scratch memory that is
 * reused). */
#ifndef MILL_TEXT_TOKENIZER_H
#define MILL_TEXT_TOKENIZER_H

#include "runtime/base/status.h"
#include "runtime/text/control_tokens.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mill_tokenizer;
struct mill_encoder;

/* Read a checkpoint's LLM folder: tokenizer.json (merges as text or as pairs), else vocab.json +
 * merges.txt + added_tokens.json. */
mill_status mill_tokenizer_open(struct mill_tokenizer **out, const char *folder,
                                struct mill_error *err);
void mill_tokenizer_close(struct mill_tokenizer *tokenizer);

/* The compiled image: write it somewhere, map it later. `image` is borrowed by the tokenizer that
 * mill_tokenizer_map makes; it is checked (sizes, offsets, ids in range), not trusted. */
const void *mill_tokenizer_image(const struct mill_tokenizer *tokenizer, size_t *bytes);
mill_status mill_tokenizer_map(struct mill_tokenizer **out, const void *image, size_t bytes,
                               struct mill_error *err);

/* Borrowed; fails at open when one of them is missing. */
const struct mill_control_tokens *
mill_tokenizer_control_tokens(const struct mill_tokenizer *tokenizer);
/* Largest id that has a token, plus one. */
int32_t mill_tokenizer_vocabulary_size(const struct mill_tokenizer *tokenizer);

mill_status mill_encoder_open(struct mill_encoder **out, const struct mill_tokenizer *tokenizer,
                              struct mill_error *err);
void mill_encoder_close(struct mill_encoder *encoder);

/* Encode UTF-8 `text` of `size` bytes. Text that looks like an added token stays text, unless
 * match_added_tokens (what the published tokenizer does; for tests and inspection, never for user
 * text). *ids is borrowed until the next call. Invalid UTF-8: MILL_E_INPUT with the byte offset. At
 * most 2^24 bytes. */
mill_status mill_encoder_encode(struct mill_encoder *encoder, const char *text, size_t size,
                                bool match_added_tokens, const int32_t **ids, size_t *n_ids,
                                struct mill_error *err);

#endif
