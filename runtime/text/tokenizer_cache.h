/* tokenizer_cache.h - the compiled tokenizer, kept in the cache folder: reading the published files
 * takes a good part of a second, mapping the image a millisecond.
 *
 * A cached image belongs, by its name, to the content of the files it came from and this version of
 * the program; its own content is hashed before use and then checked by the tokenizer itself. What
 * does not fit is made again. Safe to delete at any time. */
#ifndef MILL_TEXT_TOKENIZER_CACHE_H
#define MILL_TEXT_TOKENIZER_CACHE_H

#include "runtime/base/file.h"
#include "runtime/text/tokenizer.h"

struct mill_cached_tokenizer {
    struct mill_tokenizer *tokenizer;
    struct mill_mapping mapping; /* what the tokenizer stands on, when it came from the cache */
};

/* `folder` is a checkpoint's LLM folder. `cache` NULL = read the files themselves. A cache that
 * cannot be written is no failure. */
mill_status mill_cached_tokenizer_open(struct mill_cached_tokenizer *out, const char *folder,
                                       const char *cache, struct mill_error *err);
/* Harmless on a zeroed one. */
void mill_cached_tokenizer_close(struct mill_cached_tokenizer *cached);

#endif
