/* test_segment.c - where texts of many languages are cut. In the tables a bar stands where a
 * segment ends, and two bars where a paragraph does; what is read aloud stands between them. */
#include "runtime/text/segment.h"

#include "runtime/text/language.h"
#include "runtime/text/measure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mill_segment_limits sentences(void) {
    struct mill_segment_limits limits = mill_segment_limits_default();
    limits.each_sentence = true;
    return limits;
}

/* The segments as the tables have them. */
static char *cut(const char *text, const char *language, const struct mill_segment_limits *limits) {
    struct mill_segments segments;
    struct mill_buffer out;
    struct mill_error err = {""};
    mill_buffer_init(&out, 1 << 24);
    if (mill_segment_text(&segments, text, strlen(text), language, limits, &err) != MILL_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < segments.n; i++) {
        const struct mill_segment *s = &segments.items[i];
        assert_int_equal(mill_segment_spoken(&out, text + s->at, s->bytes, NULL), MILL_OK);
        if (i + 1 < segments.n)
            mill_buffer_append(&out, "||", s->end == MILL_SEGMENT_PARAGRAPH ? 2 : 1, NULL);
        else
            assert_int_equal(s->end, MILL_SEGMENT_PARAGRAPH);
    }
    mill_buffer_append(&out, "", 1, NULL);
    mill_segments_deinit(&segments);
    return out.data;
}

static void check(const char *text, const char *language, const char *want) {
    const struct mill_segment_limits limits = sentences();
    char *got = cut(text, language, &limits);
    if (strcmp(got, want) != 0)
        fail_msg("'%s':\n got '%s'\nwant '%s'", text, got, want);
    free(got);
}

/* The bars are where the text is to be cut: without them it is the input. */
static void check_marked(const char *marked, const char *language) {
    char text[2000];
    size_t n = 0;
    for (const char *c = marked; *c; c++)
        if (*c != '|')
            text[n++] = *c;
    text[n] = '\0';
    char want[2000];
    n = 0;
    for (const char *c = marked; *c; c++) /* the space behind a sentence belongs to none */
        if (!(*c == ' ' && c > marked && c[-1] == '|'))
            want[n++] = *c;
    want[n] = '\0';
    check(text, language, want);
}

