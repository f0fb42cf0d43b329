/* shape.c - see shape.h.
 *
 * Each file is read section by section through a reader that keeps the first failure, so a section
 * is a list of its keys. A setting that changes what is computed is either understood or refused;
 * settings of training (dropout, masking, losses) are not looked at. Then come the relations
 * between the sizes. What only the encoders of recordings depend on is checked where both sizes
 * stand in one file. */
#include "runtime/model/shape.h"

#include "runtime/base/file.h"
#include "runtime/io/config.h"
#include "runtime/model/encoder_sizes.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_CONFIG_BYTES = 1 << 20,
    MAX_WIDTH = 1 << 16,
    MAX_LAYERS = 1024,
    MAX_ROWS = 1 << 24, /* vocabulary, codewords, positions */
    MAX_TOKENS = 4096,  /* global tokens of a voice */
    MAX_RATE = 256,     /* upsampling and strides */
    MIN_SAMPLE_RATE = 4000,
    MAX_SAMPLE_RATE = 384000,
    DEFAULT_SAMPLINGS = 2 /* upstream's default where sample_ratios is absent */
};

struct reader {
    const json_t *object;
    mill_status status; /* the first failure */
    struct mill_error *err;
};

static bool has(const struct reader *r, const char *key) {
    const json_t *value = json_object_get(r->object, key);
    return value && !json_is_null(value);
}

static int32_t whole(struct reader *r, const char *key, int32_t low, int32_t high) {
    int64_t value = low;
    if (r->status >= 0)
        r->status = mill_config_int(r->object, key, low, high, &value, r->err);
    return (int32_t)value;
}

static double number(struct reader *r, const char *key, double low, double high) {
    double value = low;
    if (r->status >= 0)
        r->status = mill_config_number(r->object, key, low, high, &value, r->err);
    return value;
}

static int32_t list(struct reader *r, const char *key, int32_t low, int32_t high, int32_t *out,
                    int32_t capacity) {
    int32_t n = 0;
    if (r->status >= 0)
        r->status = mill_config_ints(r->object, key, low, high, out, capacity, &n, r->err);
    return n;
}

/* A text that must be there and has one supported value. */
static void require_text(struct reader *r, const char *key, const char *supported) {
    const char *value = NULL;
    if (r->status >= 0)
        r->status = mill_config_text(r->object, key, &value, r->err);
    if (r->status >= 0 && strcmp(value, supported) != 0)
        r->status = mill_fail(r->err, MILL_E_INPUT, "%s '%.64s' is not supported, only '%s'", key,
                              value, supported);
}

/* A switch; `absent` is upstream's default. */
static bool flag(struct reader *r, const char *key, bool absent) {
    const json_t *value = json_object_get(r->object, key);
    if (r->status < 0 || !value)
        return absent;
    if (!json_is_boolean(value))
        r->status = mill_fail(r->err, MILL_E_INPUT, "key '%s': is not true or false", key);
    return json_is_true(value);
}

static void require_flag(struct reader *r, const char *key, bool absent, bool supported) {
    if (flag(r, key, absent) != supported && r->status >= 0)
        r->status = mill_fail(r->err, MILL_E_INPUT, "%s %s is not supported", key,
                              supported ? "false" : "true");
}

/* The sizes fit together, or one line says which do not. */
__attribute__((format(printf, 3, 4))) static void require(struct reader *r, bool holds,
                                                          const char *format, ...) {
    if (r->status < 0 || holds)
        return;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->status = mill_fail(r->err, MILL_E_INPUT, "%s", text);
}

static struct reader section(const struct reader *parent, const char *key) {
    struct reader r = *parent;
    if (r.status >= 0)
        r.status = mill_config_object(parent->object, key, &r.object, r.err);
    return r;
}

/* Hand a section's failure, with its name in front, to the reader of what contains it. */
static void close_section(struct reader *parent, const struct reader *r, const char *key) {
    if (parent->status >= 0 && r->status < 0)
        parent->status = mill_context(parent->err, r->status, "%s", key);
}

