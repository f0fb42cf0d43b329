/* test_quality.c - a scripted model that misbehaves in each way, and the gate that notices: by what
 * it found, when, and what it did about it. */
#include "runtime/engine/quality.h"

#include "runtime/base/philox.h"
#include "runtime/engine/utterance.h"
#include "tests/engine/fake_tokens.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { FRAME_RATE = 50, HOP = 4, SAMPLE_RATE = FRAME_RATE * HOP, MAX_FRAMES = 1000 };

/* 12 ideographs and two pauses: 60 frames less slack at least, 333 + 70 + 50 at most. */
static const char text[] = "今天天气很好，我们去公园吧。";

/* ------------------------------------------------------------------ the scripted model */

enum habit { SPEAKS, FALLS_SILENT, LOOPS, DRONES, WHISPERS, BREAKS };

/* Frames and what becomes of them; after n_frames it ends; -1 = never. */
struct script {
    enum habit habit;
    int32_t n_frames, period;
};

/* Code of frame i; codes 0 and 1 are silence. */
static int32_t code_of(const struct script *script, uint64_t seed, int32_t i) {
    if (script->habit == WHISPERS || (script->habit == FALLS_SILENT && i >= 40 && i < 160))
        return (int32_t)(mill_philox_uniform(seed, (uint64_t)i) * 2);
    if (script->habit == DRONES)
        return 3;
    int32_t at = script->habit == LOOPS && i >= 30 ? 30 + (i - 30) % script->period : i;
    return 2 + (int32_t)(mill_philox_uniform(seed, (uint64_t)at) * 3);
}

static int32_t draw(const struct script *script, uint64_t seed, int32_t i) {
    if (script->habit == BREAKS && i == 10)
        return -1;
    if (i == script->n_frames)
        return IM_END;
    return fake_semantic[code_of(script, seed, i)];
}

static void sound_of(int32_t code, float wave[HOP]) {
    for (int i = 0; i < HOP; i++)
        wave[i] = code < 2 ? 1e-4f : i % 2 ? 0.1f : -0.1f;
}

/* ------------------------------------------------------------------ a request */

struct outcome {
    uint32_t findings;
    enum mill_quality_verdict verdict;
    int32_t n_redraws, n_frames; /* tokens drawn in the last attempt */
    struct mill_quality quality;
};

static uint32_t attempt(const struct script *script, const struct mill_quality_limits *limits,
                        const struct mill_grammar_tokens *tokens, uint64_t seed,
                        struct outcome *outcome) {
    const int32_t prompt = TEXT, global[N_VOICE] = {0, 1, 2};
    struct mill_utterance_options options = {
        .prompt = &prompt, .n_prompt = 1, .global = global, .seed = seed, .max_frames = MAX_FRAMES};
    struct mill_utterance u;
    struct mill_error err;
    struct mill_quality *q = &outcome->quality;
    const struct mill_text_size measured = mill_text_measure(text, sizeof text - 1);
    mill_quality_init(q, limits, &measured, SAMPLE_RATE, HOP);
    assert_int_equal(mill_utterance_init(&u, &options, tokens, &err), MILL_OK);
    mill_status status = MILL_OK;
    while (status == MILL_OK && u.end == MILL_UTTERANCE_RUNNING && q->findings == 0) {
        int32_t n = u.n_semantic;
        status = mill_utterance_accept(&u, draw(script, seed, n), &err);
        for (; n < u.n_semantic; n++) {
            float wave[HOP];
            mill_quality_token(q, u.semantic[n]);
            sound_of(u.semantic[n], wave);
            mill_quality_audio(q, wave, 3); /* in pieces that are no frames */
            mill_quality_audio(q, wave + 3, HOP - 3);
        }
    }
    outcome->n_frames = u.n_semantic;
    enum mill_quality_ending ending = status == MILL_E_NUMERIC          ? MILL_QUALITY_NUMERIC
                                      : u.end == MILL_UTTERANCE_RUNNING ? MILL_QUALITY_STOPPED
                                      : u.end == MILL_UTTERANCE_LIMIT   ? MILL_QUALITY_LIMIT
                                                                        : MILL_QUALITY_ENDED;
    mill_utterance_deinit(&u);
    return mill_quality_end(q, ending, true);
}

/* Attempt n follows scripts[n]. */
static struct outcome request_with(const struct script *scripts, int32_t max_redraws,
                                   const struct mill_quality_limits *limits) {
    struct mill_grammar_tokens tokens;
    struct mill_error err;
    struct outcome o = {.verdict = MILL_QUALITY_REDRAW};
    assert_int_equal(mill_grammar_tokens_init(&tokens, &fake_control, N_VOICE, &err), MILL_OK);
    for (;; o.n_redraws++) {
        uint64_t seed = mill_quality_seed(17, o.n_redraws);
        o.findings = attempt(&scripts[o.n_redraws], limits, &tokens, seed, &o);
        o.verdict = mill_quality_judge(o.findings, o.n_redraws, max_redraws);
        if (o.verdict != MILL_QUALITY_REDRAW)
            break;
    }
    mill_grammar_tokens_deinit(&tokens);
    return o;
}

