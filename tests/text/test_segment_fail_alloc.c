/* test_segment_fail_alloc.c - memory that runs short while a text is made ready for speech: a clean
 * error and nothing left behind. */
#include "runtime/text/script.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/icu_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static mill_status segment(void *context, struct mill_error *err) {
    const struct mill_segment_limits limits = {
        .max_characters = 16, .max_s = 3, .syllables_per_s = 4};
    struct mill_segments segments;
    struct mill_buffer spoken;
    mill_buffer_init(&spoken, 1000);
    mill_status status = mill_segment_text(&segments, context, strlen(context), NULL, &limits, err);
    if (status == MILL_OK)
        status = mill_segment_spoken(&spoken, context, strlen(context), err);
    mill_segments_deinit(&segments);
    mill_buffer_deinit(&spoken);
    return status;
}

static void test_segments(void **state) {
    (void)state;
    char text[] =
        "One. Two, three. A sentence that is much too long for such segments. 河水流到磨坊。";
    assert_in_range(mill_fail_alloc_sweep(segment, text), 4, 20);
}

static mill_status read_markup(void *context, struct mill_error *err) {
    static const char words[] = "cat = feline\nnew york = Noo Yawk\n";
    struct mill_dictionary *dictionary;
    struct mill_script script;
    MILL_TRY(mill_dictionary_parse(&dictionary, "d", words, sizeof words - 1, err));
    mill_status status =
        mill_script_from_markup(&script, context, strlen(context), dictionary, err);
    if (status == MILL_OK)
        mill_script_deinit(&script);
    mill_dictionary_close(dictionary);
    return status;
}

static void test_markup(void **state) {
    (void)state;
    char text[] = "<speak xml:lang='en'>A cat <voice name='a'>in New York</voice><break/><s>No</s>"
                  "<say-as interpret-as='ordinal'>21</say-as></speak>";
    assert_in_range(mill_fail_alloc_sweep(read_markup, text), 20, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_segments),
                                       cmocka_unit_test(test_markup)};
    if (!mill_fail_alloc_works())
        return 0;
    return mill_icu_memory_apart() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
