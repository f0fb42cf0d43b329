/* tensor_table.c - see tensor_table.h. The names are those of the published files (transformers'
 * Qwen2ForCausalLM and Wav2Vec2Model, and Spark-TTS's own BiCodec with old-style weight norm).
 *
 * A table is put together by functions that follow the modules: each takes a prefix and adds what
 * lies below it. The first failure is kept in the builder and later additions do nothing, so the
 * functions need no error paths of their own. */
#include "runtime/model/tensor_table.h"

#include "runtime/base/memory.h"
#include "runtime/model/bicodec_plan.h"
#include "runtime/model/encoder_sizes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ECAPA_POOL = 128, PREFIX_BYTES = 72 };

struct builder {
    struct mill_tensor_table *table;
    int32_t capacity;
    mill_status status;
};

static const char *const file_paths[MILL_FILE_COUNT] = {
    [MILL_FILE_LLM] = "LLM/model.safetensors",
    [MILL_FILE_BICODEC] = "BiCodec/model.safetensors",
    [MILL_FILE_WAV2VEC2] = "wav2vec2-large-xlsr-53/pytorch_model.bin",
};

const char *mill_tensor_file_path(enum mill_tensor_file file) {
    return file_paths[file];
}

/* The first prefix that fits decides; what fits none is never used. */
static unsigned bicodec_uses(const char *name) {
    static const struct {
        const char *prefix;
        unsigned uses;
    } rules[] = {
        {"quantizer.codebook.", MILL_USE_SPEAK | MILL_USE_TRANSCRIPT},
        {"quantizer.out_project.", MILL_USE_SPEAK},
        {"quantizer.in_project.", MILL_USE_TRANSCRIPT},
        {"speaker_encoder.quantizer.project_out.", MILL_USE_SPEAK},
        {"speaker_encoder.quantizer.project_in.", MILL_USE_VOICE},
        {"speaker_encoder.project.", MILL_USE_SPEAK},
        {"speaker_encoder.speaker_encoder.layer", MILL_USE_VOICE},
        {"speaker_encoder.speaker_encoder.conv.", MILL_USE_VOICE},
        {"speaker_encoder.perceiver_sampler.", MILL_USE_VOICE},
        {"prenet.", MILL_USE_SPEAK},
        {"decoder.", MILL_USE_SPEAK},
        {"encoder.", MILL_USE_TRANSCRIPT},
    };
    const char *leaf = strrchr(name, '.');
    if (leaf && strcmp(leaf, ".num_batches_tracked") == 0)
        return 0; /* a training counter */
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strncmp(name, rules[i].prefix, strlen(rules[i].prefix)) == 0)
            return rules[i].uses;
    return 0;
}

static unsigned wav2vec2_uses(const char *name) {
    static const char layers[] = "wav2vec2.encoder.layers.";
    if (strncmp(name, layers, sizeof layers - 1) == 0)
        return strtol(name + sizeof layers - 1, NULL, 10) < MILL_WAV2VEC2_LAYERS
                   ? MILL_USE_TRANSCRIPT
                   : 0;
    return strncmp(name, "wav2vec2.encoder.layer_norm.", 28) == 0 ? 0 : MILL_USE_TRANSCRIPT;
}

static struct mill_tensor_spec *grow(struct builder *b) {
    struct mill_tensor_table *table = b->table;
    if (b->status)
        return NULL;
    if (table->n_specs == b->capacity) {
        int32_t capacity = b->capacity ? 2 * b->capacity : 512;
        struct mill_tensor_spec *specs =
            realloc(table->specs, (size_t)capacity * sizeof *table->specs);
        if (!specs) {
            b->status = MILL_E_MEMORY;
            return NULL;
        }
        table->specs = specs;
        b->capacity = capacity;
    }
    return &table->specs[table->n_specs++];
}

/* A tensor of up to three dimensions: the first one that is 0 ends the shape. */
static void add(struct builder *b, const char *prefix, const char *leaf, int64_t d0, int64_t d1,
                int64_t d2) {
    struct mill_tensor_spec *spec = grow(b);
    if (!spec)
        return;
    *spec = (struct mill_tensor_spec){.shape = {d0, d1, d2}};
    snprintf(spec->name, sizeof spec->name, "%s%s", prefix, leaf);
    while (spec->n_dims < 3 && spec->shape[spec->n_dims])
        spec->n_dims++;
    if (b->table->file == MILL_FILE_LLM)
        spec->uses = MILL_USE_SPEAK;
    else if (b->table->file == MILL_FILE_BICODEC)
        spec->uses = bicodec_uses(spec->name);
    else
        spec->uses = wav2vec2_uses(spec->name);
}

