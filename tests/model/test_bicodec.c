/* test_bicodec.c - the decoder's plan, and windows that equal the whole to the last bit.
 *
 * The decoders here have made-up sizes and random weights, packed straight through the backend, so
 * that no checkpoint is needed; that the numbers are Spark-TTS's is golden_check's matter. Device
 * memory is filled with NaN before every call, so that a row which was not planned and is read
 * after all shows in the result. */
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"
#include "runtime/model/bicodec_decode.h"
#include "runtime/model/bicodec_plan.h"
#include "tests/support/fail_alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ------------------------------------------------------------------ shapes */

static const struct mill_bicodec_shape PUBLISHED = {
    .sample_rate = 16000,
    .hop = 320,
    .prenet = {.input = 1024,
               .dim = 384,
               .intermediate = 2048,
               .n_layers = 12,
               .output = 1024,
               .n_samplings = 2,
               .condition = 1024},
    .quantizer = {.input = 1024, .codebook_size = 8192, .codebook_dim = 8},
    .speaker = {.output = 1024,
                .latent = 128,
                .n_tokens = 32,
                .n_levels = 6,
                .levels = {4, 4, 4, 4, 4, 4}},
    .generator = {.input = 1024,
                  .channels = 1536,
                  .n_stages = 4,
                  .rates = {8, 5, 4, 2},
                  .kernels = {16, 11, 8, 4}}};

static const struct mill_bicodec_shape SMALL = {
    .sample_rate = 8000,
    .hop = 40,
    .prenet = {.input = 20,
               .dim = 24,
               .intermediate = 40,
               .n_layers = 2,
               .output = 20,
               .n_samplings = 1,
               .condition = 20},
    .quantizer = {.input = 20, .codebook_size = 50, .codebook_dim = 4},
    .speaker = {.output = 20, .latent = 8, .n_tokens = 5, .n_levels = 3, .levels = {5, 3, 4}},
    .generator = {
        .input = 20, .channels = 24, .n_stages = 3, .rates = {5, 4, 2}, .kernels = {11, 8, 4}}};

/* Another number of everything; a kernel as long as its rate. */
static const struct mill_bicodec_shape OTHER = {
    .sample_rate = 600,
    .hop = 6,
    .prenet = {.input = 8,
               .dim = 16,
               .intermediate = 16,
               .n_layers = 1,
               .output = 12,
               .n_samplings = 2,
               .condition = 12},
    .quantizer = {.input = 8, .codebook_size = 9, .codebook_dim = 2},
    .speaker = {.output = 12, .latent = 4, .n_tokens = 2, .n_levels = 2, .levels = {2, 7}},
    .generator = {.input = 12, .channels = 16, .n_stages = 2, .rates = {3, 2}, .kernels = {3, 6}}};

/* ------------------------------------------------------------------ memory that is not zero */

enum { MAX_BLOCKS = 8 };
static struct {
    void *data;
    size_t bytes;
} blocks[MAX_BLOCKS];
static int n_blocks, n_allocations;
static const struct mill_backend_ops *plain;

static void *recording_alloc(struct mill_backend *backend, size_t bytes) {
    void *data = plain->alloc(backend, bytes);
    assert_true(n_blocks < MAX_BLOCKS);
    blocks[n_blocks].data = data;
    blocks[n_blocks++].bytes = bytes;
    n_allocations++;
    return data;
}

static void recording_free(struct mill_backend *backend, void *data) {
    for (int i = 0; i < n_blocks; i++)
        if (blocks[i].data == data)
            blocks[i] = blocks[--n_blocks];
    plain->free(backend, data);
}

static void poison(int block) {
    memset(blocks[block].data, 0xff, blocks[block].bytes);
}

/* ------------------------------------------------------------------ a decoder */

enum { MAX_TENSORS = 256 };
struct model {
    struct mill_backend_ops ops; /* the backend's, with recording memory */
    struct mill_backend *backend;
    struct mill_decoder_weights weights;
    struct mill_convnext_weights convnext[MILL_MAX_STAGES + 1][8];
    const void *uploaded[MAX_TENSORS];
    void *host[MAX_TENSORS];
    int n_tensors;
    uint64_t n_numbers;
    struct mill_bicodec_decoder *decoder;
    struct mill_bicodec_voice *voice;
};

