/* bpe.h - byte-pair merging of one word. Private to runtime/text; no state. */
#ifndef MILL_TEXT_BPE_H
#define MILL_TEXT_BPE_H

#include "runtime/text/tokenizer_image.h"

/* The tokens of a word of n_bytes >= 1 bytes, less than 2^31, into ids[n_bytes]. */
mill_status mill_bpe_encode_word(const struct mill_tokenizer *tokenizer, const char *word,
                                 size_t n_bytes, int32_t *ids, size_t *n_ids,
                                 struct mill_error *err);

#endif
