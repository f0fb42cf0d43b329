/* pretokenise.c - see pretokenise.h.
 *
 * The published expression was written for Oniguruma, whose Unicode is newer (16) than that of
 * Debian 12's PCRE2 (14) and whose \s does not hold U+180E. So its classes are spelt out here: \s
 * as a list, \p{L} and \p{N} with what Unicode 15 to 16 added. Compared with Oniguruma on every
 * code point. Each alternative begins with another kind of character and gives way at most by the
 * length of one run, so the time is linear in the text whatever the text is. */
#include "runtime/text/pretokenise.h"

#include <stdint.h>
#include <string.h>

const char mill_published_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
                                      "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                                      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* Insides of character classes. */
#define SPACE                                                                                      \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define LETTER                                                                                     \
    "\\p{L}\\x{1c89}\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}"          \
    "\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}\\x{11240}"          \
    "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}" \
    "\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}"          \
    "\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}\\x{16d40}-\\x{16d6c}"         \
    "\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{"      \
    "1e4eb}"                                                                                       \
    "\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"
#define NUMBER                                                                                     \
    "\\p{N}\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"   \
    "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}"         \
    "\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}"

static const char pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
                              "|[^\\r\\n" LETTER NUMBER "]?[" LETTER "]+"
                              "|[" NUMBER "]"
                              "| ?[^" SPACE LETTER NUMBER "]+[\\r\\n]*"
                              "|[" SPACE "]*[\\r\\n]+"
                              "|[" SPACE "]+(?![^" SPACE "])"
                              "|[" SPACE "]+";

/* Steps of one match and kilobytes of heap: far above what 2^24 bytes of anything need. */
enum { MATCH_LIMIT = 1 << 28, HEAP_LIMIT_KIB = 1 << 16 };

mill_status mill_pretokeniser_open(struct mill_pretokeniser *pretokeniser, struct mill_error *err) {
    *pretokeniser = (struct mill_pretokeniser){0};
    int code;
    PCRE2_SIZE at;
    pretokeniser->code = pcre2_compile((PCRE2_SPTR)pattern, sizeof pattern - 1,
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &code, &at, NULL);
    if (!pretokeniser->code)
        return mill_fail(err, code == PCRE2_ERROR_HEAP_FAILED ? MILL_E_MEMORY : MILL_E_UNSUPPORTED,
                         "PCRE2 refuses the tokenizer's expression at byte %zu (its error %d)",
                         (size_t)at, code);
    pretokeniser->compiled = pcre2_jit_compile(pretokeniser->code, PCRE2_JIT_COMPLETE) == 0;
    return MILL_OK;
}

void mill_pretokeniser_close(struct mill_pretokeniser *pretokeniser) {
    pcre2_code_free(pretokeniser->code);
    *pretokeniser = (struct mill_pretokeniser){0};
}

mill_status mill_pretokeniser_match_open(struct mill_pretokeniser_match *match,
                                         const struct mill_pretokeniser *pretokeniser,
                                         struct mill_error *err) {
    match->data = pcre2_match_data_create_from_pattern(pretokeniser->code, NULL);
    match->context = pcre2_match_context_create(NULL);
    if (!match->data || !match->context) {
        mill_pretokeniser_match_close(match);
        return mill_fail(err, MILL_E_MEMORY, "no memory for the tokenizer's matches");
    }
    pcre2_set_match_limit(match->context, MATCH_LIMIT);
    pcre2_set_heap_limit(match->context, HEAP_LIMIT_KIB);
    return MILL_OK;
}

void mill_pretokeniser_match_close(struct mill_pretokeniser_match *match) {
    pcre2_match_data_free(match->data);
    pcre2_match_context_free(match->context);
    *match = (struct mill_pretokeniser_match){0};
}

static bool is_ascii_letter(char c) {
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

/* Most words are letters of English after at most one space; the second alternative takes them, and
 * nothing before it can. Their end, or `at` when this is no such word or a letter beyond ASCII
 * might follow. */
static size_t find_plain_word_end(const char *text, size_t size, size_t at) {
    size_t end = at + (text[at] == ' '), first = end;
    while (end < size && is_ascii_letter(text[end]))
        end++;
    bool is_whole = end > first && (end == size || (uint8_t)text[end] < 0x80);
    return is_whole ? end : at;
}

mill_status mill_pretokenise_next(const struct mill_pretokeniser *pretokeniser,
                                  struct mill_pretokeniser_match *match, const char *text,
                                  size_t size, size_t at, size_t *end, struct mill_error *err) {
    *end = find_plain_word_end(text, size, at);
    if (*end > at)
        return MILL_OK;
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int n = pretokeniser->compiled ? pcre2_jit_match(pretokeniser->code, subject, size, at, 0,
                                                     match->data, match->context)
                                   : pcre2_match(pretokeniser->code, subject, size, at,
                                                 PCRE2_NO_UTF_CHECK, match->data, match->context);
    *end = n > 0 ? pcre2_get_ovector_pointer(match->data)[1] : at;
    if (*end > at)
        return MILL_OK;
    return mill_fail(err, n == PCRE2_ERROR_NOMEMORY ? MILL_E_MEMORY : MILL_E_INPUT,
                     "byte %zu: the text cannot be cut into words (PCRE2's error %d)", at, n);
}
