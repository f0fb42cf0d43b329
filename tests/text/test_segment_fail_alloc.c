/* test_segment_fail_alloc.c - memory that runs short while a text is made ready for speech: a clean
 * error and nothing left behind. ICU has memory of its own here, which never runs short: some
 * releases leak when their own allocations fail. */
#include "runtime/text/script.h"
#include "tests/support/fail_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uclean.h>

#include <cmocka.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static void *icu_alloc(const void *context, size_t size) {
    (void)context;
    return __libc_malloc(size);
}

static void *icu_realloc(const void *context, void *p, size_t size) {
    (void)context;
    return __libc_realloc(p, size);
}

static void icu_free(const void *context, void *p) {
    (void)context;
    __libc_free(p);
}

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
    UErrorCode code = U_ZERO_ERROR;
    if (!mill_fail_alloc_works())
        return 0;
    u_setMemoryFunctions(NULL, icu_alloc, icu_realloc, icu_free, &code);
    return U_FAILURE(code) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
