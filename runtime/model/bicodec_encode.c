/* bicodec_encode.c - see bicodec_encode.h.
 *
 * BiCodec's encoder is ConvNeXt stacks over all frames at once; those of the decoder run over
 * pieces of many utterances and are bicodec_run.c's.
 *
 * The nearest codeword by cosine is the largest product with codewords of length 1: the length of
 * what is looked up does not matter. Products with the whole codebook are made for LOOKUP_ROWS rows
 * at a time. */
#include "runtime/model/bicodec_encode.h"

#include "runtime/model/bicodec_plan.h"
#include "runtime/model/wav2vec2.h"

enum { LOOKUP_ROWS = 128 };

/* A draw at temperature 0, for each of LOOKUP_ROWS rows. */
struct lookup_rows {
    float *temperature, *top_p;
    int32_t *top_k;
    uint64_t *seed; /* and position: nothing is drawn */
};

struct run {
    struct mill_wav2vec2 wav2vec2;
    const struct mill_semantic_weights *weights;
    const struct mill_bicodec_shape *shape;
    struct mill_matrix encoded;  /* [n_frames, encoder.dim] */
    struct mill_matrix hidden;   /* [n_frames, encoder.dim] */
    struct mill_matrix wide;     /* [n_frames, encoder.intermediate] */
    struct mill_matrix latent;   /* [n_frames, quantizer.input] */
    struct mill_matrix code;     /* [n_frames, codebook_dim] */
    struct mill_matrix products; /* [LOOKUP_ROWS, codebook_size] */
    struct lookup_rows rows;
    int32_t *tokens; /* device: [n_frames] */
};

int32_t mill_semantic_n_tokens(const struct mill_shape *shape, int64_t n_samples) {
    return (int32_t)mill_wav2vec2_n_frames(&shape->wav2vec2, n_samples);
}

static void carve(struct run *run, struct mill_arena *arena) {
    const struct mill_bicodec_shape *s = run->shape;
    int32_t n = run->wav2vec2.n_frames;
    mill_wav2vec2_carve(&run->wav2vec2, arena);
    run->encoded = mill_matrix_take(arena, n, s->encoder.dim);
    run->hidden = mill_matrix_take(arena, n, s->encoder.dim);
    run->wide = mill_matrix_take(arena, n, s->encoder.intermediate);
    run->latent = mill_matrix_take(arena, n, s->quantizer.input);
    run->code = mill_matrix_take(arena, n, s->quantizer.codebook_dim);
    run->products = mill_matrix_take(arena, LOOKUP_ROWS, s->quantizer.codebook_size);
    run->rows.temperature = mill_arena_take(arena, LOOKUP_ROWS * sizeof(float));
    run->rows.top_p = mill_arena_take(arena, LOOKUP_ROWS * sizeof(float));
    run->rows.top_k = mill_arena_take(arena, LOOKUP_ROWS * sizeof(int32_t));
    run->rows.seed = mill_arena_take(arena, LOOKUP_ROWS * sizeof(uint64_t));
    run->tokens = mill_arena_take(arena, (size_t)n * sizeof *run->tokens);
}

/* ------------------------------------------------------------------ the encoder */

static mill_status linear(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                          const struct mill_weight *w) {
    struct mill_linear_args args = {.y = y, .x = x, .w = *w};
    return run->wav2vec2.ops->linear(run->wav2vec2.backend, &args);
}

/* hidden = convolution of x, zeros padded on both sides. */
static mill_status conv(const struct run *run, struct mill_matrix x, const struct mill_weight *w,
                        bool depthwise) {
    const struct mill_span span = {.n_x = x.rows, .n_y = x.rows};
    struct mill_conv1d_args args = {.y = run->hidden,
                                    .x = x,
                                    .w = *w,
                                    .depthwise = depthwise,
                                    .dilation = 1,
                                    .padding = MILL_BICODEC_TAPS / 2,
                                    .spans = &span,
                                    .n_spans = 1};
    return run->wav2vec2.ops->conv1d(run->wav2vec2.backend, &args);
}

static mill_status norm(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                        const float *gain, const float *shift) {
    struct mill_norm_args args = {.y = y,
                                  .x = x,
                                  .kind = MILL_NORM_LAYER,
                                  .eps = MILL_BICODEC_NORM_EPS,
                                  .gain = gain,
                                  .shift = shift};
    return run->wav2vec2.ops->norm(run->wav2vec2.backend, &args);
}

/* encoded += what the block makes of it. */
static mill_status run_block(const struct run *run, const struct mill_convnext_weights *block) {
    const struct mill_feed_forward_args products = {
        .up = {.y = run->wide, .x = run->hidden, .w = block->up, .act = MILL_ACT_GELU},
        .down = {.y = run->encoded, .x = run->wide, .w = block->down, .residual = run->encoded}};
    MILL_TRY(conv(run, run->encoded, &block->depthwise, true));
    MILL_TRY(norm(run, run->hidden, run->hidden, block->norm_gain, block->norm_shift));
    return mill_feed_forward(run->wav2vec2.ops, run->wav2vec2.backend, &products);
}

/* A ConvNeXt stack, from x to encoded. */
static mill_status run_stack(const struct run *run, const struct mill_vocos_weights *stack,
                             struct mill_matrix x) {
    MILL_TRY(conv(run, x, &stack->embed, false));
    MILL_TRY(norm(run, run->encoded, run->hidden, stack->norm_gain, stack->norm_shift));
    for (int32_t i = 0; i < stack->n_blocks; i++)
        MILL_TRY(run_block(run, &stack->blocks[i]));
    return norm(run, run->encoded, run->encoded, stack->final_gain, stack->final_shift);
}

