/* segment.c - see segment.h. The text is copied once; in the copy, line ends that mean nothing are
 * spaces, so every offset is one of the text. Paragraphs become units, which are sentences or parts
 * of over-long ones; units become segments. ICU reads UTF-8 in place. */
#include "runtime/text/segment.h"

#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/text/measure.h"
#include "runtime/text/segment_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/utext.h>

enum { MAX_TEXT_BYTES = 1 << 26 };
#define PAUSE_S 0.25 /* for each place where a reader may rest */

struct unit {
    size_t at, bytes;
    enum mill_segment_end end;
    int32_t n_characters;
    double length_s; /* 0 = nothing that can be said */
};

/* Where a line may be broken. */
struct line_break {
    size_t at;
    int rank; /* 0 behind a clause, 1 between words, 2 else */
};

struct segmenter {
    struct mill_segment_limits limits;
    const struct mill_language *language; /* NULL = none of the known */
    char *text;                           /* owned: [size + 1] */
    size_t size;
    UText paragraph, sentence;                      /* ICU's view of those that are worked on */
    UBreakIterator *sentences, *lines, *characters; /* owned */
    struct mill_buffer units;                       /* of the paragraph: struct unit */
    struct mill_buffer breaks;   /* of the sentence, when it is over-long: struct line_break */
    size_t breaks_begin;         /* where that sentence begins */
    struct mill_buffer segments; /* struct mill_segment */
};

void mill_segments_deinit(struct mill_segments *segments) {
    free(segments->items);
    *segments = (struct mill_segments){0};
}

struct mill_segment_limits mill_segment_limits_default(void) {
    return (struct mill_segment_limits){.max_characters = 500, .max_s = 24, .syllables_per_s = 4};
}

static mill_status fail_icu(struct mill_error *err, UErrorCode code) {
    return mill_fail(err, code == U_MEMORY_ALLOCATION_ERROR ? MILL_E_MEMORY : MILL_E_UNSUPPORTED,
                     "ICU cannot find sentences: %s", u_errorName(code));
}

/* ------------------------------------------------------------------ units */

/* [begin, end) without what is blank at its ends. */
static struct unit make_unit(const struct segmenter *s, size_t begin, size_t end,
                             enum mill_segment_end kind) {
    for (size_t at = begin; at < end; begin = at) {
        UChar32 c;
        U8_NEXT(s->text, at, end, c);
        if (!mill_is_blank(c))
            break;
    }
    for (size_t at = end; at > begin; end = at)
        if (!mill_is_blank(mill_step_back(s->text, begin, &at)))
            break;
    struct mill_text_size size = mill_text_measure(s->text + begin, end - begin);
    struct unit unit = {.at = begin, .bytes = end - begin, .end = kind};
    for (size_t at = begin; at < end; unit.n_characters++)
        U8_FWD_1(s->text, at, end);
    if (size.n_characters > 0)
        unit.length_s = size.syllables / s->limits.syllables_per_s + size.n_pauses * PAUSE_S;
    return unit;
}

static bool fits(const struct segmenter *s, const struct unit *unit) {
    return unit->n_characters <= s->limits.max_characters && unit->length_s <= s->limits.max_s;
}

/* ------------------------------------------------------------------ over-long sentences */

static bool is_clause_end(UChar32 c, bool space_behind) {
    static const UChar32 ends[] = {',',    ';',    ':',    '!',    '?',    0x2014, 0x2026, 0x3001,
                                   0x3002, 0xff0c, 0xff1b, 0xff1a, 0xff01, 0xff1f, 0x060c, 0x061b};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (c == ends[i])
            return true;
    return c == 0x2013 && space_behind;
}

/* See struct line_break. */
static int rank_of(const char *text, size_t begin, size_t at) {
    bool space = false;
    UChar32 c = mill_step_back(text, begin, &at);
    for (; c >= 0 && mill_is_blank(c); space = true)
        c = mill_step_back(text, begin, &at);
    while (c >= 0 && mill_is_closing(c))
        c = mill_step_back(text, begin, &at);
    return c >= 0 && is_clause_end(c, space) ? 0 : space ? 1 : 2;
}

