/* wav2vec2.c - see wav2vec2.h. */
#include "runtime/model/wav2vec2.h"

#include "runtime/model/bicodec_plan.h"

#include <math.h>
#include <stdlib.h>

/* The norms of the convolutions have this eps, whatever the configuration says of the others. */
#define CONV_NORM_EPS 1e-5f

enum { PIECE_FRAMES = 50 };

/* ------------------------------------------------------------------ sizes */

int64_t mill_wav2vec2_n_frames(const struct mill_wav2vec2_shape *shape, int64_t n_samples) {
    int64_t n = n_samples;
    for (int32_t i = 0; i < shape->n_convs; i++)
        n = n < shape->conv_kernel[i] ? 0 : (n - shape->conv_kernel[i]) / shape->conv_stride[i] + 1;
    return n;
}

/* ranges[i]: the rows that convolution i reads for `wanted` rows of the last; ranges[n_convs] is
 * `wanted`. */
static void plan_piece(const struct mill_wav2vec2_shape *shape, struct mill_range wanted,
                       struct mill_range ranges[MILL_MAX_CONVS + 1]) {
    ranges[shape->n_convs] = wanted;
    for (int32_t i = shape->n_convs; i-- > 0;) {
        const struct mill_range out = ranges[i + 1];
        ranges[i].first = out.first * shape->conv_stride[i];
        ranges[i].end = (out.end - 1) * shape->conv_stride[i] + shape->conv_kernel[i];
    }
}

int64_t mill_wav2vec2_n_samples(const struct mill_wav2vec2_shape *shape, int64_t n_frames) {
    struct mill_range ranges[MILL_MAX_CONVS + 1];
    plan_piece(shape, (struct mill_range){0, n_frames}, ranges);
    return ranges[0].end;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

void mill_wav2vec2_carve(struct mill_wav2vec2 *run, struct mill_arena *arena) {
    const struct mill_wav2vec2_shape *s = run->shape;
    int32_t n = run->n_frames, piece = n < PIECE_FRAMES ? n : PIECE_FRAMES;
    struct mill_range ranges[MILL_MAX_CONVS + 1];
    size_t elements[2] = {0, 0};
    plan_piece(s, (struct mill_range){0, piece}, ranges);
    for (int32_t i = 1; i < s->n_convs; i++) {
        size_t rows = (size_t)(ranges[i].end - ranges[i].first);
        size_t needed = rows * (size_t)s->conv_dim[i - 1];
        elements[i % 2] = needed > elements[i % 2] ? needed : elements[i % 2];
    }
    run->wave = mill_arena_take(arena, (size_t)run->n_samples * sizeof *run->wave);
    for (int i = 0; i < 2; i++)
        run->slabs[i] = mill_arena_take(arena, elements[i] * sizeof *run->slabs[i]);
    run->convolved = mill_matrix_take(arena, n, s->conv_dim[s->n_convs - 1]);
    run->stream = mill_matrix_take(arena, n, s->hidden);
    run->normed = mill_matrix_take(arena, n, s->hidden);
    run->wide = mill_matrix_take(arena, n, larger(3 * s->hidden, s->intermediate));
    run->features = mill_matrix_take(arena, n, s->hidden);
}

/* ------------------------------------------------------------------ operators */

static mill_status layer_norm(const struct mill_wav2vec2 *run, struct mill_matrix y,
                              struct mill_matrix x, const float *gain, const float *shift) {
    struct mill_norm_args norm = {.y = y,
                                  .x = x,
                                  .kind = MILL_NORM_LAYER,
                                  .eps = (float)run->shape->norm_eps,
                                  .gain = gain,
                                  .shift = shift};
    return run->ops->norm(run->backend, &norm);
}

static mill_status linear(const struct mill_wav2vec2 *run, struct mill_matrix y,
                          struct mill_matrix x, const struct mill_weight *w) {
    struct mill_linear_args args = {.y = y, .x = x, .w = *w};
    return run->ops->linear(run->backend, &args);
}

/* The stream += x W^T + bias. */
static mill_status add_linear(const struct mill_wav2vec2 *run, struct mill_matrix x,
                              const struct mill_weight *w) {
    struct mill_linear_args args = {.y = run->stream, .x = x, .w = *w, .residual = run->stream};
    return run->ops->linear(run->backend, &args);
}

/* ------------------------------------------------------------------ convolutions */

static mill_status load_wave(const struct mill_wav2vec2 *run, const float *wave) {
    size_t n = (size_t)run->n_samples;
    float *normal = mill_alloc_array(n, sizeof *normal);
    double sum = 0.0, squares = 0.0;
    if (!normal)
        return MILL_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        sum += (double)wave[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)wave[i] - mean) * ((double)wave[i] - mean);
    double scale = 1.0 / sqrt(squares / (double)n + 1e-7);
    for (size_t i = 0; i < n; i++)
        normal[i] = (float)(((double)wave[i] - mean) * scale);
    mill_status status = run->ops->copy_in(run->backend, run->wave, normal, n * sizeof *normal);
    free(normal);
    return status;
}

