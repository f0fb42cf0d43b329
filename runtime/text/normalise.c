/* normalise.c - see normalise.h.
 *
 * ICU's C interface speaks UTF-16, so text beyond Latin letters is converted, checked and, only
 * when it is not in form C, normalised and converted back. ICU puts combining marks in order by
 * insertion, which is quadratic in the length of a run of marks; long runs are therefore decomposed
 * and put in order here first, by counting, which changes nothing in the result (the two texts are
 * canonically equivalent). */
#include "runtime/text/normalise.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>

enum {
    LATIN_LEAD_BYTE = 0xcc, /* below it a character is below U+0300: always in form C */
    LONG_RUN = 64,          /* marks; real text has less than ten */
    MAX_EXPANSION = 4,      /* UTF-16 units a unit becomes in any normal form, rounded up */
    MAX_MARK_UNITS = 8,     /* UTF-16 units a mark decomposes into; four is the most there is */
    CLASSES = 256,          /* canonical combining classes */
};
static const size_t MAX_SCRATCH_BYTES = (size_t)1 << 29;

mill_status mill_normaliser_open(struct mill_normaliser *normaliser, struct mill_error *err) {
    *normaliser = (struct mill_normaliser){0};
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&code);
    normaliser->characters = uset_openPattern(u"[:Age=9.0:]", -1, &code);
    if (U_SUCCESS(code)) {
        uset_freeze(normaliser->characters);
        normaliser->filtered = unorm2_openFiltered(nfc, normaliser->characters, &code);
    }
    if (U_SUCCESS(code))
        return MILL_OK;
    mill_normaliser_close(normaliser);
    return mill_fail(err, code == U_MEMORY_ALLOCATION_ERROR ? MILL_E_MEMORY : MILL_E_UNSUPPORTED,
                     "ICU cannot normalise text: %s", u_errorName(code));
}

void mill_normaliser_close(struct mill_normaliser *normaliser) {
    if (normaliser->filtered)
        unorm2_close(normaliser->filtered);
    if (normaliser->characters)
        uset_close(normaliser->characters);
    *normaliser = (struct mill_normaliser){0};
}

void mill_normaliser_scratch_init(struct mill_normaliser_scratch *scratch) {
    mill_buffer_init(&scratch->wide, MAX_SCRATCH_BYTES);
    mill_buffer_init(&scratch->ordered, MAX_SCRATCH_BYTES);
    mill_buffer_init(&scratch->normal, MAX_SCRATCH_BYTES);
    mill_buffer_init(&scratch->text, MAX_SCRATCH_BYTES);
}

void mill_normaliser_scratch_deinit(struct mill_normaliser_scratch *scratch) {
    mill_buffer_deinit(&scratch->wide);
    mill_buffer_deinit(&scratch->ordered);
    mill_buffer_deinit(&scratch->normal);
    mill_buffer_deinit(&scratch->text);
}

static bool is_latin(const char *text, size_t size) {
    uint8_t largest = 0;
    for (size_t i = 0; i < size; i++)
        largest = (uint8_t)text[i] > largest ? (uint8_t)text[i] : largest;
    return largest < LATIN_LEAD_BYTE;
}

/* Empty the buffer and make room for that many bytes. */
static mill_status make_room(struct mill_buffer *buffer, size_t bytes, struct mill_error *err) {
    buffer->size = 0;
    return mill_buffer_reserve(buffer, bytes + sizeof(UChar), err);
}

static mill_status fail_icu(UErrorCode code, struct mill_error *err) {
    return mill_fail(err, code == U_MEMORY_ALLOCATION_ERROR ? MILL_E_MEMORY : MILL_E_INPUT,
                     "text cannot be normalised: %s", u_errorName(code));
}

/* The full decomposition of a code point that is nothing but combining marks; its units, or 0 when
 * the code point is no such mark. */
static int32_t decompose_mark(const struct mill_normaliser *n, UChar32 c, UChar *units) {
    UErrorCode code = U_ZERO_ERROR;
    int32_t size = unorm2_getDecomposition(n->filtered, c, units, MAX_MARK_UNITS, &code);
    if (size < 0 || U_FAILURE(code)) {
        size = 0;
        U16_APPEND_UNSAFE(units, size, c);
    }
    UChar32 first;
    U16_GET(units, 0, 0, size, first);
    return unorm2_getCombiningClass(n->filtered, first) ? size : 0;
}

/* Where the run of marks that starts at `at` ends, and its length in marks. */
static int32_t find_run_end(const struct mill_normaliser *n, const UChar *text, int32_t at,
                            int32_t size, int32_t *n_marks) {
    UChar units[MAX_MARK_UNITS];
    for (*n_marks = 0; at < size; ++*n_marks) {
        int32_t next = at;
        UChar32 c;
        U16_NEXT(text, next, size, c);
        if (c < 0x300 || decompose_mark(n, c, units) == 0)
            break;
        at = next;
    }
    return at;
}

