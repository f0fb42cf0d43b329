/* test_prompt.c - prompts equal the golden ones, with the token that the format forces behind. */
#include "tests/text/text_support.h"

#include "runtime/io/npy.h"
#include "runtime/text/prompt.h"
#include "runtime/text/published_tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_GLOBAL = 32, N_SPOKEN = 120, MAX_IDS = 4096 };

struct state {
    struct mill_tokenizer *tokenizer;
    struct mill_encoder *encoder;
    const struct mill_control_tokens *control;
    json_t *texts;
    const char *text[3]; /* the first three texts */
};

static int open_state(void **state) {
    struct state *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(mill_published_tokenizer_open(&s->tokenizer, NULL), MILL_OK);
    assert_int_equal(mill_encoder_open(&s->encoder, s->tokenizer, NULL), MILL_OK);
    s->control = mill_tokenizer_control_tokens(s->tokenizer);
    s->texts = json_load_file(MILL_GOLDEN "/texts.json", 0, NULL);
    assert_non_null(s->texts);
    void *it = json_object_iter(s->texts);
    for (int i = 0; i < 3; i++, it = json_object_iter_next(s->texts, it))
        s->text[i] = json_string_value(json_object_iter_value(it));
    *state = s;
    return 0;
}
static int close_state(void **state) {
    struct state *s = *state;
    json_decref(s->texts);
    mill_encoder_close(s->encoder);
    mill_tokenizer_close(s->tokenizer);
    free(s);
    return 0;
}

