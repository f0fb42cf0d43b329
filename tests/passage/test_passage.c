/* test_passage.c - how segments are sent on their way and put together, with an engine that the
 * test plays: rests, voices, order, bounds, failures, waking. */
#include "tests/passage/passage_fixture.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/icu_memory.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `value` from `at` on for n samples. */
static size_t expect(const float *samples, size_t at, float value, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (samples[at + i] != value)
            fail_msg("sample %zu is %g, not %g", at + i, (double)samples[at + i], (double)value);
    return at + n;
}

static void test_rests(void **state) {
    (void)state;
    static const struct {
        size_t tail_ms, head_ms;
    } cases[] = {{0, 0}, {20, 10}, {500, 0}, {0, 500}, {500, 500}, {50, 50}, {90, 40}, {60, 300}};
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_engine engine;
        fake_engine_init(&engine);
        const struct mill_passage_options options = options_for("One.\n\nTwo.");
        struct mill_passage *passage = open_with(&engine, &options);
        assert_int_equal(engine.n_requests, 2);
        say(&engine, 0, 30, 0.5f, 200, cases[i].tail_ms);
        say(&engine, 1, cases[i].head_ms, 0.25f, 200, 40);
        size_t n = 0, at = 0;
        assert_int_equal(read_all(passage, 333, out, &n), MILL_DONE);
        at = expect(out, at, 0, 30 * MS); /* the outer edges stay */
        at = expect(out, at, 0.5f, 200 * MS);
        at = expect(out, at, 0, 100 * MS);
        at = expect(out, at, 0.25f, 200 * MS);
        at = expect(out, at, 0, 40 * MS);
        assert_int_equal(n, at);
        mill_passage_close(passage);
        assert_true(engine.requests[0].freed && engine.requests[1].freed);
        assert_int_equal(engine.n_places, 0);
    }
    free(out);
}

/* What the model made of a rest is kept in it. */
static void test_rests_keep_what_is_there(void **state) {
    (void)state;
    struct mill_engine engine;
    fake_engine_init(&engine);
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    const struct mill_passage_options options = options_for("One.\n\nTwo.");
    struct mill_passage *passage = open_with(&engine, &options);
    for (int i = 0; i < 2; i++) {
        fake_deliver(&engine, i, 0.001f, 30 * MS); /* breath */
        fake_deliver(&engine, i, 0.5f, 100 * MS);
        fake_deliver(&engine, i, 0.002f, 30 * MS);
        fake_end(&engine, i, MILL_OK);
    }
    size_t n = 0, at = 0;
    assert_int_equal(read_all(passage, 1000, out, &n), MILL_DONE);
    for (int i = 0; i < 2; i++) {
        at = expect(out, at, 0.001f, 30 * MS);
        at = expect(out, at, 0.5f, 100 * MS);
        at = expect(out, at, 0.002f, 30 * MS);
        if (i == 0)
            at = expect(out, at, 0, 40 * MS);
    }
    assert_int_equal(n, at);
    mill_passage_close(passage);
    free(out);
}

