/* bicodec_encode.c - see bicodec_encode.h.
 *
 * The nearest codeword by cosine is the largest product with codewords of length 1: the length of
 * what is looked up does not matter. Products with the whole codebook are made for LOOKUP_ROWS rows
 * at a time. */
#include "runtime/model/bicodec_encode.h"

#include "runtime/model/vocos.h"
#include "runtime/model/wav2vec2.h"

#include <stdlib.h>

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
    struct mill_range *ranges;   /* host: every row, from layer to layer */
    struct mill_matrix encoded;  /* [n_frames, encoder.dim] */
    struct mill_matrix hidden;   /* [n_frames, encoder.dim + encoder.intermediate] */
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
    run->hidden = mill_matrix_take(arena, n, s->encoder.dim + s->encoder.intermediate);
    run->latent = mill_matrix_take(arena, n, s->quantizer.input);
    run->code = mill_matrix_take(arena, n, s->quantizer.codebook_dim);
    run->products = mill_matrix_take(arena, LOOKUP_ROWS, s->quantizer.codebook_size);
    run->rows.temperature = mill_arena_take(arena, LOOKUP_ROWS * sizeof(float));
    run->rows.top_p = mill_arena_take(arena, LOOKUP_ROWS * sizeof(float));
    run->rows.top_k = mill_arena_take(arena, LOOKUP_ROWS * sizeof(int32_t));
    run->rows.seed = mill_arena_take(arena, LOOKUP_ROWS * sizeof(uint64_t));
    run->tokens = mill_arena_take(arena, (size_t)n * sizeof *run->tokens);
}

/* ------------------------------------------------------------------ steps */

static mill_status linear(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                          const struct mill_weight *w) {
    struct mill_linear_args args = {.y = y, .x = x, .w = *w};
    return run->wav2vec2.ops->linear(run->wav2vec2.backend, &args);
}

static mill_status run_encoder(const struct run *run) {
    const struct mill_semantic_weights *w = run->weights;
    const struct mill_vocos vocos = {
        .ops = run->wav2vec2.ops, .backend = run->wav2vec2.backend, .hidden = run->hidden.data};
    struct mill_band x = {run->wav2vec2.features.data, run->wav2vec2.features.columns, 0};
    struct mill_band y = {run->encoded.data, run->encoded.columns, 0};
    MILL_TRY(mill_vocos_run(&vocos, &w->backbone, run->ranges, &y, &x));
    for (int32_t i = 0; i < run->shape->encoder.n_samplings; i++)
        MILL_TRY(mill_vocos_run(&vocos, &w->sampling[i], run->ranges, &y, &y));
    MILL_TRY(linear(run, run->latent, run->encoded, &w->project));
    return linear(run, run->code, run->latent, &w->in_project);
}

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

static mill_status plan_ranges(struct run *run, struct mill_error *err) {
    int32_t blocks = run->weights->backbone.n_blocks; /* of the stack that has the most */
    for (int32_t i = 0; i < run->shape->encoder.n_samplings; i++)
        if (run->weights->sampling[i].n_blocks > blocks)
            blocks = run->weights->sampling[i].n_blocks;
    run->ranges = mill_alloc_array((size_t)blocks + 2, sizeof *run->ranges);
    if (!run->ranges)
        return mill_fail(err, MILL_E_MEMORY, "semantic encoder: no memory");
    for (int32_t i = 0; i < blocks + 2; i++)
        run->ranges[i].end = run->wav2vec2.n_frames;
    return MILL_OK;
}

static mill_status encode(struct run *run, const float *wave,
                          const struct mill_semantic_result *result, struct mill_error *err) {
    const struct mill_backend_ops *ops = run->wav2vec2.ops;
    struct mill_arena arena = {0};
    carve(run, &arena);
    void *memory = ops->alloc(run->wav2vec2.backend, arena.peak);
    if (!memory)
        return mill_fail(err, MILL_E_MEMORY, "semantic encoder: no memory (%zu bytes)", arena.peak);
    arena = (struct mill_arena){.base = memory, .capacity = arena.peak};
    carve(run, &arena);
    mill_status status = run_all(run, wave, result);
    ops->free(run->wav2vec2.backend, memory);
    if (status < 0)
        return mill_fail(err, status, "semantic encoder: the %s backend: %s", ops->name,
                         mill_backend_failure(ops, run->wav2vec2.backend, status));
    return check_tokens(result->semantic, run->wav2vec2.n_frames, err);
}

mill_status mill_semantic_encode(const struct mill_encoder_weights *weights, const float *wave,
                                 int64_t n_samples, const struct mill_semantic_result *result,
                                 struct mill_error *err) {
    const struct mill_wav2vec2_shape *shape = &weights->shape.wav2vec2;
    MILL_TRY(mill_encoder_check_wave(&weights->shape, wave, n_samples,
                                     mill_wav2vec2_n_samples(shape, 1), err));
    struct run run = {.wav2vec2 = {.ops = weights->ops,
                                   .backend = weights->backend,
                                   .weights = &weights->semantic.wav2vec2,
                                   .shape = shape,
                                   .n_samples = n_samples,
                                   .n_frames = mill_semantic_n_tokens(&weights->shape, n_samples)},
                      .weights = &weights->semantic,
                      .shape = &weights->shape.bicodec};
    mill_status status = plan_ranges(&run, err);
    if (status == MILL_OK)
        status = encode(&run, wave, result, err);
    free(run.ranges);
    return status;
}
