/* made_up.c - see made_up.h. Weights are uniform, scaled so that a layer keeps the size of what
 * goes through it; nothing becomes infinite, and nothing is zero, which some cards multiply faster.
 */
#include "bench/made_up.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCABULARY = 16384, SEMANTIC = 8193 }; /* rows of the embedding; of the head */

/* ------------------------------------------------------------------ numbers on the device */

static float next_number(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}

static const void *give(struct bench_made_up *m, const void *host, size_t bytes) {
    if (m->n_uploaded == BENCH_MADE_UP_MATRICES)
        return NULL;
    const void *device = m->ops->upload(m->backend, host, bytes);
    if (device)
        m->uploaded[m->n_uploaded++] = device;
    return device;
}

/* The packed image of a shape, made when first met; kept for backends that read it in place. */
static void *image_of(struct bench_made_up *m, const struct mill_weight_shape *shape,
                      float spread) {
    for (int i = 0; i < m->n_images; i++)
        if (memcmp(&m->images[i].shape, shape, sizeof *shape) == 0)
            return m->images[i].image;
    if (m->n_images == BENCH_MADE_UP_IMAGES)
        return NULL;
    size_t n_in = (size_t)shape->n_taps * (size_t)shape->n_in;
    void *image = mill_alloc_aligned(m->ops->weight_bytes(shape));
    float *rows = mill_alloc_array((size_t)MILL_PACK_ROWS * n_in, sizeof *rows);
    uint32_t state = (uint32_t)m->n_images;
    for (int32_t first = 0; image && rows && first < shape->n_out; first += MILL_PACK_ROWS) {
        int32_t left = shape->n_out - first, n = left < MILL_PACK_ROWS ? left : MILL_PACK_ROWS;
        for (size_t i = 0; i < (size_t)n * n_in; i++)
            rows[i] = spread * next_number(&state);
        m->ops->weight_pack(shape, first, n, rows, image);
    }
    free(rows);
    if (!rows) {
        free(image);
        return NULL;
    }
    if (image) {
        m->images[m->n_images].shape = *shape;
        m->images[m->n_images++].image = image;
    }
    return image;
}

/* n numbers around `mean`, as an image of their own: f32 rows as they are. */
static const float *vector(struct bench_made_up *m, int32_t n, float mean, float spread) {
    if (m->n_images == BENCH_MADE_UP_IMAGES)
        return NULL;
    float *host = mill_alloc_array((size_t)n, sizeof *host);
    uint32_t state = (uint32_t)n;
    for (int32_t i = 0; host && i < n; i++)
        host[i] = mean + spread * next_number(&state);
    if (!host)
        return NULL;
    m->images[m->n_images].shape = (struct mill_weight_shape){0};
    m->images[m->n_images++].image = host;
    return give(m, host, (size_t)n * sizeof *host);
}

/* false when memory is short, as those below. */
static bool matrix(struct bench_made_up *m, struct mill_weight *out, enum mill_dtype dtype,
                   int32_t n_out, int32_t n_taps, int32_t n_in, const float *bias) {
    struct mill_weight_shape shape;
    memset(&shape, 0, sizeof shape);
    shape.n_out = n_out;
    shape.n_taps = n_taps;
    shape.n_in = n_in;
    shape.dtype = dtype;
    const void *image = image_of(m, &shape, sqrtf(3.0f / (float)(n_taps * n_in)));
    *out = (struct mill_weight){.shape = shape, .bias = bias};
    out->image = image ? give(m, image, m->ops->weight_bytes(&shape)) : NULL;
    return out->image != NULL;
}

/* ------------------------------------------------------------------ the language model */

static bool make_layer(struct bench_made_up *m, struct mill_lm_layer *layer, enum mill_dtype dtype,
                       const float *gain, const float *bias) {
    const struct mill_llm_shape *s = &m->lm.shape;
    int32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    layer->attn_norm = layer->mlp_norm = gain;
    return matrix(m, &layer->qkv, dtype, q + 2 * kv, 1, s->hidden, bias) &&
           matrix(m, &layer->o, dtype, s->hidden, 1, q, NULL) &&
           matrix(m, &layer->gate_up, dtype, 2 * s->intermediate, 1, s->hidden, NULL) &&
           matrix(m, &layer->down, dtype, s->hidden, 1, s->intermediate, NULL);
}

