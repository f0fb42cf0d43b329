/* segment_parts.h - what the files behind segment.h share. Private to runtime/text. */
#ifndef MILL_TEXT_SEGMENT_PARTS_H
#define MILL_TEXT_SEGMENT_PARTS_H

#include "runtime/text/language.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

/* Bytes of the line end that begins at `at`, 0 when none does. */
size_t mill_line_end_bytes(const char *text, size_t at, size_t size);

/* Line ends that only fit a text to a page become spaces, byte for byte. Every one that is left
 * ends a paragraph. */
void mill_unwrap_lines(char *text, size_t size);

/* `at`, where a sentence ends by Unicode's rules, before the quote or bracket that opens there:
 * they take it for a closing one where no space stands before it. */
size_t mill_before_opening(const char *text, size_t begin, size_t at);

/* Whether the sentence goes on behind `at`, where Unicode's rules end it. `text` is a paragraph of
 * `size` bytes in which the sentence begins at `begin`; `language` may be NULL. */
bool mill_sentence_goes_on(const struct mill_language *language, const char *text, size_t begin,
                           size_t at, size_t size);

/* The character before `at`, which moves in front of it; -1 at the beginning. */
static inline UChar32 mill_step_back(const char *text, size_t begin, size_t *at) {
    UChar32 c;
    if (*at <= begin)
        return -1;
    int32_t i = (int32_t)*at;
    U8_PREV(text, (int32_t)begin, i, c);
    *at = (size_t)i;
    return c;
}

/* White space and what is like it: controls, zero-width space, byte order mark. */
static inline bool mill_is_blank(UChar32 c) {
    return u_isUWhiteSpace(c) || u_charType(c) == U_CONTROL_CHAR || c == 0x200b || c == 0xfeff;
}

static inline bool mill_is_closing(UChar32 c) {
    int8_t type = u_charType(c);
    return c == '"' || c == '\'' || type == U_END_PUNCTUATION || type == U_FINAL_PUNCTUATION ||
           type == U_INITIAL_PUNCTUATION; /* German closes with what English opens with */
}

#endif
