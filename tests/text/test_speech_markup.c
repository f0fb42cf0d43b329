/* test_speech_markup.c - markup becomes a script: what is said, in which voice and way, with which
 * rests; and what is refused, by element and place. */
#include "runtime/text/dictionary.h"
#include "runtime/text/say_as.h"
#include "runtime/text/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A script in one line: {voice speed pitch "text" end pause} for each span that says or asks for
 * something. */
static char *describe(const struct mill_script *script) {
    static const char ends[] = "wcsp";
    struct mill_buffer out;
    size_t n;
    const struct mill_script_span *spans = mill_script_spans(script, &n);
    mill_buffer_init(&out, 1 << 16);
    for (size_t i = 0; i < n; i++) {
        const struct mill_script_span *s = &spans[i];
        struct mill_buffer spoken;
        mill_buffer_init(&spoken, 1 << 16);
        assert_int_equal(mill_segment_spoken(&spoken, script->text.data + s->at, s->bytes, NULL),
                         MILL_OK);
        if (spoken.size == 0 && s->pause_ms < 0) {
            mill_buffer_deinit(&spoken);
            continue;
        }
        mill_buffer_printf(&out, NULL, "{%.*s", (int)spoken.size, spoken.data ? spoken.data : "");
        if (s->voice >= 0)
            mill_buffer_printf(&out, NULL, " @%s", mill_script_voice(script, s->voice));
        if (s->speed != 1 || s->pitch != 1)
            mill_buffer_printf(&out, NULL, " *%g^%g", s->speed, s->pitch);
        mill_buffer_printf(&out, NULL, " %c", ends[s->end]);
        if (s->pause_ms >= 0)
            mill_buffer_printf(&out, NULL, "%d", s->pause_ms);
        mill_buffer_append(&out, "}", 1, NULL);
        mill_buffer_deinit(&spoken);
    }
    mill_buffer_append(&out, "", 1, NULL);
    return out.data;
}

static void check(const char *inside, const char *want, const struct mill_dictionary *dictionary) {
    struct mill_script script;
    struct mill_error err = {""};
    char markup[2000];
    snprintf(markup, sizeof markup, "<speak version='1.1' xml:lang='en-US'>%s</speak>", inside);
    if (mill_script_from_markup(&script, markup, strlen(markup), dictionary, &err) != MILL_OK)
        fail_msg("%s: %s", markup, err.text);
    assert_string_equal(script.language, "en-US");
    char *got = describe(&script);
    if (strcmp(got, want) != 0)
        fail_msg("%s:\n got %s\nwant %s", inside, got, want);
    free(got);
    mill_script_deinit(&script);
}

static void test_scripts(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"Hello.", "{Hello. p}"},
        {"a &lt; b &amp; c &#x41;", "{a < b & c A p}"},
        {"one\n\n  two", "{one two p}"},
        {"<p>One.</p><p>Two.</p>", "{One. p}{Two. p}"},
        {"<p><s>One</s> <s>Two</s></p>Three", "{One s}{Two s}{Three p}"},
        {"Wait<break/>now.", "{Wait w400}{now. p}"},
        {"Wait<break time='1.5s'/><break time=\"250ms\"/>now.", "{Wait w1500}{ w250}{now. p}"},
        {"<break strength='none'/>a<break strength='x-strong'/>", "{ w0}{a w1500}"},
        {"So, <prosody rate='fast' pitch='low'>quick</prosody> now.",
         "{So, c}{quick *1.25^0.9 w}{now. p}"},
        {"<prosody rate='80%'><prosody rate='-50%' pitch='+20%'>x</prosody>y</prosody>",
         "{x *0.4^1.2 w}{y *0.8^1 w}"},
        {"One. <voice name='anna'>Two. <voice name='otto'>Three.</voice></voice>"
         "<voice name='anna'>Four</voice>",
         "{One. s}{Two. @anna s}{Three. @otto s}{Four @anna w}"},
        {"<sub alias='World Wide Web'>WWW</sub> is old", "{World Wide Web is old p}"},
        {"at <say-as interpret-as='cardinal'> 1,234 </say-as> m",
         "{at one thousand two hundred thirty-four m p}"},
        {"<!-- nothing --><?pi x?>a<![CDATA[<b>]]>", "{a<b> p}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i][0], cases[i][1], NULL);
}

