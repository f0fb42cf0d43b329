/* test_encoders.c - what listens: sizes, tokens from values, the reference clip; recordings and
 * checkpoints that are refused; the same tokens on both backends, from a cache, and from parts.
 * That the numbers are Spark-TTS's is golden_check's to say. */
#include "kernels/reference/reference.h"
#include "runtime/base/memory.h"
#include "runtime/io/tensors.h"
#include "runtime/model/bicodec_encode.h"
#include "runtime/model/checkpoint_write.h"
#include "runtime/model/speaker_encode.h"
#include "runtime/model/wav2vec2.h"
#include "runtime/model/weight_store.h"
#include "tests/model/checkpoint_fixture.h"
#include "tests/support/bad_input.h"
#include "tests/support/fail_alloc.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOLDER MILL_SCRATCH "/encoders-small"
#define CACHE MILL_SCRATCH "/encoders-cache"
#define BICODEC_FILE FOLDER "/BiCodec/model.safetensors"
#define WAV2VEC2_FILE FOLDER "/wav2vec2-large-xlsr-53/pytorch_model.bin"

enum { BOTH = MILL_USE_VOICE | MILL_USE_TRANSCRIPT, N_SAMPLES = 24000, MAX_TOKENS = 128 };

struct listener {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_shape shape;
    float wave[N_SAMPLES];
};

/* Sizes that are small, and different wherever a mistake could confuse them. */
static void small_shape(struct mill_shape *out) {
    fixture_small_shape(out);
    out->bicodec.sample_rate = 1600;
    out->bicodec.hop = 6;
    out->bicodec.speaker.ecapa_channels = 48;
    out->bicodec.encoder = (struct mill_vocos_shape){
        .input = 48, .dim = 16, .intermediate = 20, .n_layers = 3, .output = 10, .n_samplings = 2};
    out->wav2vec2 = (struct mill_wav2vec2_shape){.n_convs = 7,
                                                 .conv_dim = {6, 8, 8, 10, 8, 8, 12},
                                                 .conv_kernel = {10, 3, 3, 3, 3, 2, 2},
                                                 .conv_stride = {5, 2, 2, 2, 2, 2, 2},
                                                 .hidden = 48,
                                                 .intermediate = 40,
                                                 .n_layers = 17,
                                                 .n_heads = 3,
                                                 .pos_kernel = 6,
                                                 .pos_groups = 2,
                                                 .norm_eps = 1e-5};
}