/* A weight of that shape and a bias of its first dimension. */
static void add_affine(struct builder *b, const char *prefix, int64_t d0, int64_t d1, int64_t d2) {
    add(b, prefix, "weight", d0, d1, d2);
    add(b, prefix, "bias", d0, 0, 0);
}

/* Weight-normalised convolution: one gain per slice of dimension 0. */
static void add_weight_norm(struct builder *b, const char *prefix, int64_t d0, int64_t d1,
                            int64_t d2, int64_t bias) {
    add(b, prefix, "bias", bias, 0, 0);
    add(b, prefix, "weight_g", d0, 1, 1);
    add(b, prefix, "weight_v", d0, d1, d2);
}

/* Every prefix is one of the literals below with a few numbers in it: the longest has 63 bytes. */
__attribute__((format(printf, 2, 3))) static void compose(char *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(out, PREFIX_BYTES, format, args);
    va_end(args);
}

#define PREFIX(name, ...)                                                                          \
    char name[PREFIX_BYTES];                                                                       \
    compose(name, __VA_ARGS__)

static void add_llm(struct builder *b, const struct mill_llm_shape *s) {
    int64_t q = (int64_t)s->n_heads * s->head_dim, kv = (int64_t)s->n_kv_heads * s->head_dim;
    add(b, "model.embed_tokens.", "weight", s->vocab, s->hidden, 0);
    for (int32_t i = 0; i < s->n_layers; i++) {
        PREFIX(p, "model.layers.%d.", i);
        PREFIX(attention, "model.layers.%d.self_attn.", i);
        add(b, p, "input_layernorm.weight", s->hidden, 0, 0);
        add(b, attention, "q_proj.weight", q, s->hidden, 0);
        add(b, attention, "q_proj.bias", q, 0, 0);
        add(b, attention, "k_proj.weight", kv, s->hidden, 0);
        add(b, attention, "k_proj.bias", kv, 0, 0);
        add(b, attention, "v_proj.weight", kv, s->hidden, 0);
        add(b, attention, "v_proj.bias", kv, 0, 0);
        add(b, attention, "o_proj.weight", s->hidden, q, 0);
        add(b, p, "post_attention_layernorm.weight", s->hidden, 0, 0);
        add(b, p, "mlp.gate_proj.weight", s->intermediate, s->hidden, 0);
        add(b, p, "mlp.up_proj.weight", s->intermediate, s->hidden, 0);
        add(b, p, "mlp.down_proj.weight", s->hidden, s->intermediate, 0);
    }
    add(b, "model.norm.", "weight", s->hidden, 0, 0);
}

/* A norm over `dim` channels: plain, or two projections of the condition. */
static void add_norm(struct builder *b, const char *prefix, int32_t dim, int32_t condition) {
    if (!condition) {
        add_affine(b, prefix, dim, 0, 0);
        return;
    }
    PREFIX(scale, "%sscale.", prefix);
    PREFIX(shift, "%sshift.", prefix);
    add_affine(b, scale, dim, condition, 0);
    add_affine(b, shift, dim, condition, 0);
}

static void add_vocos(struct builder *b, const char *prefix, int32_t input,
                      const struct mill_vocos_shape *s, int32_t n_layers, int32_t condition) {
    PREFIX(embed, "%sembed.", prefix);
    PREFIX(norm, "%snorm.", prefix);
    add_affine(b, embed, s->dim, input, MILL_BICODEC_TAPS);
    add_norm(b, norm, s->dim, condition);
    for (int32_t i = 0; i < n_layers; i++) {
        PREFIX(block, "%sconvnext.%d.", prefix, i);
        PREFIX(depthwise, "%sdwconv.", block);
        PREFIX(block_norm, "%snorm.", block);
        PREFIX(up, "%spwconv1.", block);
        PREFIX(down, "%spwconv2.", block);
        add(b, block, "gamma", s->dim, 0, 0);
        add_affine(b, depthwise, s->dim, 1, MILL_BICODEC_TAPS);
        add_norm(b, block_norm, s->dim, condition);
        add_affine(b, up, s->intermediate, s->dim, 0);
        add_affine(b, down, s->dim, s->intermediate, 0);
    }
    PREFIX(final, "%sfinal_layer_norm.", prefix);
    add_affine(b, final, s->dim, 0, 0);
}