static struct outcome request(const struct script *scripts, int32_t max_redraws) {
    const struct mill_quality_limits limits = mill_quality_limits_default();
    return request_with(scripts, max_redraws, &limits);
}

static void expect(struct script script, uint32_t findings, enum mill_quality_verdict verdict) {
    struct outcome o = request(&script, 0);
    if (o.findings != findings)
        fail_msg("found %#x, not %#x, in %d frames", o.findings, findings, o.n_frames);
    assert_int_equal(o.verdict, verdict);
}

/* ------------------------------------------------------------------ tests */

static void test_good_speech(void **state) {
    (void)state;
    for (int32_t n = 40; n <= 400; n += 30)
        expect((struct script){SPEAKS, n, 0}, 0, MILL_QUALITY_OK);
}

static void test_each_fault(void **state) {
    (void)state;
    expect((struct script){SPEAKS, 0, 0}, MILL_QUALITY_NO_TOKENS, MILL_QUALITY_FAIL);
    expect((struct script){BREAKS, 200, 0}, MILL_QUALITY_NOT_FINITE, MILL_QUALITY_FAIL);
    expect((struct script){SPEAKS, 9, 0}, MILL_QUALITY_TOO_SHORT, MILL_QUALITY_OK);
    expect((struct script){SPEAKS, 453, 0}, 0, MILL_QUALITY_OK);
    expect((struct script){SPEAKS, 454, 0}, MILL_QUALITY_TOO_LONG, MILL_QUALITY_OK);
    expect((struct script){SPEAKS, -1, 0}, MILL_QUALITY_TOO_LONG, MILL_QUALITY_OK);
    expect((struct script){FALLS_SILENT, 200, 0}, MILL_QUALITY_SILENCE, MILL_QUALITY_OK);
    expect((struct script){WHISPERS, 60, 0}, MILL_QUALITY_NO_SOUND, MILL_QUALITY_FAIL);
    expect((struct script){DRONES, 200, 0}, MILL_QUALITY_CYCLE, MILL_QUALITY_OK);
    for (int32_t period = 2; period <= MILL_QUALITY_MAX_PERIOD; period += 9)
        expect((struct script){LOOPS, -1, period},
               30 + 4 * period <= 453 ? MILL_QUALITY_CYCLE : MILL_QUALITY_TOO_LONG,
               MILL_QUALITY_OK);
}

/* A limit that is reached before the text must be over. */
static void test_no_end(void **state) {
    (void)state;
    struct mill_quality_limits limits = mill_quality_limits_default();
    const struct script endless = {SPEAKS, -1, 0};
    limits.slowest = 0.1;
    struct outcome o = request_with(&endless, 0, &limits);
    assert_int_equal(o.findings, MILL_QUALITY_NO_END);
    assert_int_equal(o.n_frames, MAX_FRAMES);
    limits.ignored = MILL_QUALITY_NO_END;
    assert_int_equal(request_with(&endless, 0, &limits).findings, 0);
    struct mill_quality q;
    mill_quality_init(&q, &limits, &(struct mill_text_size){600, 0, 600}, SAMPLE_RATE, HOP);
    assert_int_equal(q.least_frames, 59 * FRAME_RATE);
    q.limits.ignored = 0;
    for (int i = 0; i < 50; i++)
        mill_quality_token(&q, i);
    assert_int_equal(mill_quality_end(&q, MILL_QUALITY_LIMIT, false), 0);
}

/* Faults show as early as they can. */
static void test_when(void **state) {
    (void)state;
    const struct script loop = {LOOPS, -1, 25}, drone = {DRONES, -1, 0}, quiet = {WHISPERS, -1, 0};
    struct outcome o = request(&loop, 0);
    assert_in_range(o.n_frames, 30 + 4 * 25 - 10, 30 + 4 * 25); /* chance may begin it early */
    assert_int_equal(o.quality.cycle_period, 25);
    assert_int_equal(request(&drone, 0).n_frames, 75);
    o = request(&quiet, 0);
    assert_int_equal(o.n_frames, 2 * FRAME_RATE + 1);
    assert_int_equal(o.findings, MILL_QUALITY_SILENCE | MILL_QUALITY_NO_SOUND);
}

static void test_redraws(void **state) {
    (void)state;
    const struct script scripts[] = {{LOOPS, -1, 25}, {SPEAKS, 0, 0}, {SPEAKS, 100, 0}};
    struct outcome o = request(scripts, 2);
    assert_int_equal(o.verdict, MILL_QUALITY_OK);
    assert_int_equal(o.findings, 0);
    assert_int_equal(o.n_redraws, 2);
    assert_int_equal(o.n_frames, 100);
    o = request(scripts, 1); /* none is left after the second, which gave nothing */
    assert_int_equal(o.verdict, MILL_QUALITY_FAIL);
    assert_int_equal(o.findings, MILL_QUALITY_NO_TOKENS);
    o = request(scripts, 0);
    assert_int_equal(o.verdict, MILL_QUALITY_OK);
    assert_int_equal(o.findings, MILL_QUALITY_CYCLE);
}