static size_t distance(size_t a, size_t b) {
    return a > b ? a - b : b - a;
}

/* All places of [begin, end) where a line may be broken. ICU walks forward once: to jump to a place
 * it may have to read from the beginning. */
static mill_status find_breaks(struct segmenter *s, size_t begin, size_t end,
                               struct mill_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    s->breaks.size = 0;
    s->breaks_begin = begin;
    utext_openUTF8(&s->sentence, s->text + begin, (int64_t)(end - begin), &code);
    ubrk_setUText(s->lines, &s->sentence, &code);
    ubrk_setUText(s->characters, &s->sentence, &code);
    if (U_FAILURE(code))
        return fail_icu(err, code);
    for (int32_t at = ubrk_next(s->lines); at != UBRK_DONE; at = ubrk_next(s->lines)) {
        const struct line_break here = {.at = begin + (size_t)at,
                                        .rank = rank_of(s->text, begin, begin + (size_t)at)};
        MILL_TRY(mill_buffer_append(&s->breaks, &here, sizeof here, err));
    }
    return MILL_OK;
}

/* Where a line cannot be broken: between characters as people see them, or, in a heap of combining
 * marks, between code points. */
static size_t cut_anywhere(const struct segmenter *s, size_t begin, size_t end) {
    size_t middle = begin + (end - begin) / 2;
    int32_t found = ubrk_preceding(s->characters, (int32_t)(middle - s->breaks_begin) + 1);
    size_t cut = found == UBRK_DONE ? begin : s->breaks_begin + (size_t)found;
    if (cut > begin && cut < end)
        return cut;
    U8_SET_CP_START((const uint8_t *)s->text, begin, middle);
    if (middle == begin)
        U8_FWD_1(s->text, middle, end);
    return middle;
}

/* The best place in the middle half of [begin, end), of equally good ones the one nearest to the
 * middle. */
static size_t find_cut(const struct segmenter *s, size_t begin, size_t end,
                       enum mill_segment_end *kind) {
    size_t middle = begin + (end - begin) / 2, quarter = (end - begin) / 4;
    const struct line_break *breaks = (const struct line_break *)(const void *)s->breaks.data;
    size_t low = 0, n = s->breaks.size / sizeof *breaks;
    for (size_t high = n; low < high;) { /* the first break behind the first quarter */
        size_t half = low + (high - low) / 2;
        if (breaks[half].at <= begin + quarter)
            low = half + 1;
        else
            high = half;
    }
    const struct line_break *best = NULL;
    for (size_t i = low; i < n && breaks[i].at < end - quarter; i++)
        if (!best || breaks[i].rank < best->rank ||
            (breaks[i].rank == best->rank &&
             distance(breaks[i].at, middle) < distance(best->at, middle)))
            best = &breaks[i];
    *kind = best && best->rank == 0 ? MILL_SEGMENT_CLAUSE : MILL_SEGMENT_WORD;
    return best ? best->at : cut_anywhere(s, begin, end);
}

/* [begin, end) as one unit, or as the units of its halves. */
static mill_status add_halves(struct segmenter *s, size_t begin, size_t end,
                              enum mill_segment_end kind, struct mill_error *err) {
    const struct unit unit = make_unit(s, begin, end, kind);
    if (unit.bytes == 0)
        return MILL_OK;
    if (fits(s, &unit))
        return mill_buffer_append(&s->units, &unit, sizeof unit, err);
    enum mill_segment_end cut_kind;
    size_t cut = find_cut(s, unit.at, unit.at + unit.bytes, &cut_kind);
    MILL_TRY(add_halves(s, unit.at, cut, cut_kind, err));
    return add_halves(s, cut, unit.at + unit.bytes, kind, err);
}

static mill_status add_sentence(struct segmenter *s, size_t begin, size_t end,
                                struct mill_error *err) {
    const struct unit unit = make_unit(s, begin, end, MILL_SEGMENT_SENTENCE);
    if (!fits(s, &unit))
        MILL_TRY(find_breaks(s, begin, end, err));
    return add_halves(s, begin, end, MILL_SEGMENT_SENTENCE, err);
}

/* ------------------------------------------------------------------ segments */

