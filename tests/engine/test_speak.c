/* test_speak.c - runtime/engine/utterance.c and speak.c over a model that is faked at link time: a
 * language model whose draw depends on all cached tokens, a decoder whose samples are the frames'
 * numbers. Checked: what is fed in which order and pieces, the windows' look-ahead, the ends, that
 * the result does not depend on how the work was cut, and every failure. */
#include "tests/engine/fake_tokens.h"

#include "runtime/base/philox.h"
#include "runtime/engine/speak.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HOP = 2, CONTEXT = 4, MAX_TOKENS = 400, MAX_PAGES = 100, PAGE_TOKENS = 4 };

struct mill_qwen2 {
    int32_t cache[MAX_PAGES * PAGE_TOKENS]; /* by page */
    int32_t max_rows, n_calls;
    int32_t end_after;       /* draws; then im_end */
    int32_t nan_after;       /* draws; then logits that are not finite */
    int32_t fail_after;      /* calls */
    const int32_t *script;   /* tokens to draw, instead of the rule */
    uint64_t positions_seen; /* every draw's position must be the next */
};

struct mill_bicodec_decoder {
    bool nan;
    int32_t n_windows, largest_window, first_window, n_semantic_at_first;
};
struct mill_bicodec_voice {
    int32_t global[N_VOICE];
};

static int32_t draw_one(struct mill_qwen2 *lm, const struct mill_draw *draw, uint64_t hash) {
    assert_int_equal(draw->position, lm->positions_seen);
    lm->positions_seen++;
    if (lm->nan_after && draw->position >= (uint64_t)lm->nan_after)
        return -1;
    if (lm->script)
        return lm->script[draw->position];
    double u = mill_philox_uniform(draw->seed ^ hash, draw->position);
    switch (draw->legal) {
    case MILL_LEGAL_PITCH:
        return fake_pitch[(int)(2 * u)];
    case MILL_LEGAL_SPEED:
        return fake_speed[(int)(2 * u)];
    case MILL_LEGAL_GLOBAL:
        return fake_global[(int)(4 * u)];
    default:
        return lm->end_after && draw->position >= (uint64_t)lm->end_after
                   ? IM_END
                   : fake_semantic[(int)(5 * u)];
    }
}

mill_status mill_qwen2_run(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                           struct mill_error *err) {
    if (lm->fail_after && lm->n_calls >= lm->fail_after)
        return mill_fail(err, MILL_E_DEVICE, "the device is gone");
    lm->n_calls++;
    assert_int_equal(step->n_sequences, 1);
    assert_in_range(step->n_rows, 1, lm->max_rows);
    int32_t n = step->n_cached[0];
    for (int32_t r = 0; r < step->n_rows; r++, n++)
        lm->cache[step->page_table[n / PAGE_TOKENS] * PAGE_TOKENS + n % PAGE_TOKENS] = step->ids[r];
    uint64_t hash = 0;
    for (int32_t i = 0; i < n; i++)
        hash =
            hash * 31 +
            (uint64_t)lm->cache[step->page_table[i / PAGE_TOKENS] * PAGE_TOKENS + i % PAGE_TOKENS];
    if (step->n_draws) {
        assert_int_equal(step->draws[0].row, step->n_rows - 1);
        step->tokens[0] = draw_one(lm, &step->draws[0], hash);
    }
    return MILL_OK;
}

mill_status mill_bicodec_voice_open(struct mill_bicodec_voice **out,
                                    struct mill_bicodec_decoder *decoder, const int32_t *global,
                                    struct mill_error *err) {
    (void)decoder, (void)err;
    *out = malloc(sizeof **out);
    assert_non_null(*out);
    memcpy((*out)->global, global, sizeof(*out)->global);
    return MILL_OK;
}

void mill_bicodec_voice_close(struct mill_bicodec_voice *voice) {
    free(voice);
}

