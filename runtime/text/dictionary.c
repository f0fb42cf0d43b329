/* dictionary.c - see dictionary.h. Entries are sorted by their words in folded case. The entries
 * that a text begins with are then found from the last one that is not greater than the text: it,
 * or the longest entry that it begins with itself, its parent, or that one's parent, and so on.
 *
 * Hundreds of entries may be looked at from one place of a text, so words are folded when they are
 * read, the text once from each place, as far as entries reach, and then bytes are compared: UTF-8
 * sorts as its code points do. */
#include "runtime/text/dictionary.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/text/segment_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_FILE_BYTES = 1 << 24,
    MAX_ENTRIES = 100000,
    MAX_SIDE_BYTES = 256,
    MAX_FOLDED_BYTES = 2 * MAX_SIDE_BYTES /* folded, two bytes become three at most */
};

struct entry {
    const char *word, *spoken; /* in the dictionary's text; in the word, white space is one space */
    size_t word_bytes, spoken_bytes, line;
    size_t folded_at, folded_bytes; /* the word in folded case, in the dictionary's `folded` */
    int32_t parent;                 /* the longest entry that this one begins with; -1 = none */
    bool exact;                     /* has capitals */
};

struct mill_dictionary {
    struct mill_buffer text, folded;
    struct entry *entries; /* owned, sorted */
    int32_t n;
    const struct mill_dictionary *other; /* borrowed: stands behind it; NULL = none */
};

/* ------------------------------------------------------------------ comparing */

/* A text from some place on, as far as it was looked at: white space as one space, as it is written
 * and in folded case. */
struct view {
    const char *text;
    size_t size, next; /* bytes of the text, and of them before what was not looked at yet */
    size_t n_written, n_folded;
    char written[MAX_SIDE_BYTES + U8_MAX_LENGTH]; /* no more than a word may have */
    char folded[MAX_FOLDED_BYTES];
    size_t ends[MAX_FOLDED_BYTES + 1]; /* of the text, by ends of characters in `folded` */
};

/* The next character of [*at, end), white space as one space. */
static UChar32 next_character(const char *text, size_t *at, size_t end) {
    UChar32 c;
    U8_NEXT(text, *at, end, c);
    if (!mill_is_blank(c))
        return c;
    for (size_t next = *at; next < end; *at = next) {
        U8_NEXT(text, next, end, c);
        if (!mill_is_blank(c))
            break;
    }
    return ' ';
}

/* Looks at n <= MAX_FOLDED_BYTES - U8_MAX_LENGTH folded bytes at least, if there are as many. */
static void look(struct view *view, size_t n) {
    while (view->n_folded < n && view->next < view->size) {
        UChar32 c = next_character(view->text, &view->next, view->size);
        if (view->n_written < MAX_SIDE_BYTES)
            U8_APPEND_UNSAFE(view->written, view->n_written, c);
        U8_APPEND_UNSAFE(view->folded, view->n_folded, u_foldCase(c, U_FOLD_CASE_DEFAULT));
        view->ends[view->n_folded] = view->next;
    }
}

static const char *folded_word(const struct mill_dictionary *d, const struct entry *e) {
    return d->folded.data + e->folded_at;
}

/* Less than, equal to or greater than 0, as the entry is to the text; 0 also when the text goes on
 * behind it. */
static int compare(const struct mill_dictionary *d, const struct entry *e, struct view *view) {
    look(view, e->folded_bytes);
    bool ends = view->n_folded < e->folded_bytes;
    int order = memcmp(folded_word(d, e), view->folded, ends ? view->n_folded : e->folded_bytes);
    return order ? order : ends;
}

/* Whether a's word is what b's begins with. */
static bool begins(const struct mill_dictionary *d, const struct entry *a, const struct entry *b) {
    return a->folded_bytes <= b->folded_bytes &&
           memcmp(folded_word(d, a), folded_word(d, b), a->folded_bytes) == 0;
}

