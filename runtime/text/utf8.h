/* utf8.h - is this valid UTF-8 (RFC 3629), and if not, where does it stop being so. No state. */
#ifndef MILL_TEXT_UTF8_H
#define MILL_TEXT_UTF8_H

#include <stddef.h>

/* Bytes from the start that are whole, valid characters: `size` when all are, else the offset of
 * the first byte of the first sequence that is cut, overlong, a surrogate, above U+10FFFF or not a
 * sequence at all. */
size_t mill_utf8_valid_bytes(const char *text, size_t size);

#endif