/* What stands in an alias is left alone. */
static void test_dictionary(void **state) {
    (void)state;
    static const char file[] = "cat = feline\n";
    struct mill_dictionary *d;
    assert_int_equal(mill_dictionary_parse(&d, "d", file, sizeof file - 1, NULL), MILL_OK);
    check("A cat <sub alias='cat'>cat</sub> <s>cat</s>", "{A feline cat s}{feline s}", d);
    struct mill_script script;
    assert_int_equal(mill_script_from_text(&script, "A cat.", 6, d, NULL), MILL_OK);
    char *got = describe(&script);
    assert_string_equal(got, "{A feline. p}");
    free(got);
    mill_script_deinit(&script);
    mill_dictionary_close(d);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "line 1, column 1"},
        {"Hello", "line 1, column 1: syntax error: one <speak>...</speak> must be around"},
        {"<speak/>Hello", "one <speak>...</speak> must be around everything"},
        {"<speak>Salt & pepper</speak>",
         "column 14: not well-formed (invalid token): in a text & is written &amp;"},
        {"<speak>1 < 2</speak>", "< is &lt;"},
        {"<p>a</p>", "<p>: <speak> must be around it"},
        {"<speak>a", "line 1, column 9: no element found: something is not closed"},
        {"<speak>\n <audio src='x'/></speak>", "line 2, column 2: <audio>: there is no such"},
        {"<speak><speak/></speak>", "<speak> within <speak>"},
        {"<speak xml:lang='uuuuuuuuuuuuuuu'/>", "<speak>: xml:lang 'uuuuuuuuuuuuuuu' is not a"},
        {"<speak xml:lang='en-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa'/>", "xml:lang 'en-aaaaaaaa"},
        {"<speak><p volume='loud'/></speak>", "<p>: attribute 'volume'"},
        {"<speak><break time='5m'/></speak>", "<break>: time '5m'"},
        {"<speak><break time='nan s'/></speak>", "<break>: time"},
        {"<speak><break time='-1s'/></speak>", "<break>: time"},
        {"<speak><break time='61s'/></speak>", "0 to 60 s"},
        {"<speak><break strength='huge'/></speak>", "'huge': there are none"},
        {"<speak><break><p/></break></speak>", "nothing but text"},
        {"<speak><prosody>a</prosody></speak>", "rate or pitch"},
        {"<speak><prosody rate='900%'>a</prosody></speak>", "rate '900%'"},
        {"<speak><prosody rate='inf%'>a</prosody></speak>", "rate 'inf%'"},
        {"<speak><prosody rate='x-fast'><prosody rate='x-fast'><prosody rate='200%'>a</prosody>"
         "</prosody></prosody></speak>",
         "rate '200%': x-slow, slow, medium, fast, x-fast, or 25% to 400%, together with the"},
        {"<speak><say-as interpret-as='cardinal'>9999999999999999</say-as></speak>", "15 digits"},
        {"<speak><prosody pitch='50%'>a</prosody></speak>", "pitch '50%'"},
        {"<speak><prosody volume='loud'>a</prosody></speak>", "attribute 'volume'"},
        {"<speak><voice gender='male'>a</voice></speak>", "attribute 'gender'"},
        {"<speak><voice>a</voice></speak>", "a name is wanted"},
        {"<speak><sub>a</sub></speak>", "alias"},
        {"<speak><sub alias='b'><s>a</s></sub></speak>",
         "<s>: nothing but text may stand in <sub>"},
        {"<speak><say-as interpret-as='time'>1</say-as></speak>", "<say-as>: 'time': there are"},
        {"<speak><say-as interpret-as='date'>31/31/31</say-as></speak>", "no date"},
        {"<!DOCTYPE speak [<!ENTITY a 'b'>]><speak>&a;</speak>", "DOCTYPE"},
        {"<!DOCTYPE speak SYSTEM 'file:///etc/passwd'><speak/>", "DOCTYPE"},
        {"<speak>&nbsp;</speak>", "undefined entity: there are &amp;"},
        {"<speak>\xff</speak>", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_script script;
        struct mill_error err = {""};
        assert_int_equal(
            mill_script_from_markup(&script, cases[i][0], strlen(cases[i][0]), NULL, &err),
            MILL_E_INPUT);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], err.text);
    }
    char deep[] = "<speak><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p>"
                  "<p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p><p>";
    struct mill_script script;
    struct mill_error err = {""};
    assert_int_equal(mill_script_from_markup(&script, deep, strlen(deep), NULL, &err),
                     MILL_E_INPUT);
    assert_non_null(strstr(err.text, "within each other"));
}

