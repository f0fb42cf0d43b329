/* test_bicodec.c - the decoder's plan, and windows that equal the whole to the last bit.
 *
 * That the numbers are Spark-TTS's is golden_check's matter. Device memory is filled with NaN
 * before every call, so that a row which was not planned and is read after all shows in the
 * result. */
#include "runtime/base/memory.h"
#include "runtime/model/bicodec_plan.h"
#include "runtime/model/synth_shape.h"
#include "tests/model/decoder_fixture.h"
#include "tests/support/fail_alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ------------------------------------------------------------------ the plan */

static void test_context(void **state) {
    (void)state;
    struct mill_shape published;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    assert_int_equal(mill_bicodec_context(&published.bicodec), 67);
    /* One sampling block (3 + 2 x 3) and a backbone (3 + 2 x 3), then the generator, backwards: 42
     * samples, 22 + 39 rows of 20 a frame, 16 + 39 rows of 5 a frame, 12 + 3 frames. */
    assert_int_equal(mill_bicodec_context(&decoder_small), 18 + 15);
}

static void test_plan_ends(void **state) {
    (void)state;
    struct mill_shape published;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    struct mill_range ranges[64];
    int32_t n = mill_bicodec_n_layers(&published.bicodec);
    assert_int_equal(n, 37);
    mill_bicodec_plan_ranges(&published.bicodec, 0, 20, 20, ranges);
    for (int32_t k = 0; k <= n; k++) {
        int64_t rate = k ? mill_bicodec_layer_at(&published.bicodec, k - 1).rows_per_frame : 1;
        assert_int_equal(ranges[k].first, 0);
        assert_int_equal(ranges[k].end, 20 * rate);
    }
    mill_bicodec_plan_ranges(&published.bicodec, 100, 101, 1000, ranges);
    assert_int_equal(ranges[0].first, 33);
    assert_int_equal(ranges[0].end, 168);
    /* Before the generator only its own ten frames each side are left. */
    assert_int_equal(ranges[19].first, 90);
    assert_int_equal(ranges[19].end, 111);
    assert_int_equal(ranges[n].first, 32000);
    assert_int_equal(ranges[n].end, 32320);
}

/* Multiply-adds for each row that layer k writes, with the products behind it. */
static double row_cost(const struct mill_bicodec_shape *shape, int32_t k) {
    const struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
    const struct mill_vocos_shape *prenet = &shape->prenet;
    bool last_block = k == mill_bicodec_first_generator_layer(shape) - 1;
    double columns = layer.columns, taps = layer.taps;
    switch (layer.kind) {
    case MILL_LAYER_EMBED:
        return columns * columns * taps;
    case MILL_LAYER_BLOCK:
        return columns * (taps + 2 * prenet->intermediate + last_block * prenet->output);
    case MILL_LAYER_CONV_IN:
        return columns * shape->generator.channels * taps;
    case MILL_LAYER_UP:
        return columns * columns / 2 * taps / layer.stride;
    case MILL_LAYER_UNIT:
        return columns * columns * (taps + 1);
    case MILL_LAYER_CONV_OUT:
        return columns * taps;
    }
    return 0;
}

static double ranges_cost(const struct mill_bicodec_shape *shape, const struct mill_range *ranges) {
    double first = (double)shape->prenet.input * shape->prenet.dim;
    double sum = (double)(ranges[0].end - ranges[0].first) * first;
    for (int32_t k = 0; k < mill_bicodec_n_layers(shape); k++)
        sum += (double)(ranges[k + 1].end - ranges[k + 1].first) * row_cost(shape, k);
    return sum;
}

/* The price of decoding in windows: what the context around each costs. */
static void test_plan_cost(void **state) {
    (void)state;
    struct mill_shape published;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    struct mill_range ranges[64];
    mill_bicodec_plan_ranges(&published.bicodec, 0, 100000, 100000, ranges);
    double whole = ranges_cost(&published.bicodec, ranges) / 100000;
    print_message("whole: %.2f GFLOP for each second of audio\n", 2e-9 * 50 * whole);
    assert_true(fabs(2e-9 * 50 * whole - 58.8) < 0.2);
    for (int32_t window = 25; window <= 200; window *= 2) {
        mill_bicodec_plan_ranges(&published.bicodec, 1000, 1000 + window, INT64_MAX, ranges);
        double cost = ranges_cost(&published.bicodec, ranges) / window;
        print_message("window of %3d frames: %.3f times the whole\n", window, cost / whole);
        if (window == 100)
            assert_true(cost < 1.15 * whole);
    }
}

/* ------------------------------------------------------------------ windows */

enum { N_FRAMES = 90, N_CUTS = 20 };

static void decode(struct model *model, struct mill_bicodec_window *window) {
    struct mill_error err = {0};
    window->voice = model->voice;
    poison_device_block(0);
    int before = n_device_allocations;
    mill_fail_alloc_at(0); /* counts from here */
    mill_status status = mill_bicodec_decode(model->decoder, window, &err);
    long n_host = mill_fail_alloc_count();
    if (status)
        fail_msg("%s", err.text);
    assert_int_equal(n_device_allocations, before);
    if (mill_fail_alloc_works())
        assert_int_equal(n_host, 0);
}

