/* encoder_layout.c - see encoder_layout.h; the steps are those of weight_walk.h. */
#include "runtime/model/encoder_layout.h"

#include "runtime/base/memory.h"
#include "runtime/model/encoder_rows.h"
#include "runtime/model/weight_walk.h"

#include <stdio.h>
#include <stdlib.h>

struct layout {
    struct mill_weight_walk walk;
    const struct mill_shape *shape;
    const struct mill_tensors *bicodec, *wav2vec2;
    enum mill_dtype dtype; /* of the semantic encoder's matrices */
};

/* ------------------------------------------------------------------ single weights */

/* prefix module .weight [n_out][n_in][n_taps], and its bias. */
static void add_product(struct layout *layout, struct mill_weight *weight,
                        const struct mill_tensors *file, const char *prefix, const char *module,
                        const int32_t size[3], enum mill_dtype dtype, bool bias) {
    struct mill_walk_matrix matrix = {.file = file,
                                      .prefix = prefix,
                                      .modules = {module},
                                      .rows = {size[0]},
                                      .n_taps = size[1],
                                      .n_in = size[2],
                                      .dtype = dtype,
                                      .bias = bias};
    mill_walk_add_matrix(&layout->walk, weight, &matrix);
}

/* The speaker encoder's: F32. */
static void add_speaker(struct layout *layout, struct mill_weight *weight, const char *prefix,
                        const char *module, int32_t n_out, int32_t n_taps, int32_t n_in,
                        bool bias) {
    const int32_t size[] = {n_out, n_taps, n_in};
    add_product(layout, weight, layout->bicodec, prefix, module, size, MILL_F32, bias);
}

/* wav2vec2's. */
static void add_linear(struct layout *layout, struct mill_weight *weight, const char *prefix,
                       const char *module, int32_t n_out, int32_t n_in) {
    const int32_t size[] = {n_out, 1, n_in};
    add_product(layout, weight, layout->wav2vec2, prefix, module, size, layout->dtype, true);
}

