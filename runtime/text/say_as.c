/* say_as.c - see say_as.h. */
#include "runtime/text/say_as.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/udat.h>
#include <unicode/udatpg.h>
#include <unicode/unum.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>

enum { MAX_WORDS = 512, MAX_NUMBER = 64 };

static mill_status fail_icu(struct mill_error *err, UErrorCode code, const char *language) {
    return mill_fail(err, code == U_MEMORY_ALLOCATION_ERROR ? MILL_E_MEMORY : MILL_E_UNSUPPORTED,
                     "ICU has no words for it in language '%s'", language);
}

/* Without the soft hyphens that show where long words may be broken. */
static mill_status append_wide(struct mill_buffer *out, const UChar *text, int32_t n,
                               struct mill_error *err) {
    UChar words[MAX_WORDS];
    int32_t n_words = 0;
    char utf8[3 * MAX_WORDS];
    int32_t bytes;
    UErrorCode code = U_ZERO_ERROR;
    for (int32_t i = 0; i < n && n_words < MAX_WORDS; i++)
        if (text[i] != 0xad)
            words[n_words++] = text[i];
    u_strToUTF8(utf8, sizeof utf8, &bytes, words, n_words, &code);
    return U_SUCCESS(code) ? mill_buffer_append(out, utf8, (size_t)bytes, err)
                           : mill_fail(err, MILL_E_INPUT, "too long to be said");
}

/* ------------------------------------------------------------------ numbers */

/* A language has the first of these rules that it knows; none = its usual one. */
static const char *const ordinal_rules[] = {"%spellout-ordinal", "%spellout-ordinal-masculine",
                                            NULL};
static const char *const year_rules[] = {"%spellout-numbering-year", "%spellout-numbering", NULL};
static const char *const cardinal_rules[] = {"%spellout-numbering", NULL};

/* A language that ICU has no words for is said in the machine's own, and that is not wanted. */
static bool is_another(const UNumberFormat *words, const char *language) {
    UErrorCode code = U_ZERO_ERROR;
    char asked[ULOC_LANG_CAPACITY] = "", found[ULOC_LANG_CAPACITY] = "",
         machine[ULOC_LANG_CAPACITY] = "";
    const char *locale = unum_getLocaleByType(words, ULOC_ACTUAL_LOCALE, &code);
    uloc_getLanguage(language, asked, sizeof asked, &code);
    uloc_getLanguage(locale ? locale : "", found, sizeof found, &code);
    uloc_getLanguage(uloc_getDefault(), machine, sizeof machine, &code);
    return strcmp(found, machine) == 0 && strcmp(found, asked) != 0;
}

/* What says numbers in a language. To make one takes ICU as long as to say thousands. */
static mill_status open_words(UNumberFormat **out, const char *language, const char *const *rules,
                              struct mill_error *err) {
    UErrorCode code = U_ZERO_ERROR, no_rule = U_ZERO_ERROR;
    *out = unum_open(UNUM_SPELLOUT, NULL, 0, language, NULL, &code);
    if (U_FAILURE(code))
        return fail_icu(err, code, language);
    for (; *rules; rules++) {
        UChar wide[MAX_NUMBER];
        no_rule = U_ZERO_ERROR;
        u_uastrcpy(wide, *rules);
        unum_setTextAttribute(*out, UNUM_DEFAULT_RULESET, wide, -1, &no_rule);
        if (U_SUCCESS(no_rule))
            break;
    }
    if (is_another(*out, language))
        no_rule = U_MISSING_RESOURCE_ERROR;
    else if (U_SUCCESS(no_rule) || rules[-1] != ordinal_rules[1])
        return MILL_OK;
    unum_close(*out);
    return fail_icu(err, no_rule, language);
}

static mill_status append_words(struct mill_buffer *out, const char *language,
                                const UNumberFormat *words, double number, struct mill_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    UChar said[MAX_WORDS];
    int32_t n = unum_formatDouble(words, number, said, MAX_WORDS, NULL, &code);
    return U_SUCCESS(code) ? append_wide(out, said, n, err) : fail_icu(err, code, language);
}

static mill_status append_number(struct mill_buffer *out, const char *language,
                                 const char *const *rules, double number, struct mill_error *err) {
    UNumberFormat *words;
    MILL_TRY(open_words(&words, language, rules, err));
    mill_status status = append_words(out, language, words, number, err);
    unum_close(words);
    return status;
}