struct pieces {
    float *wave, *z_q, *prenet;
};

static struct pieces pieces_open(const struct mill_bicodec_shape *shape) {
    struct pieces p = {
        .wave = mill_alloc_array((size_t)N_FRAMES * (size_t)shape->hop, sizeof(float)),
        .z_q = mill_alloc_array((size_t)N_FRAMES * (size_t)shape->quantizer.input, sizeof(float)),
        .prenet =
            mill_alloc_array((size_t)N_FRAMES * (size_t)shape->speaker.output, sizeof(float))};
    assert_true(p.wave && p.z_q && p.prenet);
    return p;
}

static void pieces_close(struct pieces *p) {
    free(p->wave);
    free(p->z_q);
    free(p->prenet);
}

static void assert_same(const struct mill_bicodec_shape *shape, const struct pieces *a,
                        const struct pieces *b) {
    for (int32_t i = 0; i < N_FRAMES * shape->hop; i++)
        if (memcmp(&a->wave[i], &b->wave[i], sizeof(float)) != 0)
            fail_msg("sample %d (frame %d): %a and %a", i, i / shape->hop, (double)a->wave[i],
                     (double)b->wave[i]);
    assert_memory_equal(a->z_q, b->z_q,
                        (size_t)N_FRAMES * (size_t)shape->quantizer.input * sizeof(float));
    assert_memory_equal(a->prenet, b->prenet,
                        (size_t)N_FRAMES * (size_t)shape->speaker.output * sizeof(float));
}

static void decode_piece(struct model *model, const int32_t *tokens, int32_t n_known, int32_t first,
                         int32_t end, const struct pieces *out) {
    const struct mill_bicodec_shape *shape = &model->weights.shape;
    struct mill_bicodec_window window = {
        .semantic = tokens,
        .n_semantic = n_known,
        .finished = n_known == N_FRAMES,
        .first = first,
        .end = end,
        .wave = out->wave + (ptrdiff_t)first * shape->hop,
        .z_q = out->z_q + (ptrdiff_t)first * shape->quantizer.input,
        .prenet = out->prenet + (ptrdiff_t)first * shape->speaker.output};
    decode(model, &window);
}

/* An utterance in windows of 1 to max_width frames. `streamed`: each window sees only the tokens
 * that its context needs, as if the rest were not spoken yet. */
static void check_cuts(struct model *model, const int32_t *tokens, const struct pieces *whole,
                       uint64_t *counter, int32_t max_width, bool streamed) {
    const struct mill_bicodec_shape *shape = &model->weights.shape;
    int32_t context = mill_bicodec_context(shape);
    struct pieces cut = pieces_open(shape);
    int32_t known[N_FRAMES];
    for (int32_t first = 0; first < N_FRAMES;) {
        int32_t end = first + 1 + random_below(counter, max_width);
        if (end > N_FRAMES)
            end = N_FRAMES;
        int32_t n_known = end + context;
        if (!streamed || n_known > N_FRAMES)
            n_known = N_FRAMES;
        memset(known, 0xff, sizeof known); /* -1: refused if it were looked at */
        memcpy(known, tokens, (size_t)n_known * sizeof *known);
        decode_piece(model, known, n_known, first, end, &cut);
        first = end;
    }
    assert_same(shape, whole, &cut);
    pieces_close(&cut);
}

static void check_windows(const char *backend, const struct mill_bicodec_shape *shape,
                          enum mill_dtype dtype) {
    struct model *model = model_open(backend, shape, dtype, N_FRAMES);
    int32_t tokens[N_FRAMES];
    model_random_tokens(model, tokens, N_FRAMES, 1000);
    struct pieces whole = pieces_open(shape);
    decode_piece(model, tokens, N_FRAMES, 0, N_FRAMES, &whole);
    double power = 0;
    for (int32_t i = 0; i < N_FRAMES * shape->hop; i++) {
        assert_true(fabsf(whole.wave[i]) < 1);
        power += (double)whole.wave[i] * whole.wave[i] / (N_FRAMES * shape->hop);
    }
    assert_true(power > 1e-4);
    uint64_t counter = 0;
    for (int i = 0; i < N_CUTS; i++)
        check_cuts(model, tokens, &whole, &counter, i % 4 ? 1 + N_FRAMES / (i % 4) : 9, i % 2);
    pieces_close(&whole);
    model_close(model);
}

static void test_windows_reference(void **state) {
    (void)state;
    check_windows("reference", &decoder_small, MILL_F32);
    check_windows("reference", &decoder_other, MILL_BF16);
}

static void test_windows_cpu(void **state) {
    (void)state;
    check_windows("cpu", &decoder_small, MILL_F32);
    check_windows("cpu", &decoder_small, MILL_BF16);
    check_windows("cpu", &decoder_other, MILL_F32);
    check_windows("cpu", &decoder_other, MILL_BF16);
}

