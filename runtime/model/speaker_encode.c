/* speaker_encode.c - see speaker_encode.h.
 *
 * Everything lies in one device allocation, carved by an arena that first counts. Rows are frames
 * of the spectrogram. The three blocks' outputs are the thirds of one wide matrix, which is what
 * the last convolution reads; a Res2 chain works in place on the eighths of a row. */
#include "runtime/model/speaker_encode.h"

#include "runtime/model/matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Only keeps 0 / 0 away: the published norm divides by the length itself. */
#define PERCEIVER_NORM_EPS 1e-30f

struct run {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_speaker_weights *weights;
    const struct mill_bicodec_shape *shape;
    int32_t n_frames, n_latents;
    float *wave;                               /* reflected at both ends */
    struct mill_matrix spectrum, mel;          /* [n_frames, bins | n_mels] */
    struct mill_matrix first, inner, outer;    /* [n_frames, channels of ECAPA] */
    struct mill_matrix piece;                  /* [n_frames, an eighth of them] */
    struct mill_matrix blocks, features;       /* [n_frames, three times them] */
    struct mill_matrix mean, squeezed, excite; /* one row */
    struct mill_matrix context;                /* [n_latents + n_frames, latent]: latents first */
    struct mill_matrix query, attended;        /* [n_latents, 512] */
    struct mill_matrix kv;                     /* [n_latents + n_frames, 1024] */
    struct mill_matrix gated;                  /* [n_latents, inner] */
    struct mill_matrix z;                      /* [n_latents, n_levels] */
};

int32_t mill_speaker_n_frames(const struct mill_bicodec_shape *shape, int64_t n_samples) {
    return (int32_t)(1 + n_samples / shape->mel.hop);
}

/* ------------------------------------------------------------------ memory */

/* Samples that the frames read, from the first one's window to the last one's end. */
static size_t padded_samples(const struct run *run) {
    const struct mill_bicodec_shape *s = run->shape;
    return (size_t)(run->n_frames - 1) * (size_t)s->mel.hop + (size_t)s->mel.window;
}

static void carve(struct run *run, struct mill_arena *arena) {
    const struct mill_bicodec_shape *s = run->shape;
    int32_t n = run->n_frames, all = run->n_latents + n, n_bins = s->mel.n_fft / 2 + 1;
    int32_t feed_forward = mill_perceiver_feed_forward(s->speaker.latent);
    int32_t channels = s->speaker.ecapa_channels;
    run->wave = mill_arena_take(arena, padded_samples(run) * sizeof *run->wave);
    run->spectrum = mill_matrix_take(arena, n, n_bins);
    run->mel = mill_matrix_take(arena, n, s->mel.n_mels);
    run->first = mill_matrix_take(arena, n, channels);
    run->inner = mill_matrix_take(arena, n, channels);
    run->outer = mill_matrix_take(arena, n, channels);
    run->piece = mill_matrix_take(arena, n, channels / MILL_ECAPA_SCALE);
    run->blocks = mill_matrix_take(arena, n, MILL_ECAPA_BLOCKS * channels);
    run->features = mill_matrix_take(arena, n, MILL_ECAPA_BLOCKS * channels);
    run->mean = mill_matrix_take(arena, 1, channels);
    run->squeezed = mill_matrix_take(arena, 1, MILL_ECAPA_SQUEEZE);
    run->excite = mill_matrix_take(arena, 1, channels);
    run->context = mill_matrix_take(arena, all, s->speaker.latent);
    run->query = mill_matrix_take(arena, run->n_latents, MILL_PERCEIVER_INNER);
    run->attended = mill_matrix_take(arena, run->n_latents, MILL_PERCEIVER_INNER);
    run->kv = mill_matrix_take(arena, all, 2 * MILL_PERCEIVER_INNER);
    run->gated = mill_matrix_take(arena, run->n_latents, feed_forward);
    run->z = mill_matrix_take(arena, run->n_latents, s->speaker.n_levels);
}

