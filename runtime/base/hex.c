/* hex.c - see hex.h. */
#include "runtime/base/hex.h"

#include <sys/random.h>

void mill_hex_print(char *text, const void *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[p[i] >> 4];
        text[2 * i + 1] = digits[p[i] & 15];
    }
    text[2 * n] = '\0';
}

bool mill_hex_random(char *text, size_t n) {
    unsigned char bytes[32];
    if (n > sizeof bytes || getrandom(bytes, n, 0) != (ssize_t)n)
        return false;
    mill_hex_print(text, bytes, n);
    return true;
}
