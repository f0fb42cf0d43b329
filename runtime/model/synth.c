/* synth.c - see synth.h. The arithmetic is the recipe's, operation by operation: float64 without
 * contraction, so that any language gives the same bytes. */
#include "runtime/model/synth.h"

#include <math.h>
#include <string.h>

static const struct {
    int32_t sample_rate, n_fft, window, hop, n_mels;
    double f_min;
} mel = {16000, 1024, 640, 320, 128, 10};

static const struct sizes {
    const char *name;
    struct {
        int32_t hidden, intermediate, n_layers, n_heads, n_kv_heads;
    } llm;
    struct {
        int32_t width, dim, intermediate, n_layers, channels, latent;
    } bicodec;
    struct {
        int32_t conv, hidden, intermediate, n_layers, n_heads, pos_kernel, pos_groups;
    } wav2vec2;
} sizes[MILL_SYNTH_CONFIG_COUNT] = {
    [MILL_SYNTH_TINY] = {"tiny",
                         {128, 320, 2, 2, 1},
                         {64, 48, 96, 2, 128, 32},
                         {32, 64, 128, 16, 4, 16, 4}},
    [MILL_SYNTH_FULL] = {"full",
                         {896, 4864, 24, 14, 2},
                         {1024, 384, 2048, 12, 1536, 128},
                         {512, 1024, 4096, 24, 16, 128, 16}},
};

const char *mill_synth_config_name(enum mill_synth_config config) {
    return sizes[config].name;
}

static void shape_bicodec(struct mill_bicodec_shape *s, const struct sizes *z) {
    static const int32_t rates[] = {8, 5, 4, 2}, kernels[] = {16, 11, 8, 4};
    int32_t width = z->bicodec.width;
    s->sample_rate = mel.sample_rate;
    s->hop = mel.hop;
    s->mel.n_fft = mel.n_fft;
    s->mel.window = mel.window;
    s->mel.hop = mel.hop;
    s->mel.n_mels = mel.n_mels;
    s->mel.f_min = mel.f_min;
    s->encoder = (struct mill_vocos_shape){.input = width,
                                           .dim = z->bicodec.dim,
                                           .intermediate = z->bicodec.intermediate,
                                           .n_layers = z->bicodec.n_layers,
                                           .output = width,
                                           .n_samplings = 2};
    s->prenet = s->encoder;
    s->prenet.condition = width;
    s->postnet = s->encoder;
    s->postnet.n_layers = z->bicodec.n_layers / 2;
    s->quantizer.input = width;
    s->quantizer.codebook_size = 8192;
    s->quantizer.codebook_dim = 8;
    s->speaker.input = mel.n_mels;
    s->speaker.output = width;
    s->speaker.latent = z->bicodec.latent;
    s->speaker.n_tokens = 32;
    s->speaker.n_levels = 6;
    for (int i = 0; i < 6; i++)
        s->speaker.levels[i] = 4;
    s->generator.input = width;
    s->generator.channels = z->bicodec.channels;
    s->generator.n_stages = 4;
    memcpy(s->generator.rates, rates, sizeof rates);
    memcpy(s->generator.kernels, kernels, sizeof kernels);
}

static void shape_wav2vec2(struct mill_wav2vec2_shape *s, const struct sizes *z) {
    static const int32_t kernels[] = {10, 3, 3, 3, 3, 2, 2}, strides[] = {5, 2, 2, 2, 2, 2, 2};
    s->n_convs = 7;
    for (int i = 0; i < 7; i++)
        s->conv_dim[i] = z->wav2vec2.conv;
    memcpy(s->conv_kernel, kernels, sizeof kernels);
    memcpy(s->conv_stride, strides, sizeof strides);
    s->hidden = z->wav2vec2.hidden;
    s->intermediate = z->wav2vec2.intermediate;
    s->n_layers = z->wav2vec2.n_layers;
    s->n_heads = z->wav2vec2.n_heads;
    s->pos_kernel = z->wav2vec2.pos_kernel;
    s->pos_groups = z->wav2vec2.pos_groups;
    s->norm_eps = 1e-5;
}

