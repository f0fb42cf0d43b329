/* shape.h - the sizes of a checkpoint, read from its configuration files and checked before
 * anything depends on them.
 *
 * Nothing about sizes is a constant of the program: vocabulary, codewords, widths, depths,
 * quantiser levels and rates come from here. */
#ifndef MILL_MODEL_SHAPE_H
#define MILL_MODEL_SHAPE_H

#include "runtime/base/status.h"

#include <stdint.h>

enum { MILL_MAX_STAGES = 8, MILL_MAX_LEVELS = 16, MILL_MAX_CONVS = 16 };

struct mill_llm_shape {
    int32_t hidden, intermediate, n_layers, n_heads, n_kv_heads, head_dim, vocab, max_positions;
    float norm_eps, rope_theta;
};

struct mill_vocos_shape {
    int32_t input, dim, intermediate, n_layers, output; /* channels; ConvNeXt blocks */
    int32_t n_samplings; /* sampling blocks, each of ratio 1: 3x and a 2-block stack */
    int32_t condition;   /* width of the adaptive condition; 0 = none */
};

struct mill_bicodec_shape {
    int32_t sample_rate, hop; /* samples a second; samples a frame = product of rates */
    struct {
        int32_t n_fft, window, hop, n_mels;
        double f_min, f_max;
    } mel; /* f_max 0 = half the sample rate */
    struct mill_vocos_shape encoder, prenet, postnet;
    struct {
        int32_t input, codebook_size, codebook_dim;
    } quantizer;
    struct {
        int32_t input, output, latent, n_tokens, n_levels, levels[MILL_MAX_LEVELS];
        int32_t ecapa_channels; /* 512 unless the configuration says otherwise; eighths are used */
    } speaker;
    struct {
        int32_t input, channels, n_stages, rates[MILL_MAX_STAGES], kernels[MILL_MAX_STAGES];
    } generator;
};

struct mill_wav2vec2_shape {
    int32_t n_convs, conv_dim[MILL_MAX_CONVS], conv_kernel[MILL_MAX_CONVS],
        conv_stride[MILL_MAX_CONVS];
    int32_t hidden, intermediate, n_layers, n_heads, pos_kernel, pos_groups;
    double norm_eps;
};

struct mill_shape {
    struct mill_llm_shape llm;
    struct mill_bicodec_shape bicodec;
    struct mill_wav2vec2_shape wav2vec2; /* n_convs 0: the checkpoint has no wav2vec2 folder */
    double reference_seconds;            /* config.yaml: ref_segment_duration */
    int32_t volume_normalize;            /* of recordings, as audio/volume.h says */
};

/* Read config.yaml, BiCodec/config.yaml, LLM/config.json and wav2vec2-large-xlsr-53/config.json
 * below `folder`. Unsupported settings (sampling ratio other than 1, untied head, rope scaling,
 * other activations ...) are refused by name. */
mill_status mill_shape_read(struct mill_shape *out, const char *folder, struct mill_error *err);

/* Number of values a global token can take: the product of the levels. */
int32_t mill_shape_global_codes(const struct mill_shape *shape);

#endif
