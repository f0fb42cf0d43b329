/* utf8.c - see utf8.h. Plain ASCII is skipped eight bytes at a time, since most text is that. */
#include "runtime/base/utf8.h"

#include <stdint.h>
#include <string.h>

static bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the valid sequence at p, of which `left` >= 1 are there; 0 when it is not valid. The
 * second byte's range is what shuts out overlong forms, surrogates and too large code points
 * (Unicode 15, table 3-7). */
static size_t sequence_bytes(const uint8_t *p, size_t left) {
    uint8_t first = p[0];
    if (first < 0x80)
        return 1;
    size_t n = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || left < n || !is_continuation(p[1]))
        return 0;
    if ((first == 0xe0 && p[1] < 0xa0) || (first == 0xed && p[1] > 0x9f) ||
        (first == 0xf0 && p[1] < 0x90) || (first == 0xf4 && p[1] > 0x8f))
        return 0;
    for (size_t i = 2; i < n; i++)
        if (!is_continuation(p[i]))
            return 0;
    return n;
}

size_t mill_utf8_valid_bytes(const char *text, size_t size) {
    const uint8_t *p = (const uint8_t *)text;
    size_t at = 0;
    while (at < size) {
        uint64_t word;
        if (size - at >= sizeof word) {
            memcpy(&word, p + at, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t n = sequence_bytes(p + at, size - at);
        if (n == 0)
            return at;
        at += n;
    }
    return at;
}

size_t mill_utf8_mark_bytes(const char *text, size_t size) {
    return size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* Windows and old files have two other encodings: UTF-16, which begins with its mark or has zeros
 * for the other halves of letters, and single bytes. */
mill_status mill_utf8_check(const char *text, size_t size, const char *what,
                            struct mill_error *err) {
    size_t valid = mill_utf8_valid_bytes(text, size), line = 1;
    if (valid == size)
        return MILL_OK;
    for (size_t i = 0; i < valid; i++)
        line += text[i] == '\n';
    bool marked =
        size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
    bool wide = marked || memchr(text, 0, valid);
    return mill_fail(err, MILL_E_INPUT,
                     "%s is not UTF-8 at byte %zu (0x%02x), line %zu: convert it, as with "
                     "`iconv -f %s -t UTF-8`",
                     what, valid, (uint8_t)text[valid], line, wide ? "UTF-16" : "WINDOWS-1252");
}

/* Bytes of the printable character at p; 0 when there is none. */
static size_t printable_bytes(const uint8_t *p, size_t left) {
    size_t n = sequence_bytes(p, left);
    bool control = p[0] < 0x20 || p[0] == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
    return control ? 0 : n;
}

bool mill_utf8_is_printable(const char *text, size_t size) {
    size_t n = 1;
    for (size_t at = 0; at < size && n > 0; at += n)
        n = printable_bytes((const uint8_t *)text + at, size - at);
    return n > 0;
}

void mill_utf8_make_printable(char *text) {
    size_t size = strlen(text);
    for (size_t at = 0, n; at < size; at += n) {
        n = printable_bytes((const uint8_t *)text + at, size - at);
        if (n == 0)
            text[at] = '?', n = 1;
    }
}