/* Append the marks of [at, end), decomposed and stably sorted by combining class. Two passes over
 * the run: the first counts the units of each class, the second puts them in their places. */
static mill_status append_sorted_run(const struct mill_normaliser *n, const UChar *text, int32_t at,
                                     int32_t end, struct mill_buffer *out, struct mill_error *err) {
    size_t start_of[CLASSES + 1] = {0};
    UChar *sorted = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = at; i < end;) {
            UChar units[MAX_MARK_UNITS];
            UChar32 c;
            U16_NEXT(text, i, end, c);
            int32_t size = decompose_mark(n, c, units);
            for (int32_t k = 0; k < size;) {
                int32_t from = k;
                U16_NEXT(units, k, size, c);
                uint8_t class = unorm2_getCombiningClass(n->filtered, c);
                if (pass == 1)
                    memcpy(sorted + start_of[class], units + from,
                           (size_t)(k - from) * sizeof *units);
                start_of[pass == 0 ? class + 1 : class] += (size_t)(k - from);
            }
        }
        if (pass == 0) {
            for (int i = 0; i < CLASSES; i++)
                start_of[i + 1] += start_of[i];
            size_t bytes = start_of[CLASSES] * sizeof *sorted;
            MILL_TRY(mill_buffer_reserve(out, bytes, err));
            sorted = (UChar *)(void *)(out->data + out->size);
            out->size += bytes;
        }
    }
    return MILL_OK;
}

/* Copy text to `out` with its long runs of marks in canonical order. */
static mill_status order_long_runs(const struct mill_normaliser *n, const UChar *text, int32_t size,
                                   struct mill_buffer *out, struct mill_error *err) {
    MILL_TRY(make_room(out, (size_t)size * sizeof *text, err));
    for (int32_t at = 0; at < size;) {
        int32_t n_marks, end = find_run_end(n, text, at, size, &n_marks);
        if (n_marks > LONG_RUN) {
            MILL_TRY(append_sorted_run(n, text, at, end, out, err));
        } else {
            if (n_marks == 0)
                U16_FWD_1(text, end, size);
            MILL_TRY(mill_buffer_append(out, text + at, (size_t)(end - at) * sizeof *text, err));
        }
        at = end;
    }
    return MILL_OK;
}

/* `scratch->wide` holds text that is not in form C; leave its normal form in `scratch->text`. */
static mill_status normalise_wide(const struct mill_normaliser *n,
                                  struct mill_normaliser_scratch *scratch, int32_t size,
                                  struct mill_error *err) {
    MILL_TRY(order_long_runs(n, (const UChar *)(const void *)scratch->wide.data, size,
                             &scratch->ordered, err));
    const UChar *ordered = (const UChar *)(const void *)scratch->ordered.data;
    size_t n_ordered = scratch->ordered.size / sizeof *ordered;
    MILL_TRY(make_room(&scratch->normal, n_ordered * MAX_EXPANSION * sizeof *ordered, err));
    UChar *normal = (UChar *)(void *)scratch->normal.data;
    UErrorCode code = U_ZERO_ERROR;
    int32_t n_normal = unorm2_normalize(n->filtered, ordered, (int32_t)n_ordered, normal,
                                        (int32_t)(n_ordered * MAX_EXPANSION), &code);
    if (U_FAILURE(code))
        return fail_icu(code, err);
    MILL_TRY(make_room(&scratch->text, (size_t)n_normal * 3, err));
    int32_t bytes;
    u_strToUTF8(scratch->text.data, (int32_t)scratch->text.capacity, &bytes, normal, n_normal,
                &code);
    if (U_FAILURE(code))
        return fail_icu(code, err);
    scratch->text.size = (size_t)bytes;
    return MILL_OK;
}

mill_status mill_normalise(const struct mill_normaliser *normaliser,
                           struct mill_normaliser_scratch *scratch, const char *text, size_t size,
                           const char **out, size_t *out_size, struct mill_error *err) {
    *out = text;
    *out_size = size;
    if (is_latin(text, size))
        return MILL_OK;
    MILL_TRY(make_room(&scratch->wide, size * sizeof(UChar), err));
    UChar *wide = (UChar *)(void *)scratch->wide.data;
    UErrorCode code = U_ZERO_ERROR;
    int32_t n_wide;
    u_strFromUTF8(wide, (int32_t)size + 1, &n_wide, text, (int32_t)size, &code);
    if (U_FAILURE(code))
        return fail_icu(code, err);
    int32_t n_fine = unorm2_spanQuickCheckYes(normaliser->filtered, wide, n_wide, &code);
    if (U_FAILURE(code))
        return fail_icu(code, err);
    if (n_fine == n_wide)
        return MILL_OK;
    MILL_TRY(normalise_wide(normaliser, scratch, n_wide, err));
    *out = scratch->text.data;
    *out_size = scratch->text.size;
    return MILL_OK;
}