/* Convolution i from the rows at `x`, which are ranges[i], to y: a product with rows that overlap.
 * Then the norm over channels and GELU. */
static mill_status run_conv(const struct mill_wav2vec2 *run, int32_t i, struct mill_matrix y,
                            float *x, int32_t input) {
    const struct mill_feature_conv_weights *layer = &run->weights->convs[i];
    struct mill_matrix rows = {x, MILL_F32, y.rows, run->shape->conv_kernel[i] * input,
                               (int64_t)run->shape->conv_stride[i] * input};
    MILL_TRY(linear(run, y, rows, &layer->conv));
    struct mill_norm_args norm = {.y = y,
                                  .x = y,
                                  .kind = MILL_NORM_LAYER,
                                  .eps = CONV_NORM_EPS,
                                  .gain = layer->gain,
                                  .shift = layer->shift,
                                  .act = MILL_ACT_GELU};
    return run->ops->norm(run->backend, &norm);
}

static mill_status run_piece(const struct mill_wav2vec2 *run, struct mill_range wanted) {
    const struct mill_wav2vec2_shape *s = run->shape;
    struct mill_range ranges[MILL_MAX_CONVS + 1];
    plan_piece(s, wanted, ranges);
    float *x = run->wave + ranges[0].first;
    int32_t input = 1;
    for (int32_t i = 0; i < s->n_convs; i++) {
        bool last = i == s->n_convs - 1;
        struct mill_range out = ranges[i + 1];
        struct mill_matrix y =
            last ? mill_matrix_rows(run->convolved, (int32_t)out.first,
                                    (int32_t)(out.end - out.first))
                 : mill_matrix_f32(run->slabs[(i + 1) % 2], out.end - out.first, s->conv_dim[i]);
        MILL_TRY(run_conv(run, i, y, x, input));
        x = y.data;
        input = s->conv_dim[i];
    }
    return MILL_OK;
}

