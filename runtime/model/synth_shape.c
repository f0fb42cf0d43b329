/* synth_shape.c - see synth_shape.h. */
#include "runtime/model/synth_shape.h"

#include "runtime/model/encoder_sizes.h"

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
    s->speaker.ecapa_channels = MILL_ECAPA_CHANNELS;
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