/* A model with room for few tokens says less at once; less still behind a recording. */
static void test_segments_fit_the_model(void **state) {
    (void)state;
    static const int32_t recording[400];
    /* 9 syllables each: 2.25 s */
    static const char text[] =
        "The bread was warm in the morning. The bread was warm in the morning. "
        "The bread was warm in the morning. The bread was warm in the morning. "
        "The bread was warm in the morning. The bread was warm in the morning. "
        "The bread was warm in the morning. The bread was warm in the morning.";
    static const struct {
        int32_t max_tokens, n_semantic;
        int n_segments;
    } cases[] = {{32768, 0, 1}, {1024, 0, 2}, {1024, 400, 4}, {300, 0, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_engine engine;
        fake_engine_init(&engine);
        engine.info.max_tokens = cases[i].max_tokens;
        struct mill_passage_options options = options_for(text);
        options.n_ahead = 8;
        options.wish.semantic = cases[i].n_semantic ? recording : NULL;
        options.wish.n_semantic = cases[i].n_semantic;
        options.wish.transcript = cases[i].n_semantic ? "Good morning." : NULL;
        options.wish.transcript_bytes = cases[i].n_semantic ? 13 : 0;
        struct mill_passage *passage = open_with(&engine, &options);
        assert_int_equal(engine.n_requests, cases[i].n_segments);
        mill_passage_close(passage);
    }
}

static void test_arrival_does_not_matter(void **state) {
    (void)state;
    float *first = malloc(MAX_SAMPLES * sizeof *first), *out = malloc(MAX_SAMPLES * sizeof *out);
    size_t n_first = 0;
    for (int way = 0; way < 4; way++) {
        struct mill_engine engine;
        fake_engine_init(&engine);
        struct mill_passage_options options = options_for(THREE);
        options.speed = way < 2 ? 1 : 1.5;
        struct mill_passage *passage = open_with(&engine, &options);
        size_t n = 0;
        if (way % 2 == 0) {
            for (int i = 2; i >= 0; i--)
                say(&engine, i, 77, 0.1f * (float)(i + 1), 333, 111);
        } else { /* some samples at a time, read whenever there are some */
            for (int i = 0; i < 3; i++) {
                for (int k = 0; k < 521; k++) {
                    fake_deliver(&engine, i, k < 77 ? 0 : k < 410 ? 0.1f * (float)(i + 1) : 0, MS);
                    if (k % 7 == 0)
                        assert_int_equal(read_all(passage, 13, out, &n), MILL_AGAIN);
                }
                fake_end(&engine, i, MILL_OK);
            }
        }
        float *to = way % 2 == 0 ? first : out;
        size_t *n_to = way % 2 == 0 ? &n_first : &n;
        if (way % 2 == 0)
            n_first = 0;
        assert_int_equal(read_all(passage, 4096, to, n_to), MILL_DONE);
        if (way % 2 == 1) {
            assert_int_equal(n, n_first);
            assert_memory_equal(out, first, n * sizeof *out);
        }
        mill_passage_close(passage);
    }
    free(first), free(out);
}

/* Speed changes sounds and rests alike. */
static void test_speed(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_engine engine;
    fake_engine_init(&engine);
    struct mill_passage_options options = options_for("One.\n\nTwo.");
    options.speed = 2;
    struct mill_passage *passage = open_with(&engine, &options);
    say(&engine, 0, 0, 0.5f, 1000, 200);
    say(&engine, 1, 200, 0.5f, 1000, 0);
    size_t n = 0;
    assert_int_equal(read_all(passage, 500, out, &n), MILL_DONE);
    assert_in_range(n, 1040 * MS, 1060 * MS); /* 500, 50, 500 */
    mill_passage_close(passage);
    options.speed = 5;
    assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, NULL), MILL_E_INPUT);
    free(out);
}

/* What has no sound takes no time; the rests around it are both kept. */
static void test_a_silent_segment(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_engine engine;
    fake_engine_init(&engine);
    const struct mill_passage_options options = options_for(THREE);
    struct mill_passage *passage = open_with(&engine, &options);
    say(&engine, 0, 0, 0.5f, 50, 10);
    say(&engine, 1, 0, 0, 700, 0);
    say(&engine, 2, 10, 0.5f, 50, 0);
    size_t n = 0, at = 0;
    assert_int_equal(read_all(passage, 500, out, &n), MILL_DONE);
    at = expect(out, at, 0.5f, 50 * MS);
    at = expect(out, at, 0, 200 * MS);
    at = expect(out, at, 0.5f, 50 * MS);
    assert_int_equal(n, at);
    mill_passage_close(passage);
    free(out);
}

static void test_voices_and_seeds(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    for (int created = 0; created < 2; created++) {
        struct mill_engine engine;
        fake_engine_init(&engine);
        struct mill_passage_options options = options_for(THREE);
        if (created)
            options.wish.global = NULL;
        struct mill_passage *passage = open_with(&engine, &options);
        int32_t voice[FAKE_VOICE_TOKENS];
        size_t n = 0;
        assert_int_equal(engine.n_requests, created ? 1 : 3);
        assert_int_equal(mill_passage_get_voice(passage, voice), created ? MILL_AGAIN : MILL_OK);
        fake_invent(&engine, 0); /* in a stream it is known long before the end */
        fake_deliver(&engine, 0, 0.5f, 10);
        assert_int_equal(read_all(passage, 100, out, &n), MILL_AGAIN);
        assert_int_equal(engine.n_requests, 3);
        assert_int_equal(mill_passage_get_voice(passage, voice), MILL_OK);
        assert_int_equal(voice[0], created ? 1 : 9);
        assert_int_equal(engine.requests[0].wish.seed, 5);
        assert_int_equal(engine.requests[0].has_voice, !created);
        for (int i = 1; i < 3; i++) {
            const struct mill_request *r = &engine.requests[i];
            assert_true(r->has_voice);
            assert_memory_equal(r->global, voice, sizeof voice);
            assert_true(r->wish.seed != engine.requests[i - 1].wish.seed);
        }
        assert_string_equal(engine.requests[1].text, "Two.");
        mill_passage_close(passage);
    }
    free(out);
}