/* Two units, one behind the other, as one. */
static struct unit join(const struct unit *a, const struct unit *b) {
    return (struct unit){.at = a->at,
                         .bytes = b->at + b->bytes - a->at,
                         .end = b->end,
                         .n_characters = a->n_characters + 1 + b->n_characters,
                         .length_s = a->length_s + b->length_s};
}

/* Where the segment that begins with unit `first` ends: as late as it fits. A last segment that is
 * left short gets units from the one before it. */
static size_t find_end(const struct segmenter *s, const struct unit *units, size_t first,
                       size_t n) {
    struct unit whole = units[first], more;
    size_t last = first + 1;
    for (; last < n && !s->limits.each_sentence; last++, whole = more) {
        more = join(&whole, &units[last]);
        if (!fits(s, &more))
            break;
    }
    if (last == n || s->limits.each_sentence)
        return last;
    struct unit rest = units[last];
    for (size_t i = last + 1; i < n; i++) {
        rest = join(&rest, &units[i]);
        if (!fits(s, &rest))
            return last;
    }
    for (; last > first + 1; last--) {
        const struct unit *moved = &units[last - 1];
        rest = join(moved, &rest);
        whole.length_s -= moved->length_s;
        if (!fits(s, &rest) || rest.length_s > whole.length_s)
            break;
    }
    return last;
}

/* What can be said of units [first, last), if anything can. */
static mill_status add_segment(struct segmenter *s, const struct unit *first,
                               const struct unit *last, struct mill_error *err) {
    enum mill_segment_end end = last[-1].end;
    while (first < last && first->length_s == 0)
        first++;
    while (first < last && last[-1].length_s == 0)
        last--;
    if (first == last)
        return MILL_OK;
    const struct mill_segment segment = {
        .at = first->at, .bytes = last[-1].at + last[-1].bytes - first->at, .end = end};
    return mill_buffer_append(&s->segments, &segment, sizeof segment, err);
}

