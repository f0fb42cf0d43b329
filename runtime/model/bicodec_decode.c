/* bicodec_decode.c - running the decoder's layers over the rows that bicodec_plan.c asks for.
 *
 * Activations live in one device allocation, made at open and carved by an arena:
 *
 *     ids | slab 0                            | slab 1
 *         | the prenet's stream x             | z_q, then hidden and wide, then the prenet's output
 *         | generator rows after conv_in,     | generator rows after stage 0, 2, ...; wave
 *         |   stage 1, 3, ...; wave           |
 *
 * Every layer reads one slab and writes the other; a residual sum goes back in place. A `band` says
 * which rows of a time line a slab holds; a layer's span names exactly the rows planned for it, so
 * what else lies in a slab is never read. A voice owns its row of device memory; the decoder owns
 * the rest and borrows weights and backend. One thread. */
#include "runtime/model/bicodec_decode.h"

#include "runtime/base/memory.h"
#include "runtime/model/vocos.h"

#include <math.h>
#include <stdlib.h>

struct mill_bicodec_decoder {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_decoder_weights *weights;
    int32_t max_window, context;
    struct mill_range *ranges; /* [n_layers + 1]: the plan of the window being decoded */
    void *memory;              /* device: all that follows */
    size_t memory_bytes;
    int32_t *ids;
    float *slab[2];
};

struct mill_bicodec_voice {
    struct mill_bicodec_decoder *decoder; /* borrowed */
    float *row;                           /* device: see mill_decoder_weights.voice */
    float *d_vector;                      /* host */
};

/* ------------------------------------------------------------------ memory */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Elements of each slab for the planned ranges. */
static void slab_elements(const struct mill_bicodec_shape *shape, const struct mill_range *ranges,
                          size_t elements[2]) {
    size_t frames = (size_t)mill_range_rows(ranges[0]);
    size_t hidden = (size_t)shape->prenet.dim + (size_t)shape->prenet.intermediate;
    size_t beside = larger(larger((size_t)shape->quantizer.input, (size_t)shape->prenet.output),
                           larger(hidden, (size_t)shape->generator.input));
    elements[0] = frames * (size_t)shape->prenet.dim;
    elements[1] = frames * beside;
    size_t channels = (size_t)shape->generator.channels;
    for (int32_t k = 0; k < mill_bicodec_n_layers(shape); k++) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        size_t rows = (size_t)mill_range_rows(ranges[k + 1]);
        if (layer.kind == MILL_LAYER_CONV_IN)
            elements[0] = larger(elements[0], rows * channels);
        if (layer.kind != MILL_LAYER_UP)
            continue;
        channels /= 2;
        for (int i = 0; i < 2; i++)
            elements[i] = larger(elements[i], rows * channels);
    }
}

static void carve(struct mill_bicodec_decoder *decoder, struct mill_arena *arena,
                  const size_t elements[2]) {
    decoder->ids = mill_arena_take(arena, (size_t)(decoder->max_window + 2 * decoder->context) *
                                              sizeof *decoder->ids);
    for (int i = 0; i < 2; i++)
        decoder->slab[i] = mill_arena_take(arena, elements[i] * sizeof *decoder->slab[i]);
}

static mill_status plan_memory(struct mill_bicodec_decoder *decoder, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &decoder->weights->shape;
    decoder->ranges =
        mill_alloc_array((size_t)mill_bicodec_n_layers(shape) + 1, sizeof *decoder->ranges);
    if (!decoder->ranges)
        return mill_fail(err, MILL_E_MEMORY, "decoder: no memory for its plan");
    /* A window in the middle of an utterance needs the most rows of every layer. */
    mill_bicodec_plan_ranges(shape, decoder->context, decoder->context + decoder->max_window,
                             INT64_MAX, decoder->ranges);
    size_t elements[2];
    slab_elements(shape, decoder->ranges, elements);
    struct mill_arena arena = {0};
    carve(decoder, &arena, elements);
    decoder->memory_bytes = arena.peak;
    decoder->memory = decoder->ops->alloc(decoder->backend, arena.peak);
    if (!decoder->memory)
        return mill_fail(err, MILL_E_MEMORY,
                         "decoder: no memory for windows of %d frames (%zu bytes)",
                         decoder->max_window, arena.peak);
    arena = (struct mill_arena){.base = decoder->memory, .capacity = arena.peak};
    carve(decoder, &arena, elements);
    return MILL_OK;
}

