/* test_voice.c - voice files: written and read back, and each thing that makes one wrong named. */
#include "runtime/voice/voice.h"

#include "runtime/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct mill_shape small_shape(void) {
    struct mill_shape shape = {0};
    shape.bicodec.speaker.n_tokens = 3;
    shape.bicodec.speaker.n_levels = 2;
    shape.bicodec.speaker.levels[0] = 4;
    shape.bicodec.speaker.levels[1] = 5;
    return shape;
}

static void test_round_trip(void **state) {
    (void)state;
    static const char path[] = MILL_SCRATCH "/anna.voice.json";
    const struct mill_shape shape = small_shape();
    int32_t global[] = {0, 19, 7};
    struct mill_voice voice = {.global = global, .n_global = 3}, back;
    mill_voice_name_from_path(voice.name, path);
    assert_string_equal(voice.name, "anna.voice");
    struct mill_error err;
    assert_int_equal(mill_voice_write(&voice, path, &err), MILL_OK);
    assert_int_equal(mill_voice_read(&back, path, &shape, &err), MILL_OK);
    assert_string_equal(back.name, "anna.voice");
    assert_int_equal(back.n_global, 3);
    assert_memory_equal(back.global, global, sizeof global);
    mill_voice_deinit(&back);
    mill_voice_deinit(&back);
    unlink(path);
    assert_int_equal(mill_voice_read(&back, path, &shape, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_voice_write(&voice, MILL_SCRATCH "/none/x.json", &err), MILL_E_IO);
}

static void test_bad(void **state) {
    (void)state;
#define HEAD "{\"format\": \"sparkmill-voice\", \"version\": 1, \"name\": \"a\", "
    static const struct {
        const char *text, *message; /* a part of it */
    } cases[] = {
        {"", ""},
        {"[]", ""},
        {"7", ""},
        {"{}", "format"},
        {HEAD "\"global_tokens\": [1, 2, 3]", ""}, /* cut */
        {HEAD "\"global_tokens\": [1, 2]}", "2 numbers where the model has 3"},
        {HEAD "\"global_tokens\": [1, 2, 3, 4]}", "global_tokens"},
        {HEAD "\"global_tokens\": [1, 2, 20]}", "global_tokens"},
        {HEAD "\"global_tokens\": [1, -1, 3]}", "global_tokens"},
        {HEAD "\"global_tokens\": [1, 2.5, 3]}", "global_tokens"},
        {HEAD "\"global_tokens\": \"1, 2, 3\"}", "global_tokens"},
        {HEAD "\"global_tokens\": [1, 2, 3], \"more\": 1}", "unknown key 'more'"},
        {HEAD "\"name\": \"b\", \"global_tokens\": [1, 2, 3]}", "name"},
        {HEAD "\"comment\": 1}", "unknown key"},
        {"{\"format\": \"voice\", \"version\": 1, \"name\": \"a\", \"global_tokens\": [1, 2, 3]}",
         "'voice' is not"},
        {"{\"format\": \"sparkmill-voice\", \"version\": 2, \"name\": \"a\", \"global_tokens\": "
         "[1, "
         "2, 3]}",
         "version: 2 is not known"},
        {"{\"format\": \"sparkmill-voice\", \"version\": 1, \"global_tokens\": [1, 2, 3]}", "name"},
    };
    const struct mill_shape shape = small_shape();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_voice voice;
        struct mill_error err = {""};
        mill_status status =
            mill_voice_parse(&voice, "v.json", cases[i].text, strlen(cases[i].text), &shape, &err);
        if (status != MILL_E_INPUT || !strstr(err.text, cases[i].message) ||
            !strstr(err.text, "v.json"))
            fail_msg("case %zu: status %d, '%s'", i, status, err.text);
        assert_null(voice.global);
    }
}

static void test_long_name(void **state) {
    (void)state;
    char text[1024], path[600], name[MILL_VOICE_NAME_BYTES];
    memset(path, 'n', sizeof path);
    path[sizeof path - 1] = '\0';
    snprintf(text, sizeof text,
             "{\"format\": \"sparkmill-voice\", \"version\": 1, \"name\": \"%s\", "
             "\"global_tokens\": [1, 2, 3]}",
             path);
    const struct mill_shape shape = small_shape();
    struct mill_voice voice;
    assert_int_equal(mill_voice_parse(&voice, "v", text, strlen(text), &shape, NULL), MILL_E_INPUT);
    for (size_t i = 0; i + 1 < sizeof path; i += 2) /* two-byte letters: none is cut in half */
        memcpy(path + i, "\xc3\xa9", 2);
    path[598] = '\0';
    mill_voice_name_from_path(name, path);
    assert_int_equal(strlen(name), 254);
    mill_voice_name_from_path(name, "/a.b/.hidden");
    assert_string_equal(name, ".hidden");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
