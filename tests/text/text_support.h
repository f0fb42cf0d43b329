/* text_support.h - what the tests of runtime/text share: the golden lines, and folders with the
 * published tokenizer's files. */
#ifndef MILL_TESTS_TEXT_SUPPORT_H
#define MILL_TESTS_TEXT_SUPPORT_H

/* The order matters: cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/text/tokenizer.h"

/* MILL_SCRATCH/name as a fresh, empty folder with the four published files; in static memory. */
const char *text_published_folder(const char *name);

/* Compare every line of tests/golden/tokenizer.jsonl in both columns; fails at the first miss. */
void text_check_golden(const struct mill_tokenizer *tokenizer);

/* Encode and compare with a list ended by -1. */
void text_check_ids(struct mill_encoder *encoder, const char *text, const int32_t *expected);

/* Write bytes to folder/name. */
void text_write_file(const char *folder, const char *name, const void *data, size_t size);

#endif
