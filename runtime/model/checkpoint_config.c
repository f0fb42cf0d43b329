/* checkpoint_config.c - the configuration files of a checkpoint, with the published files' keys,
 * from a shape: the inverse of shape.c.
 *
 * Keys that the engine does not read (training settings) have the published values, so that other
 * programs can open the folder too. */
#include "runtime/model/checkpoint_parts.h"

#include "runtime/model/encoder_sizes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_TEXT_BYTES = 1 << 16, NUMBER_BYTES = 32 };

/* A text that grows and keeps the first failure. */
struct text {
    struct mill_buffer buffer;
    mill_status status;
    struct mill_error *err;
};

#define SAY(t, ...)                                                                                \
    do {                                                                                           \
        if ((t)->status >= 0)                                                                      \
            (t)->status = mill_buffer_printf(&(t)->buffer, (t)->err, __VA_ARGS__);                 \
    } while (0)

static struct text text_start(struct mill_error *err) {
    struct text t = {.err = err};
    mill_buffer_init(&t.buffer, MAX_TEXT_BYTES);
    return t;
}

static mill_status text_write(struct text *t, const char *folder, const char *name) {
    if (t->status >= 0)
        t->status =
            mill_checkpoint_write_text(folder, name, t->buffer.data, t->buffer.size, t->err);
    mill_buffer_deinit(&t->buffer);
    return t->status;
}

/* The fewest digits that give the same float32 again, whole numbers with ".0". */
static const char *shortest(float value, char out[NUMBER_BYTES]) {
    if (value >= 1 && value < 1e9f && value == (float)(int32_t)value) {
        snprintf(out, NUMBER_BYTES, "%.1f", (double)value);
        return out;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, NUMBER_BYTES, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value)
            break;
    }
    return out;
}

static void say_list(struct text *t, const int32_t *values, int32_t n) {
    SAY(t, "[");
    for (int32_t i = 0; i < n; i++)
        SAY(t, "%s%" PRId32, i ? ", " : "", values[i]);
    SAY(t, "]");
}

/* With the published file's stray blank and without a last line feed: byte-equal for its sizes. */
static mill_status write_top(const char *folder, const struct mill_shape *s,
                             struct mill_error *err) {
    struct text t = text_start(err);
    SAY(&t, "highpass_cutoff_freq: 40\nsample_rate: %d \nsegment_duration: 2.4 # (s)\n",
        s->bicodec.sample_rate);
    SAY(&t, "max_val_duration: 12 # (s)\nlatent_hop_length: %d\n", s->bicodec.hop);
    SAY(&t, "ref_segment_duration: %.9g\nvolume_normalize: %s", s->reference_seconds,
        s->volume_normalize ? "true" : "false");
    return text_write(&t, folder, "config.yaml");
}

static void say_vocos(struct text *t, const char *name, const struct mill_vocos_shape *s,
                      bool decodes) {
    SAY(t, "  %s:\n    input_channels: %d\n    vocos_dim: %d\n", name, s->input, s->dim);
    SAY(t, "    vocos_intermediate_dim: %d\n    vocos_num_layers: %d\n", s->intermediate,
        s->n_layers);
    SAY(t, "    out_channels: %d\n", s->output);
    if (s->condition)
        SAY(t, "    condition_dim: %d\n", s->condition);
    if (!decodes || s->condition ||
        s->n_samplings != 2) { /* the published postnet has no such key */
        static const int32_t ones[MILL_MAX_STAGES] = {1, 1, 1, 1, 1, 1, 1, 1};
        SAY(t, "    sample_ratios: ");
        say_list(t, ones, s->n_samplings);
        SAY(t, "\n");
    }
    if (decodes)
        SAY(t, "    use_tanh_at_final: False\n");
}

static mill_status write_bicodec(const char *folder, const struct mill_bicodec_shape *s,
                                 struct mill_error *err) {
    struct text t = text_start(err);
    char f_max[NUMBER_BYTES] = "null";
    if (s->mel.f_max > 0)
        snprintf(f_max, sizeof f_max, "%.17g", s->mel.f_max);
    SAY(&t, "audio_tokenizer:\n  mel_params:\n    sample_rate: %d\n    n_fft: %d\n", s->sample_rate,
        s->mel.n_fft);
    SAY(&t, "    win_length: %d\n    hop_length: %d\n    mel_fmin: %.17g\n    mel_fmax: %s\n",
        s->mel.window, s->mel.hop, s->mel.f_min, f_max);
    SAY(&t, "    num_mels: %d\n", s->mel.n_mels);
    say_vocos(&t, "encoder", &s->encoder, false);
    SAY(&t, "  decoder:\n    input_channel: %d\n    channels: %d\n    rates: ", s->generator.input,
        s->generator.channels);
    say_list(&t, s->generator.rates, s->generator.n_stages);
    SAY(&t, "\n    kernel_sizes: ");
    say_list(&t, s->generator.kernels, s->generator.n_stages);
    SAY(&t, "\n  quantizer:\n    input_dim: %d\n    codebook_size: %d\n    codebook_dim: %d\n",
        s->quantizer.input, s->quantizer.codebook_size, s->quantizer.codebook_dim);
    SAY(&t, "    commitment: 0.25\n    codebook_loss_weight: 2.0\n    use_l2_normlize: True\n"
            "    threshold_ema_dead_code: 0.2\n");
    SAY(&t, "  speaker_encoder:\n    input_dim: %d\n    out_dim: %d\n    latent_dim: %d\n",
        s->speaker.input, s->speaker.output, s->speaker.latent);
    SAY(&t, "    token_num: %d\n    fsq_levels: ", s->speaker.n_tokens);
    say_list(&t, s->speaker.levels, s->speaker.n_levels);
    SAY(&t, "\n    fsq_num_quantizers: 1\n");
    if (s->speaker.ecapa_channels != MILL_ECAPA_CHANNELS)
        SAY(&t, "    ecapa_channels: %d\n", s->speaker.ecapa_channels);
    say_vocos(&t, "prenet", &s->prenet, true);
    say_vocos(&t, "postnet", &s->postnet, true);
    return text_write(&t, folder, "BiCodec/config.yaml");
}

