/* pretokenise.h - cutting text into words by the published regular expression, with PCRE2's JIT.
 *
 * The expression is immutable and shared; the match memory is one thread's. */
#ifndef MILL_TEXT_PRETOKENISE_H
#define MILL_TEXT_PRETOKENISE_H

#include "runtime/base/status.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>

/* As tokenizer.json writes it. */
extern const char mill_published_pattern[];

struct mill_pretokeniser {
    pcre2_code *code; /* owned */
    bool compiled;    /* to machine code; without permission to make some, PCRE2 interprets */
};

mill_status mill_pretokeniser_open(struct mill_pretokeniser *pretokeniser, struct mill_error *err);
void mill_pretokeniser_close(struct mill_pretokeniser *pretokeniser);

struct mill_pretokeniser_match {
    pcre2_match_data *data;       /* owned */
    pcre2_match_context *context; /* owned: limits */
};

mill_status mill_pretokeniser_match_open(struct mill_pretokeniser_match *match,
                                         const struct mill_pretokeniser *pretokeniser,
                                         struct mill_error *err);
void mill_pretokeniser_match_close(struct mill_pretokeniser_match *match);

/* The end of the word that starts at `at` < size, in valid UTF-8; always past `at`. */
mill_status mill_pretokenise_next(const struct mill_pretokeniser *pretokeniser,
                                  struct mill_pretokeniser_match *match, const char *text,
                                  size_t size, size_t at, size_t *end, struct mill_error *err);

#endif