static mill_status read_llm(struct mill_shape *out, const json_t *file, struct mill_error *err) {
    struct mill_llm_shape *s = &out->llm;
    struct reader r = {file, MILL_OK, err};
    require_text(&r, "model_type", "qwen2");
    require_text(&r, "hidden_act", "silu");
    require_flag(&r, "tie_word_embeddings", false, true);
    require_flag(&r, "use_sliding_window", false, false);
    if (r.status >= 0 && has(&r, "rope_scaling"))
        return mill_fail(err, MILL_E_INPUT, "rope_scaling is not supported");
    s->hidden = whole(&r, "hidden_size", 1, MAX_WIDTH);
    s->intermediate = whole(&r, "intermediate_size", 1, 16 * MAX_WIDTH);
    s->n_layers = whole(&r, "num_hidden_layers", 1, MAX_LAYERS);
    s->n_heads = whole(&r, "num_attention_heads", 1, MAX_LAYERS);
    s->n_kv_heads = whole(&r, "num_key_value_heads", 1, MAX_LAYERS);
    s->vocab = whole(&r, "vocab_size", 1, MAX_ROWS);
    s->max_positions = whole(&r, "max_position_embeddings", 1, MAX_ROWS);
    s->norm_eps = (float)number(&r, "rms_norm_eps", 1e-12, 0.1);
    s->rope_theta = (float)number(&r, "rope_theta", 1, 1e12);
    if (r.status >= 0 && has(&r, "head_dim")) {
        s->head_dim = whole(&r, "head_dim", 2, MAX_WIDTH);
    } else {
        require(&r, s->hidden % s->n_heads == 0,
                "hidden_size %d is not a multiple of num_attention_heads %d", s->hidden,
                s->n_heads);
        s->head_dim = s->hidden / s->n_heads;
    }
    require(&r, s->n_heads % s->n_kv_heads == 0,
            "num_attention_heads %d is not a multiple of num_key_value_heads %d", s->n_heads,
            s->n_kv_heads);
    require(&r, s->head_dim > 0 && s->head_dim % 2 == 0,
            "the width of a head, %d, is odd, and rotary positions turn pairs", s->head_dim);
    require(&r, (int64_t)s->n_heads * s->head_dim <= MAX_WIDTH,
            "num_attention_heads %d times the width of a head %d is above %d", s->n_heads,
            s->head_dim, MAX_WIDTH);
    return r.status;
}

static void read_vocos(struct mill_vocos_shape *s, struct reader *parent, const char *key) {
    struct reader r = section(parent, key);
    s->input = whole(&r, "input_channels", 1, MAX_WIDTH);
    s->dim = whole(&r, "vocos_dim", 1, MAX_WIDTH);
    s->intermediate = whole(&r, "vocos_intermediate_dim", 1, MAX_WIDTH);
    s->n_layers = whole(&r, "vocos_num_layers", 1, MAX_LAYERS);
    s->output = whole(&r, "out_channels", 1, MAX_WIDTH);
    s->n_samplings = DEFAULT_SAMPLINGS;
    if (r.status >= 0 && has(&r, "sample_ratios")) {
        int32_t ratios[MILL_MAX_STAGES];
        s->n_samplings = list(&r, "sample_ratios", 1, MAX_RATE, ratios, MILL_MAX_STAGES);
        for (int32_t i = 0; r.status >= 0 && i < s->n_samplings; i++)
            if (ratios[i] != 1)
                r.status =
                    mill_fail(r.err, MILL_E_INPUT,
                              "sample_ratios: a ratio of %d is not supported, only 1", ratios[i]);
    }
    if (r.status >= 0 && has(&r, "condition_dim"))
        s->condition = whole(&r, "condition_dim", 1, MAX_WIDTH);
    require_flag(&r, "use_tanh_at_final", false, false);
    close_section(parent, &r, key);
}

