/* test_wire_speech.c - the body of a speech request: every field, its default and its range; what
 * is refused names the field. */
#include "runtime/server/wire_speech.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BASE "\"model\":\"m\",\"input\":\"Hello.\",\"voice\":\"alloy\""

static mill_status read_body(const char *body, struct mill_speech_wish *wish,
                             struct mill_problem *problem) {
    return mill_wire_speech_read(body, strlen(body), 10, wish, problem);
}

static void must_read(const char *body, struct mill_speech_wish *wish) {
    struct mill_problem problem;
    if (read_body(body, wish, &problem) != MILL_OK)
        fail_msg("%s: %s", body, problem.message);
}

static void test_defaults(void **state) {
    (void)state;
    struct mill_speech_wish w;
    must_read("{" BASE "}", &w);
    assert_string_equal(w.model, "m");
    assert_string_equal(w.input, "Hello.");
    assert_int_equal(w.input_bytes, 6);
    assert_string_equal(w.voice, "alloy");
    assert_int_equal(w.format, MILL_AUDIO_MP3);
    assert_false(w.is_sse);
    assert_true(w.speed == 1);
    assert_true(w.temperature < 0 && w.top_p < 0 && w.deadline_s == 0);
    assert_true(w.top_k == -1 && w.seed == -1 && w.redraws == -1);
    assert_true(w.priority == INT64_MIN);
    assert_int_equal(w.labels.gender, -1);
    assert_int_equal(w.output_rate, 0);
    mill_speech_wish_deinit(&w);
}