static void test_sentences(void **state) {
    (void)state;
    static const struct {
        const char *language, *marked;
    } cases[] = {
        {"en", "The mill stood still.| Nobody spoke!| Why?| Nobody knew."},
        {"en", "Mr. and Mrs. Reed met Dr. Cole at St. Mary's.| It rained."},
        {"en", "J. R. R. Hill wrote it.| The U.S. Navy read it."},
        {"en", "See fig. 3 and No. 12.| No.| He said no.| Then he left."},
        {"en", "It cost 3.14 pounds, i.e. too much.| They met at 5 p.m.| Then it closed."},
        {"en", "“Go!” she said.| “Where?” he asked.| “Home.”| They went."},
        {"en", "\"Stop.\"| \"No.\"| She turned (slowly.)| He did not."},
        {"en", "Well...| Perhaps.| Wait... what?| Yes!!| Really?!| Good."},
        {"en", "1. Grind the corn.| 2. Bake the bread.| C. Eat it."},
        {"en", "Visit example.com today.| Version 2.0.1 is out."},
        {"de", "Am 3. Mai kam Dr. Weiß, d. h. der Müller.| Er blieb bis zum 12. Juni."},
        {"de", "Das war z. B. im Jahr 1999.| Dann kam u.a. Herr Groß.| „Halt!“, rief er.| Stille."},
        {"de", "Vgl. Abb. 4 und Nr. 170.| Ende."},
        {"fr", "M. Petit et Mme. Grand sont là.| « Bonjour ! » dit-il.| Puis il part."},
        {"fr", "L’art. 5 ne dit rien.| C’est tout."},
        {"es", "El Sr. López llegó.| ¿Quién es?| ¡Nadie!| La Dra. Ruiz se fue."},
        {"it", "Il sig. Bianchi è qui.| Dove?| Cfr. pag. 7.| Ecco."},
        {"pt", "O Sr. Costa não veio.| A Dra. Lima sim.| Veja a pág. 9."},
        {"nl", "Dhr. de Vries zag dr. Jansen.| Zie blz. 5.| Klaar."},
        {"pl", "Był 3. Maja u dr. Nowaka, np. Wczoraj.| Potem wyszedł."},
        {"ru", "Пришёл проф. Иванов.| Это А. С. Попов.| Ул. Мира пуста.| Где все?| Ушли."},
        {"zh", "磨坊停了。|没有人说话！|为什么？|没人知道。"},
        {"zh", "他说：“走吧。”|大家都走了。|“真的？！”|是……"},
        {"ja", "水車は止まった。|誰も話さない。|「なぜ？」|彼は言った。"},
        {"ko", "방앗간이 멈췄다.| 아무도 말하지 않았다!| 왜?| 아무도 몰랐다."},
        {NULL, "كان الجو باردا.| أين الطاحونة؟| لا أحد يعرف."},
        {NULL, "चक्की रुक गई।| कोई नहीं बोला।| क्यों?| किसी को पता नहीं।"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_marked(cases[i].marked, cases[i].language);
}

static void test_languages_are_seen(void **state) {
    (void)state;
    static const struct {
        const char *text, *tag;
    } cases[] = {
        {"The quick mill and the slow river.", "en"},
        {"Der Müller und die Mühle sind alt.", "de"},
        {"Le moulin est dans la vallée et il tourne.", "fr"},
        {"El molino y los ríos de la región.", "es"},
        {"Il mulino è nella valle e gli uomini lavorano.", "it"},
        {"O moinho não para e os homens trabalham.", "pt"},
        {"De molen staat niet stil en het water loopt.", "nl"},
        {"Młyn nie stoi, a woda jest na kole.", "pl"},
        {"Мельница стоит у реки.", "ru"},
        {"磨坊在河边，iPhone 也在。", "zh"},
        {"水車は川のそばにある。", "ja"},
        {"방앗간은 강가에 있다.", "ko"},
        {"Zzz.", "en"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mill_language *found =
            mill_language_detect(cases[i].text, strlen(cases[i].text));
        if (!found || strcmp(found->tag, cases[i].tag) != 0)
            fail_msg("'%s' is %s, not %s", cases[i].text, found ? found->tag : "nothing",
                     cases[i].tag);
    }
    assert_null(mill_language_detect("الطاحونة قديمة", strlen("الطاحونة قديمة")));
    assert_null(mill_language_detect("123 ...", 7));
    assert_string_equal(mill_language_find("de-AT")->tag, "de");
    assert_string_equal(mill_language_find("ZH_hant")->tag, "zh");
    assert_null(mill_language_find("deu"));
    assert_null(mill_language_find(""));
    /* What is seen is what is used. */
    check_marked("Der Müller kam am 3. Mai, und die Mühle stand.| Ende.", NULL);
}

static void test_paragraphs(void **state) {
    (void)state;
    check("One.\n\nTwo.\r\n\r\nThree.", "en", "One.||Two.||Three.");
    check("A heading\nThe text begins.", "en", "A heading||The text begins.");
    check("One.\xe2\x80\xa9Two.\x0cThree.", "en", "One.||Two.||Three.");
    check("  \n\n One. \t \n \n", "en", "One.");
    check("- first\n- second\n3. third", "en", "- first||- second||3. third");
    check("One.\n\n* * *\n\nTwo.", "en", "One.||Two.");
    check("", "en", "");
    check("...\n\n—\n", "en", "");
    check("One. ... --- Two. ***", "en", "One. ... --- Two.");
    check("\xef\xbb\xbfOne.", "en", "One.");
}

/* Lines of a page against lines that end where they were meant to. */
static void test_wrapped_lines(void **state) {
    (void)state;
    check("The mill turned all night, and by the cold\nFebruary morning every sack in the yard\n"
          "was full. Nobody had slept, and nobody was\nglad.\n\nThe river froze.",
          "en",
          "The mill turned all night, and by the cold February morning every sack in the yard was "
          "full.|Nobody had slept, and nobody was glad.||The river froze.");
    check("Roses are red,\nviolets are blue,\nsugar is sweet.", "en",
          "Roses are red,||violets are blue,||sugar is sweet.");
    check(
        "— Where is the miller of this valley, then?\n— Gone, they say, down to the sea in spring.",
        "en",
        "— Where is the miller of this valley, then?||— Gone, they say, down to the sea in "
        "spring.");
    check("一二三四五六七八九十一二三四五六七八九十\n一二三。", "zh",
          "一二三四五六七八九十一二三四五六七八九十一二三。");
}

static void test_spoken(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"  a \t\n b  ", "a b"},
        {"你 好\n世界", "你好世界"},
        {"说 OK 吧", "说 OK 吧"},
        {"방앗간 은", "방앗간 은"},
        {"a\x01"
         "b\xe2\x80\x8b"
         "c",
         "a b c"},
        {"a\xc2\xa0"
         "b",
         "a b"},
        {" \n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_buffer out;
        mill_buffer_init(&out, 100);
        assert_int_equal(mill_segment_spoken(&out, cases[i][0], strlen(cases[i][0]), NULL),
                         MILL_OK);
        assert_int_equal(mill_buffer_append(&out, "", 1, NULL), MILL_OK);
        assert_string_equal(out.data, cases[i][1]);
        mill_buffer_deinit(&out);
    }
}

/* ------------------------------------------------------------------ packing and cutting */

/* Segments in order, apart, within the limits; all that can be said is in one. */
static struct mill_segments check_whole(const char *text, const char *language,
                                        const struct mill_segment_limits *limits) {
    struct mill_segments segments;
    struct mill_error err = {""};
    if (mill_segment_text(&segments, text, strlen(text), language, limits, &err) != MILL_OK)
        fail_msg("%s", err.text);
    size_t end = 0;
    int32_t n_characters = 0;
    for (size_t i = 0; i < segments.n; i++) {
        const struct mill_segment *s = &segments.items[i];
        assert_true(s->at >= end && s->bytes > 0 && s->at + s->bytes <= strlen(text));
        assert_int_equal(mill_text_measure(text + end, s->at - end).n_characters, 0);
        struct mill_text_size size = mill_text_measure(text + s->at, s->bytes);
        assert_true(size.n_characters > 0 && size.n_characters <= limits->max_characters);
        assert_true(size.syllables / limits->syllables_per_s <= limits->max_s + 1e-9);
        n_characters += size.n_characters;
        end = s->at + s->bytes;
    }
    assert_int_equal(n_characters, mill_text_measure(text, strlen(text)).n_characters);
    return segments;
}

static char *repeated(const char *text, int n) {
    char *out = malloc(strlen(text) * (size_t)n + 1);
    assert_non_null(out);
    for (int i = 0; i < n; i++)
        memcpy(out + strlen(text) * (size_t)i, text, strlen(text) + 1);
    return out;
}

static void test_packing(void **state) {
    (void)state;
    const struct mill_segment_limits limits = mill_segment_limits_default();
    struct mill_segments s = check_whole("One. Two. Three.\n\nFour.", "en", &limits);
    assert_int_equal(s.n, 2);
    mill_segments_deinit(&s);
    /* Some 3 s a sentence: seven to a segment, and the last two share what is left. */
    char *text = repeated("The old mill turned all through the night. ", 16);
    s = check_whole(text, "en", &limits);
    assert_int_equal(s.n, 3);
    for (size_t i = 0; i < s.n; i++)
        assert_int_equal(s.items[i].end,
                         i + 1 < s.n ? MILL_SEGMENT_SENTENCE : MILL_SEGMENT_PARAGRAPH);
    assert_true(s.items[0].bytes > s.items[1].bytes);
    assert_true(s.items[1].bytes - s.items[2].bytes <= 43);
    mill_segments_deinit(&s);
    free(text);
}

static void test_long_sentences(void **state) {
    (void)state;
    static const struct {
        const char *piece;
        int n;
        enum mill_segment_end end;
    } cases[] = {
        {"the river ran down to the mill, and ", 30, MILL_SEGMENT_CLAUSE},
        {"when the wind blew the door opened ", 30, MILL_SEGMENT_WORD},
        {"河水流到磨坊，", 60, MILL_SEGMENT_CLAUSE},
        {"河水流到磨坊", 60, MILL_SEGMENT_WORD},
        {"กระแสน้ำไหลลงสู่โรงสี", 40, MILL_SEGMENT_WORD},
        {"x", 3000, MILL_SEGMENT_WORD},
        {"a\xcc\x81", 3000, MILL_SEGMENT_WORD},
        {"7", 500, MILL_SEGMENT_WORD},
    };
    const struct mill_segment_limits limits = mill_segment_limits_default();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = repeated(cases[i].piece, cases[i].n);
        struct mill_segments s = check_whole(text, NULL, &limits);
        if (s.n < 2)
            fail_msg("'%s' is not cut", cases[i].piece);
        for (size_t k = 0; k + 1 < s.n; k++)
            if (s.items[k].end != cases[i].end)
                fail_msg("'%s': segment %zu ends as %d", cases[i].piece, k, s.items[k].end);
        mill_segments_deinit(&s);
        free(text);
    }
    char *marks = repeated("\xcc\x81", 9000);
    marks[0] = 'a', marks[1] = 'b';
    struct mill_segments s = check_whole(marks, NULL, &limits);
    assert_int_equal(s.n, 1); /* parts without letters are not spoken */
    mill_segments_deinit(&s);
    free(marks);
}

/* Ends of sentences that end nothing: whoever looked from each of them over the whole text would be
 * busy for ever. */
static void test_no_sentences(void **state) {
    (void)state;
    static const char *const pieces[] = {"? (", ". \"", ".\xcc\x81.\xe4\xb8\xad"};
    const struct mill_segment_limits limits = mill_segment_limits_default();
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *text = repeated(pieces[i], 100000);
        struct mill_segments s;
        assert_int_equal(mill_segment_text(&s, text, strlen(text), NULL, &limits, NULL), MILL_OK);
        assert_int_equal(s.n > 0, i == 2);
        mill_segments_deinit(&s);
        free(text);
    }
}

static void test_refused(void **state) {
    (void)state;
    struct mill_segments s;
    struct mill_error err = {""};
    struct mill_segment_limits limits = mill_segment_limits_default();
    assert_int_equal(mill_segment_text(&s, "ab\xff", 3, NULL, &limits, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "byte 2"));
    limits.max_characters = 1;
    assert_int_equal(mill_segment_text(&s, "a", 1, NULL, &limits, &err), MILL_E_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),      cmocka_unit_test(test_languages_are_seen),
        cmocka_unit_test(test_paragraphs),     cmocka_unit_test(test_wrapped_lines),
        cmocka_unit_test(test_spoken),         cmocka_unit_test(test_packing),
        cmocka_unit_test(test_long_sentences), cmocka_unit_test(test_no_sentences),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
