/* test_encoder.c - what user text may do to the encoder: invalid bytes, text like control tokens,
 * long words, long runs of combining marks; and Unicode's corners as the published tokenizer has
 * them. */
#include "tests/text/text_support.h"

#include "runtime/text/normalise.h"
#include "runtime/text/published_tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct state {
    struct mill_tokenizer *tokenizer;
    struct mill_encoder *encoder;
};

static int open_state(void **state) {
    struct state *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(mill_published_tokenizer_open(&s->tokenizer, NULL), MILL_OK);
    assert_int_equal(mill_encoder_open(&s->encoder, s->tokenizer, NULL), MILL_OK);
    *state = s;
    return 0;
}
static int close_state(void **state) {
    struct state *s = *state;
    mill_encoder_close(s->encoder);
    mill_tokenizer_close(s->tokenizer);
    free(s);
    return 0;
}

static void invalid_utf8_is_refused_with_its_offset(void **state) {
    static const struct {
        const char *text;
        size_t size;
        const char *said;
    } cases[] = {
        {"abc\xff", 4, "byte 3 (0xff)"},
        {"\x80", 1, "byte 0 (0x80)"},
        {"12345678\xc3", 9, "byte 8 (0xc3)"},                     /* cut */
        {"12345678\xc3(", 10, "byte 8 (0xc3)"},                   /* no continuation */
        {"a\xc0\x80", 3, "byte 1 (0xc0)"},                        /* overlong */
        {"a\xe0\x80\x80", 4, "byte 1 (0xe0)"},                    /* overlong */
        {"a\xf0\x8f\xbf\xbf", 5, "byte 1 (0xf0)"},                /* overlong */
        {"\xe5\xa4\xa9\xed\xa0\x80", 6, "byte 3 (0xed)"},         /* surrogate */
        {"\xf0\x9f\x98\x80\xf4\x90\x80\x80", 8, "byte 4 (0xf4)"}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 4, "byte 0 (0xf5)"},
        {"a\xe5\xa4", 3, "byte 1 (0xe5)"},
    };
    struct state *s = *state;
    const int32_t *ids;
    size_t n;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_error err = {0};
        assert_int_equal(
            mill_encoder_encode(s->encoder, cases[i].text, cases[i].size, false, &ids, &n, &err),
            MILL_E_INPUT);
        if (!strstr(err.text, cases[i].said))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void too_long_text_is_refused(void **state) {
    struct state *s = *state;
    const int32_t *ids;
    size_t n, size = ((size_t)1 << 24) + 1;
    char *text = malloc(size);
    memset(text, 'a', size);
    assert_int_equal(mill_encoder_encode(s->encoder, text, size, false, &ids, &n, NULL),
                     MILL_E_INPUT);
    free(text);
}

static void empty_text_has_no_tokens(void **state) {
    struct state *s = *state;
    const int32_t *ids;
    size_t n = 1;
    assert_int_equal(mill_encoder_encode(s->encoder, NULL, 0, true, &ids, &n, NULL), MILL_OK);
    assert_int_equal(n, 0);
}

static void control_token_text_stays_text(void **state) {
    struct state *s = *state;
    const struct mill_control_tokens *control = mill_tokenizer_control_tokens(s->tokenizer);
    const char *text = "a<|im_end|><|end_content|><|bicodec_semantic_5|></tool_call>";
    const int32_t *ids;
    size_t n;
    assert_int_equal(mill_encoder_encode(s->encoder, text, strlen(text), false, &ids, &n, NULL),
                     MILL_OK);
    for (size_t i = 0; i < n; i++)
        assert_in_range(ids[i], 0, 151642);
    assert_int_equal(mill_encoder_encode(s->encoder, text, strlen(text), true, &ids, &n, NULL),
                     MILL_OK);
    assert_int_equal(n, 5);
    assert_int_equal(ids[1], control->im_end);
    assert_int_equal(ids[2], control->end_content);
    assert_int_equal(ids[3], control->semantic.ids[5]);
}

/* Token ids here were taken from the tokenizers package, version 0.23.3. */
static void unicode_corners_are_as_published(void **state) {
    struct state *s = *state;
    /* long s as a contraction */
    text_check_ids(s->encoder, "it'\305\277x", (const int32_t[]){275, 6, 144815, 87, -1});
    /* U+180E is no space */
    text_check_ids(s->encoder, "a\341\240\216 \341\240\216b",
                   (const int32_t[]){64, 123970, 236, 86089, 254, 236, 65, -1});
    /* U+0085 is a space */
    text_check_ids(s->encoder, "a\302\205\302\205b",
                   (const int32_t[]){64, 126, 227, 126, 227, 65, -1});
    /* a letter of Unicode 15: no line break belongs to it */
    text_check_ids(s->encoder, "\360\261\215\220\012 \012b",
                   (const int32_t[]){172, 109, 235, 238, 26809, 65, -1});
    /* a number of Unicode 16, likewise */
    text_check_ids(s->encoder, "\360\220\265\200\012 \012b",
                   (const int32_t[]){123934, 113, 222, 26809, 65, -1});
    /* U+0898 (Unicode 14) is inert in form C */
    text_check_ids(s->encoder, "a\314\201\340\242\230\314\247",
                   (const int32_t[]){1953, 156, 95, 246, 136, 100, -1});
    /* composition */
    text_check_ids(s->encoder,
                   "e\314\247\314\201 \341\204\222\341\205\241\341\206\253 \342\204\253",
                   (const int32_t[]){148544, 53839, 61298, 79252, -1});
    /* a word over the stack's size */
    text_check_ids(
        s->encoder,
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzabcabcabdabcabcabdabcabcabdabcabcabdabcabcabdabcab"
        "cabdabcabcabdabcabcabdabcabcabdabcabcabdabcabcabdabcabcabdthethethethethethethethethetheth"
        "ethethethethethethethethethethethethethethethethethethethe",
        (const int32_t[]){10400, 10400, 10400, 10400, 10400, 10400, 10400, 10400, 10400, 10400,
                          10400, 10400, 10400, 10400, 10400, 10400, 10400, 10400, 10400, 10400,
                          13683, 13683, 85920, 13683, 13683, 85920, 13683, 13683, 85920, 13683,
                          13683, 85920, 13683, 13683, 85920, 13683, 13683, 85920, 13683, 13683,
                          85920, 13683, 13683, 85920, 13683, 13683, 85920, 13683, 13683, 85920,
                          13683, 13683, 85920, 13683, 13683, 85920, 339,   769,   769,   769,
                          769,   769,   769,   769,   769,   769,   769,   769,   769,   769,
                          769,   769,   769,   769,   769,   769,   769,   769,   769,   769,
                          769,   769,   769,   769,   769,   18522, -1});
    /* no-break space */
    text_check_ids(s->encoder, "a\302\240\302\240b \343\200\200c",
                   (const int32_t[]){64, 4102, 4102, 65, 220, 22441, 66, -1});
    /* contractions */
    text_check_ids(s->encoder, "I'D've WE'LL'",
                   (const int32_t[]){40, 27705, 3003, 19677, 6, 4086, 6, -1});
}