int32_t mill_bicodec_context(const struct mill_bicodec_shape *shape) {
    /* Far from both ends every frame reaches equally far; 64 bits keep the walk exact. */
    const int64_t frame = INT32_MAX;
    struct mill_range range = {frame * shape->hop, (frame + 1) * shape->hop};
    for (int32_t k = mill_bicodec_n_layers(shape); k-- > 0;) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        range = mill_bicodec_layer_input(&layer, range);
    }
    int64_t left = frame - range.first, right = range.end - (frame + 1);
    return (int32_t)(left > right ? left : right);
}

mill_status mill_bicodec_decoder_open(struct mill_bicodec_decoder **out,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_decoder_weights *weights,
                                      int32_t max_window, struct mill_error *err) {
    *out = NULL;
    int32_t context = mill_bicodec_context(&weights->shape);
    if (max_window < 1 || max_window > INT32_MAX / weights->shape.hop - 2 * context)
        return mill_fail(err, MILL_E_INPUT, "decoder: a window of %d frames", max_window);
    struct mill_bicodec_decoder *decoder = mill_alloc_array(1, sizeof *decoder);
    if (!decoder)
        return mill_fail(err, MILL_E_MEMORY, "decoder: no memory");
    decoder->ops = ops;
    decoder->backend = backend;
    decoder->weights = weights;
    decoder->max_window = max_window;
    decoder->context = context;
    mill_status status = plan_memory(decoder, err);
    if (status < 0) {
        mill_bicodec_decoder_close(decoder);
        return status;
    }
    *out = decoder;
    return MILL_OK;
}

void mill_bicodec_decoder_close(struct mill_bicodec_decoder *decoder) {
    if (!decoder)
        return;
    if (decoder->memory)
        decoder->ops->free(decoder->backend, decoder->memory);
    free(decoder->ranges);
    free(decoder);
}

size_t mill_bicodec_decoder_bytes(const struct mill_bicodec_decoder *decoder) {
    return decoder->memory_bytes;
}

/* ------------------------------------------------------------------ voices */

/* Digit k of a token, in base levels[k], counted from the middle: (digit - L/2) / (L/2). */
static mill_status voice_code(const struct mill_bicodec_shape *shape, const int32_t *global,
                              float *code, struct mill_error *err) {
    for (int32_t i = 0; i < shape->speaker.n_tokens; i++) {
        int32_t rest = global[i];
        for (int32_t k = 0; k < shape->speaker.n_levels; k++) {
            int32_t level = shape->speaker.levels[k], half = level / 2;
            *code++ = (float)(rest % level - half) / (float)half;
            rest /= level;
        }
        if (global[i] < 0 || rest != 0)
            return mill_fail(err, MILL_E_INPUT, "voice: global token %d of %d is %d, out of range",
                             i + 1, shape->speaker.n_tokens, global[i]);
    }
    return MILL_OK;
}

static mill_status compute_voice(struct mill_bicodec_voice *voice, const float *code,
                                 float *device_code) {
    const struct mill_bicodec_decoder *decoder = voice->decoder;
    const struct mill_weight *weight = &decoder->weights->voice;
    struct mill_linear_args linear = {.y = mill_matrix_f32(voice->row, 1, weight->shape.n_out),
                                      .x = mill_matrix_f32(device_code, 1, weight->shape.n_in),
                                      .w = *weight};
    MILL_TRY(decoder->ops->copy_in(decoder->backend, device_code, code,
                                   (size_t)weight->shape.n_in * sizeof *code));
    MILL_TRY(decoder->ops->linear(decoder->backend, &linear));
    MILL_TRY(decoder->ops->copy_out(decoder->backend, voice->d_vector, voice->row,
                                    (size_t)decoder->weights->shape.speaker.output *
                                        sizeof *voice->d_vector));
    return decoder->ops->synchronize(decoder->backend);
}