mill_status mill_bicodec_decode(struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err) {
    (void)err;
    int32_t size = window->end - window->first;
    assert_true(size > 0);
    assert_true(window->finished ? window->end <= window->n_semantic
                                 : window->end + CONTEXT <= window->n_semantic);
    if (decoder->n_windows++ == 0) {
        decoder->first_window = size;
        decoder->n_semantic_at_first = window->n_semantic;
    }
    decoder->largest_window = size > decoder->largest_window ? size : decoder->largest_window;
    for (int32_t t = window->first; t < window->end; t++)
        for (int32_t i = 0; i < HOP; i++)
            *(window->wave + (t - window->first) * HOP + i) =
                decoder->nan && t == 3
                    ? nanf("")
                    : (float)(window->semantic[t] * 100 + i + 1000 * window->voice->global[0]);
    return MILL_OK;
}

/* ------------------------------------------------------------------ the bench of a test */

struct bench {
    struct mill_grammar_tokens tokens;
    struct mill_qwen2 lm;
    struct mill_bicodec_decoder decoder;
    struct mill_speak_parts parts;
    struct mill_utterance_options options;
    struct mill_speak_listener listener;
    struct mill_speak_result result;
    struct mill_error err;
    int32_t voice[N_VOICE];
    float wave[MAX_TOKENS * HOP];
    size_t n_samples, fail_at;
    int32_t n_progress, cancel_at;
    atomic_bool cancel;
};

static mill_status deliver(void *context, const float *wave, size_t n, struct mill_error *err) {
    struct bench *b = context;
    if (b->fail_at && b->n_samples >= b->fail_at)
        return mill_fail(err, MILL_E_IO, "the disk is full");
    memcpy(b->wave + b->n_samples, wave, n * sizeof *wave);
    b->n_samples += n;
    return MILL_OK;
}

static void progress(void *context, int32_t n_semantic) {
    struct bench *b = context;
    b->n_progress++;
    if (b->cancel_at && n_semantic >= b->cancel_at)
        b->cancel = true;
}

static const int32_t prompt[] = {TEXT, 8, TEXT, 9, 8, 8, 9, TEXT, 8, 9, START_SEMANTIC};
static const int32_t voice[N_VOICE] = {3, 0, 2};

static struct bench *open_bench(void) {
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    assert_int_equal(mill_grammar_tokens_init(&b->tokens, &fake_control, N_VOICE, NULL), MILL_OK);
    b->lm.max_rows = 4;
    b->lm.end_after = 50;
    b->parts = (struct mill_speak_parts){.lm = &b->lm,
                                         .lm_options = {.max_rows = 4,
                                                        .max_sequences = 1,
                                                        .max_pages = MAX_PAGES,
                                                        .n_pages = MAX_PAGES,
                                                        .page_tokens = PAGE_TOKENS},
                                         .max_positions = MAX_TOKENS,
                                         .decoder = &b->decoder,
                                         .max_window = 16,
                                         .context = CONTEXT,
                                         .hop = HOP,
                                         .tokens = &b->tokens};
    assert_int_equal(mill_kv_pool_open(&b->parts.pool, MAX_PAGES, NULL), MILL_OK);
    b->options = (struct mill_utterance_options){.prompt = prompt,
                                                 .n_prompt = sizeof prompt / sizeof *prompt,
                                                 .start = MILL_GRAMMAR_SPEAK,
                                                 .global = voice,
                                                 .seed = 5,
                                                 .max_frames = 100,
                                                 .first_window = 3};
    b->listener = (struct mill_speak_listener){
        .context = b, .deliver = deliver, .progress = progress, .cancel = &b->cancel};
    return b;
}

/* The books must be right after every run, however it ended. */
static mill_status speak(struct bench *b) {
    mill_status status =
        mill_speak(&b->parts, &b->options, &b->listener, &b->result, b->voice, &b->err);
    assert_int_equal(mill_kv_pool_audit(b->parts.pool, NULL, 0, NULL), MILL_OK);
    return status;
}