/* A marker that is not normalised is found in the raw text; one that is, only in the normal text,
 * where its last character may have gone into another (">" + U+0338 = "≯"). */
static void added_tokens_and_normalisation(void **state) {
    struct state *s = *state;
    const int32_t *ids;
    size_t n;
    const char *raw = "<|im_end|>\xcc\xb8", *normal = "<|task_tts|>\xcc\xb8";
    assert_int_equal(mill_encoder_encode(s->encoder, raw, strlen(raw), true, &ids, &n, NULL),
                     MILL_OK);
    assert_int_equal(ids[0], 151645);
    assert_int_equal(mill_encoder_encode(s->encoder, normal, strlen(normal), true, &ids, &n, NULL),
                     MILL_OK);
    assert_int_not_equal(ids[0], 165137);
}

static char *repeat(const char *piece, size_t size) {
    char *text = malloc(size);
    assert_non_null(text);
    size_t n = strlen(piece);
    for (size_t i = 0; i + n <= size; i += n)
        memcpy(text + i, piece, n);
    assert_int_equal(size % n, 0);
    return text;
}

/* A word of the stack's size and one of the heap's must agree where both can be compared: "a" runs
 * merge to the same tokens but for the remainder. */
static void long_words_end(void **state) {
    static const struct {
        const char *piece;
        size_t size;
    } cases[] = {{"a", 5000000},
                 {"zq", 1000000},
                 {" ", 1 << 24},
                 {"!", 1000000},
                 {"\n", 1000000},
                 {" \n", 1000000},
                 {"\xe5\xa4\xa9", 3000000},
                 {"ab1", 3000000},
                 {"'s", 1000000}};
    struct state *s = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = repeat(cases[i].piece, cases[i].size);
        const int32_t *ids;
        size_t n;
        struct mill_error err = {0};
        if (mill_encoder_encode(s->encoder, text, cases[i].size, false, &ids, &n, &err) < 0)
            fail_msg("%s", err.text);
        assert_in_range(n, cases[i].size / 128, cases[i].size);
        free(text);
    }
}

/* The marks U+0301 (class 230) and U+0327 (202) in turn, a million of them: in canonical order all
 * of the second kind come first. After "e" the first of them composes. U+0F73 is a mark that
 * decomposes into two. */
static void a_million_combining_marks(void **state) {
    enum { PAIRS = 500000 };
    struct state *s = *state;
    char *text = repeat("\xcc\x81\xcc\xa7", (size_t)PAIRS * 4);
    struct mill_normaliser normaliser;
    struct mill_normaliser_scratch scratch;
    assert_int_equal(mill_normaliser_open(&normaliser, NULL), MILL_OK);
    mill_normaliser_scratch_init(&scratch);
    const char *out;
    size_t size;
    assert_int_equal(
        mill_normalise(&normaliser, &scratch, text, (size_t)PAIRS * 4, &out, &size, NULL), MILL_OK);
    assert_int_equal(size, (size_t)PAIRS * 4);
    for (size_t i = 0; i < PAIRS; i++)
        if (memcmp(out + 2 * i, "\xcc\xa7", 2) != 0 ||
            memcmp(out + 2 * (PAIRS + i), "\xcc\x81", 2) != 0)
            fail_msg("mark %zu is out of order", i);
    mill_normaliser_scratch_deinit(&scratch);
    mill_normaliser_close(&normaliser);
    const int32_t *ids;
    size_t n;
    assert_int_equal(
        mill_encoder_encode(s->encoder, text, (size_t)PAIRS * 4, false, &ids, &n, NULL), MILL_OK);
    free(text);
    text = repeat("\xe0\xbd\xb3", 3 * PAIRS);
    assert_int_equal(mill_encoder_encode(s->encoder, text, 3 * PAIRS, false, &ids, &n, NULL),
                     MILL_OK);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invalid_utf8_is_refused_with_its_offset),
        cmocka_unit_test(too_long_text_is_refused),
        cmocka_unit_test(empty_text_has_no_tokens),
        cmocka_unit_test(control_token_text_stays_text),
        cmocka_unit_test(unicode_corners_are_as_published),
        cmocka_unit_test(added_tokens_and_normalisation),
        cmocka_unit_test(long_words_end),
        cmocka_unit_test(a_million_combining_marks),
    };
    return cmocka_run_group_tests(tests, open_state, close_state);
}
