/* test_measure.c - what is counted of a text, script by script. */
#include "runtime/text/measure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_measure(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int32_t n_characters, n_pauses;
        double syllables;
    } cases[] = {
        {"", 0, 0, 0},
        {"Hello, world!", 10, 2, 10 / 3.0},
        {"  \t -- (\"\")", 0, 0, 0},
        {"今天。", 2, 1, 2},
        {"カタカナ ひらがな", 8, 0, 8},
        {"한국어", 3, 0, 3},
        {"Привет, мир", 9, 1, 3},
        {"naïve café", 9, 0, 3},
        {"1984", 4, 0, 6},
        {"…", 0, 1, 0},
        {"😀", 0, 0, 0},
        {"a\xff\xfe"
         "b\xe4\xbb",
         2, 0, 2 / 3.0},
        {"\xed\xa0\x80", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_text_size t = mill_text_measure(cases[i].text, strlen(cases[i].text));
        if (t.n_characters != cases[i].n_characters || t.n_pauses != cases[i].n_pauses ||
            fabs(t.syllables - cases[i].syllables) > 1e-9)
            fail_msg("'%s': %d characters, %d pauses, %g syllables", cases[i].text, t.n_characters,
                     t.n_pauses, t.syllables);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