/* Digits with a sign, a point, and commas between them. */
static mill_status read_number(const char *text, size_t bytes, bool whole, double *out,
                               struct mill_error *err) {
    char digits[MAX_NUMBER];
    size_t n = 0, n_points = 0, n_digits = 0;
    for (size_t i = 0; i < bytes && n + 1 < sizeof digits; i++) {
        char c = text[i];
        bool digit = c >= '0' && c <= '9', sign = n == 0 && (c == '-' || c == '+');
        n_points += c == '.';
        n_digits += digit;
        if (c == ',' && n_digits > 0 && n_points == 0)
            continue;
        if (!digit && !sign && c != '.')
            n_points = 2;
        digits[n++] = c;
    }
    digits[n] = '\0';
    if (n_digits > 15)
        return mill_fail(err, MILL_E_INPUT, "'%.40s' has more than 15 digits", digits);
    if (n_digits == 0 || n_points > (whole ? 0 : 1))
        return mill_fail(err, MILL_E_INPUT, "'%.40s' is no %snumber", digits,
                         whole ? "whole " : "");
    *out = strtod(digits, NULL);
    return MILL_OK;
}

/* ------------------------------------------------------------------ characters */

/* One by one; digits by `words`, where it is not NULL. */
static mill_status append_characters(struct mill_buffer *out, const char *language,
                                     const UNumberFormat *words, const char *text, size_t bytes,
                                     struct mill_error *err) {
    size_t start = out->size;
    for (size_t at = 0; at < bytes;) {
        size_t from = at;
        UChar32 c;
        U8_NEXT(text, at, bytes, c);
        if (words && !u_isdigit(c) && !u_isUWhiteSpace(c) && c != '-')
            return mill_fail(err, MILL_E_INPUT, "digits only are wanted");
        if (u_isUWhiteSpace(c) || (words && c == '-'))
            continue;
        if (out->size > start)
            MILL_TRY(mill_buffer_append(out, " ", 1, err));
        MILL_TRY(words ? append_words(out, language, words, u_charDigitValue(c), err)
                       : mill_buffer_append(out, text + from, at - from, err));
    }
    return out->size > start ? MILL_OK : mill_fail(err, MILL_E_INPUT, "nothing is to be said");
}

static mill_status append_digits(struct mill_buffer *out, const char *language, const char *text,
                                 size_t bytes, struct mill_error *err) {
    UNumberFormat *words;
    MILL_TRY(open_words(&words, language, cardinal_rules, err));
    mill_status status = append_characters(out, language, words, text, bytes, err);
    unum_close(words);
    return status;
}

/* ------------------------------------------------------------------ dates */

struct date {
    int year, month, day;
};

static bool is_valid(const struct date *d) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (d->year % 4 == 0 && d->year % 100 != 0) || d->year % 400 == 0;
    return d->year >= 1 && d->year <= 9999 && d->month >= 1 && d->month <= 12 && d->day >= 1 &&
           d->day <= days[d->month - 1] + (d->month == 2 && leap);
}

static mill_status read_date(const char *format, const char *text, size_t bytes, struct date *date,
                             struct mill_error *err) {
    char copy[MAX_NUMBER], behind[2] = "";
    int part[3];
    snprintf(copy, sizeof copy, "%.*s", (int)(bytes < MAX_NUMBER ? bytes : MAX_NUMBER - 1), text);
    if (strcmp(format, "ymd") != 0 && strcmp(format, "mdy") != 0 && strcmp(format, "dmy") != 0)
        return mill_fail(err, MILL_E_INPUT, "format '%.20s': there are ymd, mdy and dmy", format);
    bool three =
        sscanf(copy, "%4d%*1[-./ ]%2d%*1[-./ ]%4d%1s", &part[0], &part[1], &part[2], behind) == 3;
    for (int i = 0; i < 3 && three; i++)
        *(format[i] == 'y' ? &date->year : format[i] == 'm' ? &date->month : &date->day) = part[i];
    return three && is_valid(date)
               ? MILL_OK
               : mill_fail(err, MILL_E_INPUT, "'%.20s' is no date in the order %s", copy, format);
}

/* Milliseconds of the first moment of a day, of which ICU makes a month's name. */
static UDate moment_of(const struct date *d) {
    int y = d->month > 2 ? d->year : d->year - 1, m = (d->month + 9) % 12;
    return 864e5 * (365.0 * y + floor(y / 4.0) - floor(y / 100.0) + floor(y / 400.0) +
                    floor((153.0 * m + 2) / 5) + d->day - 1 - 719468);
}