static void test_say_as(void **state) {
    (void)state;
    static const struct {
        const char *language, *kind, *format, *text, *want;
    } cases[] = {
        {"de", "ordinal", NULL, "3.", "dritte"},
        {"en", "characters", NULL, "ABC", "A B C"},
        {"en", "digits", NULL, "20-7", "two zero seven"},
        {"en", "cardinal", NULL, "-3.5", "minus three point five"},
        {"en", "ordinal", NULL, "21", "twenty-first"},
        {"en", "date", NULL, "2026-05-31", "May thirty-first, twenty twenty-six"},
        {"en", "date", "mdy", "5/1/1999", "May first, nineteen ninety-nine"},
        {"de", "date", "dmy", "3.10.1990", "dritte Oktober neunzehnhundertneunzig"},
        {"fr", "ordinal", NULL, "2", "deuxième"},
        {"zh", "cardinal", NULL, "42", "四十二"},
        {"es", "date", "dmy", "2/1/2001", "dos de enero de dos mil uno"},
        {"en-SA", "date", NULL, "2026-05-31", "May thirty-first, twenty twenty-six"},
        {"fa", "date", NULL, "2026-01-02", "دو ژانویهٔ دو هزار و بیست و شش"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_buffer out;
        struct mill_error err = {""};
        mill_buffer_init(&out, 1000);
        if (mill_say_as(&out, cases[i].language, cases[i].kind, cases[i].format, cases[i].text,
                        strlen(cases[i].text), &err) != MILL_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(mill_buffer_append(&out, "", 1, NULL), MILL_OK);
        if (strcmp(out.data, cases[i].want) != 0)
            fail_msg("%s %s %s: '%s', not '%s'", cases[i].language, cases[i].kind, cases[i].text,
                     out.data, cases[i].want);
        mill_buffer_deinit(&out);
    }
    static const char *const bad[][2] = {{"digits", "1a"},      {"cardinal", ""},
                                         {"cardinal", "1.2.3"}, {"cardinal", "x"},
                                         {"ordinal", "1.5"},    {"date", "2026-02-30"},
                                         {"date", "2026"},      {"characters", " "},
                                         {"cardinal", "1e9"},   {"cardinal", "9999999999999999"},
                                         {"telephone", "1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mill_buffer out;
        mill_buffer_init(&out, 1000);
        assert_int_equal(
            mill_say_as(&out, "en", bad[i][0], NULL, bad[i][1], strlen(bad[i][1]), NULL),
            MILL_E_INPUT);
        mill_buffer_deinit(&out);
    }
}

/* A language without words for numbers is not said in the machine's own. */
static void test_no_words(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"xx", "cardinal", "42"}, {"tlh", "digits", "42"}, {"zu", "date", "2026-05-31"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_buffer out;
        struct mill_error err = {""};
        mill_buffer_init(&out, 1000);
        assert_int_equal(mill_say_as(&out, cases[i][0], cases[i][1], NULL, cases[i][2],
                                     strlen(cases[i][2]), &err),
                         MILL_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, cases[i][0]));
        mill_buffer_deinit(&out);
    }
}

/* As many digits as may be: what is made for a language is made once, not for each, which would
 * take longer than a test may. */
static void test_many_digits(void **state) {
    (void)state;
    enum { N = 2000000 };
    struct mill_buffer out;
    char *digits = malloc(N);
    assert_non_null(digits);
    memset(digits, '1', N);
    mill_buffer_init(&out, 4 * N);
    assert_int_equal(mill_say_as(&out, "en", "digits", NULL, digits, N, NULL), MILL_OK);
    assert_int_equal(out.size, 4 * N - 1);
    mill_buffer_deinit(&out);
    free(digits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),  cmocka_unit_test(test_dictionary),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_say_as),
        cmocka_unit_test(test_no_words), cmocka_unit_test(test_many_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