static mill_status write_llm(const char *folder, const struct mill_llm_shape *s,
                             enum mill_dtype dtype, struct mill_error *err) {
    struct text t = text_start(err);
    char eps[NUMBER_BYTES], theta[NUMBER_BYTES];
    SAY(&t, "{\n  \"architectures\": [\n    \"Qwen2ForCausalLM\"\n  ],\n"
            "  \"attention_dropout\": 0.0,\n  \"bos_token_id\": 151643,\n"
            "  \"eos_token_id\": 151645,\n  \"hidden_act\": \"silu\",\n");
    if (s->head_dim * s->n_heads != s->hidden)
        SAY(&t, "  \"head_dim\": %d,\n", s->head_dim);
    SAY(&t, "  \"hidden_size\": %d,\n  \"initializer_range\": 0.02,\n", s->hidden);
    SAY(&t, "  \"intermediate_size\": %d,\n  \"max_position_embeddings\": %d,\n", s->intermediate,
        s->max_positions);
    SAY(&t, "  \"max_window_layers\": 21,\n  \"model_type\": \"qwen2\",\n");
    SAY(&t, "  \"num_attention_heads\": %d,\n  \"num_hidden_layers\": %d,\n", s->n_heads,
        s->n_layers);
    SAY(&t, "  \"num_key_value_heads\": %d,\n  \"rms_norm_eps\": %s,\n  \"rope_theta\": %s,\n",
        s->n_kv_heads, shortest(s->norm_eps, eps), shortest(s->rope_theta, theta));
    SAY(&t, "  \"sliding_window\": 32768,\n  \"tie_word_embeddings\": true,\n");
    SAY(&t, "  \"torch_dtype\": \"%s\",\n", dtype == MILL_F16 ? "float16" : "bfloat16");
    SAY(&t, "  \"transformers_version\": \"4.43.1\",\n  \"use_cache\": true,\n"
            "  \"use_sliding_window\": false,\n");
    SAY(&t, "  \"vocab_size\": %d\n}", s->vocab);
    return text_write(&t, folder, "LLM/config.json");
}

static mill_status write_wav2vec2(const char *folder, const struct mill_wav2vec2_shape *s,
                                  struct mill_error *err) {
    struct text t = text_start(err);
    SAY(&t, "{\n  \"architectures\": [\n    \"Wav2Vec2ForPreTraining\"\n  ],\n"
            "  \"bos_token_id\": 1,\n  \"conv_bias\": true,\n  \"conv_dim\": ");
    say_list(&t, s->conv_dim, s->n_convs);
    SAY(&t, ",\n  \"conv_kernel\": ");
    say_list(&t, s->conv_kernel, s->n_convs);
    SAY(&t, ",\n  \"conv_stride\": ");
    say_list(&t, s->conv_stride, s->n_convs);
    SAY(&t, ",\n  \"do_stable_layer_norm\": true,\n  \"eos_token_id\": 2,\n"
            "  \"feat_extract_activation\": \"gelu\",\n  \"feat_extract_norm\": \"layer\",\n"
            "  \"hidden_act\": \"gelu\",\n");
    SAY(&t, "  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n", s->hidden, s->intermediate);
    SAY(&t, "  \"layer_norm_eps\": %.9g,\n  \"model_type\": \"wav2vec2\",\n", s->norm_eps);
    SAY(&t, "  \"num_attention_heads\": %d,\n  \"num_conv_pos_embedding_groups\": %d,\n",
        s->n_heads, s->pos_groups);
    SAY(&t, "  \"num_conv_pos_embeddings\": %d,\n  \"num_feat_extract_layers\": %d,\n",
        s->pos_kernel, s->n_convs);
    SAY(&t, "  \"num_hidden_layers\": %d,\n  \"pad_token_id\": 0,\n  \"vocab_size\": 32\n}\n",
        s->n_layers);
    MILL_TRY(text_write(&t, folder, "wav2vec2-large-xlsr-53/config.json"));
    t = text_start(err);
    SAY(&t, "{\n  \"do_normalize\": true,\n"
            "  \"feature_extractor_type\": \"Wav2Vec2FeatureExtractor\",\n"
            "  \"feature_size\": 1,\n  \"padding_side\": \"right\",\n  \"padding_value\": 0,\n"
            "  \"return_attention_mask\": true,\n  \"sampling_rate\": 16000\n}\n");
    return text_write(&t, folder, "wav2vec2-large-xlsr-53/preprocessor_config.json");
}

mill_status mill_checkpoint_write_configs(const char *folder, const struct mill_shape *shape,
                                          enum mill_dtype dtype, struct mill_error *err) {
    MILL_TRY(write_top(folder, shape, err));
    MILL_TRY(write_bicodec(folder, &shape->bicodec, err));
    MILL_TRY(write_llm(folder, &shape->llm, dtype, err));
    return shape->wav2vec2.n_convs ? write_wav2vec2(folder, &shape->wav2vec2, err) : MILL_OK;
}