static mill_status pack_units(struct segmenter *s, struct mill_error *err) {
    const struct unit *units = (const struct unit *)(const void *)s->units.data;
    size_t n = s->units.size / sizeof *units, n_before = s->segments.size;
    for (size_t first = 0, last; first < n; first = last) {
        last = find_end(s, units, first, n);
        MILL_TRY(add_segment(s, units + first, units + last, err));
    }
    if (s->segments.size > n_before) {
        char *behind = s->segments.data + s->segments.size;
        ((struct mill_segment *)(void *)behind)[-1].end = MILL_SEGMENT_PARAGRAPH;
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ paragraphs */

static mill_status add_paragraph(struct segmenter *s, size_t begin, size_t end,
                                 struct mill_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    utext_openUTF8(&s->paragraph, s->text + begin, (int64_t)(end - begin), &code);
    ubrk_setUText(s->sentences, &s->paragraph, &code);
    if (U_FAILURE(code))
        return fail_icu(err, code);
    s->units.size = 0;
    size_t sentence = begin;
    for (int32_t next = ubrk_next(s->sentences); next != UBRK_DONE;
         next = ubrk_next(s->sentences)) {
        size_t at = mill_before_opening(s->text, sentence, begin + (size_t)next);
        if (at < end && mill_sentence_goes_on(s->language, s->text + begin, sentence - begin,
                                              at - begin, end - begin))
            continue;
        MILL_TRY(add_sentence(s, sentence, at, err));
        sentence = at;
    }
    return pack_units(s, err);
}

static mill_status add_paragraphs(struct segmenter *s, struct mill_error *err) {
    mill_unwrap_lines(s->text, s->size);
    for (size_t begin = 0, at = 0; begin < s->size; begin = at) {
        while (at < s->size && mill_line_end_bytes(s->text, at, s->size) == 0)
            at++;
        if (at > begin)
            MILL_TRY(add_paragraph(s, begin, at, err));
        at += at < s->size ? mill_line_end_bytes(s->text, at, s->size) : 0;
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ all of it */

static mill_status open_segmenter(struct segmenter *s, const char *text, size_t bytes,
                                  const char *language, struct mill_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    s->text = mill_alloc_array(bytes + 1, 1);
    if (!s->text)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a text of %zu bytes", bytes);
    memcpy(s->text, text, bytes);
    s->size = bytes;
    s->language = language ? mill_language_find(language) : mill_language_detect(text, bytes);
    const char *locale = s->language ? s->language->tag : "";
    s->sentences = ubrk_open(UBRK_SENTENCE, locale, NULL, 0, &code);
    s->lines = ubrk_open(UBRK_LINE, locale, NULL, 0, &code);
    s->characters = ubrk_open(UBRK_CHARACTER, locale, NULL, 0, &code);
    return U_SUCCESS(code) ? MILL_OK : fail_icu(err, code);
}

static void close_segmenter(struct segmenter *s) {
    UBreakIterator *const iterators[] = {s->sentences, s->lines, s->characters};
    for (size_t i = 0; i < sizeof iterators / sizeof *iterators; i++)
        if (iterators[i])
            ubrk_close(iterators[i]);
    utext_close(&s->paragraph);
    utext_close(&s->sentence);
    mill_buffer_deinit(&s->units);
    mill_buffer_deinit(&s->breaks);
    free(s->text);
}

static mill_status check(const char *text, size_t bytes, const struct mill_segment_limits *limits,
                         struct mill_error *err) {
    if (!(limits->max_characters >= 16 && limits->max_s >= 1 && limits->syllables_per_s >= 1.5))
        return mill_fail(err, MILL_E_INPUT,
                         "segments of %d characters, %g s at %g syllables a second: at least 16, 1 "
                         "and 1.5",
                         limits->max_characters, limits->max_s, limits->syllables_per_s);
    if (bytes > MAX_TEXT_BYTES)
        return mill_fail(err, MILL_E_INPUT, "a text of %zu bytes: at most %d", bytes,
                         MAX_TEXT_BYTES);
    return mill_utf8_check(text, bytes, "the text", err);
}

mill_status mill_segment_text(struct mill_segments *out, const char *text, size_t bytes,
                              const char *language, const struct mill_segment_limits *limits,
                              struct mill_error *err) {
    *out = (struct mill_segments){0};
    MILL_TRY(check(text, bytes, limits, err));
    struct segmenter s = {
        .limits = *limits, .paragraph = UTEXT_INITIALIZER, .sentence = UTEXT_INITIALIZER};
    mill_buffer_init(&s.breaks, (size_t)MAX_TEXT_BYTES * sizeof(struct line_break));
    mill_buffer_init(&s.units, (size_t)MAX_TEXT_BYTES * sizeof(struct unit));
    mill_buffer_init(&s.segments, (size_t)MAX_TEXT_BYTES * sizeof(struct mill_segment));
    mill_status status = open_segmenter(&s, text, bytes, language, err);
    if (status == MILL_OK)
        status = add_paragraphs(&s, err);
    close_segmenter(&s);
    if (status < 0) {
        mill_buffer_deinit(&s.segments);
        return status;
    }
    out->items = (struct mill_segment *)(void *)s.segments.data;
    out->n = s.segments.size / sizeof *out->items;
    return MILL_OK;
}

/* ------------------------------------------------------------------ what is read aloud */

/* Scripts that put no spaces between words. */
static bool is_dense(UChar32 c) {
    return (c >= 0x2e80 && c <= 0xa4cf && !(c >= 0x3130 && c <= 0x318f)) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe4f) ||
           (c >= 0xff00 && c <= 0xffef) || (c >= 0x20000 && c <= 0x323af);
}

mill_status mill_segment_spoken(struct mill_buffer *out, const char *text, size_t bytes,
                                struct mill_error *err) {
    MILL_TRY(mill_buffer_reserve(out, bytes, err));
    UChar32 before = -1; /* what was written last */
    bool space = false;
    for (size_t at = 0; at < bytes;) {
        size_t from = at;
        UChar32 c;
        U8_NEXT(text, at, bytes, c);
        if (mill_is_blank(c)) {
            space = before >= 0;
            continue;
        }
        if (space && !(is_dense(before) && is_dense(c)))
            MILL_TRY(mill_buffer_append(out, " ", 1, err));
        MILL_TRY(mill_buffer_append(out, text + from, at - from, err));
        before = c;
        space = false;
    }
    return MILL_OK;
}