/* ------------------------------------------------------------------ operators */

static mill_status linear(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                          const struct mill_weight *w, enum mill_activation act) {
    struct mill_linear_args args = {.y = y, .x = x, .w = *w, .act = act};
    return run->ops->linear(run->backend, &args);
}

/* y += x W^T + bias. */
static mill_status add_linear(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                              const struct mill_weight *w) {
    struct mill_linear_args args = {.y = y, .x = x, .w = *w, .residual = y};
    return run->ops->linear(run->backend, &args);
}

/* y = x * x_scale + z * z_scale * gain. */
static mill_status mix(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                       struct mill_matrix z, float z_scale, const float *gain) {
    struct mill_mix_args args = {
        .y = y, .x = x, .z = z, .x_scale = 1.0f, .z_scale = z_scale, .gain = gain};
    return run->ops->mix(run->backend, &args);
}

static mill_status affine(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                          const struct mill_conv_norm_weights *w) {
    struct mill_norm_args args = {
        .y = y, .x = x, .kind = MILL_NORM_AFFINE, .gain = w->gain, .shift = w->shift};
    return run->ops->norm(run->backend, &args);
}

/* y = affine(relu(conv(x))), zeros padded on both sides; `between` gets the middle. */
static mill_status conv_norm(const struct run *run, struct mill_matrix y,
                             struct mill_matrix between, struct mill_matrix x,
                             const struct mill_conv_norm_weights *w, int32_t dilation) {
    const struct mill_span span = {.n_x = run->n_frames, .n_y = run->n_frames};
    struct mill_conv1d_args args = {.y = between,
                                    .x = x,
                                    .w = w->conv,
                                    .dilation = dilation,
                                    .padding = w->conv.shape.n_taps / 2 * dilation,
                                    .act = MILL_ACT_RELU,
                                    .spans = &span,
                                    .n_spans = 1};
    MILL_TRY(run->ops->conv1d(run->backend, &args));
    return affine(run, y, between, w);
}

/* ------------------------------------------------------------------ spectrogram */

