/* test_speak_model.c - whole utterances with the small synthetic checkpoint: the audio is a
 * function of model, text, voice, parameters and seed alone, on both backends. */
#include "runtime/model/checkpoint_write.h"
#include "runtime/text/prompt.h"
#include "tools/model_open.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FRAMES = 90, MAX_GLOBAL = 64 };

static const char folder[] = MILL_SCRATCH "/speak_model";
static const char text[] = "Hello, mill.";

static int write_checkpoint(void **state) {
    (void)state;
    struct mill_shape shape;
    struct mill_error err = {""};
    const struct mill_checkpoint_options options = {.dtype = MILL_F32, .label = "tiny"};
    mill_synth_shape(&shape, MILL_SYNTH_TINY);
    if (mill_checkpoint_write(folder, &shape, &options, &err) != MILL_OK)
        print_error("%s\n", err.text);
    return err.text[0] ? -1 : 0;
}

struct heard {
    float *wave;
    size_t n_samples, capacity;
    int32_t n_deliveries, voice[MAX_GLOBAL];
    struct mill_speak_result result;
};

static mill_status listen(void *context, const float *wave, size_t n, struct mill_error *err) {
    struct heard *h = context;
    if (h->n_samples + n > h->capacity)
        return mill_fail(err, MILL_E_INPUT, "more sound than was asked for");
    memcpy(h->wave + h->n_samples, wave, n * sizeof *wave);
    h->n_samples += n;
    h->n_deliveries++;
    return MILL_OK;
}

/* How the work is cut, and what is asked for. */
struct way {
    int32_t max_rows, max_window, first_window;
    uint64_t seed;
    bool creating, unrestricted;
};

static mill_status open_model(struct mill_model *model, const char *backend, const char *precision,
                              int32_t n_threads, bool full_head, struct mill_error *err) {
    const struct mill_model_options options = {.folder = folder,
                                               .backend = backend,
                                               .precision = precision,
                                               .n_threads = n_threads,
                                               .full_head = full_head};
    MILL_TRY(mill_model_open_text(model, &options, err));
    mill_status status = mill_model_open_speech(model, 400, FRAMES, err);
    if (status < 0)
        mill_model_close(model);
    return status;
}

static void must_open(struct mill_model *model, const char *backend, const char *precision,
                      int32_t n_threads, bool full_head) {
    struct mill_error err = {""};
    if (open_model(model, backend, precision, n_threads, full_head, &err) != MILL_OK)
        fail_msg("%s", err.text);
}

static mill_status make_prompt(struct mill_prompt *prompt, struct mill_model *model,
                               const struct way *way, const int32_t *global,
                               struct mill_error *err) {
    const struct mill_clone_prompt clone = {.text = text,
                                            .text_bytes = strlen(text),
                                            .global = global,
                                            .n_global = model->tokens.n_voice_tokens};
    const struct mill_create_prompt create = {.text = text,
                                              .text_bytes = strlen(text),
                                              .gender = 1,
                                              .pitch = 3,
                                              .speed = 2,
                                              .pitch_value = -1,
                                              .speed_value = -1};
    return way->creating ? mill_prompt_create(prompt, model->encoder, model->control, &create, err)
                         : mill_prompt_clone(prompt, model->encoder, model->control, &clone, err);
}

static mill_status speak(struct heard *h, struct mill_model *model, const struct way *way,
                         struct mill_error *err) {
    int32_t global[MAX_GLOBAL];
    assert_true(model->tokens.n_voice_tokens <= MAX_GLOBAL);
    for (int32_t i = 0; i < MAX_GLOBAL; i++)
        global[i] = i * 37 % mill_shape_global_codes(&model->shape);
    *h = (struct heard){.capacity = FRAMES * (size_t)model->shape.bicodec.hop};
    h->wave = calloc(h->capacity, sizeof *h->wave);
    assert_non_null(h->wave);
    struct mill_prompt prompt;
    MILL_TRY(make_prompt(&prompt, model, way, global, err));
    const struct mill_utterance_options options = {.prompt = prompt.ids,
                                                   .n_prompt = prompt.n_ids,
                                                   .start = way->creating ? MILL_GRAMMAR_CREATE
                                                                          : MILL_GRAMMAR_SPEAK,
                                                   .unrestricted = way->unrestricted,
                                                   .global = way->creating ? NULL : global,
                                                   .temperature = 0.8f,
                                                   .top_p = 0.95f,
                                                   .top_k = 50,
                                                   .seed = way->seed,
                                                   .max_frames = FRAMES,
                                                   .first_window = way->first_window};
    const struct mill_speak_listener listener = {.context = h, .deliver = listen};
    struct mill_speak_parts parts = model->parts; /* smaller pieces than it was opened for */
    parts.lm_options.max_rows = way->max_rows;
    parts.max_window = way->max_window;
    mill_status status = mill_speak(&parts, &options, &listener, &h->result, h->voice, err);
    mill_prompt_deinit(&prompt);
    return status;
}