static int setup(void **state) {
    struct listener *l = mill_alloc_array(1, sizeof *l);
    struct mill_backend_options options = {0};
    struct mill_checkpoint_options write = {
        .dtype = MILL_F32, .label = "small", .without_tokenizer = true};
    struct mill_error err;
    assert_non_null(l);
    l->ops = mill_reference_ops();
    assert_int_equal(l->ops->open(&l->backend, &options, NULL), MILL_OK);
    small_shape(&l->shape);
    if (mill_checkpoint_write(FOLDER, &l->shape, &write, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < N_SAMPLES; i++)
        l->wave[i] = (float)(0.3 * sin(i * 0.11) + 0.2 * sin(i * 0.37 + 1e-5 * i * i));
    *state = l;
    return 0;
}

static int teardown(void **state) {
    struct listener *l = *state;
    l->ops->close(l->backend);
    free(l);
    return 0;
}

static mill_status try_open(const struct listener *l, unsigned uses, struct mill_error *err) {
    struct mill_encoder_weights *weights;
    const struct mill_weights_options options = {.precision = MILL_PRECISION_FP32};
    mill_status status = mill_encoder_weights_open(&weights, FOLDER, &l->shape, uses, l->ops,
                                                   l->backend, &options, err);
    mill_encoder_weights_close(weights);
    return status;
}

static struct mill_encoder_weights *open_weights(const struct listener *l, unsigned uses,
                                                 enum mill_precision precision, const char *cache) {
    struct mill_encoder_weights *weights;
    const struct mill_weights_options options = {.precision = precision, .cache = cache};
    struct mill_error err;
    if (mill_encoder_weights_open(&weights, FOLDER, &l->shape, uses, l->ops, l->backend, &options,
                                  &err) < 0)
        fail_msg("%s", err.text);
    return weights;
}

/* ------------------------------------------------------------------ pure functions */

static void test_frames(void **state) {
    (void)state;
    struct mill_shape shape;
    mill_synth_shape(&shape, MILL_SYNTH_FULL);
    const struct mill_wav2vec2_shape *s = &shape.wav2vec2;
    assert_int_equal(mill_wav2vec2_n_frames(s, 16000), 49);
    assert_int_equal(mill_wav2vec2_n_frames(s, 96000), 299);
    assert_int_equal(mill_wav2vec2_n_frames(s, 159253), 497);
    assert_int_equal(mill_wav2vec2_n_frames(s, 399), 0);
    assert_int_equal(mill_wav2vec2_n_frames(s, 0), 0);
    assert_int_equal(mill_wav2vec2_n_samples(s, 1), 400);
    for (int64_t n = 1; n < 2000; n++) {
        int64_t samples = mill_wav2vec2_n_samples(s, n);
        assert_int_equal(mill_wav2vec2_n_frames(s, samples), n);
        assert_int_equal(mill_wav2vec2_n_frames(s, samples - 1), n - 1);
    }
    assert_int_equal(mill_speaker_n_frames(&shape.bicodec, 96000), 301);
}

/* By hand: four levels have the values -2 to 1 and lie half a step off the middle; five have -2 to
 * 2. tanh(z + atanh(1/3.003)) 1.5015 - 1/2 is 0 for z = 0. */
static void test_quantise(void **state) {
    (void)state;
    struct mill_bicodec_shape shape = {
        .speaker = {.n_tokens = 2, .n_levels = 3, .levels = {4, 5, 4}}};
    const float z[] = {0, 0, 0, 20, -20, -20};
    int32_t tokens[2];
    assert_int_equal(mill_speaker_quantise(&shape, z, tokens, NULL), MILL_OK);
    assert_int_equal(tokens[0], 2 + 4 * 2 + 20 * 2);
    assert_int_equal(tokens[1], 3 + 4 * 0 + 20 * 0);
    const float steps[] = {-0.3f, 0.9f, 1.5f, -1.2f, -0.1f, 0.3f};
    assert_int_equal(mill_speaker_quantise(&shape, steps, tokens, NULL), MILL_OK);
    /* 1.5015 tanh(0.046) - 0.5 = -0.43; 2.002 tanh(0.9) = 1.43; 1.5015 tanh(1.846) - 0.5 = 0.93 */
    assert_int_equal(tokens[0], 2 + 4 * 3 + 20 * 3);
    /* 1.5015 tanh(-0.854) - 0.5 = -1.54; 2.002 tanh(-0.1) = -0.2; 1.5015 tanh(0.646) - 0.5 = 0.35
     */
    assert_int_equal(tokens[1], 0 + 4 * 2 + 20 * 2);
    const float bad[] = {0, 0, 0, 0, NAN, 0};
    struct mill_error err;
    assert_int_equal(mill_speaker_quantise(&shape, bad, tokens, &err), MILL_E_NUMERIC);
    assert_non_null(strstr(err.text, "global token 2 of 2"));
}

/* ------------------------------------------------------------------ recordings */

static void test_recordings_refused(void **state) {
    struct listener *l = *state;
    struct mill_encoder_weights *weights = open_weights(l, BOTH, MILL_PRECISION_FP32, NULL);
    const struct mill_speaker_result voice = {0};
    const struct mill_semantic_result words = {0};
    struct mill_error err;
    assert_refused(mill_speaker_encode(weights, l->wave, 512, &voice, &err), &err,
                   "too short: 0.320 s|at least 0.321 s");
    assert_refused(mill_speaker_encode(weights, l->wave, 0, &voice, &err), &err, "too short");
    assert_refused(mill_speaker_encode(weights, l->wave, -1, &voice, &err), &err, "too short");
    assert_refused(mill_speaker_encode(weights, l->wave, INT64_MAX, &voice, &err), &err,
                   "too long|at most 30 s");
    assert_refused(mill_semantic_encode(weights, l->wave, 399, &words, &err), &err,
                   "too short: 0.249 s|at least 0.250 s");
    assert_refused(mill_semantic_encode(weights, l->wave, 30 * 1600 + 1, &words, &err), &err,
                   "too long: 30.0 s|at most 30 s|cut it");
    assert_int_equal(mill_semantic_encode(weights, l->wave, 400, &words, &err), MILL_OK);
    assert_int_equal(mill_speaker_encode(weights, l->wave, 513, &voice, &err), MILL_OK);
    l->wave[700] = NAN;
    assert_refused(mill_speaker_encode(weights, l->wave, 800, &voice, &err), &err,
                   "sample 700 is not a finite number");
    l->wave[700] = INFINITY;
    assert_refused(mill_semantic_encode(weights, l->wave, 800, &words, &err), &err,
                   "sample 700 is not a finite number");
    l->wave[700] = 0;
    mill_encoder_weights_close(weights);
}

struct answers {
    int32_t global[MAX_TOKENS], semantic[MAX_TOKENS];
};

static void listen(const struct listener *l, const struct mill_encoder_weights *weights,
                   struct answers *out) {
    const struct mill_speaker_result voice = {.global = out->global};
    const struct mill_semantic_result words = {.semantic = out->semantic};
    struct mill_error err;
    memset(out, 0xff, sizeof *out);
    assert_true(mill_semantic_n_tokens(&l->shape, N_SAMPLES) <= MAX_TOKENS);
    if (weights->uses & MILL_USE_VOICE &&
        mill_speaker_encode(weights, l->wave, 2000, &voice, &err) < 0)
        fail_msg("%s", err.text);
    if (weights->uses & MILL_USE_TRANSCRIPT &&
        mill_semantic_encode(weights, l->wave, N_SAMPLES, &words, &err) < 0)
        fail_msg("%s", err.text);
}

/* Silence has no variance, and is a recording all the same. */
static void test_silence(void **state) {
    struct listener *l = *state;
    struct mill_encoder_weights *weights = open_weights(l, BOTH, MILL_PRECISION_FP32, NULL);
    float *silence = mill_alloc_array(2000, sizeof *silence);
    int32_t global[5], semantic[MAX_TOKENS];
    const struct mill_speaker_result voice = {.global = global};
    const struct mill_semantic_result words = {.semantic = semantic};
    assert_int_equal(mill_speaker_encode(weights, silence, 2000, &voice, NULL), MILL_OK);
    assert_int_equal(mill_semantic_encode(weights, silence, 2000, &words, NULL), MILL_OK);
    free(silence);
    mill_encoder_weights_close(weights);
}

/* The recording is longer than a piece of the feature extractor. */
static void test_backends_agree(void **state) {
    struct listener *l = *state, other = *l;
    struct mill_backend_options options = {.n_threads = 2};
    struct answers reference, cpu;
    struct mill_encoder_weights *weights = open_weights(l, BOTH, MILL_PRECISION_FP32, NULL);
    listen(l, weights, &reference);
    mill_encoder_weights_close(weights);
    other.ops = mill_backend_find("cpu", NULL);
    assert_non_null(other.ops);
    assert_int_equal(other.ops->open(&other.backend, &options, NULL), MILL_OK);
    weights = open_weights(&other, BOTH, MILL_PRECISION_FP32, NULL);
    listen(&other, weights, &cpu);
    mill_encoder_weights_close(weights);
    other.ops->close(other.backend);
    assert_memory_equal(&reference, &cpu, sizeof cpu);
    int n_kinds = 0; /* an answer that ignores the recording would not be one */
    for (int i = 1; i < mill_semantic_n_tokens(&l->shape, N_SAMPLES); i++)
        n_kinds += cpu.semantic[i] != cpu.semantic[i - 1];
    assert_true(n_kinds > 5);
}

/* ------------------------------------------------------------------ weights */

static void remove_cache(void) {
    DIR *listing = opendir(CACHE);
    struct dirent *entry;
    while (listing && (entry = readdir(listing)))
        unlinkat(dirfd(listing), entry->d_name, 0);
    if (listing)
        closedir(listing);
}

static void test_parts_and_cache(void **state) {
    struct listener *l = *state;
    struct answers both, part;
    remove_cache(); /* of a run before this one */
    struct mill_encoder_weights *weights = open_weights(l, BOTH, MILL_PRECISION_FP32, NULL);
    listen(l, weights, &both);
    size_t bytes = weights->image_bytes;
    mill_encoder_weights_close(weights);
    for (int round = 0; round < 2; round++) {
        weights = open_weights(l, MILL_USE_VOICE, MILL_PRECISION_FP32, CACHE);
        assert_int_equal(weights->from_cache, round == 1);
        assert_true(weights->image_bytes < bytes);
        listen(l, weights, &part);
        assert_memory_equal(part.global, both.global, sizeof part.global);
        mill_encoder_weights_close(weights);
        weights = open_weights(l, MILL_USE_TRANSCRIPT, MILL_PRECISION_FP32, CACHE);
        assert_int_equal(weights->from_cache, round == 1);
        listen(l, weights, &part);
        assert_memory_equal(part.semantic, both.semantic, sizeof part.semantic);
        mill_encoder_weights_close(weights);
        weights = open_weights(l, BOTH, MILL_PRECISION_INT8, CACHE); /* the voice is f32 in any */
        assert_int_equal(weights->from_cache, round == 1);
        assert_int_equal(weights->semantic.wav2vec2.layers[0].qkv.shape.dtype, MILL_BF16);
        listen(l, weights, &part);
        assert_memory_equal(part.global, both.global, sizeof part.global);
        mill_encoder_weights_close(weights);
    }
    remove_cache();
}

static void test_missing_parts(void **state) {
    struct listener *l = *state;
    struct listener other = *l;
    struct mill_backend_ops lame = *l->ops;
    struct mill_error err;
    lame.attn_dense = NULL;
    other.ops = &lame;
    assert_int_equal(try_open(&other, MILL_USE_VOICE, &err), MILL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "cpu backend"));
    other = *l;
    other.shape.wav2vec2.n_convs = 0;
    assert_int_equal(try_open(&other, BOTH, &err), MILL_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "has no wav2vec2"));
    assert_int_equal(try_open(&other, MILL_USE_VOICE, &err), MILL_OK);
    other = *l;
    other.shape.wav2vec2.n_layers = 15;
    assert_int_equal(try_open(&other, BOTH, &err), MILL_E_UNSUPPORTED);
    other = *l;
    other.shape.bicodec.mel.n_fft = 1023;
    assert_int_equal(try_open(&other, MILL_USE_VOICE, &err), MILL_E_UNSUPPORTED);
}