/* A golden prompt's ids; their number. */
static int32_t read_golden(const char *name, int32_t ids[MAX_IDS]) {
    char path[1024];
    struct mill_npy npy;
    struct mill_error err = {0};
    snprintf(path, sizeof path, "%s/tiny/lm.%s.prompt.npy", MILL_GOLDEN, name);
    if (mill_npy_open(&npy, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(npy.dtype, MILL_I32);
    assert_in_range(npy.n_elements, 1, MAX_IDS);
    int32_t n = (int32_t)npy.n_elements;
    memcpy(ids, npy.data, npy.n_elements * sizeof *ids);
    mill_npy_close(&npy);
    return n;
}

static void check_equal(const struct mill_prompt *prompt, const int32_t *golden, int32_t n) {
    assert_int_equal(prompt->n_ids, n);
    assert_memory_equal(prompt->ids, golden, (size_t)n * sizeof *golden);
}

/* The voice of all golden prompts, out of the clone prompt: 32 tokens before its last. */
static void read_voice(const struct state *s, int32_t voice[N_GLOBAL]) {
    int32_t ids[MAX_IDS], n = read_golden("clone", ids);
    for (int i = 0; i < N_GLOBAL; i++)
        voice[i] = ids[n - 1 - N_GLOBAL + i] - s->control->global.ids[0];
}

static void clone_is_golden(void **state) {
    struct state *s = *state;
    int32_t golden[MAX_IDS], n = read_golden("clone", golden), voice[N_GLOBAL];
    read_voice(s, voice);
    struct mill_prompt prompt;
    const struct mill_clone_prompt clone = {.text = s->text[0],
                                            .text_bytes = strlen(s->text[0]),
                                            .global = voice,
                                            .n_global = N_GLOBAL};
    assert_int_equal(mill_prompt_clone(&prompt, s->encoder, s->control, &clone, NULL), MILL_OK);
    golden[n++] = s->control->start_semantic_token;
    check_equal(&prompt, golden, n);
    mill_prompt_deinit(&prompt);
}

static void continuation_is_golden(void **state) {
    struct state *s = *state;
    int32_t golden[MAX_IDS], n = read_golden("continue", golden), voice[N_GLOBAL];
    int32_t spoken[N_SPOKEN];
    read_voice(s, voice);
    for (int i = 0; i < N_SPOKEN; i++)
        spoken[i] = golden[n - N_SPOKEN + i] - s->control->semantic.ids[0];
    char joined[1024];
    snprintf(joined, sizeof joined, "%s%s", s->text[1], s->text[0]);
    struct mill_prompt prompt;
    const struct mill_clone_prompt clone = {.text = joined,
                                            .text_bytes = strlen(joined),
                                            .global = voice,
                                            .n_global = N_GLOBAL,
                                            .semantic = spoken,
                                            .n_semantic = N_SPOKEN};
    assert_int_equal(mill_prompt_clone(&prompt, s->encoder, s->control, &clone, NULL), MILL_OK);
    check_equal(&prompt, golden, n);
    mill_prompt_deinit(&prompt);
}

/* This prompt's text part is the tokens of twelve texts, each encoded by itself. */
static void long_prompt_is_golden(void **state) {
    struct state *s = *state;
    int32_t golden[MAX_IDS], n = read_golden("long", golden), voice[N_GLOBAL], at = 2;
    read_voice(s, voice);
    void *it = json_object_iter(s->texts);
    for (int i = 0; i < 12; i++, it = json_object_iter_next(s->texts, it)) {
        const json_t *text = json_object_iter_value(it);
        const int32_t *ids;
        size_t n_ids;
        assert_int_equal(mill_encoder_encode(s->encoder, json_string_value(text),
                                             json_string_length(text), false, &ids, &n_ids, NULL),
                         MILL_OK);
        assert_in_range(n_ids, 1, n - at);
        assert_memory_equal(golden + at, ids, n_ids * sizeof *ids);
        at += (int32_t)n_ids;
    }
    struct mill_prompt prompt;
    const struct mill_clone_prompt clone = {.text = "", .global = voice, .n_global = N_GLOBAL};
    assert_int_equal(mill_prompt_clone(&prompt, s->encoder, s->control, &clone, NULL), MILL_OK);
    assert_int_equal(prompt.n_ids - 1, n - at + 2);
    assert_memory_equal(prompt.ids, golden, 2 * sizeof *golden);
    assert_memory_equal(prompt.ids + 2, golden + at, (size_t)(n - at) * sizeof *golden);
    mill_prompt_deinit(&prompt);
}

static void creation_is_golden(void **state) {
    struct state *s = *state;
    int32_t golden[MAX_IDS], n = read_golden("create", golden);
    struct mill_prompt prompt;
    struct mill_create_prompt create = {.text = s->text[2],
                                        .text_bytes = strlen(s->text[2]),
                                        .gender = 1,
                                        .pitch = 3,
                                        .speed = 2,
                                        .pitch_value = -1,
                                        .speed_value = -1};
    assert_int_equal(mill_prompt_create(&prompt, s->encoder, s->control, &create, NULL), MILL_OK);
    golden[n++] = 165149;
    check_equal(&prompt, golden, n);
    mill_prompt_deinit(&prompt);
    create.pitch_value = 283;
    create.speed_value = 4;
    assert_int_equal(mill_prompt_create(&prompt, s->encoder, s->control, &create, NULL), MILL_OK);
    golden[n++] = 163953 + 283;
    golden[n++] = 164975 + 4;
    golden[n++] = 165155;
    check_equal(&prompt, golden, n);
    mill_prompt_deinit(&prompt);
}

static void wrong_codes_are_refused(void **state) {
    struct state *s = *state;
    const int32_t wrong[] = {-1, 4096}, wrong_semantic[] = {8192};
    struct mill_prompt prompt;
    struct mill_error err = {0};
    for (int i = 0; i < 2; i++) {
        const struct mill_clone_prompt clone = {.text = "", .global = wrong + i, .n_global = 1};
        assert_int_equal(mill_prompt_clone(&prompt, s->encoder, s->control, &clone, &err),
                         MILL_E_INPUT);
        assert_non_null(strstr(err.text, "global token"));
    }
    const struct mill_clone_prompt clone = {
        .text = "", .semantic = wrong_semantic, .n_semantic = 1};
    assert_int_equal(mill_prompt_clone(&prompt, s->encoder, s->control, &clone, &err),
                     MILL_E_INPUT);
    static const struct mill_create_prompt creations[] = {
        {.text = "", .gender = 3, .pitch_value = -1, .speed_value = -1},
        {.text = "", .pitch = 5, .pitch_value = -1, .speed_value = -1},
        {.text = "", .speed = -1, .pitch_value = -1, .speed_value = -1},
        {.text = "", .pitch_value = 100, .speed_value = -1},
        {.text = "", .pitch_value = -1, .speed_value = 3},
        {.text = "", .pitch_value = 1001, .speed_value = 3},
        {.text = "", .pitch_value = 100, .speed_value = 11}};
    for (size_t i = 0; i < sizeof creations / sizeof *creations; i++)
        assert_int_equal(mill_prompt_create(&prompt, s->encoder, s->control, &creations[i], NULL),
                         MILL_E_INPUT);
    assert_null(prompt.ids);
}

/* The examples of the published scale. */
static void pitch_is_mel(void **state) {
    (void)state;
    assert_int_equal(mill_pitch_value_from_hz(100), 150);
    assert_int_equal(mill_pitch_value_from_hz(120), 178);
    assert_int_equal(mill_pitch_value_from_hz(200), 283);
    assert_int_equal(mill_pitch_value_from_hz(300), 401);
    assert_int_equal(mill_pitch_value_from_hz(0), 0);
    assert_int_equal(mill_pitch_value_from_hz(-1e9), 0);
    assert_int_equal(mill_pitch_value_from_hz(1e300), 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clone_is_golden),         cmocka_unit_test(continuation_is_golden),
        cmocka_unit_test(long_prompt_is_golden),   cmocka_unit_test(creation_is_golden),
        cmocka_unit_test(wrong_codes_are_refused), cmocka_unit_test(pitch_is_mel),
    };
    return cmocka_run_group_tests(tests, open_state, close_state);
}