static void add_samplings(struct builder *b, const char *module, const struct mill_vocos_shape *s) {
    for (int32_t i = 0; i < s->n_samplings; i++) {
        PREFIX(p, "%s.downsample.%d.1.", module, i);
        add_vocos(b, p, s->dim, s, MILL_BICODEC_SAMPLING_BLOCKS, 0);
    }
}

static void add_quantizer(struct builder *b, const struct mill_bicodec_shape *s) {
    int32_t input = s->quantizer.input, dim = s->quantizer.codebook_dim;
    add_weight_norm(b, "quantizer.in_project.", dim, input, 1, dim);
    add_weight_norm(b, "quantizer.out_project.", input, dim, 1, input);
    add(b, "quantizer.codebook.", "weight", s->quantizer.codebook_size, dim, 0);
    add(b, "quantizer.", "cluster_size", s->quantizer.codebook_size, 0, 0);
}

static void add_batch_norm(struct builder *b, const char *prefix, int64_t channels) {
    add_affine(b, prefix, channels, 0, 0);
    add(b, prefix, "running_mean", channels, 0, 0);
    add(b, prefix, "running_var", channels, 0, 0);
    add(b, prefix, "num_batches_tracked", 0, 0, 0);
}

/* One of ECAPA-TDNN's three residual blocks: pointwise, Res2 convolutions, pointwise, squeeze. */
static void add_ecapa_block(struct builder *b, int64_t channels, int layer) {
    const int64_t width = channels / MILL_ECAPA_SCALE;
    PREFIX(p, "speaker_encoder.speaker_encoder.layer%d.se_res2block.", layer);
    for (int j = 0; j <= 2; j += 2) {
        PREFIX(conv, "%s%d.conv.", p, j);
        PREFIX(bn, "%s%d.bn.", p, j);
        add_affine(b, conv, channels, channels, 1);
        add_batch_norm(b, bn, channels);
    }
    for (int j = 0; j < MILL_ECAPA_SCALE - 1; j++) {
        PREFIX(conv, "%s1.convs.%d.", p, j);
        PREFIX(bn, "%s1.bns.%d.", p, j);
        add_affine(b, conv, width, width, MILL_ECAPA_RES_TAPS);
        add_batch_norm(b, bn, width);
    }
    PREFIX(squeeze, "%s3.linear1.", p);
    PREFIX(excite, "%s3.linear2.", p);
    add_affine(b, squeeze, MILL_ECAPA_SQUEEZE, channels, 0);
    add_affine(b, excite, channels, MILL_ECAPA_SQUEEZE, 0);
}

static void add_perceiver(struct builder *b, const struct mill_bicodec_shape *s) {
    static const char p[] = "speaker_encoder.perceiver_sampler.";
    int64_t d = s->speaker.latent;
    int64_t inner = mill_perceiver_feed_forward(s->speaker.latent);
    int64_t features = MILL_ECAPA_BLOCKS * (int64_t)s->speaker.ecapa_channels;
    add(b, p, "latents", s->speaker.n_tokens, d, 0);
    add_affine(b, "speaker_encoder.perceiver_sampler.proj_context.", d, features, 0);
    for (int i = 0; i < MILL_PERCEIVER_LAYERS; i++) {
        PREFIX(attention, "%slayers.%d.0.", p, i);
        PREFIX(up, "%slayers.%d.1.0.", p, i);
        PREFIX(down, "%slayers.%d.1.2.", p, i);
        add(b, attention, "to_q.weight", MILL_PERCEIVER_INNER, d, 0);
        add(b, attention, "to_kv.weight", 2 * MILL_PERCEIVER_INNER, d, 0);
        add(b, attention, "to_out.weight", d, MILL_PERCEIVER_INNER, 0);
        add_affine(b, up, 2 * inner, d, 0);
        add_affine(b, down, d, inner, 0);
    }
    add(b, p, "norm.gamma", d, 0, 0);
}

