/* test_utterance.c - runtime/engine/utterance.c driven by drawn tokens alone: what is known after
 * each, what is to be drawn next, the ends, beginning again, and every refusal. */
#include "tests/engine/fake_tokens.h"

#include "runtime/engine/utterance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const int32_t prompt[] = {TEXT, 8, TEXT, 9, START_SEMANTIC};
static const int32_t voice[N_VOICE] = {3, 0, 2};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

static struct mill_grammar_tokens tokens;

static int set_up(void **state) {
    (void)state;
    return mill_grammar_tokens_init(&tokens, &fake_control, N_VOICE, NULL);
}

static int tear_down(void **state) {
    (void)state;
    mill_grammar_tokens_deinit(&tokens);
    return 0;
}

static struct mill_utterance open_utterance(enum mill_grammar_start start, bool unrestricted,
                                            int32_t max_frames) {
    const struct mill_utterance_options options = {.prompt = prompt,
                                                   .n_prompt = N_PROMPT,
                                                   .start = start,
                                                   .unrestricted = unrestricted,
                                                   .global =
                                                       start == MILL_GRAMMAR_SPEAK ? voice : NULL,
                                                   .temperature = 0.5f,
                                                   .top_p = 0.25f,
                                                   .top_k = 7,
                                                   .seed = 11,
                                                   .max_frames = max_frames};
    struct mill_utterance u;
    assert_int_equal(mill_utterance_init(&u, &options, &tokens, NULL), MILL_OK);
    return u;
}

/* The draw's number and set, then the token. */
static void say(struct mill_utterance *u, enum mill_legal_set legal, int32_t token) {
    struct mill_draw draw = mill_utterance_draw(u, 3);
    assert_int_equal(draw.row, 3);
    assert_int_equal(draw.legal, legal);
    assert_int_equal(draw.position, u->n_draws);
    assert_int_equal(draw.seed, u->options.seed);
    assert_true(draw.temperature == 0.5f && draw.top_p == 0.25f && draw.top_k == 7);
    struct mill_error err = {""};
    if (mill_utterance_accept(u, token, &err) != MILL_OK)
        fail_msg("%s", err.text);
}

static void test_speaks(void **state) {
    (void)state;
    struct mill_utterance u = open_utterance(MILL_GRAMMAR_SPEAK, false, 100);
    for (int round = 0; round < 2; round++) { /* the second time after restart */
        assert_int_equal(u.n_ids, N_PROMPT);
        assert_memory_equal(u.ids, prompt, sizeof prompt);
        say(&u, MILL_LEGAL_SEMANTIC, 42);
        say(&u, MILL_LEGAL_SEMANTIC, 60);
        assert_int_equal(u.n_ids, N_PROMPT + 2);
        assert_int_equal(u.end, MILL_UTTERANCE_RUNNING);
        say(&u, MILL_LEGAL_SEMANTIC, IM_END);
        assert_int_equal(u.end, MILL_UTTERANCE_IM_END);
        assert_int_equal(u.n_ids, N_PROMPT + 2);
        assert_int_equal(u.n_semantic, 2);
        assert_true(u.semantic[0] == 2 && u.semantic[1] == 3);
        assert_memory_equal(u.global, voice, sizeof voice);
        assert_int_equal(mill_utterance_restart(&u, 99, NULL), MILL_OK);
        assert_int_equal(u.options.seed, 99);
        assert_int_equal(u.n_semantic + u.n_draws + u.end, 0);
    }
    mill_utterance_deinit(&u);
}