static void read_mel(struct mill_bicodec_shape *s, struct reader *parent) {
    struct reader r = section(parent, "mel_params");
    s->sample_rate = whole(&r, "sample_rate", MIN_SAMPLE_RATE, MAX_SAMPLE_RATE);
    s->mel.n_fft = whole(&r, "n_fft", 2, MAX_WIDTH);
    s->mel.window = whole(&r, "win_length", 1, MAX_WIDTH);
    s->mel.hop = whole(&r, "hop_length", 1, MAX_WIDTH);
    s->mel.n_mels = whole(&r, "num_mels", 1, MAX_WIDTH);
    s->mel.f_min = number(&r, "mel_fmin", 0, MAX_SAMPLE_RATE);
    if (r.status >= 0 && has(&r, "mel_fmax"))
        s->mel.f_max = number(&r, "mel_fmax", 1, s->sample_rate / 2.0);
    double top = s->mel.f_max > 0 ? s->mel.f_max : s->sample_rate / 2.0;
    require(&r, s->mel.f_min < top, "mel_fmin %g is not below the highest frequency, %g",
            s->mel.f_min, top);
    require(&r, s->mel.window <= s->mel.n_fft, "win_length %d is longer than n_fft %d",
            s->mel.window, s->mel.n_fft);
    close_section(parent, &r, "mel_params");
}

static void read_quantizer(struct mill_bicodec_shape *s, struct reader *parent) {
    struct reader r = section(parent, "quantizer");
    s->quantizer.input = whole(&r, "input_dim", 1, MAX_WIDTH);
    s->quantizer.codebook_size = whole(&r, "codebook_size", 2, MAX_ROWS);
    s->quantizer.codebook_dim = whole(&r, "codebook_dim", 1, MAX_WIDTH);
    require_flag(&r, "use_l2_normlize", true, true); /* upstream's spelling */
    close_section(parent, &r, "quantizer");
}

static void read_speaker(struct mill_bicodec_shape *s, struct reader *parent) {
    struct reader r = section(parent, "speaker_encoder");
    s->speaker.input = whole(&r, "input_dim", 1, MAX_WIDTH);
    s->speaker.output = whole(&r, "out_dim", 1, MAX_WIDTH);
    s->speaker.latent = whole(&r, "latent_dim", 1, MAX_WIDTH);
    s->speaker.n_tokens = whole(&r, "token_num", 1, MAX_TOKENS);
    s->speaker.n_levels = list(&r, "fsq_levels", 2, MAX_WIDTH, s->speaker.levels, MILL_MAX_LEVELS);
    require(&r, s->speaker.n_levels > 0, "fsq_levels is empty");
    int64_t codes = 1;
    for (int32_t i = 0; i < s->speaker.n_levels && codes <= MAX_ROWS; i++)
        codes *= s->speaker.levels[i];
    require(&r, codes <= MAX_ROWS, "fsq_levels: their product is above %d", MAX_ROWS);
    if (whole(&r, "fsq_num_quantizers", 1, 64) != 1 && r.status >= 0)
        r.status =
            mill_fail(r.err, MILL_E_INPUT, "fsq_num_quantizers: only one quantizer is supported");
    s->speaker.ecapa_channels = MILL_ECAPA_CHANNELS;
    if (r.status >= 0 && has(&r, "ecapa_channels"))
        s->speaker.ecapa_channels =
            whole(&r, "ecapa_channels", MILL_ECAPA_SCALE, MAX_WIDTH / MILL_ECAPA_BLOCKS);
    require(&r, s->speaker.ecapa_channels % MILL_ECAPA_SCALE == 0,
            "ecapa_channels %d is not a multiple of %d", s->speaker.ecapa_channels,
            MILL_ECAPA_SCALE);
    close_section(parent, &r, "speaker_encoder");
}

/* A transposed convolution with padding (kernel - stride) / 2 gives stride times the frames only
 * when kernel - stride is even and not negative. */