mill_status mill_bicodec_voice_open(struct mill_bicodec_voice **out,
                                    struct mill_bicodec_decoder *decoder, const int32_t *global,
                                    struct mill_error *err) {
    const struct mill_backend_ops *ops = decoder->ops;
    const struct mill_bicodec_shape *shape = &decoder->weights->shape;
    const struct mill_weight_shape *weight = &decoder->weights->voice.shape;
    mill_status status = MILL_E_MEMORY;
    *out = NULL;
    float *code = mill_alloc_array((size_t)weight->n_in, sizeof *code);
    float *device_code = ops->alloc(decoder->backend, (size_t)weight->n_in * sizeof(float));
    struct mill_bicodec_voice *voice = mill_alloc_array(1, sizeof *voice);
    if (!code || !device_code || !voice)
        goto cleanup;
    voice->decoder = decoder;
    voice->row = ops->alloc(decoder->backend, (size_t)weight->n_out * sizeof(float));
    voice->d_vector = mill_alloc_array((size_t)shape->speaker.output, sizeof(float));
    if (!voice->row || !voice->d_vector)
        goto cleanup;
    status = voice_code(shape, global, code, err);
    if (status < 0)
        goto cleanup;
    status = compute_voice(voice, code, device_code);
    if (status < 0) {
        mill_fail(err, status, "voice: the %s backend: %s", ops->name, mill_status_text(status));
        goto cleanup;
    }
    *out = voice;
    voice = NULL;
cleanup:
    if (status == MILL_E_MEMORY)
        mill_fail(err, status, "voice: no memory");
    mill_bicodec_voice_close(voice);
    if (device_code)
        ops->free(decoder->backend, device_code);
    free(code);
    return status;
}

void mill_bicodec_voice_close(struct mill_bicodec_voice *voice) {
    if (!voice)
        return;
    if (voice->row)
        voice->decoder->ops->free(voice->decoder->backend, voice->row);
    free(voice->d_vector);
    free(voice);
}

/* ------------------------------------------------------------------ layers */

/* A window on its way through the layers. */
struct run {
    const struct mill_bicodec_decoder *decoder;
    const struct mill_bicodec_window *window;
    int32_t layer; /* the next layer; what was computed last are rows ranges[layer] */
};

/* The rows that were computed last. */
static struct mill_range current(const struct run *run) {
    return run->decoder->ranges[run->layer];
}

/* The planned span of the next layer, for matrices that hold just its rows. */
static struct mill_span next_span(const struct run *run) {
    const struct mill_range *ranges = run->decoder->ranges + run->layer;
    return mill_range_span(ranges[0], ranges[1]);
}

/* The next layer's convolution from x into y, whose first row becomes the first one computed. */
static mill_status run_conv(struct run *run, struct mill_band *y, const struct mill_band *x,
                            const struct mill_weight *weight, const float *alpha,
                            enum mill_activation act) {
    const struct mill_bicodec_decoder *decoder = run->decoder;
    struct mill_bicodec_layer layer = mill_bicodec_layer_at(&decoder->weights->shape, run->layer);
    struct mill_span span = next_span(run);
    y->place = span.y_place;
    struct mill_conv1d_args conv = {.y = mill_matrix_f32(y->data, span.n_y, y->columns),
                                    .x = mill_band_rows(x, current(run)),
                                    .w = *weight,
                                    .dilation = layer.dilation,
                                    .padding = layer.padding,
                                    .alpha = alpha,
                                    .act = act,
                                    .spans = &span,
                                    .n_spans = 1};
    run->layer++;
    return decoder->ops->conv1d(decoder->backend, &conv);
}

/* A ConvNeXt stack over x, in place; `adaptive` as in struct mill_vocos. */
static mill_status run_stack(struct run *run, const struct mill_vocos_weights *stack,
                             struct mill_band *x, const float *adaptive) {
    const struct mill_bicodec_decoder *decoder = run->decoder;
    const struct mill_vocos vocos = {.ops = decoder->ops,
                                     .backend = decoder->backend,
                                     .hidden = decoder->slab[1],
                                     .adaptive = adaptive};
    const struct mill_range *ranges = decoder->ranges + run->layer;
    run->layer += 1 + stack->n_blocks;
    return mill_vocos_run(&vocos, stack, ranges, x, x);
}