static void add_layer_norm(struct layout *layout, const float **gain, const float **shift,
                           const char *prefix, const char *module, int32_t n) {
    char name[MILL_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s.", prefix, module);
    mill_walk_add_vector(&layout->walk, layout->wav2vec2, n, gain, name, "weight");
    mill_walk_add_vector(&layout->walk, layout->wav2vec2, n, shift, name, "bias");
}

/* ------------------------------------------------------------------ speaker encoder */

static void plan_spectrogram(struct layout *layout, struct mill_speaker_weights *speaker) {
    const struct mill_bicodec_shape *s = &layout->shape->bicodec;
    int32_t n_bins = s->mel.n_fft / 2 + 1;
    char name[MILL_NAME_BYTES]; /* says everything the rows depend on: names are the image's key */
    struct mill_row_source fourier = {.make = mill_rows_fourier,
                                      .shape = s,
                                      .n_rows = 2 * n_bins,
                                      .n_taps = 1,
                                      .n_in = s->mel.window};
    snprintf(name, sizeof name, "fourier %d", s->mel.n_fft);
    mill_walk_add_packed(&layout->walk, MILL_F32, &fourier, &speaker->fourier, name);
    struct mill_row_source mel = {
        .make = mill_rows_mel, .shape = s, .n_rows = s->mel.n_mels, .n_taps = 1, .n_in = n_bins};
    snprintf(name, sizeof name, "mel %d %d %.17g %.17g", s->sample_rate, s->mel.n_fft, s->mel.f_min,
             s->mel.f_max);
    mill_walk_add_packed(&layout->walk, MILL_F32, &mel, &speaker->mel, name);
}

static void add_batch_norm(struct layout *layout, struct mill_conv_norm_weights *weights, int32_t n,
                           const char *prefix, const char *module) {
    struct mill_weight_walk *walk = &layout->walk;
    size_t elements = (size_t)n;
    struct mill_row_source source = {
        .make = mill_rows_batch_gain, .file = layout->bicodec, .n_rows = n, .n_taps = 1, .n_in = 1};
    mill_walk_find(walk, &source.tensor[0], source.file, elements, "%s%s.weight", prefix, module);
    mill_walk_find(walk, &source.tensor[1], source.file, elements, "%s%s.running_var", prefix,
                   module);
    mill_walk_find(walk, &source.tensor[2], source.file, elements, "%s%s.running_mean", prefix,
                   module);
    mill_walk_find(walk, &source.gain, source.file, elements, "%s%s.bias", prefix, module);
    mill_walk_add(walk, MILL_IMAGE_TABLE, MILL_F32, &source, &weights->gain, "%s%s.gain", prefix,
                  module);
    source.make = mill_rows_batch_shift;
    mill_walk_add(walk, MILL_IMAGE_TABLE, MILL_F32, &source, &weights->shift, "%s%s.shift", prefix,
                  module);
}

static void plan_ecapa_block(struct layout *layout, struct mill_ecapa_block_weights *block,
                             int32_t index) {
    const int32_t c = layout->shape->bicodec.speaker.ecapa_channels, w = c / MILL_ECAPA_SCALE;
    char prefix[MILL_PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "speaker_encoder.speaker_encoder.layer%d.se_res2block.",
             index + 2);
    add_speaker(layout, &block->before.conv, prefix, "0.conv", c, 1, c, true);
    add_batch_norm(layout, &block->before, c, prefix, "0.bn");
    for (int32_t i = 0; i < MILL_ECAPA_SCALE - 1; i++) {
        char conv[16], norm[16];
        snprintf(conv, sizeof conv, "1.convs.%d", i);
        snprintf(norm, sizeof norm, "1.bns.%d", i);
        add_speaker(layout, &block->res[i].conv, prefix, conv, w, MILL_ECAPA_RES_TAPS, w, true);
        add_batch_norm(layout, &block->res[i], w, prefix, norm);
    }
    add_speaker(layout, &block->after.conv, prefix, "2.conv", c, 1, c, true);
    add_batch_norm(layout, &block->after, c, prefix, "2.bn");
    add_speaker(layout, &block->squeeze, prefix, "3.linear1", MILL_ECAPA_SQUEEZE, 1, c, true);
    add_speaker(layout, &block->excite, prefix, "3.linear2", c, 1, MILL_ECAPA_SQUEEZE, true);
}

static void plan_perceiver(struct layout *layout, struct mill_speaker_weights *speaker) {
    static const char prefix[] = "speaker_encoder.perceiver_sampler.";
    const int32_t d = layout->shape->bicodec.speaker.latent, inner = MILL_PERCEIVER_INNER;
    const int32_t wide = mill_perceiver_feed_forward(d);
    add_speaker(layout, &speaker->context, prefix, "proj_context", d, 1,
                MILL_ECAPA_BLOCKS * layout->shape->bicodec.speaker.ecapa_channels, true);
    mill_walk_add_vector(&layout->walk, layout->bicodec,
                         layout->shape->bicodec.speaker.n_tokens * d, &speaker->latents, prefix,
                         "latents");
    for (int32_t i = 0; i < MILL_PERCEIVER_LAYERS; i++) {
        struct mill_perceiver_layer_weights *layer = &speaker->layers[i];
        char name[MILL_PREFIX_BYTES];
        snprintf(name, sizeof name, "%slayers.%d.", prefix, i);
        add_speaker(layout, &layer->q, name, "0.to_q", inner, 1, d, false);
        add_speaker(layout, &layer->kv, name, "0.to_kv", 2 * inner, 1, d, false);
        add_speaker(layout, &layer->out, name, "0.to_out", d, 1, inner, false);
        struct mill_walk_matrix up = {.file = layout->bicodec,
                                      .prefix = name,
                                      .modules = {"1.0"},
                                      .rows = {2 * wide},
                                      .n_taps = 1,
                                      .n_in = d,
                                      .dtype = MILL_F32,
                                      .bias = true,
                                      .paired = true};
        mill_walk_add_matrix(&layout->walk, &layer->up, &up);
        add_speaker(layout, &layer->down, name, "1.2", d, 1, wide, true);
    }
    mill_walk_add_vector(&layout->walk, layout->bicodec, d, &speaker->norm, prefix, "norm.gamma");
}

static void plan_speaker(struct layout *layout, struct mill_speaker_weights *speaker) {
    static const char prefix[] = "speaker_encoder.speaker_encoder.";
    const struct mill_bicodec_shape *s = &layout->shape->bicodec;
    const int32_t channels = s->speaker.ecapa_channels, features = MILL_ECAPA_BLOCKS * channels;
    plan_spectrogram(layout, speaker);
    add_speaker(layout, &speaker->first.conv, prefix, "layer1.conv", channels, MILL_ECAPA_TAPS,
                s->speaker.input, true);
    add_batch_norm(layout, &speaker->first, channels, prefix, "layer1.bn");
    for (int32_t i = 0; i < MILL_ECAPA_BLOCKS; i++)
        plan_ecapa_block(layout, &speaker->blocks[i], i);
    add_speaker(layout, &speaker->last, prefix, "conv", features, 1, features, true);
    plan_perceiver(layout, speaker);
    add_speaker(layout, &speaker->project, "speaker_encoder.quantizer.", "project_in",
                s->speaker.n_levels, 1, s->speaker.latent, true);
}

/* ------------------------------------------------------------------ wav2vec2 */

/* The first convolution reads samples, a dozen of them: it stays F32. */
static void plan_features(struct layout *layout, struct mill_wav2vec2_weights *weights) {
    const struct mill_wav2vec2_shape *s = &layout->shape->wav2vec2;
    int32_t input = 1;
    for (int32_t i = 0; i < s->n_convs; input = s->conv_dim[i], i++) {
        struct mill_feature_conv_weights *layer = &weights->convs[i];
        char prefix[MILL_PREFIX_BYTES];
        snprintf(prefix, sizeof prefix, "wav2vec2.feature_extractor.conv_layers.%d.", i);
        int32_t elements = s->conv_kernel[i] * input;
        struct mill_row_source source = {.make = mill_rows_flat_taps,
                                         .file = layout->wav2vec2,
                                         .n_rows = s->conv_dim[i],
                                         .n_taps = 1,
                                         .n_in = elements,
                                         .tensor_rows = {s->conv_dim[i], s->conv_kernel[i]},
                                         .scratch_values = (size_t)elements};
        mill_walk_find(&layout->walk, &source.tensor[0], layout->wav2vec2,
                       (size_t)s->conv_dim[i] * (size_t)elements, "%sconv.weight", prefix);
        mill_walk_add_packed(&layout->walk, i == 0 ? MILL_F32 : layout->dtype, &source,
                             &layer->conv, prefix);
        mill_walk_add_vector(&layout->walk, layout->wav2vec2, s->conv_dim[i], &layer->conv.bias,
                             prefix, "conv.bias");
        add_layer_norm(layout, &layer->gain, &layer->shift, prefix, "layer_norm", s->conv_dim[i]);
    }
    add_layer_norm(layout, &weights->gain, &weights->shift, "wav2vec2.feature_projection.",
                   "layer_norm", input);
    add_linear(layout, &weights->projection, "wav2vec2.feature_projection.", "projection",
               s->hidden, input);
}

/* One convolution a group: their outputs lie one behind the other. */
static void plan_position(struct layout *layout, struct mill_wav2vec2_weights *weights) {
    static const char prefix[] = "wav2vec2.encoder.pos_conv_embed.conv.";
    const struct mill_wav2vec2_shape *s = &layout->shape->wav2vec2;
    struct mill_weight_walk *walk = &layout->walk;
    int32_t width = s->hidden / s->pos_groups;
    size_t elements = (size_t)width * (size_t)s->pos_kernel;
    struct mill_row_source source = {.make = mill_rows_tap_norm,
                                     .prepare = mill_rows_prepare_tap_norm,
                                     .file = layout->wav2vec2,
                                     .n_rows = width,
                                     .n_taps = s->pos_kernel,
                                     .n_in = width,
                                     .tensor_rows = {0, s->hidden},
                                     .scratch_values = elements};
    struct mill_row_source bias = {.make = mill_rows_offset,
                                   .file = layout->wav2vec2,
                                   .n_rows = width,
                                   .n_taps = 1,
                                   .n_in = 1};
    mill_walk_find(walk, &source.tensor[0], source.file, (size_t)s->hidden * elements, "%sweight_v",
                   prefix);
    mill_walk_find(walk, &source.tensor[1], source.file, (size_t)s->pos_kernel, "%sweight_g",
                   prefix);
    mill_walk_find(walk, &bias.tensor[0], source.file, (size_t)s->hidden, "%sbias", prefix);
    for (int32_t i = 0; i < s->pos_groups; i++) {
        char name[MILL_PREFIX_BYTES];
        snprintf(name, sizeof name, "%s%d", prefix, i);
        source.tensor_rows[0] = bias.tensor_rows[0] = i * width;
        mill_walk_add_packed(walk, layout->dtype, &source, &weights->position[i], name);
        mill_walk_add(walk, MILL_IMAGE_TABLE, MILL_F32, &bias, &weights->position[i].bias,
                      "%s.bias", name);
    }
}

static void plan_layer(struct layout *layout, struct mill_wav2vec2_layer_weights *layer,
                       int32_t index) {
    const struct mill_wav2vec2_shape *s = &layout->shape->wav2vec2;
    char prefix[MILL_PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "wav2vec2.encoder.layers.%d.", index);
    add_layer_norm(layout, &layer->attn_gain, &layer->attn_shift, prefix, "layer_norm", s->hidden);
    struct mill_walk_matrix qkv = {
        .file = layout->wav2vec2,
        .prefix = prefix,
        .modules = {"attention.q_proj", "attention.k_proj", "attention.v_proj"},
        .rows = {s->hidden, s->hidden, s->hidden},
        .n_taps = 1,
        .n_in = s->hidden,
        .dtype = layout->dtype,
        .bias = true};
    mill_walk_add_matrix(&layout->walk, &layer->qkv, &qkv);
    add_linear(layout, &layer->out, prefix, "attention.out_proj", s->hidden, s->hidden);
    add_layer_norm(layout, &layer->mlp_gain, &layer->mlp_shift, prefix, "final_layer_norm",
                   s->hidden);
    add_linear(layout, &layer->up, prefix, "feed_forward.intermediate_dense", s->intermediate,
               s->hidden);
    add_linear(layout, &layer->down, prefix, "feed_forward.output_dense", s->hidden,
               s->intermediate);
}

/* ------------------------------------------------------------------ semantic encoder */

static void plan_semantic(struct layout *layout, struct mill_semantic_weights *semantic) {
    const struct mill_bicodec_shape *s = &layout->shape->bicodec;
    const int32_t input = s->quantizer.input, dim = s->quantizer.codebook_dim;
    plan_features(layout, &semantic->wav2vec2);
    plan_position(layout, &semantic->wav2vec2);
    for (int32_t i = 0; i < MILL_WAV2VEC2_LAYERS; i++)
        plan_layer(layout, &semantic->wav2vec2.layers[i], i);
    struct mill_walk_vocos backbone = {.file = layout->bicodec,
                                       .shape = &s->encoder,
                                       .prefix = "encoder.encoder.",
                                       .n_in = s->encoder.input,
                                       .n_blocks = s->encoder.n_layers,
                                       .scale = 1.0,
                                       .dtype = layout->dtype};
    mill_walk_add_vocos(&layout->walk, &semantic->backbone, &backbone);
    mill_walk_add_samplings(&layout->walk, semantic->sampling, layout->bicodec, &s->encoder,
                            "encoder", layout->dtype);
    const int32_t size[] = {input, 1, s->encoder.dim};
    add_product(layout, &semantic->project, layout->bicodec, "encoder.", "project", size, MILL_F32,
                true);
    mill_walk_add_normed(&layout->walk, layout->bicodec, &semantic->in_project,
                         "quantizer.in_project.", dim, 1, input, false, MILL_F32);
    struct mill_row_source codebook = {.make = mill_rows_unit,
                                       .file = layout->bicodec,
                                       .n_rows = s->quantizer.codebook_size,
                                       .n_taps = 1,
                                       .n_in = dim};
    mill_walk_find(&layout->walk, &codebook.tensor[0], layout->bicodec,
                   (size_t)codebook.n_rows * (size_t)dim, "%s", "quantizer.codebook.weight");
    mill_walk_add_packed(&layout->walk, MILL_F32, &codebook, &semantic->codebook,
                         "quantizer.codebook, normalised");
}

static mill_status check_speaker(const struct mill_bicodec_shape *shape, struct mill_error *err) {
    if (shape->mel.n_fft % 2)
        return mill_fail(err, MILL_E_UNSUPPORTED, "mel_params: n_fft %d is odd", shape->mel.n_fft);
    return MILL_OK;
}

static mill_status check_semantic(const struct mill_shape *shape, struct mill_error *err) {
    const struct mill_wav2vec2_shape *s = &shape->wav2vec2;
    if (s->n_layers < MILL_WAV2VEC2_LAYERS)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "wav2vec2 has %d layers, and features are read from the %dth", s->n_layers,
                         MILL_WAV2VEC2_LAYERS);
    if (shape->bicodec.encoder.input != s->hidden)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "BiCodec's encoder reads %d channels, and wav2vec2 gives %d",
                         shape->bicodec.encoder.input, s->hidden);
    return MILL_OK;
}

