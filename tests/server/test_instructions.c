/* test_instructions.c - words that are understood, and words that are refused by name. */
#include "runtime/server/instructions.h"
#include "tests/support/bad_input.h"

static void check(const char *text, int gender, int pitch, int rate) {
    struct mill_labels labels;
    struct mill_error err = {""};
    if (mill_instructions_read(text, &labels, &err) != MILL_OK)
        fail_msg("'%s': %s", text, err.text);
    if (labels.gender != gender || labels.pitch != pitch || labels.rate != rate)
        fail_msg("'%s' is read as gender %d, pitch %d, rate %d", text, labels.gender, labels.pitch,
                 labels.rate);
}

static void test_understood(void **state) {
    (void)state;
    check("", -1, -1, -1);
    check("Speak slowly.", -1, -1, 1);
    check("a deep male voice", 1, 1, -1);
    check("A very deep voice, speaking very quickly, please!", -1, 0, 4);
    check("female voice with high pitch and moderate speed", 0, 3, 2);
    check("Gender: male, pitch: very low, speed: very high", 1, 0, 4);
    check("high-pitched woman", 0, 3, -1);
    check("a low male voice", 1, 1, -1);
    check("speak at a normal pace", -1, -1, 2);
    check("low pitch, low speed", -1, 1, 1);
    check("slow and slowly", -1, -1, 1);
}

static void refuse(const char *text, const char *parts) {
    struct mill_labels labels;
    struct mill_error err = {""};
    assert_refused(mill_instructions_read(text, &labels, &err), &err, parts);
}

static void test_refused(void **state) {
    (void)state;
    refuse("Speak in a cheerful and positive tone.", "'cheerful'|gender|pitch|speed");
    refuse("whisper", "'whisper'");
    refuse("very", "unfinished");
    refuse("high", "unfinished");
    refuse("low high pitch", "'high'");
    refuse("pitch", "unfinished");
    refuse("very pitch", "'pitch'");
    refuse("very male", "'male'");
    refuse("a male female voice", "exclude");
    refuse("slowly and fast", "exclude");
    refuse("low pitch, high pitch", "exclude");
    refuse("sch\xc3\xb6n", "'sch\xc3\xb6n'");
    refuse("slow (fast)", "'('");
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    refuse(longest, "'xxx");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_understood),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