/* Nothing of a hostile name keeps a client from reading why it was refused. */
static void test_message_in_json(void **state) {
    (void)state;
    struct mill_speech_wish w;
    struct mill_problem problem;
    char body[300] = "{\"xy";
    for (int i = 0; i < 40; i++)
        strncat(body, "\u20ac",
                sizeof body - strlen(body) -
                    1); /* three bytes: a name that is shown in part is cut within one */
    strncat(body, "\":1}", sizeof body - strlen(body) - 1);
    assert_int_equal(read_body(body, &w, &problem), MILL_E_INPUT);
    json_t *envelope = mill_problem_envelope(&problem), *error = json_object_get(envelope, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    assert_non_null(message);
    assert_string_equal(message, problem.message);
    assert_memory_equal(message, "there is no field 'xy\u20ac", 24);
    json_decref(envelope);
}

static void test_fields(void **state) {
    (void)state;
    struct mill_speech_wish w;
    must_read(
        "{" BASE ",\"response_format\":\"pcm\",\"speed\":0.25,\"stream_format\":\"sse\","
        "\"instructions\":\"a deep voice\",\"sparkmill\":{\"seed\":9007199254740992,"
        "\"temperature\":0,\"top_k\":0,\"top_p\":1,\"gender\":\"male\",\"rate\":\"very_high\","
        "\"priority\":-2,\"redraws\":0,\"deadline_ms\":1500}}",
        &w);
    assert_int_equal(w.format, MILL_AUDIO_PCM);
    assert_true(w.is_sse && w.speed == 0.25);
    assert_int_equal(w.labels.gender, 1);
    assert_int_equal(w.labels.pitch, 1);
    assert_int_equal(w.labels.rate, 4);
    assert_true(w.seed == INT64_C(9007199254740992) && w.temperature == 0 && w.top_k == 0);
    assert_true(w.top_p == 1 && w.priority == -2 && w.redraws == 0 && w.deadline_s == 1.5);
    assert_int_equal(w.output_rate, 24000); /* OpenAI's for what cannot say its rate */
    mill_speech_wish_deinit(&w);
    must_read(
        "{\"model\":\"m\",\"input\":\"\xe4\xbd\xa0\xe5\xa5\xbd\",\"voice\":{\"id\":\"voice_1\"},"
        "\"instructions\":\"\",\"sparkmill\":{\"sample_rate\":48000}}",
        &w);
    assert_string_equal(w.voice, "voice_1");
    assert_int_equal(w.output_rate, 48000);
    mill_speech_wish_deinit(&w);
}

static void refuse(const char *body, const char *param, const char *code) {
    struct mill_speech_wish wish;
    struct mill_problem problem;
    if (read_body(body, &wish, &problem) == MILL_OK)
        fail_msg("taken: %s", body);
    if (problem.status != 400 || strcmp(problem.param, param) != 0 ||
        strcmp(problem.code, code) != 0 || problem.message[0] == '\0')
        fail_msg("%s: %d %s '%s' %s", body, problem.status, problem.code, problem.param,
                 problem.message);
    assert_null(wish.source);
}

static void test_refused(void **state) {
    (void)state;
    refuse("", "", "invalid_json");
    refuse("[]", "", "invalid_json");
    refuse("{" BASE ",\"speed\":1e400}", "", "invalid_json");
    refuse("{" BASE ",\"model\":\"n\"}", "", "invalid_json");
    refuse("{\"model\":\"m\",\"voice\":\"v\",\"input\":\"a\\u0000b\"}", "", "invalid_json");
    refuse("{\"model\":\"m\",\"voice\":\"v\",\"input\":\"\xff\"}", "", "invalid_json");
    refuse("{" BASE ",\"stream\":true}", "stream", "unknown_parameter");
    struct mill_speech_wish unread;
    struct mill_problem misplaced;
    assert_int_equal(read_body("{" BASE ",\"seed\":1}", &unread, &misplaced), MILL_E_INPUT);
    assert_non_null(strstr(misplaced.message, "'seed': it is one of \"sparkmill\""));
    refuse("{" BASE ",\"sparkmill\":{\"sede\":1}}", "sede", "unknown_parameter");
    refuse("{\"input\":\"a\",\"voice\":\"v\"}", "model", "missing_required_parameter");
    refuse("{\"model\":\"m\",\"voice\":\"v\"}", "input", "missing_required_parameter");
    refuse("{\"model\":\"m\",\"input\":\"a\"}", "voice", "missing_required_parameter");
    refuse("{\"model\":\"m\",\"voice\":\"v\",\"input\":\"\"}", "input", "invalid_value");
    refuse("{\"model\":\"m\",\"voice\":\"v\",\"input\":\"01234567890\"}", "input",
           "string_above_max_length");
    refuse("{\"model\":\"m\",\"voice\":7,\"input\":\"a\"}", "voice", "invalid_value");
    refuse("{\"model\":\"m\",\"voice\":{\"id\":\"v\",\"x\":1},\"input\":\"a\"}", "voice",
           "invalid_value");
    refuse("{" BASE ",\"response_format\":\"m4a\"}", "response_format", "invalid_value");
    refuse("{" BASE ",\"response_format\":null}", "response_format", "invalid_value");
    refuse("{" BASE ",\"stream_format\":\"\"}", "stream_format", "invalid_value");
    refuse("{" BASE ",\"instructions\":\"sing\"}", "instructions", "invalid_value");
    refuse("{" BASE ",\"sparkmill\":[]}", "sparkmill", "invalid_value");
    refuse("{" BASE ",\"instructions\":\"male\",\"sparkmill\":{\"gender\":\"female\"}}",
           "instructions", "invalid_value");
    refuse("{" BASE ",\"sparkmill\":{\"temperature\":0.001}}", "temperature", "invalid_value");
}

/* Every number: below and above its range, and what is no number. */
static void test_numbers(void **state) {
    (void)state;
    static const struct {
        const char *name, *low, *below, *high, *above;
        int is_ours, is_whole;
    } fields[] = {
        {"speed", "0.25", "0.2499", "4", "4.001", 0, 0},
        {"seed", "0", "-1", "9007199254740992", "9007199254740994", 1, 1},
        {"temperature", "0", "-0.1", "100", "100.1", 1, 0},
        {"top_k", "0", "-1", "1000000", "1000001", 1, 1},
        {"top_p", "0.000001", "0", "1", "1.0001", 1, 0},
        {"priority", "-2", "-3", "2", "3", 1, 1},
        {"redraws", "0", "-1", "100", "101", 1, 1},
        {"deadline_ms", "1", "0", "86400000", "86400001", 1, 1},
        {"clause_ms", "0", "-1", "60000", "60001", 1, 1},
        {"sentence_ms", "0", "-1", "60000", "60001", 1, 1},
        {"paragraph_ms", "0", "-1", "60000", "60001", 1, 1},
        {"sample_rate", "8000", "7999", "48000", "48001", 1, 1},
    };
    char body[256];
    struct mill_speech_wish wish;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *before = fields[i].is_ours ? "\"sparkmill\":{" : "";
        const char *behind = fields[i].is_ours ? "}" : "";
        const char *bad[] = {fields[i].below,
                             fields[i].above,
                             "true",
                             "\"1\"",
                             "null",
                             "[]",
                             "{}",
                             "-9223372036854775808",
                             fields[i].is_whole ? "1.5" : "-0.5"};
        const char *good[] = {fields[i].low, fields[i].high};
        for (int j = 0; j < 2; j++) {
            snprintf(body, sizeof body, "{" BASE ",%s\"%s\":%s%s}", before, fields[i].name, good[j],
                     behind);
            must_read(body, &wish);
            mill_speech_wish_deinit(&wish);
        }
        for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
            snprintf(body, sizeof body, "{" BASE ",%s\"%s\":%s%s}", before, fields[i].name, bad[j],
                     behind);
            refuse(body, fields[i].name, "invalid_value");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_message_in_json),
        cmocka_unit_test(test_fields), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