/* What the caller wants to see of an intermediate result; NULL = nothing. */
static mill_status show(const struct run *run, const struct mill_band *band, float *out) {
    if (!out)
        return MILL_OK;
    struct mill_matrix rows =
        mill_band_rows(band, (struct mill_range){run->window->first, run->window->end});
    return run->decoder->ops->copy_out(run->decoder->backend, out, rows.data,
                                       (size_t)rows.rows * (size_t)rows.columns * sizeof *out);
}

/* Tokens to the generator's input, which comes to lie in *out: the prenet's output + d-vector. */
static mill_status run_prenet(struct run *run, struct mill_band *out) {
    const struct mill_bicodec_decoder *decoder = run->decoder;
    const struct mill_decoder_weights *weights = decoder->weights;
    const struct mill_bicodec_shape *shape = &weights->shape;
    struct mill_range frames = current(run);
    struct mill_band z_q = {decoder->slab[1], shape->quantizer.input, frames.first};
    struct mill_band x = {decoder->slab[0], shape->prenet.dim, frames.first};
    MILL_TRY(decoder->ops->copy_in(decoder->backend, decoder->ids,
                                   run->window->semantic + frames.first,
                                   (size_t)mill_range_rows(frames) * sizeof *decoder->ids));
    struct mill_embed_args embed = {.y = mill_band_rows(&z_q, frames),
                                    .table = weights->codebook,
                                    .table_dtype = weights->codebook_dtype,
                                    .ids = decoder->ids};
    MILL_TRY(decoder->ops->embed(decoder->backend, &embed));
    MILL_TRY(show(run, &z_q, run->window->z_q));
    struct mill_linear_args before = {
        .y = mill_band_rows(&x, frames), .x = embed.y, .w = weights->linear_pre};
    MILL_TRY(decoder->ops->linear(decoder->backend, &before));
    for (int32_t i = 0; i < shape->prenet.n_samplings; i++)
        MILL_TRY(run_stack(run, &weights->sampling[i], &x, NULL));
    const float *norms = run->window->voice->row + mill_voice_norm_column(shape, 0);
    MILL_TRY(run_stack(run, &weights->backbone, &x, norms));
    *out = (struct mill_band){decoder->slab[1], shape->prenet.output, current(run).first};
    struct mill_linear_args after = {.y = mill_band_rows(out, current(run)),
                                     .x = mill_band_rows(&x, current(run)),
                                     .w = weights->linear};
    after.w.bias = run->window->voice->row + shape->speaker.output;
    MILL_TRY(decoder->ops->linear(decoder->backend, &after));
    return show(run, out, run->window->prenet);
}

/* One stage from x into y; x's slab serves as the units' scratch. */
static mill_status run_stage(struct run *run, const struct mill_generator_stage_weights *stage,
                             struct mill_band *y, struct mill_band *x) {
    const struct mill_bicodec_decoder *decoder = run->decoder;
    struct mill_bicodec_layer layer = mill_bicodec_layer_at(&decoder->weights->shape, run->layer);
    struct mill_span span = next_span(run);
    *y = (struct mill_band){y->data, x->columns / 2, span.y_place};
    struct mill_conv_transpose1d_args up = {.y = mill_matrix_f32(y->data, span.n_y, y->columns),
                                            .x = mill_band_rows(x, current(run)),
                                            .w = stage->up,
                                            .stride = layer.stride,
                                            .padding = layer.padding,
                                            .alpha = stage->alpha,
                                            .spans = &span,
                                            .n_spans = 1};
    MILL_TRY(decoder->ops->conv_transpose1d(decoder->backend, &up));
    run->layer++;
    for (int i = 0; i < MILL_BICODEC_UNITS; i++) {
        const struct mill_residual_unit_weights *unit = &stage->units[i];
        struct mill_band dilated = {.data = x->data, .columns = y->columns};
        MILL_TRY(run_conv(run, &dilated, y, &unit->dilated, unit->alpha1, MILL_ACT_NONE));
        struct mill_span rows = {.n_x = (int32_t)mill_range_rows(current(run)),
                                 .n_y = (int32_t)mill_range_rows(current(run))};
        struct mill_conv1d_args pointwise = {.y = mill_band_rows(y, current(run)),
                                             .x = mill_band_rows(&dilated, current(run)),
                                             .w = unit->pointwise,
                                             .dilation = 1,
                                             .alpha = unit->alpha2,
                                             .spans = &rows,
                                             .n_spans = 1};
        pointwise.residual = pointwise.y;
        MILL_TRY(decoder->ops->conv1d(decoder->backend, &pointwise));
    }
    return MILL_OK;
}