static void add_speaker(struct builder *b, const struct mill_bicodec_shape *s) {
    int64_t d = s->speaker.latent, n = s->speaker.n_levels, out = s->speaker.output;
    int64_t channels = s->speaker.ecapa_channels, features = MILL_ECAPA_BLOCKS * channels;
    add_affine(b, "speaker_encoder.speaker_encoder.layer1.conv.", channels, s->speaker.input,
               MILL_ECAPA_TAPS);
    add_batch_norm(b, "speaker_encoder.speaker_encoder.layer1.bn.", channels);
    for (int layer = 2; layer <= 4; layer++)
        add_ecapa_block(b, s->speaker.ecapa_channels, layer);
    add_affine(b, "speaker_encoder.speaker_encoder.conv.", features, features, 1);
    add_affine(b, "speaker_encoder.speaker_encoder.pool.linear1.", ECAPA_POOL, 3 * features, 1);
    add_affine(b, "speaker_encoder.speaker_encoder.pool.linear2.", features, ECAPA_POOL, 1);
    add_batch_norm(b, "speaker_encoder.speaker_encoder.bn.", 2 * features);
    add_affine(b, "speaker_encoder.speaker_encoder.linear.", out, 2 * features, 0);
    add_perceiver(b, s);
    add_affine(b, "speaker_encoder.quantizer.project_in.", n, d, 0);
    add_affine(b, "speaker_encoder.quantizer.project_out.", d, n, 0);
    add_affine(b, "speaker_encoder.project.", out, d * s->speaker.n_tokens, 0);
}

/* Prenet and postnet. */
static void add_decoder_net(struct builder *b, const char *name, const struct mill_vocos_shape *s) {
    PREFIX(pre, "%s.linear_pre.", name);
    PREFIX(backbone, "%s.vocos_backbone.", name);
    PREFIX(linear, "%s.linear.", name);
    add_affine(b, pre, s->dim, s->input, 0);
    add_samplings(b, name, s);
    add_vocos(b, backbone, s->dim, s, s->n_layers, s->condition);
    add_affine(b, linear, s->output, s->dim, 0);
}

static void add_generator(struct builder *b, const struct mill_bicodec_shape *s) {
    int64_t channels = s->generator.channels;
    add_weight_norm(b, "decoder.model.0.", channels, s->generator.input, MILL_BICODEC_TAPS,
                    channels);
    for (int32_t i = 0; i < s->generator.n_stages; i++) {
        PREFIX(p, "decoder.model.%d.block.", i + 1);
        PREFIX(up, "%s1.", p);
        add(b, p, "0.alpha", 1, channels, 1);
        add_weight_norm(b, up, channels, channels / 2, s->generator.kernels[i], channels / 2);
        channels /= 2;
        for (int j = 2; j < 2 + MILL_BICODEC_UNITS; j++) {
            PREFIX(unit, "%s%d.block.", p, j);
            PREFIX(dilated, "%s1.", unit);
            PREFIX(pointwise, "%s3.", unit);
            add(b, unit, "0.alpha", 1, channels, 1);
            add_weight_norm(b, dilated, channels, channels, MILL_BICODEC_TAPS, channels);
            add(b, unit, "2.alpha", 1, channels, 1);
            add_weight_norm(b, pointwise, channels, channels, 1, channels);
        }
    }
    PREFIX(snake, "decoder.model.%d.", s->generator.n_stages + 1);
    PREFIX(last, "decoder.model.%d.", s->generator.n_stages + 2);
    add(b, snake, "alpha", 1, channels, 1);
    add_weight_norm(b, last, 1, channels, MILL_BICODEC_TAPS, 1);
}

static void add_bicodec(struct builder *b, const struct mill_bicodec_shape *s) {
    add_vocos(b, "encoder.encoder.", s->encoder.input, &s->encoder, s->encoder.n_layers, 0);
    add_samplings(b, "encoder", &s->encoder);
    add_affine(b, "encoder.project.", s->encoder.output, s->encoder.dim, 0);
    add_quantizer(b, s);
    add_speaker(b, s);
    add_decoder_net(b, "prenet", &s->prenet);
    add_decoder_net(b, "postnet", &s->postnet);
    add_generator(b, s);
}