/* Replace bytes of a file; what stood there comes to lie in `bytes`. */
static void swap_bytes(const char *path, off_t at, void *bytes, size_t n) {
    uint8_t old[4096];
    assert_true(n <= sizeof old);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, old, n, at), n);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
    memcpy(bytes, old, n);
}

/* Offset of an element in a file. */
static off_t element_offset(const char *path, const char *tensor, size_t element) {
    struct mill_tensors *file;
    bool torch = strcmp(path, WAV2VEC2_FILE) == 0;
    assert_int_equal(torch ? mill_torch_open(&file, path, NULL)
                           : mill_safetensors_open(&file, path, NULL),
                     MILL_OK);
    const struct mill_tensor_entry *entry = mill_tensors_find(file, tensor);
    assert_non_null(entry);
    off_t at = (off_t)(entry->offset + element * sizeof(float));
    mill_tensors_close(file);
    return at;
}

static void assert_weights_refused(struct listener *l, const char *path, const char *tensor,
                                   const float *values, size_t n, const char *parts) {
    struct mill_error err;
    float bytes[64];
    assert_true(n <= 64);
    memcpy(bytes, values, n * sizeof *values);
    off_t at = element_offset(path, tensor, 0);
    swap_bytes(path, at, bytes, n * sizeof *bytes);
    assert_refused(try_open(l, BOTH, &err), &err, parts);
    swap_bytes(path, at, bytes, n * sizeof *bytes);
}