static mill_status find_voice(void *context, const char *name, struct mill_engine_request *wish,
                              struct mill_error *err) {
    static const int32_t anna[FAKE_VOICE_TOKENS] = {1, 2, 3, 4};
    (void)context;
    if (strcmp(name, "anna") != 0)
        return mill_fail(err, MILL_E_INPUT, "there is no voice '%s'", name);
    wish->global = anna;
    wish->n_global = FAKE_VOICE_TOKENS;
    return MILL_OK;
}

/* Rests that are asked for, before, between and behind; voices by name. */
static void test_markup(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_engine engine;
    fake_engine_init(&engine);
    struct mill_passage_options options =
        options_for("<speak><break time='20ms'/>One. <break time='30ms'/><break time='10ms'/>"
                    "<voice name='anna'><prosody rate='50%'>Two</prosody></voice>"
                    "<break time='70ms'/></speak>");
    struct mill_passage *passage;
    struct mill_error err = {""};
    options.markup = true;
    assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "no voices"));
    options.find_voice = find_voice;
    passage = open_with(&engine, &options);
    assert_string_equal(engine.requests[0].text, "One.");
    assert_string_equal(engine.requests[1].text, "Two");
    assert_int_equal(engine.requests[0].global[0], 9);
    assert_int_equal(engine.requests[1].global[0], 1);
    say(&engine, 0, 100, 0.5f, 50, 100);
    say(&engine, 1, 100, 0.5f, 100, 100);
    size_t n = 0, at = 0;
    assert_int_equal(read_all(passage, 500, out, &n), MILL_DONE);
    at = expect(out, at, 0, 20 * MS);
    at = expect(out, at, 0.5f, 50 * MS);
    at = expect(out, at, 0, 15 * MS); /* stretched is what follows */
    assert_in_range(n, (20 + 50 + 40 + 200 + 70 - 10) * MS, (20 + 50 + 40 + 200 + 70 + 10) * MS);
    mill_passage_close(passage);
    free(out);
}

static mill_status try_open(struct mill_passage_options *options, struct mill_error *err) {
    struct mill_engine engine;
    struct mill_passage *passage = NULL;
    fake_engine_init(&engine);
    options->text_bytes = strlen(options->text);
    mill_status status = mill_passage_open(&passage, &engine, options, NULL, err);
    mill_passage_close(passage);
    return status;
}

/* A short text can ask for much silence, or, by its dictionary, for much to be said. */
static void test_bounds_of_what_is_asked_for(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double
            rests_s; /* beyond the usual ones: 0.7 s behind a paragraph, 0.3 s behind a sentence */
        int32_t paragraph_ms;
    } cases[] = {
        {"<speak><break time='4s'/>One.<break time='5s'/><break time='1s'/></speak>", 10, 700},
        {"<speak><p>One.<break time='60s'/></p>.<break time='60s'/>.<p>Two.</p></speak>", 119.7,
         700},
        {"<speak><s>One.</s><s>Two.<break time='9s'/></s><s>Three.</s></speak>", 8.7, 700},
        {"<speak><p>One.</p><p>Two.</p><p>Three.</p></speak>", 0, 700},
        {"<speak><p>One.</p><p>Two.</p><p>Three.</p></speak>", 2 * 59.3, 60000},
    };
    struct mill_error err = {""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_passage_options options = options_for(cases[i].text);
        options.markup = true;
        options.paragraph_ms = cases[i].paragraph_ms;
        assert_int_equal(try_open(&options, &err), MILL_OK);
        options.max_rests_s = cases[i].rests_s + 0.001;
        if (try_open(&options, &err) != MILL_OK)
            fail_msg("case %zu: %s", i, err.text);
        options.max_rests_s = cases[i].rests_s - 0.001;
        assert_int_equal(try_open(&options, &err), MILL_E_INPUT);
        assert_non_null(strstr(err.text, "of rests"));
    }
    struct mill_passage_options options = options_for("a a a a");
    assert_int_equal(
        mill_dictionary_parse((struct mill_dictionary **)(uintptr_t)&options.dictionary, "x",
                              "a = 123456789", 13, &err),
        MILL_OK);
    options.max_spoken_bytes = 39;
    assert_int_equal(try_open(&options, &err), MILL_OK);
    options.max_spoken_bytes = 38;
    assert_int_equal(try_open(&options, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "39 bytes: at most 38 are spoken"));
    mill_dictionary_close((struct mill_dictionary *)(uintptr_t)options.dictionary);
}