/* Sample i of a line of n mirrored at both ends, which are not repeated. */
static int64_t reflect(int64_t i, int64_t n) {
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* Frame f is centred at sample f * hop; the window lies in the middle of its n_fft samples. */
static mill_status load_wave(const struct run *run, const float *wave, int64_t n_samples) {
    const struct mill_bicodec_shape *s = run->shape;
    size_t n = padded_samples(run);
    int64_t first = (s->mel.n_fft - s->mel.window) / 2 - s->mel.n_fft / 2;
    float *padded = mill_alloc_array(n, sizeof *padded);
    if (!padded)
        return MILL_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        padded[i] = wave[reflect(first + (int64_t)i, n_samples)];
    mill_status status = run->ops->copy_in(run->backend, run->wave, padded, n * sizeof *padded);
    free(padded);
    return status;
}

static mill_status run_mel(const struct run *run) {
    const struct mill_bicodec_shape *s = run->shape;
    struct mill_matrix frames = {run->wave, MILL_F32, run->n_frames, s->mel.window, s->mel.hop};
    struct mill_linear_args fourier = {
        .y = run->spectrum, .x = frames, .w = run->weights->fourier, .pairs = MILL_PAIRS_MAGNITUDE};
    MILL_TRY(run->ops->linear(run->backend, &fourier));
    return linear(run, run->mel, run->spectrum, &run->weights->mel, MILL_ACT_NONE);
}

/* ------------------------------------------------------------------ ECAPA-TDNN */

/* Each eighth but the last is convolved and normed, with the eighth before it added to its input;
 * the first has none before it. */
static mill_status run_res2(const struct run *run, const struct mill_ecapa_block_weights *block,
                            int32_t dilation) {
    const int32_t width = run->piece.columns;
    for (int32_t i = 0; i < MILL_ECAPA_SCALE - 1; i++) {
        struct mill_matrix part = mill_matrix_columns(run->inner, i * width, width);
        if (i > 0)
            MILL_TRY(mix(run, part, part, mill_matrix_columns(run->inner, (i - 1) * width, width),
                         1.0f, NULL));
        MILL_TRY(conv_norm(run, part, run->piece, part, &block->res[i], dilation));
    }
    return MILL_OK;
}

static mill_status run_block(const struct run *run, const struct mill_ecapa_block_weights *block,
                             struct mill_matrix y, struct mill_matrix x, int32_t dilation) {
    const struct mill_span all = {.n_x = run->n_frames, .n_y = 1};
    MILL_TRY(conv_norm(run, run->inner, run->inner, x, &block->before, 1));
    MILL_TRY(run_res2(run, block, dilation));
    MILL_TRY(conv_norm(run, run->outer, run->outer, run->inner, &block->after, 1));
    struct mill_pool_mean_args pool = {
        .y = run->mean, .x = run->outer, .spans = &all, .n_spans = 1};
    MILL_TRY(run->ops->pool_mean(run->backend, &pool));
    MILL_TRY(linear(run, run->squeezed, run->mean, &block->squeeze, MILL_ACT_RELU));
    MILL_TRY(linear(run, run->excite, run->squeezed, &block->excite, MILL_ACT_SIGMOID));
    return mix(run, y, x, run->outer, 1.0f, run->excite.data);
}

static mill_status run_ecapa(const struct run *run) {
    const struct mill_speaker_weights *w = run->weights;
    MILL_TRY(conv_norm(run, run->first, run->first, run->mel, &w->first, 1));
    struct mill_matrix x = run->first;
    for (int32_t i = 0; i < MILL_ECAPA_BLOCKS; i++) {
        struct mill_matrix y =
            mill_matrix_columns(run->blocks, i * run->first.columns, run->first.columns);
        MILL_TRY(run_block(run, &w->blocks[i], y, x, 2 + i));
        x = y;
    }
    return linear(run, run->features, run->blocks, &w->last, MILL_ACT_RELU);
}

/* ------------------------------------------------------------------ perceiver */

static mill_status run_perceiver_layer(const struct run *run,
                                       const struct mill_perceiver_layer_weights *layer,
                                       struct mill_matrix latents) {
    const int32_t inner = MILL_PERCEIVER_INNER;
    const struct mill_span span = {.n_x = run->context.rows, .n_y = run->n_latents};
    MILL_TRY(linear(run, run->query, latents, &layer->q, MILL_ACT_NONE));
    MILL_TRY(linear(run, run->kv, run->context, &layer->kv, MILL_ACT_NONE));
    struct mill_attn_dense_args attn = {.y = run->attended,
                                        .q = run->query,
                                        .k = mill_matrix_columns(run->kv, 0, inner),
                                        .v = mill_matrix_columns(run->kv, inner, inner),
                                        .n_heads = MILL_PERCEIVER_HEADS,
                                        .scale = 1.0f /
                                                 sqrtf((float)inner / (float)MILL_PERCEIVER_HEADS),
                                        .spans = &span,
                                        .n_spans = 1};
    MILL_TRY(run->ops->attn_dense(run->backend, &attn));
    MILL_TRY(add_linear(run, latents, run->attended, &layer->out));
    struct mill_linear_args up = {.y = run->gated,
                                  .x = latents,
                                  .w = layer->up,
                                  .act = MILL_ACT_GELU,
                                  .pairs = MILL_PAIRS_GATE};
    MILL_TRY(run->ops->linear(run->backend, &up));
    return add_linear(run, latents, run->gated, &layer->down);
}

static mill_status run_perceiver(const struct run *run) {
    const struct mill_speaker_weights *w = run->weights;
    struct mill_matrix latents = mill_matrix_rows(run->context, 0, run->n_latents);
    struct mill_matrix learned = latents; /* where every voice begins; only read */
    learned.data = (void *)(uintptr_t)w->latents;
    MILL_TRY(mix(run, latents, learned, learned, 0.0f, NULL));
    MILL_TRY(linear(run, mill_matrix_rows(run->context, run->n_latents, run->n_frames),
                    run->features, &w->context, MILL_ACT_NONE));
    for (int32_t i = 0; i < MILL_PERCEIVER_LAYERS; i++)
        MILL_TRY(run_perceiver_layer(run, &w->layers[i], latents));
    struct mill_linear_args project = {
        .y = run->z, .x = latents, .gain = w->norm, .eps = PERCEIVER_NORM_EPS, .w = w->project};
    return run->ops->linear(run->backend, &project);
}

/* ------------------------------------------------------------------ tokens */

mill_status mill_speaker_quantise(const struct mill_bicodec_shape *shape, const float *z,
                                  int32_t *global, struct mill_error *err) {
    for (int32_t i = 0; i < shape->speaker.n_tokens; i++) {
        int32_t basis = 1;
        global[i] = 0;
        for (int32_t k = 0; k < shape->speaker.n_levels; k++, z++) {
            int32_t level = shape->speaker.levels[k];
            double half = (level - 1) * (1 + 1e-3) / 2, offset = level % 2 == 0 ? 0.5 : 0.0;
            if (!isfinite(*z))
                return mill_fail(err, MILL_E_NUMERIC,
                                 "speaker encoder: global token %d of %d is not a number", i + 1,
                                 shape->speaker.n_tokens);
            double bounded = tanh((double)*z + atanh(offset / half)) * half - offset;
            global[i] += ((int32_t)rint(bounded) + level / 2) * basis;
            basis *= level;
        }
    }
    return MILL_OK;
}

static mill_status run_all(const struct run *run, const float *wave, int64_t n_samples,
                           const struct mill_speaker_result *result, float *z) {
    MILL_TRY(load_wave(run, wave, n_samples));
    MILL_TRY(run_mel(run));
    MILL_TRY(run_ecapa(run));
    MILL_TRY(run_perceiver(run));
    MILL_TRY(mill_matrix_copy_out(run->ops, run->backend, result->mel, run->mel));
    MILL_TRY(mill_matrix_copy_out(run->ops, run->backend, z, run->z));
    return run->ops->synchronize(run->backend);
}

mill_status mill_speaker_encode(const struct mill_encoder_weights *weights, const float *wave,
                                int64_t n_samples, const struct mill_speaker_result *result,
                                struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &weights->shape.bicodec;
    MILL_TRY(
        mill_encoder_check_wave(&weights->shape, wave, n_samples, shape->mel.n_fft / 2 + 1, err));
    struct run run = {.ops = weights->ops,
                      .backend = weights->backend,
                      .weights = &weights->speaker,
                      .shape = shape,
                      .n_frames = mill_speaker_n_frames(shape, n_samples),
                      .n_latents = shape->speaker.n_tokens};
    struct mill_arena arena = {0};
    carve(&run, &arena);
    size_t n_values = (size_t)run.n_latents * (size_t)shape->speaker.n_levels;
    float *z = mill_alloc_array(n_values, sizeof *z);
    void *memory = run.ops->alloc(run.backend, arena.peak);
    mill_status status = MILL_OK;
    if (!z || !memory) {
        status =
            mill_fail(err, MILL_E_MEMORY, "speaker encoder: no memory (%zu bytes)", arena.peak);
        goto cleanup;
    }
    arena = (struct mill_arena){.base = memory, .capacity = arena.peak};
    carve(&run, &arena);
    status = run_all(&run, wave, n_samples, result, z);
    if (status < 0) {
        mill_fail(err, status, "speaker encoder: the %s backend: %s", run.ops->name,
                  mill_backend_failure(run.ops, run.backend, status));
        goto cleanup;
    }
    if (result->z)
        memcpy(result->z, z, n_values * sizeof *z);
    if (result->global)
        status = mill_speaker_quantise(shape, z, result->global, err);
cleanup:
    if (memory)
        run.ops->free(run.backend, memory);
    free(z);
    return status;
}
