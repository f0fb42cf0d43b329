/* small_tokenizer.h - a tokenizer.json in a size for tests and fuzzing. */
#ifndef MILL_TESTS_SMALL_TOKENIZER_H
#define MILL_TESTS_SMALL_TOKENIZER_H

#include <jansson.h>

/* The bytes, three merges ("b c", "a b", ["a", "bc"]), every control token with families of two;
 * the ids of the merged tokens are 256 ("ab"), 257 ("bc"), 258 ("abc"). Owned by the caller. */
json_t *text_small_tokenizer(void);

#endif