static void read_generator(struct mill_bicodec_shape *s, struct reader *parent) {
    struct reader r = section(parent, "decoder");
    s->generator.input = whole(&r, "input_channel", 1, MAX_WIDTH);
    s->generator.channels = whole(&r, "channels", 1, MAX_WIDTH);
    s->generator.n_stages = list(&r, "rates", 1, MAX_RATE, s->generator.rates, MILL_MAX_STAGES);
    int32_t n_kernels =
        list(&r, "kernel_sizes", 1, 4 * MAX_RATE, s->generator.kernels, MILL_MAX_STAGES);
    require(&r, n_kernels == s->generator.n_stages, "rates has %d entries and kernel_sizes %d",
            s->generator.n_stages, n_kernels);
    require(&r, s->generator.n_stages > 0, "rates is empty");
    int64_t hop = 1;
    for (int32_t i = 0; r.status >= 0 && i < s->generator.n_stages; i++) {
        int32_t rate = s->generator.rates[i], kernel = s->generator.kernels[i];
        hop *= rate;
        require(&r, kernel >= rate && (kernel - rate) % 2 == 0,
                "kernel_sizes: %d does not fit the rate %d: the difference must be even and not "
                "negative",
                kernel, rate);
        require(&r, hop <= MAX_SAMPLE_RATE, "rates: their product is above %d", MAX_SAMPLE_RATE);
    }
    require(&r, s->generator.channels % (1 << s->generator.n_stages) == 0,
            "channels %d cannot be halved %d times", s->generator.channels, s->generator.n_stages);
    s->hop = (int32_t)hop;
    close_section(parent, &r, "decoder");
}

/* What one part hands over is what the next one takes. */
static void check_bicodec_joints(const struct mill_bicodec_shape *s, struct reader *r) {
    const struct {
        const char *left, *right;
        int32_t a, b;
    } joints[] = {
        {"encoder.out_channels", "quantizer.input_dim", s->encoder.output, s->quantizer.input},
        {"quantizer.input_dim", "prenet.input_channels", s->quantizer.input, s->prenet.input},
        {"prenet.out_channels", "decoder.input_channel", s->prenet.output, s->generator.input},
        {"speaker_encoder.out_dim", "prenet.out_channels", s->speaker.output, s->prenet.output},
        {"speaker_encoder.out_dim", "prenet.condition_dim", s->speaker.output, s->prenet.condition},
        {"mel_params.num_mels", "speaker_encoder.input_dim", s->mel.n_mels, s->speaker.input},
    };
    for (size_t i = 0; i < sizeof joints / sizeof joints[0]; i++)
        require(r, joints[i].a == joints[i].b, "%s %d and %s %d must be equal", joints[i].left,
                joints[i].a, joints[i].right, joints[i].b);
    require(r, s->encoder.condition == 0 && s->postnet.condition == 0,
            "condition_dim is supported in prenet only");
}

static mill_status read_bicodec(struct mill_shape *out, const json_t *file,
                                struct mill_error *err) {
    struct mill_bicodec_shape *s = &out->bicodec;
    struct reader top = {file, MILL_OK, err};
    struct reader r = section(&top, "audio_tokenizer");
    read_mel(s, &r);
    read_vocos(&s->encoder, &r, "encoder");
    read_vocos(&s->prenet, &r, "prenet");
    read_vocos(&s->postnet, &r, "postnet");
    read_quantizer(s, &r);
    read_speaker(s, &r);
    read_generator(s, &r);
    check_bicodec_joints(s, &r);
    close_section(&top, &r, "audio_tokenizer");
    return top.status;
}

static mill_status read_wav2vec2(struct mill_shape *out, const json_t *file,
                                 struct mill_error *err) {
    struct mill_wav2vec2_shape *s = &out->wav2vec2;
    struct reader r = {file, MILL_OK, err};
    require_text(&r, "model_type", "wav2vec2");
    require_text(&r, "feat_extract_norm", "layer");
    require_text(&r, "feat_extract_activation", "gelu");
    require_text(&r, "hidden_act", "gelu");
    require_flag(&r, "do_stable_layer_norm", false, true);
    require_flag(&r, "conv_bias", false, true);
    s->n_convs = list(&r, "conv_dim", 1, MAX_WIDTH, s->conv_dim, MILL_MAX_CONVS);
    int32_t n_kernels = list(&r, "conv_kernel", 1, MAX_RATE, s->conv_kernel, MILL_MAX_CONVS);
    int32_t n_strides = list(&r, "conv_stride", 1, MAX_RATE, s->conv_stride, MILL_MAX_CONVS);
    require(&r, s->n_convs > 0 && n_kernels == s->n_convs && n_strides == s->n_convs,
            "conv_dim, conv_kernel and conv_stride have %d, %d and %d entries", s->n_convs,
            n_kernels, n_strides);
    s->hidden = whole(&r, "hidden_size", 1, MAX_WIDTH);
    s->intermediate = whole(&r, "intermediate_size", 1, 16 * MAX_WIDTH);
    s->n_layers = whole(&r, "num_hidden_layers", 1, MAX_LAYERS);
    s->n_heads = whole(&r, "num_attention_heads", 1, MAX_LAYERS);
    s->pos_kernel = whole(&r, "num_conv_pos_embeddings", 1, MAX_WIDTH);
    s->pos_groups = whole(&r, "num_conv_pos_embedding_groups", 1, MAX_WIDTH);
    s->norm_eps = number(&r, "layer_norm_eps", 1e-12, 0.1);
    require(&r, s->hidden % s->n_heads == 0,
            "hidden_size %d is not a multiple of num_attention_heads %d", s->hidden, s->n_heads);
    require(&r, s->hidden % s->pos_groups == 0,
            "hidden_size %d is not a multiple of num_conv_pos_embedding_groups %d", s->hidden,
            s->pos_groups);
    return r.status;
}

