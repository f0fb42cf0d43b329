/* tokenizer_files.h - reading one file of a tokenizer from memory, for fuzzing and tests. Private
 * to runtime/text. */
#ifndef MILL_TEXT_TOKENIZER_FILES_H
#define MILL_TEXT_TOKENIZER_FILES_H

#include "runtime/text/tokenizer.h"

/* tokenizer.json; `name` is for messages. */
mill_status mill_tokenizer_parse_json(struct mill_tokenizer **out, const char *name,
                                      const char *data, size_t size, struct mill_error *err);

#endif
