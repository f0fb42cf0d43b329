/* hex.h - bytes as lower-case hexadecimal digits, and digits that nobody can guess: for hashes,
 * keys, ids and names of files. No state. */
#ifndef MILL_BASE_HEX_H
#define MILL_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>

/* 2 * n digits and a final zero. */
void mill_hex_print(char *text, const void *bytes, size_t n);
/* The same of n random bytes, at most 32; false, with errno, when the kernel gives none. */
bool mill_hex_random(char *text, size_t n);

#endif