static void test_bounds(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_engine engine;
    fake_engine_init(&engine);
    struct mill_passage_options options =
        options_for("1.\n\n2.\n\n3.\n\n4.\n\n5.\n\n6.\n\n7.\n\n8.");
    options.n_ahead = 1;
    options.wish.deadline_s = 100;
    struct mill_passage *passage = open_with(&engine, &options);
    assert_int_equal(engine.n_places, 1);
    size_t n = 0;
    for (int i = 0; i < 8; i++) {
        int most = i + 2 < 8 ? i + 2 : 8;
        assert_int_equal(engine.n_requests, most);
        const struct mill_engine_request *wish = &engine.requests[i].wish;
        assert_true(wish->deadline_s > 50 && wish->deadline_s <= 100);
        say(&engine, i, 0, 0.5f, 10, 0);
        assert_int_equal(read_all(passage, 100, out, &n), i < 7 ? MILL_AGAIN : MILL_DONE);
        struct mill_passage_progress progress;
        mill_passage_get_progress(passage, &progress);
        assert_int_equal(progress.n_segments, 8);
        assert_int_equal(progress.n_done, i + 1);
    }
    assert_int_equal(engine.n_places, 0);
    struct mill_request_result result;
    mill_passage_get_result(passage, &result);
    assert_int_equal(result.end, MILL_REQUEST_COMPLETE);
    assert_int_equal(result.n_draws, 8 * 10 + 28);
    assert_int_equal(result.findings, 255);
    assert_int_equal(result.n_samples, n);
    mill_passage_close(passage);
    free(out);
}

/* Where somebody listens, segments behind the one that is read are later, until it is their turn.
 */
static void test_who_is_heard_first(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    for (int streamed = 0; streamed < 2; streamed++) {
        struct mill_engine engine;
        fake_engine_init(&engine);
        struct mill_passage_options options = options_for("1.\n\n2.\n\n3.\n\n4.");
        options.wish.stream = streamed;
        options.n_ahead = 1;
        struct mill_passage *passage = open_with(&engine, &options);
        size_t n = 0;
        for (int i = 0; i < 4; i++) {
            for (int k = 0; k < engine.n_requests; k++)
                assert_int_equal(engine.requests[k].wish.later, streamed && k > i);
            say(&engine, i, 0, 0.5f, 10, 0);
            read_all(passage, 100, out, &n);
        }
        mill_passage_close(passage);
    }
    free(out);
}

/* A full engine refuses a passage; one that was let in goes on in its place. */
static void test_a_full_engine(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_engine engine;
    fake_engine_init(&engine);
    struct mill_passage_options options = options_for(THREE);
    struct mill_passage *passage;
    double retry_after_s = 0;
    engine.full = true;
    assert_int_equal(mill_passage_open(&passage, &engine, &options, &retry_after_s, NULL),
                     MILL_AGAIN);
    assert_true(!passage && retry_after_s == 7);
    options.text = "One.", options.text_bytes = 4;
    assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, NULL), MILL_AGAIN);
    engine.full = false;
    options = options_for(THREE);
    options.n_ahead = 0;
    passage = open_with(&engine, &options);
    engine.full = true;
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(engine.n_requests, i + 1);
        assert_true(engine.requests[i].wish.in_place);
        say(&engine, i, 0, 0.5f, 10, 0);
        assert_int_equal(read_all(passage, 100, out, &n), i < 2 ? MILL_AGAIN : MILL_DONE);
    }
    mill_passage_close(passage);
    assert_int_equal(engine.n_places, 0);
    free(out);
}