static void close_bench(struct bench *b) {
    mill_kv_pool_close(b->parts.pool);
    mill_grammar_tokens_deinit(&b->tokens);
    free(b);
}

static void set_creation(struct bench *b, bool with_values) {
    b->options.start = with_values ? MILL_GRAMMAR_CREATE_VALUES : MILL_GRAMMAR_CREATE;
    b->options.global = NULL;
}

/* ------------------------------------------------------------------ tests */

static void test_clone(void **state) {
    (void)state;
    struct bench *b = open_bench();
    assert_int_equal(speak(b), MILL_OK);
    assert_int_equal(b->result.end, MILL_UTTERANCE_IM_END);
    assert_int_equal(b->result.n_prompt, 11);
    assert_int_equal(b->result.n_draws, 51);
    assert_int_equal(b->result.n_frames, 50);
    assert_int_equal(b->n_samples, 50 * HOP);
    assert_int_equal(b->lm.n_calls, 3 + 50); /* 11 prompt tokens by 4 */
    assert_int_equal(b->n_progress, b->lm.n_calls);
    assert_memory_equal(b->voice, voice, sizeof voice);
    assert_int_equal(b->decoder.first_window, 3);
    assert_int_equal(b->decoder.n_semantic_at_first, 3 + CONTEXT);
    assert_int_equal(b->decoder.largest_window, 16);
    close_bench(b);
}

/* Rows, first window and window size change how the work is cut, never the samples. */
static void test_cuts(void **state) {
    (void)state;
    for (int creating = 0; creating < 2; creating++) {
        struct bench *whole = open_bench();
        if (creating)
            set_creation(whole, false);
        whole->parts.lm_options.max_rows = whole->lm.max_rows = 64;
        whole->parts.max_window = 200;
        whole->options.first_window = 0;
        assert_int_equal(speak(whole), MILL_OK);
        assert_int_equal(whole->decoder.n_windows, 1);
        for (int32_t cut = 1; cut < 20; cut++) {
            struct bench *b = open_bench();
            if (creating)
                set_creation(b, false);
            b->parts.lm_options.max_rows = b->lm.max_rows = cut;
            b->parts.max_window = 1 + cut * 7 % 13;
            b->options.first_window = cut % 5;
            assert_int_equal(speak(b), MILL_OK);
            assert_int_equal(b->n_samples, whole->n_samples);
            assert_memory_equal(b->wave, whole->wave, whole->n_samples * sizeof *b->wave);
            close_bench(b);
        }
        close_bench(whole);
    }
}

static void test_creation(void **state) {
    (void)state;
    struct bench *b = open_bench();
    set_creation(b, false);
    assert_int_equal(speak(b), MILL_OK);
    assert_int_equal(b->result.n_frames, 50 - 2 - N_VOICE);
    for (int i = 0; i < N_VOICE; i++)
        assert_in_range(b->voice[i], 0, 3);
    assert_true(b->wave[0] >= 1000.0f * (float)b->voice[0]);
    /* 11 prompt rows by 4; pitch; speed with two forced tokens; globals one by one, the last with
     * two forced tokens; semantic tokens. */
    assert_int_equal(b->lm.n_calls, 3 + 50);
    close_bench(b);

    b = open_bench();
    set_creation(b, true);
    assert_int_equal(speak(b), MILL_OK);
    assert_int_equal(b->result.n_frames, 50 - N_VOICE);
    assert_int_equal(b->lm.n_calls, 3 + 50); /* start_global rides with the prompt: 12 rows */
    close_bench(b);
}