static void test_creates(void **state) {
    (void)state;
    struct mill_utterance u = open_utterance(MILL_GRAMMAR_CREATE, false, 100);
    for (int round = 0; round < 2; round++) {
        say(&u, MILL_LEGAL_PITCH, 10);
        say(&u, MILL_LEGAL_SPEED, 12); /* two forced tokens come with it */
        assert_int_equal(u.n_ids, N_PROMPT + 4);
        say(&u, MILL_LEGAL_GLOBAL, 20);
        say(&u, MILL_LEGAL_GLOBAL, 21);
        say(&u, MILL_LEGAL_GLOBAL, 30); /* likewise */
        assert_int_equal(u.n_ids, N_PROMPT + 9);
        const int32_t want[N_VOICE] = {1, 3, 0};
        assert_memory_equal(u.global, want, sizeof want);
        say(&u, MILL_LEGAL_SEMANTIC, 61);
        assert_int_equal(u.n_semantic, 1);
        assert_int_equal(mill_utterance_restart(&u, 12, NULL), MILL_OK);
        assert_int_equal(u.n_global, 0);
    }
    mill_utterance_deinit(&u);
    u = open_utterance(MILL_GRAMMAR_CREATE_VALUES, false, 100);
    assert_int_equal(u.n_ids, N_PROMPT + 1); /* start_global is known from the start */
    say(&u, MILL_LEGAL_GLOBAL, 20);
    assert_int_equal(mill_utterance_restart(&u, 12, NULL), MILL_OK);
    assert_int_equal(u.n_ids, N_PROMPT + 1);
    mill_utterance_deinit(&u);
}

static void test_limits(void **state) {
    (void)state;
    for (int32_t limit = 1; limit < 5; limit++) {
        struct mill_utterance u = open_utterance(MILL_GRAMMAR_SPEAK, false, limit);
        for (int32_t i = 0; i < limit; i++) {
            assert_int_equal(u.end, MILL_UTTERANCE_RUNNING);
            say(&u, MILL_LEGAL_SEMANTIC, 40);
        }
        assert_int_equal(u.end, MILL_UTTERANCE_LIMIT);
        assert_true(u.n_ids <= u.max_ids);
        mill_utterance_deinit(&u);
    }
}

static void test_unrestricted(void **state) {
    (void)state;
    struct mill_error err = {""};
    struct mill_utterance u = open_utterance(MILL_GRAMMAR_CREATE, true, 10);
    static const int32_t script[] = {10, END_ACOUSTIC, 20, 21, 30, TEXT, 42, TEXT, 60, IM_END};
    for (size_t i = 0; i < sizeof script / sizeof *script; i++)
        say(&u, MILL_LEGAL_ANY, script[i]);
    assert_int_equal(u.end, MILL_UTTERANCE_IM_END);
    assert_int_equal(u.n_semantic, 2);
    mill_utterance_deinit(&u);
    u = open_utterance(MILL_GRAMMAR_SPEAK, true, 10); /* nothing but other tokens */
    mill_status status = MILL_OK;
    while (status == MILL_OK && u.end == MILL_UTTERANCE_RUNNING)
        status = mill_utterance_accept(&u, TEXT, &err);
    assert_int_equal(status, MILL_E_NOT_FOUND);
    assert_int_equal(u.end, MILL_UTTERANCE_LIMIT);
    assert_int_equal(u.n_ids, u.max_ids);
    mill_utterance_deinit(&u);
}

static void test_refused(void **state) {
    (void)state;
    struct mill_error err = {""};
    struct mill_utterance u = open_utterance(MILL_GRAMMAR_SPEAK, false, 10);
    assert_int_equal(mill_utterance_accept(&u, -1, &err), MILL_E_NUMERIC);
    assert_non_null(strstr(err.text, "not finite"));
    assert_int_equal(mill_utterance_accept(&u, IM_END, &err), MILL_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "before its first sound"));
    mill_utterance_deinit(&u);
    struct mill_utterance_options options = {.prompt = prompt,
                                             .n_prompt = N_PROMPT,
                                             .start = MILL_GRAMMAR_SPEAK,
                                             .global = voice,
                                             .max_frames = 10};
    struct mill_utterance_options bad = options;
    bad.global = NULL;
    assert_int_equal(mill_utterance_init(&u, &bad, &tokens, NULL), MILL_E_INPUT);
    bad = options;
    bad.n_prompt = 0;
    assert_int_equal(mill_utterance_init(&u, &bad, &tokens, NULL), MILL_E_INPUT);
    bad = options;
    bad.max_frames = 0;
    assert_int_equal(mill_utterance_init(&u, &bad, &tokens, NULL), MILL_E_INPUT);
    bad = options;
    bad.max_frames = INT32_MAX;
    assert_int_equal(mill_utterance_init(&u, &bad, &tokens, NULL), MILL_E_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_speaks),  cmocka_unit_test(test_creates),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_unrestricted),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
