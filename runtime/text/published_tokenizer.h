/* published_tokenizer.h - the published Spark-TTS tokenizer, carried in the program as Qwen2.5's
 * compressed merges: vocabulary, added tokens and tokenizer.json all follow from them.
 *
 * For synthetic checkpoints and for tokenising without a checkpoint. No state. */
#ifndef MILL_TEXT_PUBLISHED_TOKENIZER_H
#define MILL_TEXT_PUBLISHED_TOKENIZER_H

#include "runtime/base/status.h"
#include "runtime/text/tokenizer.h"

#include <stdbool.h>

/* Build it in memory. */
mill_status mill_published_tokenizer_open(struct mill_tokenizer **out, struct mill_error *err);

/* Write vocab.json, merges.txt, added_tokens.json and tokenizer.json into a folder that is there,
 * byte for byte as published. */
mill_status mill_published_tokenizer_write(const char *folder, struct mill_error *err);

/* Does the published tokenizer look for an added token of this name after normalisation? So it does
 * for all but Qwen's own. */
bool mill_published_is_normalised(const char *name);

#endif
