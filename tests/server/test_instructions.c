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
    check("Speak at a very slow pace.", -1, -1, 0);
    check("Voice: female. Pace: slow. Pitch: deep.", 0, 1, 1);
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
    refuse("pitch: slow", "'slow'");
    refuse("high slow", "'slow'");
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

static void test_references(void **state) {
    (void)state;
    struct mill_labels labels;
    struct mill_error err = {""};
    char name[MILL_VOICE_REFERENCE_BYTES];
    assert_int_equal(mill_voice_reference_read("anna", name, &labels, &err), MILL_OK);
    assert_string_equal(name, "anna");
    assert_true(labels.gender == -1 && labels.pitch == -1 && labels.rate == -1);
    assert_int_equal(
        mill_voice_reference_read("male,speed:very_low,pitch:high", name, &labels, &err), MILL_OK);
    assert_string_equal(name, "male");
    assert_true(labels.pitch == 3 && labels.rate == 0);
    static const char *const bad[] = {"",           ",pitch:high", "a,",          "a,pitch",
                                      "a,pitch:hi", "a,loud:low",  "a,pitch:low,"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(mill_voice_reference_read(bad[i], name, &labels, &err), &err, "voice '");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_understood),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_references)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
