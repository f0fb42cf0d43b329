/* utf8.h - what bytes are as text: valid UTF-8 (RFC 3629), and fit to be shown. No state. */
#ifndef MILL_BASE_UTF8_H
#define MILL_BASE_UTF8_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes from the start that are whole, valid characters: `size` when all are, else the offset of
 * the first byte of the first sequence that is cut, overlong, a surrogate, above U+10FFFF or not a
 * sequence at all. */
size_t mill_utf8_valid_bytes(const char *text, size_t size);

/* Bytes of the byte order mark that it begins with, 3 or 0: Windows' editors put one there. */
size_t mill_utf8_mark_bytes(const char *text, size_t size);

/* MILL_E_INPUT for a text of people that is not all valid: "WHAT is not UTF-8", where, and how to
 * convert what it looks like. */
mill_status mill_utf8_check(const char *text, size_t size, const char *what,
                            struct mill_error *err);

/* Valid, and without control characters (U+0000 .. U+001F, U+007F .. U+009F), which a terminal
 * would obey. */
bool mill_utf8_is_printable(const char *text, size_t size);
/* Every byte that is in the way of that becomes '?'. */
void mill_utf8_make_printable(char *text);

#endif