static mill_status run_encoder(const struct run *run) {
    const struct mill_semantic_weights *w = run->weights;
    MILL_TRY(run_stack(run, &w->backbone, run->wav2vec2.features));
    for (int32_t i = 0; i < run->shape->encoder.n_samplings; i++)
        MILL_TRY(run_stack(run, &w->sampling[i], run->encoded));
    MILL_TRY(linear(run, run->latent, run->encoded, &w->project));
    return linear(run, run->code, run->latent, &w->in_project);
}

/* ------------------------------------------------------------------ codewords */

static mill_status load_rows(const struct run *run) {
    const struct mill_backend_ops *ops = run->wav2vec2.ops;
    struct mill_backend *backend = run->wav2vec2.backend;
    const uint64_t zeros[LOOKUP_ROWS] = {0};
    float ones[LOOKUP_ROWS];
    for (int i = 0; i < LOOKUP_ROWS; i++)
        ones[i] = 1.0f;
    MILL_TRY(ops->copy_in(backend, run->rows.temperature, zeros, LOOKUP_ROWS * sizeof(float)));
    MILL_TRY(ops->copy_in(backend, run->rows.top_p, ones, sizeof ones));
    MILL_TRY(ops->copy_in(backend, run->rows.top_k, zeros, LOOKUP_ROWS * sizeof(int32_t)));
    return ops->copy_in(backend, run->rows.seed, zeros, sizeof zeros);
}

static mill_status look_up(const struct run *run) {
    int32_t n_frames = run->wav2vec2.n_frames;
    MILL_TRY(load_rows(run));
    for (int32_t first = 0; first < n_frames; first += LOOKUP_ROWS) {
        int32_t n = n_frames - first < LOOKUP_ROWS ? n_frames - first : LOOKUP_ROWS;
        struct mill_matrix products = mill_matrix_rows(run->products, 0, n);
        MILL_TRY(
            linear(run, products, mill_matrix_rows(run->code, first, n), &run->weights->codebook));
        struct mill_sample_args sample = {.logits = products,
                                          .tokens = run->tokens + first,
                                          .temperature = run->rows.temperature,
                                          .top_p = run->rows.top_p,
                                          .top_k = run->rows.top_k,
                                          .seed = run->rows.seed,
                                          .position = run->rows.seed};
        MILL_TRY(run->wav2vec2.ops->sample(run->wav2vec2.backend, &sample));
    }
    return MILL_OK;
}

static mill_status run_all(const struct run *run, const float *wave,
                           const struct mill_semantic_result *result) {
    const struct mill_wav2vec2 *wav2vec2 = &run->wav2vec2;
    MILL_TRY(mill_wav2vec2_run(wav2vec2, wave));
    MILL_TRY(mill_matrix_copy_out(wav2vec2->ops, wav2vec2->backend, result->features,
                                  wav2vec2->features));
    MILL_TRY(run_encoder(run));
    MILL_TRY(look_up(run));
    if (result->semantic)
        MILL_TRY(wav2vec2->ops->copy_out(wav2vec2->backend, result->semantic, run->tokens,
                                         (size_t)wav2vec2->n_frames * sizeof *run->tokens));
    return wav2vec2->ops->synchronize(wav2vec2->backend);
}

static mill_status check_tokens(const int32_t *tokens, int32_t n, struct mill_error *err) {
    for (int32_t i = 0; tokens && i < n; i++)
        if (tokens[i] < 0)
            return mill_fail(err, MILL_E_NUMERIC,
                             "semantic encoder: frame %d of %d is not a number", i + 1, n);
    return MILL_OK;
}

mill_status mill_semantic_encode(const struct mill_encoder_weights *weights, const float *wave,
                                 int64_t n_samples, const struct mill_semantic_result *result,
                                 struct mill_error *err) {
    const struct mill_wav2vec2_shape *shape = &weights->shape.wav2vec2;
    const struct mill_backend_ops *ops = weights->ops;
    MILL_TRY(mill_encoder_check_wave(&weights->shape, wave, n_samples,
                                     mill_wav2vec2_n_samples(shape, 1), err));
    struct run run = {.wav2vec2 = {.ops = ops,
                                   .backend = weights->backend,
                                   .weights = &weights->semantic.wav2vec2,
                                   .shape = shape,
                                   .n_samples = n_samples,
                                   .n_frames = mill_semantic_n_tokens(&weights->shape, n_samples)},
                      .weights = &weights->semantic,
                      .shape = &weights->shape.bicodec};
    struct mill_arena arena = {0};
    carve(&run, &arena);
    void *memory = ops->alloc(weights->backend, arena.peak);
    if (!memory)
        return mill_fail(err, MILL_E_MEMORY, "semantic encoder: no memory (%zu bytes)", arena.peak);
    arena = (struct mill_arena){.base = memory, .capacity = arena.peak};
    carve(&run, &arena);
    mill_status status = run_all(&run, wave, result);
    ops->free(weights->backend, memory);
    if (status < 0)
        return mill_fail(err, status, "semantic encoder: the %s backend: %s", ops->name,
                         mill_backend_failure(ops, weights->backend, status));
    return check_tokens(result->semantic, run.wav2vec2.n_frames, err);
}