static int order_of(size_t a, size_t b) {
    return (a > b) - (a < b);
}

static int by_word(const void *a, const void *b, void *dictionary) {
    const struct entry *x = a, *y = b;
    const struct mill_dictionary *d = dictionary;
    size_t n = x->folded_bytes < y->folded_bytes ? x->folded_bytes : y->folded_bytes;
    int order = memcmp(folded_word(d, x), folded_word(d, y), n);
    if (order == 0) /* what others begin with stands before them */
        order = order_of(x->folded_bytes, y->folded_bytes);
    if (order == 0) /* the last of a kind is tried first */
        order = x->exact - y->exact;
    if (order == 0 && x->exact)
        order = order_of(x->word_bytes, y->word_bytes);
    if (order == 0 && x->exact)
        order = memcmp(x->word, y->word, x->word_bytes);
    return order ? order : order_of(x->line, y->line);
}

/* ------------------------------------------------------------------ reading */

static void trim(const char **text, size_t *bytes) {
    while (*bytes > 0 && strchr(" \t\r", (*text)[0]))
        ++*text, --*bytes;
    while (*bytes > 0 && strchr(" \t\r", (*text)[*bytes - 1]))
        --*bytes;
}

static bool has_capitals(const char *text, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        UChar32 c;
        U8_NEXT(text, at, bytes, c);
        if (u_isupper(c) || u_istitle(c))
            return true;
    }
    return false;
}

/* The entry's word in folded case; in the word itself, white space becomes one space. */
static mill_status fold(struct mill_dictionary *d, struct entry *e, struct mill_error *err) {
    struct view view = {.text = e->word, .size = e->word_bytes};
    look(&view, MAX_FOLDED_BYTES - U8_MAX_LENGTH);
    memcpy(d->text.data + (e->word - d->text.data), view.written, view.n_written);
    e->word_bytes = view.n_written;
    e->folded_at = d->folded.size;
    e->folded_bytes = view.n_folded;
    return mill_buffer_append(&d->folded, view.folded, view.n_folded, err);
}

/* A line that is not empty. */
static mill_status read_entry(struct mill_dictionary *d, struct entry *e, const char *line,
                              size_t bytes, struct mill_error *err) {
    const char *equals = memchr(line, '=', bytes);
    if (!equals)
        return mill_fail(err, MILL_E_INPUT, "'word = spoken text' is wanted");
    e->word = line;
    e->word_bytes = (size_t)(equals - line);
    e->spoken = equals + 1;
    e->spoken_bytes = bytes - e->word_bytes - 1;
    trim(&e->word, &e->word_bytes);
    trim(&e->spoken, &e->spoken_bytes);
    if (e->word_bytes == 0 || e->spoken_bytes == 0)
        return mill_fail(err, MILL_E_INPUT, "nothing stands %s the '='",
                         e->word_bytes == 0 ? "before" : "behind");
    if (e->word_bytes > MAX_SIDE_BYTES || e->spoken_bytes > MAX_SIDE_BYTES)
        return mill_fail(err, MILL_E_INPUT, "more than %d bytes on one side of the '='",
                         MAX_SIDE_BYTES);
    e->exact = has_capitals(e->word, e->word_bytes);
    return fold(d, e, err);
}

/* Bytes before a comment, which begins with a '#' at the line's beginning or behind white space:
 * within a word, as in C#, it is the word's. */
static size_t before_comment(const char *line, size_t bytes) {
    size_t i = 0;
    while (i < bytes && !(line[i] == '#' && (i == 0 || strchr(" \t", line[i - 1]))))
        i++;
    return i;
}

