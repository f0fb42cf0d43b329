/* segment_sentence.c - where Unicode's rules end a sentence too early: behind abbreviations,
 * initials, ordinals and the numbers of lists, and inside of what goes on in lower case. */
#include "runtime/text/segment_parts.h"

#include <string.h>

/* From the end of a sentence one looks so far, forward and back: a text of nothing but ends of
 * sentences must not be read as a whole from each of them. */
enum { MAX_TOKEN_BYTES = 24, MAX_LOOK_BYTES = 256 };

/* What stands directly before the dot: letters and digits, and the dots between them. */
struct token {
    size_t at, bytes;
    int n_digits, n_letters, n_dots;
    int longest; /* letters or digits between dots */
};

/* `end` is where the dot stands. */
static struct token token_before(const char *text, size_t begin, size_t end) {
    struct token token = {.at = end};
    int run = 0;
    for (size_t at = end; end - at < MAX_LOOK_BYTES;) {
        UChar32 c = mill_step_back(text, begin, &at);
        bool letter = c >= 0 && (u_isalpha(c) || u_getCombiningClass(c) > 0);
        bool digit = c >= 0 && u_isdigit(c), apostrophe = c == '\'' || c == 0x2019;
        if (!letter && !digit && !apostrophe && c != '.')
            break;
        token.n_letters += letter;
        token.n_digits += digit;
        token.n_dots += c == '.';
        run = c == '.' ? 0 : run + 1;
        token.longest = run > token.longest ? run : token.longest;
        token.at = at;
    }
    token.bytes = end - token.at;
    return token;
}

/* Whether it stands in a list of language.h. */
static bool is_listed(const char *list, const char *text, const struct token *token) {
    char word[MAX_TOKEN_BYTES + 16] = " ";
    int32_t n = 1;
    if (!list || token->bytes > MAX_TOKEN_BYTES)
        return false;
    for (size_t at = token->at; at < token->at + token->bytes && n < MAX_TOKEN_BYTES + 8;) {
        UChar32 c;
        U8_NEXT(text, at, token->at + token->bytes, c);
        U8_APPEND_UNSAFE(word, n, u_tolower(c));
    }
    word[n++] = ' ';
    word[n] = '\0';
    return strstr(list, word) != NULL;
}

/* Where words begin, behind spaces, dashes and what opens. */
static UChar32 next_word(const char *text, size_t at, size_t size) {
    size_t end = size - at > MAX_LOOK_BYTES ? at + MAX_LOOK_BYTES : size;
    while (at < end) {
        UChar32 c;
        U8_NEXT(text, at, end, c);
        if (u_isalnum(c))
            return c;
        if (!mill_is_blank(c) && !u_ispunct(c))
            break;
    }
    return -1;
}

/* What stands alone before the dot at the beginning of a sentence, as the number of a list does. */
static bool is_list_number(const char *text, size_t begin, const struct token *token) {
    for (size_t at = token->at; at > begin;)
        if (!mill_is_blank(mill_step_back(text, begin, &at)))
            return false;
    return token->n_dots == 0 && ((token->n_letters == 0 && token->n_digits <= 3) ||
                                  (token->n_letters == 1 && token->n_digits == 0));
}

/* "J.", "z. B.", "e.g.", "U.S.", but not "5 p.m.". */
static bool is_initials(const char *text, const struct token *token) {
    if (token->n_digits > 0 || token->n_letters == 0 || token->longest > 1 + (token->n_dots > 0))
        return false;
    return !is_listed(" a.m p.m ", text, token);
}

/* The closing quotes and brackets that begin at `at`, and the spaces around them. */
static bool has_closing(const char *text, size_t at, size_t end) {
    while (at < end) {
        UChar32 c;
        U8_NEXT(text, at, end, c);
        if (mill_is_closing(c))
            return true;
    }
    return false;
}

size_t mill_before_opening(const char *text, size_t begin, size_t at) {
    for (size_t before = at;; at = before) {
        int8_t type = u_charType(mill_step_back(text, begin, &before));
        if (type != U_START_PUNCTUATION && type != U_INITIAL_PUNCTUATION)
            return at;
    }
}

bool mill_sentence_goes_on(const struct mill_language *language, const char *text, size_t begin,
                           size_t at, size_t size) {
    UChar32 next = next_word(text, at, size);
    if (next < 0)
        return false;
    if (u_islower(next))
        return true;
    size_t dot = at;
    UChar32 c = mill_step_back(text, begin, &dot);
    while (c >= 0 && (mill_is_blank(c) || mill_is_closing(c)))
        c = mill_step_back(text, begin, &dot);
    if (c != '.' || has_closing(text, dot + 1, at))
        return false;
    const struct token token = token_before(text, begin, dot);
    if (token.bytes == 0 || text[token.at] == '.')
        return false; /* an ellipsis, or a dot alone */
    if (is_list_number(text, begin, &token) || is_initials(text, &token))
        return true;
    if (language && language->ordinal_dots && token.n_letters == 0 && token.n_digits <= 2)
        return true;
    return language && (is_listed(language->abbreviations, text, &token) ||
                        (u_isdigit(next) && is_listed(language->before_numbers, text, &token)));
}
