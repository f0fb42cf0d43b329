/* test_other_sizes.c - a checkpoint of the published layout with other sizes loads and speaks.
 *
 * Nothing about sizes may be a constant: 4,000 token ids at other places with 300 merges, 1,024
 * codewords, quantiser levels 5 3 4 4, other widths, depths and rates, 8 kHz with 40 samples a
 * frame, stored in bf16 and in fp16. The weights are synthetic, so the sound is noise; it must be
 * finite and the same in windows. */
#include "tests/model/whole_checkpoint.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/engine/engine.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_FRAMES = 40 };

static void other_shape(struct mill_shape *shape) {
    mill_synth_shape(shape, MILL_SYNTH_TINY);
    shape->wav2vec2.n_convs = 0;
    shape->llm.hidden = 192;
    shape->llm.intermediate = 200;
    shape->llm.n_layers = 3;
    shape->llm.n_heads = 3;
    shape->llm.n_kv_heads = 1;
    shape->llm.vocab = 4000;
    shape->llm.max_positions = 1000;
    struct mill_bicodec_shape *b = &shape->bicodec;
    b->sample_rate = 8000;
    b->hop = 40;
    b->mel.hop = 40;
    b->mel.window = 80;
    b->mel.n_fft = 128;
    b->encoder.input = b->encoder.output = b->quantizer.input = 40;
    b->prenet.input = b->prenet.output = b->prenet.condition = 40;
    b->postnet.input = b->postnet.output = 40;
    b->prenet.dim = 56;
    b->prenet.intermediate = 72;
    b->prenet.n_layers = 3;
    b->quantizer.codebook_size = 1024;
    b->quantizer.codebook_dim = 5;
    b->speaker.output = 40;
    b->speaker.ecapa_channels = 48;
    b->speaker.n_tokens = 6;
    b->speaker.n_levels = 4;
    memcpy(b->speaker.levels, (const int32_t[]){5, 3, 4, 4}, 4 * sizeof(int32_t));
    b->generator.input = 40;
    b->generator.channels = 72;
    b->generator.n_stages = 3;
    memcpy(b->generator.rates, (const int32_t[]){5, 4, 2}, 3 * sizeof(int32_t));
    memcpy(b->generator.kernels, (const int32_t[]){11, 8, 4}, 3 * sizeof(int32_t));
}

static void assert_done(mill_status status, const struct mill_error *err) {
    if (status < 0)
        fail_msg("%s", err->text);
}

/* ------------------------------------------------------------------ speaking */

struct sound {
    float *wave;
    size_t n;
};

static mill_status deliver(void *context, const float *wave, size_t n_samples,
                           struct mill_error *err) {
    struct sound *sound = context;
    (void)err;
    assert_true(sound->n + n_samples <= (size_t)N_FRAMES * 40);
    for (size_t i = 0; i < n_samples; i++)
        assert_true(isfinite(wave[i]) && fabsf(wave[i]) < 1);
    memcpy(sound->wave + sound->n, wave, n_samples * sizeof *wave);
    sound->n += n_samples;
    return MILL_OK;
}

/* An utterance with windows of that many frames. */
static struct sound speak(const char *folder, const char *backend, const char *precision,
                          int32_t max_window) {
    static const int32_t voice[] = {0, 239, 17, 100, 59, 121};
    struct mill_error err = {0};
    struct mill_engine *engine;
    const struct mill_engine_options options = {.model = folder,
                                                .devices = backend,
                                                .precision = precision,
                                                .max_running = 1,
                                                .max_tokens = 300,
                                                .max_window = max_window};
    assert_done(mill_engine_open(&engine, &options, &err), &err);
    assert_int_equal(mill_engine_get_info(engine)->n_voice_tokens, 6);
    assert_int_equal(mill_engine_get_info(engine)->n_semantic_codes, 1024);
    assert_done(mill_engine_start(engine, NULL, &err), &err);
    struct sound sound = {.wave = mill_alloc_array((size_t)N_FRAMES * 40, sizeof(float))};
    assert_non_null(sound.wave);
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    wish.text = "other sizes";
    wish.text_bytes = 11;
    wish.global = voice;
    wish.n_global = 6;
    wish.temperature = wish.top_p = 1;
    wish.top_k = wish.max_redraws = 0;
    wish.seed = 5;
    wish.max_frames = N_FRAMES;
    wish.deliver = deliver;
    wish.context = &sound;
    struct mill_request *request;
    struct mill_request_result result;
    assert_done(mill_engine_submit(engine, &wish, &request, NULL, &err), &err);
    assert_int_equal(mill_request_wait(request, -1), MILL_OK);
    mill_request_get_result(request, &result);
    assert_done(result.status, &result.error);
    assert_true(result.n_frames > 14); /* several of the small windows */
    assert_int_equal(sound.n, (size_t)result.n_frames * 40);
    mill_request_free(request);
    mill_engine_close(engine);
    return sound;
}

static void check_backend(const char *folder, const char *backend, const char *precision) {
    struct sound whole = speak(folder, backend, precision, N_FRAMES);
    struct sound windows = speak(folder, backend, precision, 7);
    assert_int_equal(whole.n, windows.n);
    assert_memory_equal(whole.wave, windows.wave, whole.n * sizeof(float));
    double power = 0;
    for (size_t i = 0; i < whole.n; i++)
        power += (double)whole.wave[i] * whole.wave[i];
    assert_true(power > 0);
    free(whole.wave);
    free(windows.wave);
}

static void check_dtype(const char *folder, enum mill_dtype dtype) {
    struct mill_shape shape;
    other_shape(&shape);
    whole_checkpoint_write(folder, &shape, dtype);
    check_backend(folder, "reference", "fp32");
    check_backend(folder, "cpu", "fp32");
    check_backend(folder, "cpu", "bf16");
    check_backend(folder, "cpu", "int8");
}

static void test_bf16_checkpoint(void **state) {
    (void)state;
    check_dtype(MILL_SCRATCH "/other-bf16", MILL_BF16);
}

static void test_f16_checkpoint(void **state) {
    (void)state;
    check_dtype(MILL_SCRATCH "/other-f16", MILL_F16);
}

/* A tokenizer of another model: one of its tokens would lie behind the last embedding. */
static void test_other_tokenizer(void **state) {
    (void)state;
    static const char folder[] = MILL_SCRATCH "/other-tokenizer";
    struct mill_engine *engine;
    struct mill_error err = {""};
    struct mill_shape shape;
    json_error_t cause;
    other_shape(&shape);
    whole_checkpoint_write(folder, &shape, MILL_BF16);
    char *path = mill_path_join(folder, "LLM/tokenizer.json");
    json_t *root = json_load_file(path, 0, &cause);
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    assert_int_equal(json_object_set_new(vocab, "a", json_integer(4000)), 0);
    assert_int_equal(json_dump_file(root, path, JSON_COMPACT), 0);
    json_decref(root);
    free(path);
    const struct mill_engine_options options = {.model = folder, .devices = "cpu"};
    assert_int_equal(mill_engine_open(&engine, &options, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "a token 4000, and LLM/config.json says that there are 4000"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_checkpoint),
        cmocka_unit_test(test_f16_checkpoint),
        cmocka_unit_test(test_other_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