static void test_hostile_numbers(void **state) {
    struct listener *l = *state;
    const float nan = NAN, negative = -1.0f;
    static const char *const tensors[] = {
        "encoder.encoder.embed.weight",
        "encoder.downsample.1.1.convnext.1.gamma",
        "encoder.project.bias",
        "quantizer.codebook.weight",
        "quantizer.in_project.weight_g",
        "speaker_encoder.quantizer.project_in.weight",
        "speaker_encoder.perceiver_sampler.latents",
        "speaker_encoder.speaker_encoder.layer3.se_res2block.1.bns.4.running_mean",
        "speaker_encoder.speaker_encoder.layer1.bn.bias",
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        char parts[256];
        snprintf(parts, sizeof parts, BICODEC_FILE "|%s|element 0 is not a finite", tensors[i]);
        assert_weights_refused(l, BICODEC_FILE, tensors[i], &nan, 1, parts);
    }
    assert_weights_refused(l, BICODEC_FILE, "speaker_encoder.speaker_encoder.layer1.bn.running_var",
                           &negative, 1, "layer1.bn.running_var|element 0 is negative");
    static const char *const more[] = {
        "wav2vec2.feature_extractor.conv_layers.2.conv.weight",
        "wav2vec2.encoder.pos_conv_embed.conv.weight_v",
        "wav2vec2.encoder.pos_conv_embed.conv.weight_g",
        "wav2vec2.encoder.pos_conv_embed.conv.bias",
        "wav2vec2.encoder.layers.15.attention.v_proj.weight",
    };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        char parts[256];
        snprintf(parts, sizeof parts, WAV2VEC2_FILE "|%s|element 0 is not a finite", more[i]);
        assert_weights_refused(l, WAV2VEC2_FILE, more[i], &nan, 1, parts);
    }
    struct mill_error err;
    assert_int_equal(try_open(l, BOTH, &err), MILL_OK); /* everything is as it was */
}