static mill_status read_lines(struct mill_dictionary *d, struct mill_error *err) {
    size_t line = 0;
    size_t at = mill_utf8_mark_bytes(d->text.data, d->text.size);
    while (at < d->text.size) {
        const char *start = d->text.data + at;
        const char *end = memchr(start, '\n', d->text.size - at);
        size_t bytes = end ? (size_t)(end - start) : d->text.size - at;
        at += bytes + 1;
        line++;
        bytes = before_comment(start, bytes);
        trim(&start, &bytes);
        if (bytes == 0)
            continue;
        if (d->n == MAX_ENTRIES)
            return mill_fail(err, MILL_E_INPUT, "line %zu: more than %d entries", line,
                             MAX_ENTRIES);
        struct entry *e = &d->entries[d->n];
        mill_status status = read_entry(d, e, start, bytes, err);
        if (status < 0)
            return mill_context(err, status, "line %zu", line);
        e->line = line;
        d->n++;
    }
    return MILL_OK;
}

/* Whether both are found in the same places. */
static bool is_same(const struct mill_dictionary *d, const struct entry *a, const struct entry *b) {
    return a->exact == b->exact && a->folded_bytes == b->folded_bytes && begins(d, a, b) &&
           (!a->exact ||
            (a->word_bytes == b->word_bytes && memcmp(a->word, b->word, a->word_bytes) == 0));
}

static mill_status sort_entries(struct mill_dictionary *d, struct mill_error *err) {
    struct entry *e = d->entries;
    qsort_r(e, (size_t)d->n, sizeof *e, by_word, d);
    for (int32_t i = 0; i < d->n; i++) {
        if (i > 0 && is_same(d, &e[i - 1], &e[i]))
            return mill_fail(err, MILL_E_INPUT, "lines %zu and %zu: the same word", e[i - 1].line,
                             e[i].line);
        int32_t parent = i - 1;
        while (parent >= 0 && !begins(d, &e[parent], &e[i]))
            parent = e[parent].parent;
        e[i].parent = parent;
    }
    return MILL_OK;
}

static mill_status parse(struct mill_dictionary *d, struct mill_error *err) {
    size_t n_lines = 1;
    MILL_TRY(mill_utf8_check(d->text.data, d->text.size, "it", err));
    for (size_t i = 0; i < d->text.size; i++)
        n_lines += d->text.data[i] == '\n';
    size_t n = n_lines < MAX_ENTRIES ? n_lines : MAX_ENTRIES;
    d->entries = mill_alloc_array(n, sizeof *d->entries);
    if (!d->entries)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu entries", n);
    MILL_TRY(read_lines(d, err));
    return sort_entries(d, err);
}

/* `data` NULL: read the file. */
static mill_status open_dictionary(struct mill_dictionary **out, const char *name, const char *data,
                                   size_t size, struct mill_error *err) {
    *out = NULL;
    struct mill_dictionary *d = mill_alloc_array(1, sizeof *d);
    if (!d)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a dictionary");
    mill_buffer_init(&d->text, MAX_FILE_BYTES);
    mill_buffer_init(&d->folded, 2 * MAX_FILE_BYTES);
    mill_status status =
        data ? mill_buffer_append(&d->text, data, size, err) : mill_file_read(name, &d->text, err);
    if (status == MILL_OK) {
        status = parse(d, err);
        if (status < 0)
            mill_context(err, status, "dictionary '%s'", name);
    }
    if (status < 0)
        mill_dictionary_close(d);
    else
        *out = d;
    return status;
}

mill_status mill_dictionary_open(struct mill_dictionary **out, const char *path,
                                 struct mill_error *err) {
    return open_dictionary(out, path, NULL, 0, err);
}

mill_status mill_dictionary_parse(struct mill_dictionary **out, const char *name, const char *data,
                                  size_t size, struct mill_error *err) {
    return open_dictionary(out, name, data, size, err);
}

void mill_dictionary_extend(struct mill_dictionary *dictionary,
                            const struct mill_dictionary *other) {
    dictionary->other = other;
}

