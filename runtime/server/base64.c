/* base64.c - see base64.h. */
#include "runtime/server/base64.h"

#include "runtime/base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEAD = 100 /* of "data:audio/wav;base64," */ };

static int digit_of(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

/* The bytes of text .. end into `out`; how many, 0 also where something else stands among them. */
static size_t decode(const char *text, const char *end, char *out) {
    uint32_t bits = 0;
    int n_bits = 0;
    size_t n = 0;
    for (; text < end && *text != '='; text++) {
        if (*text == '\r' || *text == '\n' || *text == ' ')
            continue;
        int digit = digit_of(*text);
        if (digit < 0)
            return 0;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (char)(bits >> n_bits & 0xff);
        }
    }
    return n;
}

mill_status mill_base64_decode(const char *text, size_t size, char **out, size_t *n,
                               struct mill_error *err) {
    const char *end = text + size, *comma = memchr(text, ',', size < MAX_HEAD ? size : MAX_HEAD);
    text = comma ? comma + 1 : text;
    *n = 0;
    *out = mill_alloc_array((size_t)(end - text) / 4 * 3 + 3, 1);
    if (!*out)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    *n = decode(text, end, *out);
    if (*n > 0)
        return MILL_OK;
    free(*out);
    *out = NULL;
    return mill_fail(err, MILL_E_INPUT, "base64 is wanted");
}