/* The date is one of the Gregorian calendar, also where another one is usual. */
static const char *gregorian(const char *language, char locale[ULOC_FULLNAME_CAPACITY]) {
    snprintf(locale, ULOC_FULLNAME_CAPACITY, "%s@calendar=gregorian", language);
    return locale;
}

static mill_status append_month(struct mill_buffer *out, const char *language, const UChar *pattern,
                                int32_t n, const struct date *date, struct mill_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    UChar name[MAX_WORDS];
    char locale[ULOC_FULLNAME_CAPACITY];
    UDateFormat *format = udat_open(UDAT_PATTERN, UDAT_PATTERN, gregorian(language, locale), u"UTC",
                                    -1, pattern, n, &code);
    if (U_FAILURE(code))
        return fail_icu(err, code, language);
    int32_t n_name = udat_format(format, moment_of(date), name, MAX_WORDS, NULL, &code);
    udat_close(format);
    return U_SUCCESS(code) ? append_wide(out, name, n_name, err) : fail_icu(err, code, language);
}

/* A language's own order of a date, with words for its numbers. */
static mill_status append_pattern(struct mill_buffer *out, const char *language,
                                  const UChar *pattern, int32_t n, const struct date *date,
                                  struct mill_error *err) {
    bool quoted = false, english = strncmp(language, "en", 2) == 0;
    for (int32_t i = 0, end; i < n; i = end) {
        UChar c = pattern[i];
        for (end = i + 1; end < n && pattern[end] == c; end++)
            ;
        bool dotted = end < n && pattern[end] == '.';
        if (c == '\'') {
            quoted ^= (end - i) & 1;
        } else if (!quoted && c == 'y') {
            MILL_TRY(append_number(out, language, year_rules, date->year, err));
        } else if (!quoted && (c == 'M' || c == 'L')) {
            MILL_TRY(end - i >= 3 ? append_month(out, language, pattern + i, end - i, date, err)
                                  : append_number(out, language, cardinal_rules, date->month, err));
        } else if (!quoted && c == 'd') {
            MILL_TRY(append_number(
                out, language, english || dotted ? ordinal_rules : cardinal_rules, date->day, err));
            end += dotted;
        } else {
            MILL_TRY(append_wide(out, pattern + i, end - i, err));
        }
    }
    return MILL_OK;
}

static mill_status append_date(struct mill_buffer *out, const char *language, const char *format,
                               const char *text, size_t bytes, struct mill_error *err) {
    struct date date;
    MILL_TRY(read_date(format ? format : "ymd", text, bytes, &date, err));
    UErrorCode code = U_ZERO_ERROR;
    UChar pattern[MAX_NUMBER];
    char locale[ULOC_FULLNAME_CAPACITY];
    UDateTimePatternGenerator *generator = udatpg_open(gregorian(language, locale), &code);
    if (U_FAILURE(code))
        return fail_icu(err, code, language);
    int32_t n = udatpg_getBestPattern(generator, u"yMMMMd", -1, pattern, MAX_NUMBER, &code);
    udatpg_close(generator);
    if (U_FAILURE(code))
        return fail_icu(err, code, language);
    return append_pattern(out, language, pattern, n, &date, err);
}

/* ------------------------------------------------------------------ all of it */

mill_status mill_say_as(struct mill_buffer *out, const char *language, const char *kind,
                        const char *format, const char *text, size_t bytes,
                        struct mill_error *err) {
    double number = 0;
    while (bytes > 0 && strchr(" \t\r\n", text[0]))
        text++, bytes--;
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]))
        bytes--;
    if (strcmp(kind, "characters") == 0 || strcmp(kind, "spell-out") == 0)
        return append_characters(out, language, NULL, text, bytes, err);
    if (strcmp(kind, "digits") == 0)
        return append_digits(out, language, text, bytes, err);
    if (strcmp(kind, "date") == 0)
        return append_date(out, language, format, text, bytes, err);
    bool ordinal = strcmp(kind, "ordinal") == 0;
    if (!ordinal && strcmp(kind, "cardinal") != 0 && strcmp(kind, "number") != 0)
        return mill_fail(err, MILL_E_INPUT, "'%.40s': there are " MILL_SAY_AS_KINDS, kind);
    if (ordinal && bytes > 1 && text[bytes - 1] == '.')
        bytes--; /* "3.", as several languages write it */
    MILL_TRY(read_number(text, bytes, ordinal, &number, err));
    return append_number(out, language, ordinal ? ordinal_rules : cardinal_rules, number, err);
}