void mill_dictionary_close(struct mill_dictionary *dictionary) {
    if (!dictionary)
        return;
    free(dictionary->entries);
    mill_buffer_deinit(&dictionary->text);
    mill_buffer_deinit(&dictionary->folded);
    free(dictionary);
}

/* ------------------------------------------------------------------ finding */

/* Parts words of a language that writes none apart. */
static bool is_east_asian(UChar32 c) {
    return (c >= 0x1100 && c <= 0x11ff) || (c >= 0x2e80 && c <= 0xd7ff) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0xff00 && c <= 0xffef) ||
           (c >= 0x20000 && c <= 0x323af);
}

static bool is_of_word(UChar32 c) {
    return c >= 0 && (u_isalnum(c) || u_getCombiningClass(c) > 0 || c == '_');
}

/* Whether a word may begin or end between these two. */
static bool is_edge(UChar32 before, UChar32 behind) {
    return !is_of_word(before) || !is_of_word(behind) || is_east_asian(before) ||
           is_east_asian(behind);
}

/* The text is written as the entry's word is, but for white space. */
static bool is_written_so(const struct entry *e, const struct view *view) {
    return e->word_bytes <= view->n_written && memcmp(e->word, view->written, e->word_bytes) == 0;
}

/* Whether a word may end at `end` of the text, at the word's beginning. */
static bool may_end(const char *text, size_t at, size_t end, size_t size) {
    size_t last = end, next = end;
    UChar32 before = mill_step_back(text, at, &last), behind = -1;
    if (next < size)
        U8_NEXT(text, next, size, behind);
    return is_edge(before, behind);
}

/* The longest entry of its own that stands at `at`, and where it ends; NULL = none. */
static const struct entry *find_own(const struct mill_dictionary *d, struct view *view, size_t at,
                                    size_t *end) {
    int32_t low = 0, high = d->n;
    while (low < high) { /* behind the last entry that is not greater than the text */
        int32_t middle = low + (high - low) / 2;
        if (compare(d, &d->entries[middle], view) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (int32_t i = low - 1; i >= 0; i = d->entries[i].parent) {
        const struct entry *e = &d->entries[i];
        if (compare(d, e, view) != 0 || (e->exact && !is_written_so(e, view)))
            continue;
        *end = view->ends[e->folded_bytes];
        if (may_end(view->text, at, *end, view->size))
            return e;
    }
    return NULL;
}

/* The same with those that stand behind it. */
static const struct entry *find(const struct mill_dictionary *d, const char *text, size_t at,
                                size_t size, size_t *end) {
    const struct entry *longest = NULL;
    struct view view; /* too large to be cleared for every word of a text */
    view.text = text;
    view.size = size;
    view.next = at;
    view.n_written = view.n_folded = 0;
    for (; d; d = d->other) {
        size_t own_end = at;
        const struct entry *e = find_own(d, &view, at, &own_end);
        if (!e || (longest && own_end <= *end))
            continue;
        longest = e;
        *end = own_end;
    }
    return longest;
}

mill_status mill_dictionary_apply(const struct mill_dictionary *d, const char *text, size_t bytes,
                                  struct mill_buffer *out, struct mill_error *err) {
    size_t n_copied = 0;
    UChar32 before = -1;
    for (size_t at = 0; d && at < bytes;) {
        UChar32 c;
        size_t next = at, end = at;
        U8_NEXT(text, next, bytes, c);
        const struct entry *e =
            is_edge(before, c) && !mill_is_blank(c) ? find(d, text, at, bytes, &end) : NULL;
        if (e) {
            MILL_TRY(mill_buffer_append(out, text + n_copied, at - n_copied, err));
            MILL_TRY(mill_buffer_append(out, e->spoken, e->spoken_bytes, err));
            n_copied = next = end;
            size_t last = end;
            c = mill_step_back(text, at, &last);
        }
        before = c;
        at = next;
    }
    return mill_buffer_append(out, text + n_copied, bytes - n_copied, err);
}