static void test_seeds(void **state) {
    (void)state;
    assert_true(mill_quality_seed(42, 0) == 42);
    for (int a = 0; a < 20; a++)
        for (int b = 0; b < a; b++) {
            assert_true(mill_quality_seed(42, a) != mill_quality_seed(42, b));
            assert_true(mill_quality_seed((uint64_t)a, 1) != mill_quality_seed((uint64_t)b, 1));
        }
    assert_true(mill_quality_seed(42, 3) == mill_quality_seed(42, 3));
}

/* The detector against counting: every period, every position. */
static void test_cycles_by_counting(void **state) {
    (void)state;
    uint64_t counter = 0;
    for (int round = 0; round < 300; round++) {
        struct mill_quality q;
        struct mill_quality_limits limits = mill_quality_limits_default();
        limits.cycle_repeats = 2 + round % 4;
        limits.cycle_frames = 1 + round % 50;
        mill_quality_init(&q, &limits, &(struct mill_text_size){0}, SAMPLE_RATE, HOP);
        int32_t tokens[300];
        bool found = false;
        for (int n = 0; n < 300; n++) {
            tokens[n] = (int32_t)(mill_philox_uniform(5, counter++) * (2 + round % 3));
            if (n > 20 && round % 2 && mill_philox_uniform(6, counter) < 0.95)
                tokens[n] = tokens[n - 1 - round % 20];
            for (int p = 1; p <= MILL_QUALITY_MAX_PERIOD && !found; p++) {
                int length = limits.cycle_repeats * p > limits.cycle_frames
                                 ? limits.cycle_repeats * p
                                 : limits.cycle_frames;
                bool cycle = length <= n + 1 && length > p;
                for (int i = n; cycle && i > n - (length - p); i--)
                    cycle = tokens[i] == tokens[i - p];
                found |= cycle;
            }
            assert_int_equal(mill_quality_token(&q, tokens[n]) == MILL_QUALITY_CYCLE, found);
        }
    }
}

static void test_audio(void **state) {
    (void)state;
    const struct mill_quality_limits limits = mill_quality_limits_default();
    struct mill_quality q;
    float wave[HOP] = {0.1f, NAN, 0.1f, 0.1f};
    mill_quality_init(&q, &limits, &(struct mill_text_size){0}, SAMPLE_RATE, HOP);
    assert_int_equal(mill_quality_audio(&q, wave, HOP), MILL_QUALITY_NOT_FINITE);
    wave[1] = INFINITY;
    mill_quality_init(&q, &limits, &(struct mill_text_size){0}, SAMPLE_RATE, HOP);
    assert_int_equal(mill_quality_audio(&q, wave, HOP), MILL_QUALITY_NOT_FINITE);
    /* Two silences of almost 2 s with a sound between them are two. */
    mill_quality_init(&q, &limits, &(struct mill_text_size){0}, SAMPLE_RATE, HOP);
    for (int i = 0; i < 201; i++) {
        sound_of(i == 100 ? 2 : 0, wave);
        assert_int_equal(mill_quality_audio(&q, wave, HOP), 0);
    }
    assert_int_equal(q.longest_silence, 100);
    sound_of(0, wave);
    assert_int_equal(mill_quality_audio(&q, wave, HOP), MILL_QUALITY_SILENCE);
}

/* Readings as people read, 3 to 6 syllables a second, lie well inside; 60 s of a short text do
 * not. */
static void test_length_of_real_text(void **state) {
    (void)state;
    static const char english[] = "It is a truth universally acknowledged, that a single man in "
                                  "possession of a good fortune, must be in want of a wife.";
    const struct mill_quality_limits limits = mill_quality_limits_default();
    int32_t least, most;
    struct mill_text_size t = mill_text_measure(english, sizeof english - 1);
    mill_quality_frames(&limits, &t, FRAME_RATE, &least, &most);
    assert_true(least < 5 * FRAME_RATE && most > 15 * FRAME_RATE); /* 7 s as usually read */
    t = mill_text_measure("Yes.", 4);
    mill_quality_frames(&limits, &t, FRAME_RATE, &least, &most);
    assert_int_equal(least, 1);
    assert_in_range(most, 60, 200);
    mill_quality_frames(&limits, &(struct mill_text_size){0}, FRAME_RATE, &least, &most);
    assert_int_equal(least, 1);
    assert_int_equal(most, INT32_MAX);
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(mill_quality_finding_name(0), "no_tokens");
    for (int i = 0; i < MILL_QUALITY_FINDINGS; i++)
        assert_non_null(mill_quality_finding_name(i));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_speech),
        cmocka_unit_test(test_each_fault),
        cmocka_unit_test(test_no_end),
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_redraws),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_cycles_by_counting),
        cmocka_unit_test(test_audio),
        cmocka_unit_test(test_length_of_real_text),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