void mill_synth_shape(struct mill_shape *out, enum mill_synth_config config) {
    const struct sizes *z = &sizes[config];
    *out = (struct mill_shape){.reference_seconds = 6, .volume_normalize = 1};
    out->llm = (struct mill_llm_shape){.hidden = z->llm.hidden,
                                       .intermediate = z->llm.intermediate,
                                       .n_layers = z->llm.n_layers,
                                       .n_heads = z->llm.n_heads,
                                       .n_kv_heads = z->llm.n_kv_heads,
                                       .head_dim = z->llm.hidden / z->llm.n_heads,
                                       .vocab = 166000,
                                       .max_positions = 32768,
                                       .norm_eps = 1e-6f,
                                       .rope_theta = 1e6f};
    shape_bicodec(&out->bicodec, z);
    shape_wav2vec2(&out->wav2vec2, z);
}

static bool contains(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

struct spread {
    double mean, amp;
};

/* Weight-norm gain: the length of one filter. */
static struct spread spread_gain(const char *name, int64_t n_filters) {
    if (n_filters == 1 && strncmp(name, "decoder.", 8) == 0)
        return (struct spread){0.03, 0}; /* the last convolution, before tanh */
    const char *block = strstr(name, ".block.");
    const char *unit = block ? strstr(block + 7, ".block.") : NULL;
    if (unit) /* residual unit: dilated, then pointwise */
        return contains(block + 7, ".block.1.") ? (struct spread){0.8, 0.2}
                                                : (struct spread){0.4, 0.1};
    return contains(name, ".block.1.") ? (struct spread){2, 0.2} : (struct spread){1.3, 0.2};
}

/* The rules in their order: the first that fits decides. */
static struct spread spread_of(const char *name, const struct mill_tensor_spec *spec) {
    const char *dot = strrchr(name, '.'), *leaf = dot ? dot + 1 : name;
    bool weight = strcmp(leaf, "weight") == 0, gamma = strcmp(leaf, "gamma") == 0;
    if (strcmp(leaf, "running_var") == 0)
        return (struct spread){1, 0.3};
    if (strcmp(leaf, "running_mean") == 0)
        return (struct spread){0, 0.1};
    if (strcmp(leaf, "alpha") == 0) /* snake frequency */
        return (struct spread){1, 0.5};
    if (gamma && contains(name, "convnext")) /* layer scale */
        return (struct spread){0.25, 0.1};
    if (strcmp(leaf, "weight_g") == 0)
        return spread_gain(name, spec->shape[0]);
    if (strcmp(leaf, "weight_v") == 0 || strcmp(leaf, "latents") == 0)
        return (struct spread){0, 1};
    if (contains(name, "embed_tokens"))
        return (struct spread){0, 0.17};
    if (weight && contains(name, "codebook"))
        return (struct spread){0, 1};
    if (gamma || (weight && spec->n_dims == 1)) /* norms */
        return (struct spread){1, 0.2};
    if (strcmp(leaf, "bias") == 0)
        return contains(name, ".norm.scale.") ? (struct spread){1, 0.1} : (struct spread){0, 0.05};
    double fan_in = 1;
    for (int32_t i = 1; i < spec->n_dims; i++)
        fan_in *= (double)spec->shape[i];
    double gain = contains(name, ".norm.scale.") || contains(name, ".norm.shift.") ? 0.3 : 1;
    return (struct spread){0, gain * sqrt(3 / fan_in)};
}

static uint64_t fnv1a64(const char *text) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001B3u;
    return h;
}

void mill_synth_tensor_init(struct mill_synth_tensor *tensor, const struct mill_tensor_spec *spec,
                            uint64_t seed) {
    static const char prefix[] = "wav2vec2.";
    const char *name = spec->name;
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        name += sizeof prefix - 1;
    struct spread spread = spread_of(name, spec);
    tensor->start = fnv1a64(name) + seed * 0xD1B54A32D192ED03u;
    tensor->mean = spread.mean;
    tensor->amp = spread.amp;
}

void mill_synth_fill(const struct mill_synth_tensor *tensor, size_t first, size_t n, float *out) {
    double mean = tensor->mean, amp = tensor->amp;
    for (size_t i = 0; i < n; i++) {
        uint64_t z = tensor->start + (first + i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z = z ^ z >> 31;
        double u = (double)(int32_t)(z >> 40) * 0x1p-24;
        out[i] = (float)(mean + amp * (2 * u - 1));
    }
}
