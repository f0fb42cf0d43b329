/* language.h - which language a text is in, and what of it matters to where its sentences end.
 *
 * Twelve languages are known: de en es fr it ja ko nl pl pt ru zh. Texts in others are split by the
 * rules that all share. No state. */
#ifndef MILL_TEXT_LANGUAGE_H
#define MILL_TEXT_LANGUAGE_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct mill_language {
    const char *tag;   /* as BCP 47 has it: "de" */
    bool ordinal_dots; /* "am 3. Mai": a dot behind a small number ends nothing */
    /* Lower case, each between two spaces; NULL where there are none. A dot behind the first ends
     * nothing; behind the second nothing when a number follows. */
    const char *abbreviations, *before_numbers;
    const char *common_words; /* tell languages of Latin script apart */
};

/* MILL_E_INPUT where it is not in the form of BCP 47, as en or zh-CN: 2 to 8 letters, then parts of
 * 1 to 8 letters and digits behind '-'. */
mill_status mill_language_check(const char *tag, struct mill_error *err);
/* By the primary part of a tag ("de-AT" is "de"); NULL when it is not known. */
const struct mill_language *mill_language_find(const char *tag);
/* By script and common words of its first thousands of bytes; NULL when it is none of the known
 * ones. English when the script is Latin and nothing else is to be seen. */
const struct mill_language *mill_language_detect(const char *text, size_t bytes);

#endif
