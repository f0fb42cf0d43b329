/* test_dictionary.c - words that are spoken differently from how they are written. */
#include "runtime/text/dictionary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char file[] = "# how to say it\n"
                           "cat = feline\n"
                           "  US =  U S  # not us\n"
                           "us = all of us\r\n"
                           "\n"
                           "Dr. Reed = Doctor Reed\n"
                           "Dr. = Doctor\n"
                           "new york = Noo Yawk\n"
                           "new york city = the city\n"
                           "c++ = see plus plus\n"
                           "重庆 = 崇庆\n"
                           "straße = street";

static void check(const struct mill_dictionary *d, const char *text, const char *want) {
    struct mill_buffer out;
    mill_buffer_init(&out, 2000);
    assert_int_equal(mill_dictionary_apply(d, text, strlen(text), &out, NULL), MILL_OK);
    assert_int_equal(mill_buffer_append(&out, "", 1, NULL), MILL_OK);
    assert_string_equal(out.data, want);
    mill_buffer_deinit(&out);
}

static void test_words(void **state) {
    (void)state;
    struct mill_dictionary *d;
    struct mill_error err = {""};
    if (mill_dictionary_parse(&d, "d", file, sizeof file - 1, &err) != MILL_OK)
        fail_msg("%s", err.text);
    static const char *const cases[][2] = {
        {"A cat, a Cat, CAT's cats; concat cat_.",
         "A feline, a feline, feline's cats; concat cat_."},
        {"US and us and Us.", "U S and all of us and all of us."},
        {"Dr. Reed, dr. Reed, Dr. Cole", "Doctor Reed, dr. Reed, Doctor Cole"},
        {"New York; NEW\n  YORK; New York City; new yorker",
         "Noo Yawk; Noo Yawk; the city; new yorker"},
        {"C++ and xc++", "see plus plus and xc++"},
        {"去重庆市吧", "去崇庆市吧"},
        {"Straße", "street"},
        {"", ""},
        {"no match", "no match"},
        {"cat", "feline"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(d, cases[i][0], cases[i][1]);
    mill_dictionary_close(d);
    static const char sharp[] = "C# = see sharp # a language\n#cat = feline\n";
    assert_int_equal(mill_dictionary_parse(&d, "d", sharp, sizeof sharp - 1, &err), MILL_OK);
    check(d, "a cat in C# and C", "a cat in see sharp and C");
    mill_dictionary_close(d);
    static const char windows[] = "\xef\xbb\xbf"
                                  "cat = feline\r\n";
    assert_int_equal(mill_dictionary_parse(&d, "d", windows, sizeof windows - 1, &err), MILL_OK);
    check(d, "a cat", "a feline");
    mill_dictionary_close(d);
    check(NULL, "a cat", "a cat");
    mill_dictionary_close(NULL);
}

/* The longest that stands alone, when longer ones begin alike. */
static void test_parents(void **state) {
    (void)state;
    static const char text[] = "a = 1\na b = 2\na b c d = 3\na b cd = 4\nab = 5\n";
    struct mill_dictionary *d;
    assert_int_equal(mill_dictionary_parse(&d, "d", text, sizeof text - 1, NULL), MILL_OK);
    check(d, "a b c d", "3");
    check(d, "a b c e", "2 c e");
    check(d, "a b c", "2 c");
    check(d, "a c", "1 c");
    check(d, "ab abc a bc", "5 abc 1 bc");
    mill_dictionary_close(d);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"cat\n", "line 1"},
        {"a = b\n= c", "line 2: nothing stands before"},
        {"a =  # b", "line 1: nothing stands behind"},
        {"a = b\n\nA = d\na = c", "lines 1 and 4"},
        {"A  b = c\nA\tb = d", "lines 1 and 2"},
        {"λόγος = a\nλόγοσ = b", "lines 1 and 2"},
        {"a\xff = b", "byte 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_dictionary *d;
        struct mill_error err = {""};
        assert_int_equal(mill_dictionary_parse(&d, "x.txt", cases[i][0], strlen(cases[i][0]), &err),
                         MILL_E_INPUT);
        assert_null(d);
        if (!strstr(err.text, cases[i][1]) || !strstr(err.text, "'x.txt'"))
            fail_msg("%s", err.text);
    }
    struct mill_dictionary *d;
    assert_true(mill_dictionary_open(&d, MILL_SCRATCH "/no such dictionary", NULL) < 0);
}

/* As many entries as one request may bring that differ in case alone, and a text of which every
 * character could begin each of them: what is compared is bytes that were folded before, since to
 * fold them anew for each entry would take longer than a test may. */
static void test_alike(void **state) {
    (void)state;
    enum { N_ENTRIES = 180, N_LETTERS = 85, LETTER_BYTES = 3, N_TEXT = 700000 };
    struct mill_buffer words, text, out;
    struct mill_dictionary *d;
    mill_buffer_init(&words, 1 << 17);
    mill_buffer_init(&text, LETTER_BYTES * N_TEXT);
    mill_buffer_init(&out, LETTER_BYTES * N_TEXT);
    for (int i = 0; i < N_ENTRIES; i++) {
        for (int k = N_LETTERS; k-- > 0;) { /* a capital at the end, the others by the bits of i */
            bool capital = k == 0 || (k < 9 && i >> (k - 1) & 1);
            mill_buffer_append(&words, capital ? "Ａ" : "ａ", LETTER_BYTES, NULL);
        }
        mill_buffer_append(&words, "=x\n", 3, NULL);
    }
    for (int i = 0; i < N_TEXT; i++)
        mill_buffer_append(&text, "ａ", LETTER_BYTES, NULL);
    assert_int_equal(mill_dictionary_parse(&d, "d", words.data, words.size, NULL), MILL_OK);
    assert_int_equal(mill_dictionary_apply(d, text.data, text.size, &out, NULL), MILL_OK);
    assert_int_equal(out.size, text.size);
    assert_memory_equal(out.data, text.data, text.size);
    mill_dictionary_close(d);
    mill_buffer_deinit(&out);
    mill_buffer_deinit(&text);
    mill_buffer_deinit(&words);
}

/* Characters that are longer or shorter in folded case, as many as a word may have. */
static void test_lengths(void **state) {
    (void)state;
    static const char *const letters[] = {"Ⱥ", "\u212a", "ẞ"}; /* U+212A: kelvin, folded a k */
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        char word[257] = "", entry[300], text[1100], want[1100];
        size_t bytes = strlen(letters[i]);
        for (size_t at = 0; at + bytes < sizeof word; at += bytes)
            memcpy(word + at, letters[i], bytes);
        snprintf(entry, sizeof entry, "%s = x", word);
        snprintf(text, sizeof text, "%s %s%s%s", word, word, word, word);
        snprintf(want, sizeof want, "x %s%s%s", word, word, word);
        struct mill_dictionary *d;
        assert_int_equal(mill_dictionary_parse(&d, "d", entry, strlen(entry), NULL), MILL_OK);
        check(d, text, want);
        mill_dictionary_close(d);
    }
}

/* Its own entries, and behind them another one's: the longer counts, and of two alike its own. */
static void test_extended(void **state) {
    (void)state;
    static const char own[] = "cat = moggy\ndog = hound\nnew york times = the paper";
    struct mill_dictionary *other, *d;
    assert_int_equal(mill_dictionary_parse(&other, "o", file, sizeof file - 1, NULL), MILL_OK);
    assert_int_equal(mill_dictionary_parse(&d, "d", own, sizeof own - 1, NULL), MILL_OK);
    mill_dictionary_extend(d, other);
    check(d, "A cat, a dog, Dr. Reed.", "A moggy, a hound, Doctor Reed.");
    check(d, "New York, New York Times, New York City.", "Noo Yawk, the paper, the city.");
    check(other, "A cat, a dog.", "A feline, a dog.");
    mill_dictionary_close(d);
    mill_dictionary_close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),   cmocka_unit_test(test_parents),
        cmocka_unit_test(test_alike),   cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_extended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