static mill_status run_convs(const struct mill_wav2vec2 *run) {
    for (int32_t first = 0; first < run->n_frames; first += PIECE_FRAMES) {
        int32_t end = first + PIECE_FRAMES < run->n_frames ? first + PIECE_FRAMES : run->n_frames;
        MILL_TRY(run_piece(run, (struct mill_range){first, end}));
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ transformer */

/* stream = x + gelu(grouped convolution of x); a group is a run of columns. The even kernel gives
 * a row too many at the end, which is not asked for. */
static mill_status run_position(const struct mill_wav2vec2 *run, struct mill_matrix x) {
    const struct mill_wav2vec2_shape *s = run->shape;
    const struct mill_span span = {.n_x = run->n_frames, .n_y = run->n_frames};
    int32_t width = s->hidden / s->pos_groups;
    for (int32_t i = 0; i < s->pos_groups; i++) {
        struct mill_matrix group = mill_matrix_columns(x, i * width, width);
        struct mill_conv1d_args conv = {.y = mill_matrix_columns(run->stream, i * width, width),
                                        .x = group,
                                        .w = run->weights->position[i],
                                        .dilation = 1,
                                        .padding = s->pos_kernel / 2,
                                        .act = MILL_ACT_GELU,
                                        .residual = group,
                                        .spans = &span,
                                        .n_spans = 1};
        MILL_TRY(run->ops->conv1d(run->backend, &conv));
    }
    return MILL_OK;
}

static mill_status run_layer(const struct mill_wav2vec2 *run,
                             const struct mill_wav2vec2_layer_weights *layer) {
    const struct mill_wav2vec2_shape *s = run->shape;
    const struct mill_span span = {.n_x = run->n_frames, .n_y = run->n_frames};
    struct mill_matrix qkv = mill_matrix_f32(run->wide.data, run->n_frames, 3 * s->hidden);
    struct mill_matrix wide = mill_matrix_f32(run->wide.data, run->n_frames, s->intermediate);
    MILL_TRY(layer_norm(run, run->normed, run->stream, layer->attn_gain, layer->attn_shift));
    MILL_TRY(linear(run, qkv, run->normed, &layer->qkv));
    struct mill_attn_dense_args attn = {.y = run->normed,
                                        .q = mill_matrix_columns(qkv, 0, s->hidden),
                                        .k = mill_matrix_columns(qkv, s->hidden, s->hidden),
                                        .v = mill_matrix_columns(qkv, 2 * s->hidden, s->hidden),
                                        .n_heads = s->n_heads,
                                        .scale = 1.0f / sqrtf((float)(s->hidden / s->n_heads)),
                                        .spans = &span,
                                        .n_spans = 1};
    MILL_TRY(run->ops->attn_dense(run->backend, &attn));
    MILL_TRY(add_linear(run, run->normed, &layer->out));
    MILL_TRY(layer_norm(run, run->normed, run->stream, layer->mlp_gain, layer->mlp_shift));
    return mill_feed_forward(
        run->ops, run->backend,
        &(struct mill_feed_forward_args){
            .up = {.y = wide, .x = run->normed, .w = layer->up, .act = MILL_ACT_GELU},
            .down = {.y = run->stream, .x = wide, .w = layer->down, .residual = run->stream}});
}

/* features = features * feature_scale + stream * stream_scale. */
static mill_status add_state(const struct mill_wav2vec2 *run, float feature_scale,
                             float stream_scale) {
    bool first = feature_scale == 0.0f; /* then nothing lies there yet */
    struct mill_mix_args args = {.y = run->features,
                                 .x = first ? run->stream : run->features,
                                 .z = run->stream,
                                 .x_scale = feature_scale,
                                 .z_scale = stream_scale};
    return run->ops->mix(run->backend, &args);
}

mill_status mill_wav2vec2_run(const struct mill_wav2vec2 *run, const float *wave) {
    const struct mill_wav2vec2_weights *w = run->weights;
    const float third = 1.0f / 3.0f;
    MILL_TRY(load_wave(run, wave));
    MILL_TRY(run_convs(run));
    MILL_TRY(layer_norm(run, run->convolved, run->convolved, w->gain, w->shift));
    MILL_TRY(linear(run, run->normed, run->convolved, &w->projection));
    MILL_TRY(run_position(run, run->normed));
    for (int32_t i = 0; i < MILL_WAV2VEC2_LAYERS; i++) {
        if (i == 11)
            MILL_TRY(add_state(run, 0.0f, 1.0f));
        if (i == 14)
            MILL_TRY(add_state(run, 1.0f, 1.0f));
        MILL_TRY(run_layer(run, &w->layers[i]));
    }
    return add_state(run, third, third);
}