static void test_unrestricted(void **state) {
    (void)state;
    static const int32_t script[] = {10, END_ACOUSTIC, 20, 21, 30, TEXT, 42, TEXT, 60, IM_END};
    struct bench *b = open_bench();
    set_creation(b, false);
    b->options.unrestricted = true;
    b->lm.script = script;
    assert_int_equal(speak(b), MILL_OK);
    assert_int_equal(b->result.n_draws, 10);
    assert_int_equal(b->result.n_frames, 2);
    const int32_t want[N_VOICE] = {1, 3, 0};
    assert_memory_equal(b->voice, want, sizeof want);
    assert_true(b->wave[0] == 1000 + 200 && b->wave[HOP] == 1000 + 300);
    close_bench(b);

    b = open_bench(); /* nothing but other tokens: it ends all the same, with a message */
    int32_t endless[MAX_TOKENS];
    for (int i = 0; i < MAX_TOKENS; i++)
        endless[i] = TEXT;
    b->options.unrestricted = true;
    b->lm.script = endless;
    assert_int_equal(speak(b), MILL_E_INPUT);
    assert_int_equal(b->result.end, MILL_UTTERANCE_LIMIT);
    close_bench(b);
}

static void test_limit(void **state) {
    (void)state;
    for (int32_t limit = 1; limit < 50; limit += 6) {
        struct bench *b = open_bench();
        b->options.max_frames = limit;
        assert_int_equal(speak(b), MILL_OK);
        assert_int_equal(b->result.end, MILL_UTTERANCE_LIMIT);
        assert_int_equal(b->result.n_frames, limit);
        assert_int_equal(b->n_samples, limit * HOP);
        close_bench(b);
    }
}

static void test_cancel(void **state) {
    (void)state;
    struct bench *b = open_bench();
    b->cancel_at = 20;
    assert_int_equal(speak(b), MILL_E_CANCELLED);
    assert_int_equal(b->result.end, MILL_UTTERANCE_CANCELLED);
    assert_int_equal(b->result.n_draws, 20);
    assert_true(b->n_samples < 20 * HOP);
    close_bench(b);
}

static void test_failures(void **state) {
    (void)state;
    struct bench *b = open_bench();
    b->lm.end_after = 0;
    static const int32_t ends_at_once[] = {IM_END};
    b->lm.script = ends_at_once;
    assert_int_equal(speak(b), MILL_E_INPUT);
    assert_non_null(strstr(b->err.text, "before its first sound"));
    close_bench(b);

    b = open_bench();
    b->lm.nan_after = 7;
    assert_int_equal(speak(b), MILL_E_NUMERIC);
    close_bench(b);

    b = open_bench();
    b->decoder.nan = true;
    assert_int_equal(speak(b), MILL_E_NUMERIC);
    close_bench(b);

    b = open_bench();
    b->lm.fail_after = 9;
    assert_int_equal(speak(b), MILL_E_DEVICE);
    close_bench(b);

    b = open_bench();
    b->fail_at = 10;
    assert_int_equal(speak(b), MILL_E_IO);
    assert_string_equal(b->err.text, "the disk is full");
    close_bench(b);

    b = open_bench();
    b->options.max_frames = MAX_TOKENS;
    assert_int_equal(speak(b), MILL_E_INPUT);
    assert_non_null(strstr(b->err.text, "there is room for 400"));
    assert_int_equal(b->lm.n_calls, 0);
    close_bench(b);

    b = open_bench();
    b->options.global = NULL; /* neither a voice nor its creation */
    assert_int_equal(speak(b), MILL_E_INPUT);
    close_bench(b);
}

/* Another sequence holds most pages: the utterance fails with a message and puts its own back. */
static void test_no_pages(void **state) {
    (void)state;
    struct bench *b = open_bench();
    int32_t held[MAX_PAGES - 5];
    for (int i = 0; i < MAX_PAGES - 5; i++)
        held[i] = mill_kv_pool_take(b->parts.pool);
    assert_int_equal(mill_speak(&b->parts, &b->options, &b->listener, &b->result, NULL, &b->err),
                     MILL_E_MEMORY);
    assert_int_equal(mill_kv_pool_audit(b->parts.pool, held, MAX_PAGES - 5, NULL), MILL_OK);
    close_bench(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clone),    cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_creation), cmocka_unit_test(test_unrestricted),
        cmocka_unit_test(test_limit),    cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_no_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