/* Memory is planned for the largest window; a short utterance has fewer rows of everything. */
static void test_short_utterances(void **state) {
    (void)state;
    struct model *model = model_open("reference", &decoder_small, MILL_F32, 3);
    int32_t tokens[N_FRAMES];
    model_random_tokens(model, tokens, N_FRAMES, 1000);
    float wave[3 * 40], first[40];
    for (int32_t n = 1; n <= 3; n++) {
        struct mill_bicodec_window window = {
            .semantic = tokens, .n_semantic = n, .finished = true, .end = n, .wave = wave};
        decode(model, &window);
        window.end = 1;
        window.wave = first;
        decode(model, &window);
        assert_memory_equal(first, wave, sizeof first);
    }
    model_close(model);
}

/* ------------------------------------------------------------------ bad input */

static mill_status try_window(struct model *model, const int32_t *tokens, int32_t n, bool finished,
                              int32_t first, int32_t end) {
    float wave[N_FRAMES * 40];
    struct mill_error err = {0};
    struct mill_bicodec_window window = {.voice = model->voice,
                                         .semantic = tokens,
                                         .n_semantic = n,
                                         .finished = finished,
                                         .first = first,
                                         .end = end,
                                         .wave = wave};
    mill_status status = mill_bicodec_decode(model->decoder, &window, &err);
    assert_true((status < 0) == (err.text[0] != 0));
    return status;
}

static void test_bad_windows(void **state) {
    (void)state;
    struct model *model = model_open("reference", &decoder_small, MILL_F32, 10);
    int32_t tokens[N_FRAMES] = {0};
    int32_t context = mill_bicodec_context(&decoder_small);
    assert_int_equal(try_window(model, tokens, 20, true, 0, 10), MILL_OK);
    assert_int_equal(try_window(model, tokens, 20, true, 0, 11), MILL_E_INPUT);
    assert_int_equal(try_window(model, tokens, 20, true, 15, 21), MILL_E_INPUT);
    assert_int_equal(try_window(model, tokens, 20, true, 5, 5), MILL_E_INPUT);
    assert_int_equal(try_window(model, tokens, 20, true, -1, 5), MILL_E_INPUT);
    assert_int_equal(try_window(model, tokens, INT32_MAX, true, 0, 5), MILL_E_INPUT);
    assert_int_equal(try_window(model, tokens, 5 + context, false, 0, 5), MILL_OK);
    assert_int_equal(try_window(model, tokens, 4 + context, false, 0, 5), MILL_E_INPUT);
    tokens[7] = 50;
    assert_int_equal(try_window(model, tokens, 20, true, 0, 5), MILL_E_INPUT);
    tokens[7] = -1;
    assert_int_equal(try_window(model, tokens, 20, true, 0, 5), MILL_E_INPUT);
    model_close(model);
}

static void test_bad_voices(void **state) {
    (void)state;
    struct model *model = model_open("reference", &decoder_small, MILL_F32, 10);
    const int32_t bad[] = {60, -1, INT32_MIN, INT32_MAX}; /* 5 x 3 x 4 values */
    struct mill_bicodec_voice *voice;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mill_error err = {0};
        int32_t global[] = {59, 0, 1, bad[i], 2};
        assert_int_equal(mill_bicodec_voice_open(&voice, model->decoder, global, &err),
                         MILL_E_INPUT);
        assert_null(voice);
        assert_non_null(strstr(err.text, "global token 4"));
    }
    model_close(model);
}

/* Voices differ, and a window shows the d-vector of the one it was given. */
static void test_voices(void **state) {
    (void)state;
    struct model *model = model_open("reference", &decoder_small, MILL_F32, 10);
    struct mill_error err = {0};
    struct mill_bicodec_voice *voice;
    int32_t global[] = {59, 58, 57, 56, 55}, tokens[10] = {3, 1, 4};
    assert_int_equal(mill_bicodec_voice_open(&voice, model->decoder, global, &err), MILL_OK);
    float wave[2][10 * 40], d_vector[2][20];
    for (int i = 0; i < 2; i++) {
        struct mill_bicodec_window window = {.voice = i ? voice : model->voice,
                                             .semantic = tokens,
                                             .n_semantic = 10,
                                             .finished = true,
                                             .end = 10,
                                             .wave = wave[i],
                                             .d_vector = d_vector[i]};
        assert_int_equal(mill_bicodec_decode(model->decoder, &window, &err), MILL_OK);
    }
    assert_memory_not_equal(wave[0], wave[1], sizeof wave[0]);
    assert_memory_not_equal(d_vector[0], d_vector[1], sizeof d_vector[0]);
    mill_bicodec_voice_close(voice);
    model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context),     cmocka_unit_test(test_plan_ends),
        cmocka_unit_test(test_plan_cost),   cmocka_unit_test(test_windows_reference),
        cmocka_unit_test(test_windows_cpu), cmocka_unit_test(test_short_utterances),
        cmocka_unit_test(test_bad_windows), cmocka_unit_test(test_bad_voices),
        cmocka_unit_test(test_voices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