/* A tap whose filter is all zeros has no direction. */
static void test_zero_tap(void **state) {
    struct listener *l = *state;
    const struct mill_wav2vec2_shape *s = &l->shape.wav2vec2;
    enum { TAP = 4 };
    size_t n = (size_t)(s->hidden * s->hidden / s->pos_groups);
    float *kept = mill_alloc_array(n, sizeof *kept);
    assert_non_null(kept);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < n; i++)
            swap_bytes(WAV2VEC2_FILE,
                       element_offset(WAV2VEC2_FILE,
                                      "wav2vec2.encoder.pos_conv_embed.conv.weight_v",
                                      i * (size_t)s->pos_kernel + TAP),
                       &kept[i], sizeof *kept);
        struct mill_error err;
        mill_status status = try_open(l, BOTH, &err);
        if (round == 0)
            assert_refused(status, &err, "pos_conv_embed.conv.weight_v|tap 4 is all zeros");
        else
            assert_int_equal(status, MILL_OK);
    }
    free(kept);
}

/* A tensor with another name is missing under its own. */
static void test_missing_tensors(void **state) {
    struct listener *l = *state;
    static const char *const names[] = {"speaker_encoder.perceiver_sampler.layers.1.1.2.bias",
                                        "encoder.encoder.convnext.2.pwconv2.weight"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct mill_mapping mapping;
        assert_int_equal(mill_mapping_open(&mapping, BICODEC_FILE, NULL), MILL_OK);
        const uint8_t *found = memmem(mapping.data, mapping.size, names[i], strlen(names[i]));
        assert_non_null(found);
        off_t at = found - mapping.data;
        mill_mapping_close(&mapping);
        char letter = '_';
        struct mill_error err;
        swap_bytes(BICODEC_FILE, at, &letter, 1);
        assert_refused(try_open(l, BOTH, &err), &err, names[i]);
        swap_bytes(BICODEC_FILE, at, &letter, 1);
    }
}

/* ------------------------------------------------------------------ memory */

struct attempt {
    struct listener *listener;
    struct mill_encoder_weights *weights;
};

/* Allocations of opening and checking the two files, whose own tests let each of them fail. */
static long count_file_allocations(const struct listener *l) {
    struct mill_tensors *bicodec, *wav2vec2;
    mill_fail_alloc_at(0);
    assert_int_equal(
        mill_weight_file_open(&wav2vec2, FOLDER, &l->shape, MILL_FILE_WAV2VEC2, BOTH, NULL),
        MILL_OK);
    assert_int_equal(
        mill_weight_file_open(&bicodec, FOLDER, &l->shape, MILL_FILE_BICODEC, BOTH, NULL), MILL_OK);
    mill_tensors_close(bicodec);
    mill_tensors_close(wav2vec2);
    return mill_fail_alloc_count();
}

/* Every allocation of opening beyond those of the files, each failing once. */
static void sweep_open(const struct listener *l) {
    struct mill_error err = {0};
    long first = count_file_allocations(l), live = mill_fail_alloc_live(), n_refused = 0;
    bool hit = true;
    for (long n = first; hit; n++) {
        mill_fail_alloc_at(n);
        mill_status status = try_open(l, BOTH, &err);
        hit = mill_fail_alloc_count() >= n;
        mill_fail_alloc_at(0);
        n_refused += status == MILL_E_MEMORY;
        if (status != MILL_OK && (!hit || status != MILL_E_MEMORY))
            fail_msg("allocation %ld: status %d: %s", n, status, err.text);
        assert_int_equal(mill_fail_alloc_live(), live);
    }
    assert_true(n_refused > 5);
}

static mill_status attempt_encode(void *context, struct mill_error *err) {
    const struct attempt *attempt = context;
    int32_t global[5], semantic[MAX_TOKENS];
    const struct mill_speaker_result voice = {.global = global};
    const struct mill_semantic_result words = {.semantic = semantic};
    MILL_TRY(mill_speaker_encode(attempt->weights, attempt->listener->wave, 600, &voice, err));
    return mill_semantic_encode(attempt->weights, attempt->listener->wave, 800, &words, err);
}

static void test_short_memory(void **state) {
    struct attempt attempt = {.listener = *state};
    if (!mill_fail_alloc_works())
        skip();
    sweep_open(attempt.listener);
    attempt.weights = open_weights(attempt.listener, BOTH, MILL_PRECISION_FP32, NULL);
    mill_fail_alloc_sweep(attempt_encode, &attempt);
    mill_encoder_weights_close(attempt.weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_recordings_refused),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_parts_and_cache),
        cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_hostile_numbers),
        cmocka_unit_test(test_zero_tap),
        cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
