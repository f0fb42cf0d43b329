/* decoder_fixture.c - see decoder_fixture.h. */
#include "tests/model/decoder_fixture.h"

#include "runtime/base/memory.h"
#include "runtime/base/philox.h"
#include "runtime/model/bicodec_plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ------------------------------------------------------------------ shapes */

const struct mill_bicodec_shape decoder_small = {
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
    .speaker = {.output = 20,
                .latent = 8,
                .n_tokens = 5,
                .n_levels = 3,
                .ecapa_channels = 16,
                .levels = {5, 3, 4}},
    .generator = {
        .input = 20, .channels = 24, .n_stages = 3, .rates = {5, 4, 2}, .kernels = {11, 8, 4}}};

/* Another number of everything; a kernel as long as its rate. */
const struct mill_bicodec_shape decoder_other = {
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
    .speaker = {.output = 12,
                .latent = 4,
                .n_tokens = 2,
                .n_levels = 2,
                .ecapa_channels = 8,
                .levels = {2, 7}},
    .generator = {.input = 12, .channels = 16, .n_stages = 2, .rates = {3, 2}, .kernels = {3, 6}}};

/* ------------------------------------------------------------------ memory that is not zero */

enum { MAX_BLOCKS = 16 };
static struct {
    void *data;
    size_t bytes;
} blocks[MAX_BLOCKS];
static int n_blocks;
int n_device_allocations;
static const struct mill_backend_ops *plain;

static void *recording_alloc(struct mill_backend *backend, size_t bytes) {
    void *data = plain->alloc(backend, bytes);
    assert_true(n_blocks < MAX_BLOCKS);
    if (!data)
        return NULL;
    memset(data, 0xff, bytes);
    blocks[n_blocks].data = data;
    blocks[n_blocks++].bytes = bytes;
    n_device_allocations++;
    return data;
}

static void recording_free(struct mill_backend *backend, void *data) {
    for (int i = 0; i < n_blocks; i++)
        if (blocks[i].data == data)
            blocks[i] = blocks[--n_blocks];
    plain->free(backend, data);
}

void poison_device_block(int block) {
    memset(blocks[block].data, 0xff, blocks[block].bytes);
}

/* ------------------------------------------------------------------ a decoder */

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

struct model *model_open(const char *backend, const struct mill_bicodec_shape *shape,
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
    n_blocks = n_device_allocations = 0;
    assert_int_equal(mill_bicodec_decoder_open(&model->decoder, &model->ops, model->backend,
                                               &model->weights, max_window, &err),
                     MILL_OK);
    assert_int_equal(n_device_allocations, 1);
    int32_t global[32];
    for (int32_t i = 0; i < shape->speaker.n_tokens; i++)
        global[i] = i;
    assert_int_equal(mill_bicodec_voice_open(&model->voice, model->decoder, global, &err), MILL_OK);
    return model;
}

void model_close(struct model *model) {
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

void model_random_tokens(const struct model *model, int32_t *tokens, int32_t n, uint64_t seed) {
    for (int32_t i = 0; i < n; i++)
        tokens[i] = random_below(&seed, model->weights.shape.quantizer.codebook_size);
}

int32_t random_below(uint64_t *counter, int32_t n) {
    return (int32_t)(mill_philox_uniform(99, (*counter)++) * n);
}