mill_status mill_encoder_layout_plan(struct mill_encoder_weights *weights,
                                     struct mill_image_plan *plan,
                                     const struct mill_tensors *bicodec,
                                     const struct mill_tensors *wav2vec2, enum mill_dtype dtype,
                                     struct mill_error *err) {
    struct layout layout = {.walk = {.plan = plan, .err = err},
                            .shape = &weights->shape,
                            .bicodec = bicodec,
                            .wav2vec2 = wav2vec2,
                            .dtype = dtype};
    if (weights->uses & MILL_USE_VOICE) {
        MILL_TRY(check_speaker(&weights->shape.bicodec, err));
        plan_speaker(&layout, &weights->speaker);
    }
    if (weights->uses & MILL_USE_TRANSCRIPT) {
        struct mill_wav2vec2_weights *w = &weights->semantic.wav2vec2;
        MILL_TRY(check_semantic(&weights->shape, err));
        w->position =
            mill_alloc_array((size_t)weights->shape.wav2vec2.pos_groups, sizeof *w->position);
        if (!w->position)
            return mill_fail(err, MILL_E_MEMORY, "no memory for the encoders' weights");
        plan_semantic(&layout, &weights->semantic);
    }
    return layout.walk.status;
}

void mill_encoder_layout_free(struct mill_encoder_weights *weights) {
    struct mill_semantic_weights *semantic = &weights->semantic;
    free(semantic->wav2vec2.position);
    free(semantic->backbone.blocks);
    for (int i = 0; i < MILL_MAX_STAGES; i++)
        free(semantic->sampling[i].blocks);
}
