/* segment_lines.c - which line ends end a paragraph. In a text whose lines were wrapped, a line is
 * followed by another because the next word found no room; where it had found room, somebody wanted
 * the line to end. */
#include "runtime/text/segment_parts.h"

#include <string.h>

/* Columns of a page: longer lines were not wrapped, shorter ones are verse, lists, headings. */
enum { MAX_COLUMNS = 100, MIN_COLUMNS = 40 };

size_t mill_line_end_bytes(const char *text, size_t at, size_t size) {
    const uint8_t *p = (const uint8_t *)text + at;
    size_t left = size - at;
    if (p[0] == '\r')
        return left > 1 && p[1] == '\n' ? 2 : 1;
    if (p[0] >= '\n' && p[0] < '\r') /* line feed, vertical tab, form feed */
        return 1;
    if (p[0] == 0xc2 && left > 1 && p[1] == 0x85) /* next line */
        return 2;
    bool separator = p[0] == 0xe2 && left > 2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
    return separator ? 3 : 0; /* of lines, of paragraphs */
}

struct line {
    size_t at, end, next; /* bytes: where it begins, where its line end does, where that ends */
    int columns;          /* without what is blank at its end */
    int first_columns;    /* of its first word, 2 for a character that is a word */
    bool empty, indented, opens; /* opens: as items of a list and replies in dialogues do */
};

static int columns_of(UChar32 c) {
    int width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
    return width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
}

/* A bullet, a dash, a number with a dot or a bracket, and a space behind it. */
static bool opens_item(const char *text, size_t at, size_t end) {
    UChar32 c, next = -1;
    size_t digits = strspn(text + at, "0123456789");
    if (digits > 0 && digits < 4 && end - at > digits + 1)
        return strchr(".)", text[at + digits]) && text[at + digits + 1] == ' ';
    U8_NEXT(text, at, end, c);
    if (at < end)
        U8_NEXT(text, at, end, next);
    return c >= 0 &&
           (strchr("-*+", c < 0x80 ? c : 'x') || c == 0x2022 || c == 0x2013 || c == 0x2014) &&
           (mill_is_blank(next) || c == 0x2014);
}

/* `text` ends with a zero byte, for strspn. */
static struct line read_line(const char *text, size_t at, size_t size) {
    struct line line = {.at = at, .empty = true};
    int columns = 0;
    bool in_first = false;
    while (at < size && mill_line_end_bytes(text, at, size) == 0) {
        UChar32 c;
        size_t from = at;
        U8_NEXT(text, at, size, c);
        bool blank = mill_is_blank(c), first = line.empty && !blank;
        if (first) {
            line.indented = columns >= 2 || memchr(text + line.at, '\t', from - line.at);
            line.opens = opens_item(text, from, size);
            in_first = true;
        }
        line.empty &= blank;
        columns += columns_of(c);
        in_first &= !blank && (first || columns_of(c) == 1);
        line.first_columns += in_first ? columns_of(c) : 0;
        if (!blank)
            line.columns = columns;
    }
    line.end = at;
    line.next = at + mill_line_end_bytes(text, at, size);
    return line;
}

/* Whether `line` ends only because `next` begins with a word that found no room. */
static bool is_wrapped(const char *text, const struct line *line, const struct line *next,
                       int columns) {
    bool by_line_feed = text[line->end] == '\n' || text[line->end] == '\r';
    return by_line_feed && columns >= MIN_COLUMNS && columns <= MAX_COLUMNS && !next->opens &&
           (line->indented || !next->indented) && line->columns + 1 + next->first_columns > columns;
}

void mill_unwrap_lines(char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        struct line line = read_line(text, at, size);
        size_t end = at; /* of the block of lines that are not empty */
        int columns = 0;
        for (; end < size && !line.empty; line = read_line(text, end, size)) {
            columns = line.columns > columns ? line.columns : columns;
            end = line.next;
        }
        line = read_line(text, at, size);
        for (at = line.next; at < end; at = line.next) {
            struct line next = read_line(text, at, size);
            if (is_wrapped(text, &line, &next, columns))
                memset(text + line.end, ' ', line.next - line.end);
            line = next;
        }
    }
}