static mill_status run_generator(struct run *run, struct mill_band *input) {
    const struct mill_bicodec_decoder *decoder = run->decoder;
    const struct mill_decoder_weights *weights = decoder->weights;
    const struct mill_bicodec_shape *shape = &weights->shape;
    struct mill_band x = {.data = decoder->slab[0], .columns = shape->generator.channels};
    struct mill_band y = {.data = decoder->slab[1]};
    MILL_TRY(run_conv(run, &x, input, &weights->conv_in, NULL, MILL_ACT_NONE));
    for (int32_t i = 0; i < shape->generator.n_stages; i++) {
        MILL_TRY(run_stage(run, &weights->stages[i], &y, &x));
        struct mill_band swap = x;
        x = y;
        y = swap;
    }
    y.columns = 1;
    MILL_TRY(run_conv(run, &y, &x, &weights->conv_out, weights->final_alpha, MILL_ACT_TANH));
    return decoder->ops->copy_out(decoder->backend, run->window->wave, y.data,
                                  (size_t)mill_range_rows(current(run)) *
                                      sizeof *run->window->wave);
}

/* ------------------------------------------------------------------ a window */

static mill_status check_window(const struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &decoder->weights->shape;
    if (window->n_semantic > INT32_MAX / shape->hop)
        return mill_fail(err, MILL_E_INPUT, "decoder: %d frames are too long an utterance",
                         window->n_semantic);
    int64_t needed = window->finished ? window->end : (int64_t)window->end + decoder->context;
    if (window->first < 0 || window->first >= window->end || needed > window->n_semantic ||
        window->end - window->first > decoder->max_window)
        return mill_fail(err, MILL_E_INPUT,
                         "decoder: frames %d to %d are not a window of %d frames (at most %d a "
                         "window%s)",
                         window->first, window->end, window->n_semantic, decoder->max_window,
                         window->finished ? "" : ", with context behind it");
    return MILL_OK;
}

static mill_status check_tokens(const struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err) {
    int32_t n_codes = decoder->weights->shape.quantizer.codebook_size;
    for (int64_t i = decoder->ranges[0].first; i < decoder->ranges[0].end; i++)
        if (window->semantic[i] < 0 || window->semantic[i] >= n_codes)
            return mill_fail(err, MILL_E_INPUT,
                             "decoder: semantic token %lld is %d; there are %d codewords",
                             (long long)i, window->semantic[i], n_codes);
    return MILL_OK;
}

static mill_status run_window(struct run *run) {
    struct mill_band between;
    MILL_TRY(run_prenet(run, &between));
    MILL_TRY(run_generator(run, &between));
    return run->decoder->ops->synchronize(run->decoder->backend);
}

mill_status mill_bicodec_decode(struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &decoder->weights->shape;
    MILL_TRY(check_window(decoder, window, err));
    mill_bicodec_plan_ranges(shape, window->first, window->end,
                             window->finished ? window->n_semantic : INT64_MAX, decoder->ranges);
    MILL_TRY(check_tokens(decoder, window, err));
    struct run run = {.decoder = decoder, .window = window};
    mill_status status = run_window(&run);
    if (status < 0)
        return mill_fail(err, status, "decoder: frames %d to %d: the %s backend: %s", window->first,
                         window->end, decoder->ops->name, mill_status_text(status));
    int64_t n_frames = window->end - window->first, d = shape->speaker.output;
    for (int64_t i = 0; i < n_frames * shape->hop; i++)
        if (!isfinite(window->wave[i]))
            return mill_fail(err, MILL_E_NUMERIC, "decoder: frame %lld: a sample is not finite",
                             (long long)(window->first + i / shape->hop));
    for (int64_t i = 0; window->prenet && i < n_frames * d; i++)
        window->prenet[i] -= window->voice->d_vector[i % d];
    for (int64_t i = 0; window->d_vector && i < d; i++)
        window->d_vector[i] = window->voice->d_vector[i];
    return MILL_OK;
}
