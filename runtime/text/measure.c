/* measure.c - see measure.h. Rough on purpose: limits that are made of it leave a factor of 2 to
 * both sides. */
#include "runtime/text/measure.h"

#include <stdbool.h>
#include <unicode/utf8.h>

/* Syllables of a letter, by script, and of a digit. */
#define LETTER_SYLLABLES (1.0 / 3.0)
#define DIGIT_SYLLABLES 1.5

struct range {
    int32_t first, last;
};

static bool is_in(int32_t c, const struct range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* One syllable each: kana, ideographs, hangul. */
static bool is_syllable(int32_t c) {
    static const struct range ranges[] = {{0x3041, 0x30ff}, {0x3105, 0x312f}, {0x31a0, 0x31ff},
                                          {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3},
                                          {0xf900, 0xfaff}, {0xff66, 0xff9f}, {0x20000, 0x323af}};
    return is_in(c, ranges, sizeof ranges / sizeof *ranges);
}

static bool is_pause(int32_t c) {
    static const struct range ranges[] = {
        {'\n', '\n'},     {'!', '!'},       {',', ','},       {'.', '.'},       {':', ';'},
        {'?', '?'},       {0x2013, 0x2014}, {0x2026, 0x2026}, {0x3001, 0x3002}, {0xff01, 0xff01},
        {0xff0c, 0xff0c}, {0xff0e, 0xff0e}, {0xff1a, 0xff1b}, {0xff1f, 0xff1f}, {0x0964, 0x0965},
        {0x060c, 0x060c}, {0x061b, 0x061b}, {0x061f, 0x061f}};
    return is_in(c, ranges, sizeof ranges / sizeof *ranges);
}

/* Letters of alphabets and the like: everything from Latin-1 on that is not set aside for
 * punctuation, symbols or private use. */
static bool is_letter(int32_t c) {
    static const struct range others[] = {
        {0x00, 0x40},     {0x5b, 0x60},     {0x7b, 0xa9},     {0xab, 0xb4},      {0xb6, 0xb9},
        {0xbb, 0xbf},     {0xd7, 0xd7},     {0xf7, 0xf7},     {0x2b0, 0x36f},    {0x2000, 0x2bff},
        {0x3000, 0x3040}, {0xd800, 0xf8ff}, {0xfe00, 0xff20}, {0x1f000, 0x1faff}};
    return !is_in(c, others, sizeof others / sizeof *others) && c < 0xe0000;
}

struct mill_text_size mill_text_measure(const char *utf8, size_t n_bytes) {
    struct mill_text_size text = {0};
    for (size_t at = 0; at < n_bytes && text.n_characters < INT32_MAX;) {
        UChar32 c;
        U8_NEXT(utf8, at, n_bytes, c);
        if (c < 0)
            continue;
        bool digit = (c >= '0' && c <= '9') || (c >= 0xff10 && c <= 0xff19);
        bool syllable = is_syllable(c);
        text.n_pauses += is_pause(c);
        if (!digit && !syllable && (is_pause(c) || !is_letter(c)))
            continue;
        text.n_characters++;
        text.syllables += digit ? DIGIT_SYLLABLES : syllable ? 1.0 : LETTER_SYLLABLES;
    }
    return text;
}
