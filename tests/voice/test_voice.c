/* test_voice.c - voice files: written and read back, each thing that makes one wrong named, and the
 * hashes that tell voices apart. */
#include "tests/voice/small_voice.h"

#include "runtime/base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char path[] = MILL_SCRATCH "/anna.voice";

static struct mill_voice whole_voice(const struct mill_voice_model *model, int32_t *global,
                                     int32_t *semantic) {
    struct mill_voice voice = small_voice(model, global);
    voice.language = "en-GB";
    voice.licence = "CC-BY-4.0";
    voice.consent.statement = "I agree.\nAnna \xc3\x84";
    voice.consent.who = "Anna";
    voice.consent.when = "2026-05-31T11:59:59Z";
    voice.consent.purpose = "audiobooks";
    voice.provenance.recording_sha256 =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    voice.provenance.seconds = 6.06;
    voice.semantic = semantic;
    voice.n_semantic = 4;
    voice.transcript = "Good morning.";
    voice.sampling =
        (struct mill_voice_sampling){.given = true, .temperature = 0.7, .top_p = 1, .seed = 42};
    return voice;
}

static void test_round_trip(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    int32_t global[] = {0, 19, 7}, semantic[] = {1, 2, 7, 0};
    struct mill_voice voice = whole_voice(&model, global, semantic), back;
    struct mill_error err = {""};
    if (mill_voice_write(&voice, path, &err) < 0)
        fail_msg("%s", err.text);
    if (mill_voice_read(&back, path, &model, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(back.name, "anna");
    assert_string_equal(back.model, model.id);
    assert_string_equal(back.language, voice.language);
    assert_string_equal(back.licence, voice.licence);
    assert_string_equal(back.consent.statement, voice.consent.statement);
    assert_string_equal(back.consent.who, voice.consent.who);
    assert_string_equal(back.consent.when, voice.consent.when);
    assert_string_equal(back.consent.purpose, voice.consent.purpose);
    assert_string_equal(back.provenance.recording_sha256, voice.provenance.recording_sha256);
    assert_string_equal(back.provenance.date, voice.provenance.date);
    assert_string_equal(back.transcript, voice.transcript);
    assert_true(back.provenance.seconds == 6.06 && back.sampling.given);
    assert_true(back.sampling.temperature == 0.7 && back.sampling.top_p == 1);
    assert_int_equal(back.sampling.seed, 42);
    assert_int_equal(back.n_global, 3);
    assert_memory_equal(back.global, global, sizeof global);
    assert_int_equal(back.n_semantic, 4);
    assert_memory_equal(back.semantic, semantic, sizeof semantic);
    assert_null(back.revoked.when);
    mill_voice_deinit(&back);
    mill_voice_deinit(&back);
    unlink(path);
    assert_int_equal(mill_voice_read(&back, path, &model, &err), MILL_E_NOT_FOUND);
    assert_int_equal(mill_voice_write(&voice, MILL_SCRATCH "/none/x.json", &err), MILL_E_IO);
}

static void test_minimal(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    int32_t global[] = {1, 2, 3};
    struct mill_voice voice = small_voice(&model, global), back;
    assert_int_equal(mill_voice_write(&voice, path, NULL), MILL_OK);
    assert_int_equal(mill_voice_read(&back, path, &model, NULL), MILL_OK);
    assert_null(back.consent.statement);
    assert_null(back.transcript);
    assert_null(back.semantic);
    assert_false(back.sampling.given);
    mill_voice_deinit(&back);
    unlink(path);
}

/* What could not be read is not written. */
static void test_bad_is_not_written(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    int32_t global[] = {0, 19, 7}, semantic[] = {1, 2, 7, 0};
    for (int i = 0; i < 10; i++) {
        struct mill_voice voice = whole_voice(&model, global, semantic);
        voice.name = i == 0 ? "../x" : i == 1 ? "" : voice.name;
        voice.consent.when = i == 2 ? "yesterday" : voice.consent.when;
        voice.consent.who = i == 3 ? "a\x1b[2J" : i == 4 ? "\xff" : voice.consent.who;
        voice.language = i == 5 ? "english (British)" : voice.language;
        voice.transcript = i == 6 ? NULL : voice.transcript;
        voice.sampling.temperature = i == 7 ? 0.001 : voice.sampling.temperature;
        voice.n_global = i == 8 ? 0 : voice.n_global;
        voice.model = i == 9 ? "0123" : voice.model;
        struct mill_error err = {""};
        if (mill_voice_write(&voice, path, &err) != MILL_E_INPUT || err.text[0] == '\0')
            fail_msg("case %d: '%s'", i, err.text);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

/* ------------------------------------------------------------------ bad files */

/* The file's JSON, to be changed. */
static json_t *whole_json(const struct mill_voice_model *model) {
    int32_t global[] = {0, 19, 7}, semantic[] = {1, 2, 7, 0};
    struct mill_voice voice = whole_voice(model, global, semantic);
    json_t *root = NULL;
    assert_int_equal(mill_voice_write(&voice, path, NULL), MILL_OK);
    assert_int_equal(mill_json_open(&root, path, MILL_VOICE_FILE_BYTES, NULL), MILL_OK);
    unlink(path);
    return root;
}

static mill_status parse_json(const json_t *root, const struct mill_voice_model *model,
                              struct mill_error *err) {
    char *text = json_dumps(root, JSON_COMPACT);
    struct mill_voice voice;
    mill_status status = mill_voice_parse(&voice, "v.voice", text, strlen(text), model, err);
    if (status < 0) {
        assert_null(voice.global);
        assert_null(voice.source);
    }
    mill_voice_deinit(&voice);
    free(text);
    return status;
}

static void seal(json_t *root) {
    char hex[MILL_VOICE_HASH_BYTES];
    assert_int_equal(mill_voice_checksum(hex, root, NULL), MILL_OK);
    json_object_set_new(root, "checksum", json_string(hex));
}

/* A change of one key, sealed again: each has its message. */
static void test_bad_values(void **state) {
    (void)state;
    static const struct {
        const char *part, *key, *value /* JSON; NULL = taken out */, *message;
    } cases[] = {
        {NULL, "more", "1", "unknown key 'more'"},
        {"consent", "more", "1", "'consent': unknown key 'more'"},
        {"provenance", "more", "1", "'provenance': unknown key"},
        {"sampling", "top_q", "1", "'sampling': unknown key"},
        {NULL, "format", "\"voice\"", "'voice' is not"},
        {NULL, "version", "2", "2 is not known here"},
        {NULL, "version", "\"1\"", "version"},
        {NULL, "model", NULL, "'model' is missing"},
        {NULL, "model", "\"0123456789ABCDEF\"", "digits"},
        {NULL, "model", "\"0123456789abcdef\"", "make the voice again"},
        {NULL, "name", "\"../../etc/passwd\"", "no name for a voice"},
        {NULL, "name", "\".hidden\"", "no name for a voice"},
        {NULL, "name", "\"a.voice\"", "no name for a voice"},
        {NULL, "name", "\"a b\"", "no name for a voice"},
        {NULL, "name", "\"a\\u0000b\"", ""},
        {NULL, "language", "\"e\"", "language tag"},
        {NULL, "language", "\"en--GB\"", "language tag"},
        {NULL, "language", "\"en-\"", "language tag"},
        {NULL, "licence", "\"a\\nb\"", "control character"},
        {NULL, "licence", "\"a\\u009bb\"", "control character"},
        {NULL, "licence", "\"\"", "empty"},
        {NULL, "consent", "[]", "consent"},
        {"consent", "statement", NULL, "'statement' is missing"},
        {"consent", "when", NULL, "'when' is missing"},
        {"consent", "when", "\"2026-02-29T00:00:00Z\"", "is not a time"},
        {"consent", "when", "\"2026-05-31T24:00:00Z\"", "is not a time"},
        {"consent", "when", "\"2026-05-31 12:00:00Z\"", "is not a time"},
        {"provenance", "recording_sha256", NULL, "belong together"},
        {"provenance", "seconds", NULL, "belong together"},
        {"provenance", "seconds", "-1", "seconds"},
        {"provenance", "recording_sha256", "\"12\"", "digits"},
        {NULL, "provenance", NULL, "provenance"},
        {NULL, "global_tokens", "[1, 2]", "2 numbers where the model has 3"},
        {NULL, "global_tokens", "[1, 2, 3, 4]", "4 numbers where the model has 3"},
        {NULL, "global_tokens", "[1, 2, 20]", "is 20"},
        {NULL, "global_tokens", "[1, -1, 3]", "is -1"},
        {NULL, "global_tokens", "[1, 2.5, 3]", "fraction"},
        {NULL, "global_tokens", "\"1, 2, 3\"", "list"},
        {NULL, "global_tokens", "[]", "empty"},
        {NULL, "semantic_tokens", "[8]", "is 8"},
        {NULL, "semantic_tokens", NULL, "belong together"},
        {NULL, "transcript", NULL, "belong together"},
        {NULL, "transcript", "\"\"", "empty"},
        {"sampling", "temperature", "0.001", "temperature"},
        {"sampling", "temperature", "-1", "temperature"},
        {"sampling", "top_p", "0", "top_p"},
        {"sampling", "top_k", "1.5", "top_k"},
        {"sampling", "seed", "-1", "seed"},
        {"sampling", "seed", NULL, "'seed' is missing"},
        {NULL, "revoked", "{\"why\": \"\"}", "'when' is missing"},
        {NULL, "revoked", "true", "revoked"},
    };
    struct mill_voice_model model = small_model();
    json_t *whole = whole_json(&model);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = json_deep_copy(whole);
        json_t *part = cases[i].part ? json_object_get(root, cases[i].part) : root;
        if (cases[i].value)
            json_object_set_new(part, cases[i].key,
                                json_loads(cases[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
        else
            json_object_del(part, cases[i].key);
        seal(root);
        struct mill_error err = {""};
        mill_status status = parse_json(root, &model, &err);
        if (status != MILL_E_INPUT || !strstr(err.text, cases[i].message) ||
            !strstr(err.text, "v.voice"))
            fail_msg("case %zu: status %d, '%s'", i, status, err.text);
        json_decref(root);
    }
    assert_int_equal(parse_json(whole, &model, NULL), MILL_OK);
    json_decref(whole);
}

static void test_damage(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    struct mill_error err = {""};
    json_t *whole = whole_json(&model), *root = json_deep_copy(whole);
    json_array_set_new(json_object_get(root, "global_tokens"), 0, json_integer(1));
    assert_int_equal(parse_json(root, NULL, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "damaged or was edited"));
    json_decref(root);
    char *text = json_dumps(whole, JSON_COMPACT);
    struct mill_voice voice;
    for (size_t n = 0; n < strlen(text); n++) /* cut anywhere */
        assert_int_equal(mill_voice_parse(&voice, "v", text, n, NULL, &err), MILL_E_INPUT);
    static const char *const others[] = {"[]", "7", "{}", "null", "\"\"", "{\"format\": 1}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(mill_voice_parse(&voice, "v", others[i], strlen(others[i]), NULL, &err),
                         MILL_E_INPUT);
    free(text);
    json_decref(whole);
}

/* The order of keys and the spaces between them are not part of a file's meaning. */
static void test_other_layout(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    json_t *whole = whole_json(&model);
    char *text = json_dumps(whole, JSON_INDENT(4) | JSON_SORT_KEYS);
    struct mill_voice voice;
    assert_int_equal(mill_voice_parse(&voice, "v", text, strlen(text), &model, NULL), MILL_OK);
    mill_voice_deinit(&voice);
    free(text);
    json_decref(whole);
}

/* ------------------------------------------------------------------ names, ids */

static void test_names(void **state) {
    (void)state;
    static const char *const good[] = {"a", "Anna-2.test_X", "0", "-", "a.", "a..b", "voice"};
    static const char *const bad[] = {"",      ".",        "..",     ".a",   "a/b",     "a b",
                                      "a\n",   "\xc3\xa4", "a\\b",   "a:b",  "x.voice", "x.json",
                                      "a\x7f", "*",        ".voice", "~anna"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(mill_voice_check_name(good[i], NULL), MILL_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mill_voice_check_name(bad[i], NULL), MILL_E_INPUT);
    char longest[66];
    memset(longest, 'n', sizeof longest);
    longest[65] = '\0';
    assert_int_equal(mill_voice_check_name(longest, NULL), MILL_E_INPUT);
    longest[64] = '\0';
    assert_int_equal(mill_voice_check_name(longest, NULL), MILL_OK);

    static const char *const paths[][2] = {{"/a/b.c/anna.voice", "anna"},
                                           {"anna.voice.json", "voice"},
                                           {"/a.b/.hidden", "voice"},
                                           {"\xc3\xa9t\xc3\xa9.voice", "__t__"},
                                           {"", "voice"},
                                           {"a b", "a_b"}};
    char name[MILL_VOICE_NAME_BYTES];
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mill_voice_name_from_path(name, paths[i][0]);
        assert_string_equal(name, paths[i][1]);
    }
}

static void test_ids(void **state) {
    (void)state;
    struct mill_voice_model model = small_model(), other;
    struct mill_shape shape = small_shape();
    int32_t global[] = {1, 2, 3}, semantic[] = {1, 2, 3, 4};
    struct mill_voice voice = whole_voice(&model, global, semantic);
    char id[MILL_VOICE_ID_BYTES], same[MILL_VOICE_ID_BYTES], consent[MILL_VOICE_ID_BYTES];
    assert_int_equal(mill_voice_id(id, &voice, NULL), MILL_OK);
    assert_int_equal(mill_voice_consent_id(consent, &voice, NULL), MILL_OK);
    voice.name = "berta"; /* the same voice under another name, with another prompt */
    voice.transcript = NULL;
    assert_int_equal(mill_voice_id(same, &voice, NULL), MILL_OK);
    assert_string_equal(id, same);
    global[2] = 4;
    assert_int_equal(mill_voice_id(same, &voice, NULL), MILL_OK);
    assert_string_not_equal(id, same);
    voice.consent.who = "Berta";
    assert_int_equal(mill_voice_consent_id(same, &voice, NULL), MILL_OK);
    assert_string_not_equal(consent, same);
    voice.consent.statement = NULL;
    assert_int_equal(mill_voice_consent_id(same, &voice, NULL), MILL_OK);
    assert_string_equal(same, "none");
    assert_int_equal(mill_voice_model_init(&other, &shape, "other", NULL), MILL_OK);
    assert_string_not_equal(model.id, other.id);
    shape.bicodec.speaker.levels[1] = 6;
    assert_int_equal(mill_voice_model_init(&other, &shape, "test", NULL), MILL_OK);
    assert_string_not_equal(model.id, other.id);
    char now[MILL_VOICE_TIME_BYTES];
    mill_voice_now(now);
    assert_true(mill_voice_time_is_valid(now));
}

static void test_revoked_file(void **state) {
    (void)state;
    struct mill_voice_model model = small_model();
    int32_t global[] = {1, 2, 3};
    struct mill_voice voice = small_voice(&model, global);
    struct mill_error err = {""};
    assert_int_equal(mill_voice_check_revoked(&voice, &err), MILL_OK);
    voice.revoked.when = "2026-05-31T12:00:00Z";
    voice.revoked.why = "she asked";
    assert_int_equal(mill_voice_check_revoked(&voice, &err), MILL_E_INPUT);
    assert_string_equal(err.text, "voice 'anna' was revoked at 2026-05-31T12:00:00Z and may not be "
                                  "used: she asked");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_bad_is_not_written),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_other_layout),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_revoked_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