static float *random_numbers(struct model *model, size_t n, float mean, float spread) {
    float *out = mill_alloc_array(n, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        out[i] = mean + spread * (float)(2 * mill_philox_uniform(7, model->n_numbers++) - 1);
    return out;
}

/* Memory moves to the device; the model frees it. */
static const void *give(struct model *model, void *host, size_t bytes) {
    assert_true(model->n_tensors < MAX_TENSORS);
    model->host[model->n_tensors] = host;
    const void *device = model->ops.upload(model->backend, host, bytes);
    assert_non_null(device);
    model->uploaded[model->n_tensors++] = device;
    return device;
}

static const float *vector(struct model *model, int32_t n, float mean, float spread) {
    return give(model, random_numbers(model, (size_t)n, mean, spread), (size_t)n * sizeof(float));
}

static struct mill_weight weight(struct model *model, enum mill_dtype dtype, int32_t n_out,
                                 int32_t n_taps, int32_t n_in, float gain) {
    struct mill_weight w = {.shape = {n_out, n_taps, n_in, dtype}};
    int32_t fan_in = n_taps * n_in;
    float *rows = random_numbers(model, (size_t)n_out * (size_t)fan_in, 0,
                                 gain * sqrtf(3.0f / (float)fan_in));
    size_t bytes = model->ops.weight_bytes(&w.shape);
    void *image = mill_alloc_aligned(bytes);
    assert_non_null(image);
    model->ops.weight_pack(&w.shape, 0, n_out, rows, image);
    free(rows);
    w.image = give(model, image, bytes);
    w.bias = vector(model, n_out, 0, 0.05f);
    return w;
}

static void make_vocos(struct model *model, struct mill_vocos_weights *vocos,
                       struct mill_convnext_weights *convnext, int32_t n, bool adaptive,
                       enum mill_dtype dtype) {
    const struct mill_vocos_shape *shape = &model->weights.shape.prenet;
    int32_t dim = shape->dim;
    *vocos = (struct mill_vocos_weights){.blocks = convnext, .n_blocks = n};
    vocos->embed = weight(model, dtype, dim, 7, dim, 1);
    if (!adaptive) {
        vocos->norm_gain = vector(model, dim, 1, 0.2f);
        vocos->norm_shift = vector(model, dim, 0, 0.1f);
    }
    for (int32_t i = 0; i < n; i++) {
        convnext[i] = (struct mill_convnext_weights){
            .depthwise = weight(model, MILL_F32, dim, 7, 1, 1),
            .up = weight(model, dtype, shape->intermediate, 1, dim, 1),
            .down = weight(model, dtype, dim, 1, shape->intermediate, 0.5f)};
        if (adaptive)
            continue;
        convnext[i].norm_gain = vector(model, dim, 1, 0.2f);
        convnext[i].norm_shift = vector(model, dim, 0, 0.1f);
    }
    vocos->final_gain = vector(model, dim, 1, 0.2f);
    vocos->final_shift = vector(model, dim, 0, 0.1f);
}

static void make_generator(struct model *model, enum mill_dtype dtype) {
    struct mill_decoder_weights *w = &model->weights;
    int32_t channels = w->shape.generator.channels;
    w->conv_in = weight(model, dtype, channels, 7, w->shape.generator.input, 1);
    for (int32_t i = 0; i < w->shape.generator.n_stages; i++) {
        struct mill_generator_stage_weights *stage = &w->stages[i];
        stage->alpha = vector(model, channels, 1, 0.5f);
        stage->up = weight(model, dtype, channels / 2, w->shape.generator.kernels[i], channels, 1);
        channels /= 2;
        for (int k = 0; k < 3; k++) {
            stage->units[k].alpha1 = vector(model, channels, 1, 0.5f);
            stage->units[k].dilated = weight(model, dtype, channels, 7, channels, 0.8f);
            stage->units[k].alpha2 = vector(model, channels, 1, 0.5f);
            stage->units[k].pointwise = weight(model, dtype, channels, 1, channels, 0.4f);
        }
    }
    w->final_alpha = vector(model, channels, 1, 0.5f);
    w->conv_out = weight(model, dtype, 1, 7, channels, 0.1f);
}

static void make_weights(struct model *model, const struct mill_bicodec_shape *shape,
                         enum mill_dtype dtype) {
    struct mill_decoder_weights *w = &model->weights;
    w->shape = *shape;
    size_t n = (size_t)shape->quantizer.codebook_size * (size_t)shape->quantizer.input;
    w->codebook = give(model, random_numbers(model, n, 0, 1), n * sizeof(float));
    w->codebook_dtype = MILL_F32;
    int32_t voice_columns = mill_voice_norm_column(shape, 1 + shape->prenet.n_layers);
    w->voice = weight(model, MILL_F32, voice_columns, 1,
                      shape->speaker.n_tokens * shape->speaker.n_levels, 1);
    w->linear_pre = weight(model, dtype, shape->prenet.dim, 1, shape->prenet.input, 1);
    for (int32_t i = 0; i < shape->prenet.n_samplings; i++)
        make_vocos(model, &w->sampling[i], model->convnext[i], MILL_BICODEC_SAMPLING_BLOCKS, false,
                   dtype);
    make_vocos(model, &w->backbone, model->convnext[MILL_MAX_STAGES], shape->prenet.n_layers, true,
               dtype);
    w->linear = weight(model, dtype, shape->prenet.output, 1, shape->prenet.dim, 1);
    w->linear.bias = NULL;
    make_generator(model, dtype);
}

static struct model *model_open(const char *backend, const struct mill_bicodec_shape *shape,
                                enum mill_dtype dtype, int32_t max_window) {
    struct mill_error err = {0};
    struct model *model = mill_alloc_array(1, sizeof *model);
    assert_non_null(model);
    plain = mill_backend_find(backend, &err);
    assert_non_null(plain);
    model->ops = *plain;
    model->ops.alloc = recording_alloc;
    model->ops.free = recording_free;
    struct mill_backend_options options = {.n_threads = 2};
    assert_int_equal(plain->open(&model->backend, &options, &err), MILL_OK);
    make_weights(model, shape, dtype);
    n_blocks = n_allocations = 0;
    assert_int_equal(mill_bicodec_decoder_open(&model->decoder, &model->ops, model->backend,
                                               &model->weights, max_window, &err),
                     MILL_OK);
    assert_int_equal(n_allocations, 1);
    assert_int_equal(mill_bicodec_decoder_bytes(model->decoder), blocks[0].bytes);
    int32_t global[32];
    for (int32_t i = 0; i < shape->speaker.n_tokens; i++)
        global[i] = i;
    assert_int_equal(mill_bicodec_voice_open(&model->voice, model->decoder, global, &err), MILL_OK);
    return model;
}

static void model_close(struct model *model) {
    mill_bicodec_voice_close(model->voice);
    mill_bicodec_decoder_close(model->decoder);
    assert_int_equal(n_blocks, 0);
    for (int i = 0; i < model->n_tensors; i++) {
        model->ops.release(model->backend, model->uploaded[i]);
        free(model->host[i]);
    }
    plain->close(model->backend);
    free(model);
}

/* ------------------------------------------------------------------ the plan */

static void test_context(void **state) {
    (void)state;
    assert_int_equal(mill_bicodec_context(&PUBLISHED), 67);
    /* One sampling block (3 + 2 x 3) and a backbone (3 + 2 x 3), then the generator, backwards: 42
     * samples, 22 + 39 rows of 20 a frame, 16 + 39 rows of 5 a frame, 12 + 3 frames. */
    assert_int_equal(mill_bicodec_context(&SMALL), 18 + 15);
}

static void test_plan_ends(void **state) {
    (void)state;
    struct mill_range ranges[64];
    int32_t n = mill_bicodec_n_layers(&PUBLISHED);
    assert_int_equal(n, 37);
    mill_bicodec_plan_ranges(&PUBLISHED, 0, 20, 20, ranges);
    for (int32_t k = 0; k <= n; k++) {
        int64_t rate = k ? mill_bicodec_layer_at(&PUBLISHED, k - 1).rows_per_frame : 1;
        assert_int_equal(ranges[k].first, 0);
        assert_int_equal(ranges[k].end, 20 * rate);
    }
    mill_bicodec_plan_ranges(&PUBLISHED, 100, 101, 1000, ranges);
    assert_int_equal(ranges[0].first, 33);
    assert_int_equal(ranges[0].end, 168);
    /* Before the generator only its own ten frames each side are left. */
    assert_int_equal(ranges[19].first, 90);
    assert_int_equal(ranges[19].end, 111);
    assert_int_equal(ranges[n].first, 32000);
    assert_int_equal(ranges[n].end, 32320);
}

/* The price of decoding in windows: what the context around each costs. */
static void test_plan_cost(void **state) {
    (void)state;
    struct mill_range ranges[64];
    mill_bicodec_plan_ranges(&PUBLISHED, 0, 100000, 100000, ranges);
    double whole = (double)mill_bicodec_plan_multiply_adds(&PUBLISHED, ranges) / 100000;
    print_message("whole: %.2f GFLOP for each second of audio\n", 2e-9 * 50 * whole);
    assert_true(fabs(2e-9 * 50 * whole - 58.8) < 0.2);
    for (int32_t window = 25; window <= 200; window *= 2) {
        mill_bicodec_plan_ranges(&PUBLISHED, 1000, 1000 + window, INT64_MAX, ranges);
        double cost = (double)mill_bicodec_plan_multiply_adds(&PUBLISHED, ranges) / window;
        print_message("window of %3d frames: %.3f times the whole\n", window, cost / whole);
        if (window == 100)
            assert_true(cost < 1.15 * whole);
    }
}

/* ------------------------------------------------------------------ windows */

enum { N_FRAMES = 90, N_CUTS = 20 };

static int32_t random_below(uint64_t *counter, int32_t n) {
    return (int32_t)(mill_philox_uniform(99, (*counter)++) * n);
}

static void random_tokens(const struct model *model, int32_t *tokens, int32_t n) {
    uint64_t counter = 1000;
    for (int32_t i = 0; i < n; i++)
        tokens[i] = random_below(&counter, model->weights.shape.quantizer.codebook_size);
}

static void decode(struct model *model, struct mill_bicodec_window *window) {
    struct mill_error err = {0};
    window->voice = model->voice;
    poison(0);
    int before = n_allocations;
    mill_fail_alloc_at(0); /* counts from here */
    mill_status status = mill_bicodec_decode(model->decoder, window, &err);
    long n_host = mill_fail_alloc_count();
    if (status)
        fail_msg("%s", err.text);
    assert_int_equal(n_allocations, before);
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
    random_tokens(model, tokens, N_FRAMES);
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
    check_windows("reference", &SMALL, MILL_F32);
    check_windows("reference", &OTHER, MILL_BF16);
}

static void test_windows_cpu(void **state) {
    (void)state;
    check_windows("cpu", &SMALL, MILL_F32);
    check_windows("cpu", &SMALL, MILL_BF16);
    check_windows("cpu", &OTHER, MILL_F32);
    check_windows("cpu", &OTHER, MILL_BF16);
}

/* Memory is planned for the largest window; a short utterance has fewer rows of everything. */
static void test_short_utterances(void **state) {
    (void)state;
    struct model *model = model_open("reference", &SMALL, MILL_F32, 3);
    int32_t tokens[N_FRAMES];
    random_tokens(model, tokens, N_FRAMES);
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
    struct model *model = model_open("reference", &SMALL, MILL_F32, 10);
    int32_t tokens[N_FRAMES] = {0};
    int32_t context = mill_bicodec_context(&SMALL);
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
    struct model *model = model_open("reference", &SMALL, MILL_F32, 10);
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
    struct model *model = model_open("reference", &SMALL, MILL_F32, 10);
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