static struct heard must_speak(struct mill_model *model, const struct way *way) {
    struct heard h;
    struct mill_error err = {""};
    if (speak(&h, model, way, &err) != MILL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(h.n_samples, (size_t)h.result.n_frames * (size_t)model->shape.bicodec.hop);
    double energy = 0;
    for (size_t i = 0; i < h.n_samples; i++)
        energy += (double)h.wave[i] * (double)h.wave[i];
    assert_true(isfinite(energy) && energy > 0);
    return h;
}

/* Frees b. */
static void same(const struct heard *a, struct heard b) {
    assert_int_equal(a->n_samples, b.n_samples);
    assert_memory_equal(a->wave, b.wave, a->n_samples * sizeof *a->wave);
    assert_memory_equal(a->voice, b.voice, sizeof a->voice);
    free(b.wave);
}

static void check_ways(const char *backend, const char *precision, bool thorough) {
    struct mill_model model, threaded;
    must_open(&model, backend, precision, 1, false);
    if (thorough)
        must_open(&threaded, backend, precision, 3, false);
    for (int creating = !thorough; creating < 2; creating++) {
        const struct way way = {
            .max_rows = 64, .max_window = FRAMES, .seed = 7, .creating = creating};
        struct heard whole = must_speak(&model, &way);
        assert_int_equal(whole.n_deliveries, 1);
        same(&whole, must_speak(&model, &way));
        struct way other = way;
        other.max_rows = 5;
        other.max_window = 17;
        other.first_window = 2;
        struct heard streamed = must_speak(&model, &other);
        assert_true(streamed.n_deliveries > 5);
        same(&whole, streamed);
        if (thorough)
            same(&whole, must_speak(&threaded, &way));
        other = way;
        other.seed = 8;
        struct heard different = must_speak(&model, &other);
        size_t n = different.n_samples < whole.n_samples ? different.n_samples : whole.n_samples;
        assert_memory_not_equal(whole.wave, different.wave, n * sizeof *whole.wave);
        free(different.wave);
        free(whole.wave);
    }
    mill_model_close(&model);
    if (thorough)
        mill_model_close(&threaded);
}

static void test_reference(void **state) {
    (void)state;
    check_ways("reference", "auto", false);
}

static void test_cpu(void **state) {
    (void)state;
    check_ways("cpu", "auto", true);
    check_ways("cpu", "fp32", false);
}

/* With random weights the whole vocabulary is drawn from: hardly any token is one of speech. The
 * utterance must end with a message or with sound, never otherwise. */
static void test_unrestricted(void **state) {
    (void)state;
    const struct way way = {
        .max_rows = 64, .max_window = 16, .unrestricted = true, .creating = true};
    struct mill_model model;
    struct heard h;
    struct mill_error err = {""};
    must_open(&model, "cpu", "auto", 0, true);
    mill_status status = speak(&h, &model, &way, &err);
    if (status != MILL_OK && (status != MILL_E_INPUT || !strstr(err.text, "try another seed")))
        fail_msg("status %d: %s", status, err.text);
    free(h.wave);
    mill_model_close(&model);
}

/* What cannot be opened says why. */
static void test_refused(void **state) {
    (void)state;
    struct mill_model model;
    struct mill_error err;
    assert_int_equal(open_model(&model, "gpu", "auto", 1, false, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "'cpu'"));
    assert_int_equal(open_model(&model, "cpu", "fp4", 1, false, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "bf16"));
    const struct mill_model_options options = {.folder = MILL_SCRATCH "/none"};
    assert_int_equal(mill_model_open_text(&model, &options, &err), MILL_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "sparkmill pull"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_unrestricted),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, write_checkpoint, NULL);
}