static bool make_embedding(struct bench_made_up *m) {
    size_t n = (size_t)m->lm.shape.vocab * (size_t)m->lm.shape.hidden;
    uint16_t *table = mill_alloc_array(n, sizeof *table);
    uint32_t state = 1;
    if (!table || m->n_images == BENCH_MADE_UP_IMAGES) {
        free(table);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        table[i] = mill_bf16_from_f32(next_number(&state));
    m->images[m->n_images].shape = (struct mill_weight_shape){0};
    m->images[m->n_images++].image = table;
    m->lm.embed_dtype = MILL_BF16;
    m->lm.embed = give(m, table, n * sizeof *table);
    return m->lm.embed != NULL;
}

static bool make_language_model(struct bench_made_up *m, enum mill_dtype dtype) {
    m->lm.shape = m->shape.llm;
    m->lm.shape.vocab = VOCABULARY;
    m->lm.kv_dtype = dtype;
    const struct mill_llm_shape *s = &m->lm.shape;
    const float *gain = vector(m, s->hidden, 1, 0.1f);
    const float *bias = vector(m, (s->n_heads + 2 * s->n_kv_heads) * s->head_dim, 0, 0.1f);
    m->lm.norm = gain;
    m->lm.rope_frequency = vector(m, s->head_dim / 2, 0.5f, 0.4f);
    m->layers = m->lm.layers = mill_alloc_array((size_t)s->n_layers, sizeof *m->layers);
    m->legal_ids = mill_alloc_array(SEMANTIC, sizeof *m->legal_ids);
    bool ok = gain && bias && m->lm.rope_frequency && m->layers && m->legal_ids &&
              make_embedding(m) && matrix(m, &m->lm.head, dtype, SEMANTIC, 1, s->hidden, NULL);
    for (int32_t i = 0; ok && i < s->n_layers; i++)
        ok = make_layer(m, &m->layers[i], dtype, gain, bias);
    for (int32_t i = 0; ok && i < SEMANTIC; i++)
        m->legal_ids[i] = i;
    m->lm.legal[MILL_LEGAL_SEMANTIC] =
        (struct mill_legal_rows){.n_rows = SEMANTIC, .ids = m->legal_ids};
    return ok;
}

/* ------------------------------------------------------------------ the decoder */

static bool make_vocos(struct bench_made_up *m, struct mill_vocos_weights *vocos, int32_t n,
                       bool adaptive, const float *gain, const float *bias) {
    const struct mill_vocos_shape *s = &m->decoder.shape.prenet;
    const float *own = adaptive ? NULL : gain;
    *vocos = (struct mill_vocos_weights){.norm_gain = own,
                                         .norm_shift = adaptive ? NULL : bias,
                                         .blocks = m->blocks + m->n_blocks,
                                         .n_blocks = n,
                                         .final_gain = gain,
                                         .final_shift = bias};
    bool ok = matrix(m, &vocos->embed, MILL_BF16, s->dim, 7, s->dim, bias);
    for (int32_t i = 0; ok && i < n; i++) {
        struct mill_convnext_weights *block = &m->blocks[m->n_blocks++];
        block->norm_gain = own;
        block->norm_shift = adaptive ? NULL : bias;
        ok = matrix(m, &block->depthwise, MILL_F32, s->dim, 7, 1, bias) &&
             matrix(m, &block->up, MILL_BF16, s->intermediate, 1, s->dim, bias) &&
             matrix(m, &block->down, MILL_BF16, s->dim, 1, s->intermediate, bias);
    }
    return ok;
}

static bool make_stage(struct bench_made_up *m, struct mill_generator_stage_weights *stage,
                       int32_t channels, int32_t kernel, const float *alpha, const float *bias) {
    int32_t half = channels / 2;
    stage->alpha = alpha;
    bool ok = matrix(m, &stage->up, MILL_BF16, half, kernel, channels, bias);
    for (int i = 0; ok && i < 3; i++) {
        struct mill_residual_unit_weights *unit = &stage->units[i];
        unit->alpha1 = unit->alpha2 = alpha;
        ok = matrix(m, &unit->dilated, MILL_BF16, half, 7, half, bias) &&
             matrix(m, &unit->pointwise, MILL_BF16, half, 1, half, bias);
    }
    return ok;
}

static bool make_decoder(struct bench_made_up *m) {
    struct mill_decoder_weights *d = &m->decoder;
    d->shape = m->shape.bicodec;
    const struct mill_bicodec_shape *s = &d->shape;
    int32_t voice = 2 * s->speaker.output + 2 * s->prenet.dim * (1 + s->prenet.n_layers);
    int32_t channels = s->generator.channels;
    const float *gain = vector(m, voice, 1, 0.1f), *bias = vector(m, voice, 0, 0.05f);
    struct mill_weight codebook;
    if (!gain || !bias ||
        !matrix(m, &codebook, MILL_F32, s->quantizer.codebook_size, 1, s->quantizer.input, NULL))
        return false;
    d->codebook = codebook.image; /* any f32 numbers serve as its rows */
    d->codebook_dtype = MILL_F32;
    d->final_alpha = gain;
    bool ok =
        matrix(m, &d->voice, MILL_F32, voice, 1, s->speaker.n_tokens * s->speaker.n_levels, bias) &&
        matrix(m, &d->linear_pre, MILL_BF16, s->prenet.dim, 1, s->prenet.input, bias) &&
        matrix(m, &d->linear, MILL_BF16, s->prenet.output, 1, s->prenet.dim, NULL) &&
        matrix(m, &d->conv_in, MILL_BF16, channels, 7, s->generator.input, bias);
    for (int32_t i = 0; ok && i < s->prenet.n_samplings; i++)
        ok = make_vocos(m, &d->sampling[i], 2, false, gain, bias);
    ok = ok && make_vocos(m, &d->backbone, s->prenet.n_layers, true, gain, bias);
    for (int32_t i = 0; ok && i < s->generator.n_stages; i++, channels /= 2)
        ok = make_stage(m, &d->stages[i], channels, s->generator.kernels[i], gain, bias);
    return ok && matrix(m, &d->conv_out, MILL_BF16, 1, 7, channels, bias);
}

mill_status bench_made_up_open(struct bench_made_up *made, const struct mill_backend_ops *ops,
                               struct mill_backend *backend, enum mill_dtype lm_dtype,
                               struct mill_error *err) {
    memset(made, 0, sizeof *made);
    made->ops = ops;
    made->backend = backend;
    mill_synth_shape(&made->shape, MILL_SYNTH_FULL);
    if (!make_language_model(made, lm_dtype) || !make_decoder(made)) {
        bench_made_up_close(made);
        return mill_fail(err, MILL_E_MEMORY, "no memory for made-up weights");
    }
    return MILL_OK;
}

void bench_made_up_close(struct bench_made_up *made) {
    for (int i = 0; i < made->n_uploaded; i++)
        made->ops->release(made->backend, made->uploaded[i]);
    for (int i = 0; i < made->n_images; i++)
        free(made->images[i].image);
    free(made->layers);
    free(made->legal_ids);
    memset(made, 0, sizeof *made);
}