/* The top-level file repeats two sizes of BiCodec's: they must agree. */
static mill_status read_top(struct mill_shape *s, const json_t *file, struct mill_error *err) {
    struct reader r = {file, MILL_OK, err};
    int32_t rate = whole(&r, "sample_rate", MIN_SAMPLE_RATE, MAX_SAMPLE_RATE);
    int32_t hop = whole(&r, "latent_hop_length", 1, MAX_SAMPLE_RATE);
    s->reference_seconds = number(&r, "ref_segment_duration", 0.1, 3600);
    s->volume_normalize = flag(&r, "volume_normalize", true);
    require(&r, rate == s->bicodec.sample_rate,
            "sample_rate %d, but BiCodec/config.yaml has mel_params.sample_rate %d", rate,
            s->bicodec.sample_rate);
    require(&r, hop == s->bicodec.hop,
            "latent_hop_length %d, but the product of decoder.rates in BiCodec/config.yaml is %d",
            hop, s->bicodec.hop);
    return r.status;
}

typedef mill_status config_opener(json_t **, const char *, size_t, struct mill_error *);
typedef mill_status config_reader(struct mill_shape *, const json_t *, struct mill_error *);

/* Open folder/name, hand it to one of the readers above, put the path before what goes wrong. */
static mill_status read_file(struct mill_shape *s, const char *folder, const char *name,
                             config_opener *opener, config_reader *reader, struct mill_error *err) {
    json_t *file = NULL;
    char *path = mill_path_join(folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for a path");
    mill_status status = opener(&file, path, MAX_CONFIG_BYTES, err);
    if (status >= 0) {
        status = reader(s, file, err);
        if (status < 0)
            mill_context(err, status, "'%s'", path);
    }
    json_decref(file);
    free(path);
    return status;
}

static mill_status exists(const char *folder, const char *name, bool *out, struct mill_error *err) {
    char *path = mill_path_join(folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "out of memory for a path");
    *out = access(path, F_OK) == 0;
    free(path);
    return MILL_OK;
}

mill_status mill_shape_read(struct mill_shape *out, const char *folder, struct mill_error *err) {
    struct mill_shape s = {0};
    bool with_wav2vec2 = false;
    MILL_TRY(read_file(&s, folder, "LLM/config.json", mill_json_open, read_llm, err));
    MILL_TRY(read_file(&s, folder, "BiCodec/config.yaml", mill_yaml_open, read_bicodec, err));
    MILL_TRY(read_file(&s, folder, "config.yaml", mill_yaml_open, read_top, err));
    MILL_TRY(exists(folder, "wav2vec2-large-xlsr-53", &with_wav2vec2, err));
    if (with_wav2vec2)
        MILL_TRY(read_file(&s, folder, "wav2vec2-large-xlsr-53/config.json", mill_json_open,
                           read_wav2vec2, err));
    *out = s;
    return MILL_OK;
}

int32_t mill_shape_global_codes(const struct mill_shape *shape) {
    int32_t codes = 1;
    for (int32_t i = 0; i < shape->bicodec.speaker.n_levels; i++)
        codes *= shape->bicodec.speaker.levels[i];
    return codes;
}