static void add_wav2vec2_layer(struct builder *b, const struct mill_wav2vec2_shape *s, int32_t i) {
    static const char *const projections[] = {"q", "k", "v", "out"};
    PREFIX(p, "wav2vec2.encoder.layers.%d.", i);
    for (int j = 0; j < 4; j++) {
        PREFIX(projection, "%sattention.%s_proj.", p, projections[j]);
        add_affine(b, projection, s->hidden, s->hidden, 0);
    }
    PREFIX(norm, "%slayer_norm.", p);
    PREFIX(up, "%sfeed_forward.intermediate_dense.", p);
    PREFIX(down, "%sfeed_forward.output_dense.", p);
    PREFIX(final, "%sfinal_layer_norm.", p);
    add_affine(b, norm, s->hidden, 0, 0);
    add_affine(b, up, s->intermediate, s->hidden, 0);
    add_affine(b, down, s->hidden, s->intermediate, 0);
    add_affine(b, final, s->hidden, 0, 0);
}

static void add_wav2vec2(struct builder *b, const struct mill_wav2vec2_shape *s) {
    static const char position[] = "wav2vec2.encoder.pos_conv_embed.conv.";
    int32_t input = 1;
    if (s->n_convs == 0)
        return;
    for (int32_t i = 0; i < s->n_convs; i++) {
        PREFIX(conv, "wav2vec2.feature_extractor.conv_layers.%d.conv.", i);
        PREFIX(norm, "wav2vec2.feature_extractor.conv_layers.%d.layer_norm.", i);
        add_affine(b, conv, s->conv_dim[i], input, s->conv_kernel[i]);
        add_affine(b, norm, s->conv_dim[i], 0, 0);
        input = s->conv_dim[i];
    }
    add_affine(b, "wav2vec2.feature_projection.layer_norm.", input, 0, 0);
    add_affine(b, "wav2vec2.feature_projection.projection.", s->hidden, input, 0);
    add(b, position, "bias", s->hidden, 0, 0);
    add(b, position, "weight_g", 1, 1, s->pos_kernel); /* one gain per tap */
    add(b, position, "weight_v", s->hidden, s->hidden / s->pos_groups, s->pos_kernel);
    for (int32_t i = 0; i < s->n_layers; i++)
        add_wav2vec2_layer(b, s, i);
    add_affine(b, "wav2vec2.encoder.layer_norm.", s->hidden, 0, 0);
}

static int compare_names(const void *a, const void *b, void *specs) {
    const struct mill_tensor_spec *s = specs;
    return strcmp(s[*(const int32_t *)a].name, s[*(const int32_t *)b].name);
}

mill_status mill_tensor_table_open(struct mill_tensor_table **out, const struct mill_shape *shape,
                                   enum mill_tensor_file file, struct mill_error *err) {
    *out = NULL;
    struct mill_tensor_table *table = mill_alloc_array(1, sizeof *table);
    if (!table)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for the table of tensors");
    table->file = file;
    struct builder b = {.table = table};
    if (file == MILL_FILE_LLM)
        add_llm(&b, &shape->llm);
    else if (file == MILL_FILE_BICODEC)
        add_bicodec(&b, &shape->bicodec);
    else
        add_wav2vec2(&b, &shape->wav2vec2);
    table->by_name = mill_alloc_array((size_t)table->n_specs, sizeof *table->by_name);
    if (b.status || !table->by_name) {
        mill_tensor_table_close(table);
        return mill_fail(err, MILL_E_MEMORY, "out of memory for the table of tensors");
    }
    for (int32_t i = 0; i < table->n_specs; i++)
        table->by_name[i] = i;
    qsort_r(table->by_name, (size_t)table->n_specs, sizeof *table->by_name, compare_names,
            table->specs);
    *out = table;
    return MILL_OK;
}

void mill_tensor_table_close(struct mill_tensor_table *table) {
    if (!table)
        return;
    free(table->specs);
    free(table->by_name);
    free(table);
}

const struct mill_tensor_spec *mill_tensor_table_find(const struct mill_tensor_table *table,
                                                      const char *name) {
    int32_t low = 0, high = table->n_specs;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        const struct mill_tensor_spec *spec = &table->specs[table->by_name[middle]];
        int order = strcmp(name, spec->name);
        if (order == 0)
            return spec;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t mill_tensor_spec_elements(const struct mill_tensor_spec *spec) {
    size_t n = 1;
    for (int32_t i = 0; i < spec->n_dims; i++)
        n *= (size_t)spec->shape[i];
    return n;
}

size_t mill_tensor_table_elements(const struct mill_tensor_table *table) {
    size_t n = 0;
    for (int32_t i = 0; i < table->n_specs; i++)
        n += mill_tensor_spec_elements(&table->specs[i]);
    return n;
}