static void test_failures(void **state) {
    (void)state;
    float *out = malloc(MAX_SAMPLES * sizeof *out);
    struct mill_engine engine;
    fake_engine_init(&engine);
    struct mill_passage_options options = options_for(THREE);
    struct mill_passage *passage = open_with(&engine, &options);
    struct mill_error err = {""};
    size_t n = 0, n_read;
    say(&engine, 0, 0, 0.5f, 10, 0);
    fake_end(&engine, 1, MILL_E_DEVICE);
    for (int i = 0; i < 2; i++) { /* and it stays so */
        n = 0;
        assert_int_equal(read_all(passage, 100, out, &n), MILL_E_DEVICE);
        assert_int_equal(mill_passage_read(passage, out, 10, -1, &n_read, &err), MILL_E_DEVICE);
        assert_string_equal(err.text, "segment 2 of 3: broken");
    }
    assert_true(engine.requests[2].cancelled);
    struct mill_request_result result;
    mill_passage_get_result(passage, &result);
    assert_int_equal(result.end, MILL_REQUEST_FAILED);
    assert_int_equal(result.status, MILL_E_DEVICE);
    mill_passage_close(passage);

    options.text = " ... \n", options.text_bytes = 6;
    assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "nothing"));
    options = options_for("a\xff");
    assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, &err), MILL_E_INPUT);
    options = options_for("One.");
    options.wish.temperature = -1;
    assert_int_equal(mill_passage_open(&passage, &engine, &options, NULL, &err), MILL_E_INPUT);
    mill_passage_close(NULL);
    free(out);
}

static void count_wakes(void *context) {
    ++*(int *)context;
}

static void test_waking_and_cancelling(void **state) {
    (void)state;
    struct mill_engine engine;
    fake_engine_init(&engine);
    struct mill_passage_options options = options_for(THREE);
    int n_wakes = 0;
    options.readable = count_wakes;
    options.context = &n_wakes;
    struct mill_passage *passage = open_with(&engine, &options);
    float out[100];
    size_t n;
    fake_deliver(&engine, 0, 0.5f, 50 * MS); /* nobody waits yet */
    assert_int_equal(n_wakes, 0);
    while (mill_passage_read(passage, out, 100, 0, &n, NULL) == MILL_OK)
        ;
    fake_deliver(&engine, 0, 0.5f, 5000);
    assert_int_equal(n_wakes, 1); /* once, until it is read again */
    while (mill_passage_read(passage, out, 100, 0, &n, NULL) == MILL_OK)
        ;
    assert_int_equal(mill_passage_read(passage, out, 100, 0.01, &n, NULL), MILL_AGAIN);
    mill_passage_cancel(passage);
    assert_int_equal(n_wakes, 2);
    assert_true(engine.requests[0].cancelled && engine.requests[2].cancelled);
    assert_int_equal(mill_passage_read(passage, out, 100, -1, &n, NULL), MILL_E_CANCELLED);
    struct mill_request_result result;
    mill_passage_get_result(passage, &result);
    assert_int_equal(result.end, MILL_REQUEST_CANCELLED);
    mill_passage_close(passage);
}

static void *play(void *context) {
    struct mill_engine *engine = context;
    for (int i = 0; i < 3; i++)
        say(engine, i, 10, 0.5f, 300, 10);
    return NULL;
}

/* A reader that waits, and an engine on another thread. */
static void test_waiting(void **state) {
    (void)state;
    struct mill_engine engine;
    fake_engine_init(&engine);
    const struct mill_passage_options options = options_for(THREE);
    struct mill_passage *passage = open_with(&engine, &options);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, play, &engine), 0);
    float out[1000];
    size_t n, n_all = 0;
    while (mill_passage_read(passage, out, 1000, -1, &n, NULL) == MILL_OK)
        n_all += n;
    pthread_join(thread, NULL);
    assert_int_equal(n_all, (10 + 300 + 100 + 300 + 100 + 300 + 10) * MS);
    mill_passage_close(passage);
}

static mill_status attempt(void *context, struct mill_error *err) {
    struct mill_passage_options options = options_for(THREE);
    options.wish.transcript = "text";
    options.wish.transcript_bytes = 4;
    mill_status status = try_all(context, &options, err);
    return status < 0 ? status : MILL_OK;
}

/* No speed is changed here: libsonic leaks. */
static void test_memory(void **state) {
    (void)state;
    static struct mill_engine engine;
    if (!mill_fail_alloc_works())
        skip();
    assert_true(mill_fail_alloc_sweep(attempt, &engine) > 18);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_rests_keep_what_is_there),
        cmocka_unit_test(test_segments_fit_the_model),
        cmocka_unit_test(test_arrival_does_not_matter),
        cmocka_unit_test(test_speed),
        cmocka_unit_test(test_a_silent_segment),
        cmocka_unit_test(test_voices_and_seeds),
        cmocka_unit_test(test_markup),
        cmocka_unit_test(test_bounds_of_what_is_asked_for),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_who_is_heard_first),
        cmocka_unit_test(test_a_full_engine),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_waking_and_cancelling),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_memory),
    };
    return mill_icu_memory_apart() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
