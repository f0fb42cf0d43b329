/* dictionary.h - how words are to be spoken: words or phrases, and the text that is read for them.
 *
 *     # one a line; a '#' at its beginning or behind a space begins a comment
 *     Worcestershire = Wooster-sheer
 *     Dr. Reed       = Doctor Reed
 *     US             = U S
 *
 * A word is found where it stands alone, between what is no letter and no digit; in Chinese,
 * Japanese and Korean, which do not part words so, anywhere. Spaces within it stand for any white
 * space. An entry without capitals is found in any case, one with capitals only as it is written.
 * Where several fit, the longest is taken; what was put in is not looked at again. Immutable once
 * it is made; any number of threads may use it. */
#ifndef MILL_TEXT_DICTIONARY_H
#define MILL_TEXT_DICTIONARY_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

#include <stddef.h>

struct mill_dictionary;

/* At most 2^24 bytes, 100,000 entries of 256 bytes a side. Messages name file and line. */
mill_status mill_dictionary_open(struct mill_dictionary **out, const char *path,
                                 struct mill_error *err);
/* The same of text that is in memory; `name` is for messages. */
mill_status mill_dictionary_parse(struct mill_dictionary **out, const char *name, const char *data,
                                  size_t size, struct mill_error *err);
/* Entries of another one, borrowed until close, stand behind its own: where both fit alike, its own
 * counts. Before it is used. */
void mill_dictionary_extend(struct mill_dictionary *dictionary,
                            const struct mill_dictionary *other);
void mill_dictionary_close(struct mill_dictionary *dictionary); /* NULL is fine */

/* UTF-8 text as it is to be spoken, behind what `out` holds; `dictionary` NULL = as it is. */
mill_status mill_dictionary_apply(const struct mill_dictionary *dictionary, const char *text,
                                  size_t bytes, struct mill_buffer *out, struct mill_error *err);

#endif
