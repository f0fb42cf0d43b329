/* test_weights.c - a checkpoint's weights: folded right, converted once, refused when bad.
 *
 * The reference backend keeps F32 weights as plain rows, so folded values can be compared with what
 * the definitions give for the file's tensors. */
#include "runtime/base/buffer.h"
#include "runtime/io/npy.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>

#define FOLDER MILL_SCRATCH "/weights-small"
#define CACHE MILL_SCRATCH "/weights-cache"
#include "tests/model/small_model.h"

/* ------------------------------------------------------------------ folding */

static float *read_tensor(const char *path, const char *name, size_t n) {
    struct mill_tensors *file;
    assert_int_equal(mill_safetensors_open(&file, path, NULL), MILL_OK);
    const struct mill_tensor_entry *entry = mill_tensors_find(file, name);
    if (!entry)
        fail_msg("no tensor %s", name);
    assert_int_equal(entry->bytes, n * mill_dtype_bytes(entry->dtype));
    float *out = mill_alloc_array(n, sizeof *out);
    assert_non_null(out);
    mill_dtype_to_f32(entry->dtype, file->mapping.data + entry->offset, out, n);
    mill_tensors_close(file);
    return out;
}

static void assert_near(double found, double wanted) {
    if (!(fabs(found - wanted) <= 1e-6 * (1.0 + fabs(wanted))))
        fail_msg("%.9g instead of %.9g", found, wanted);
}

static void assert_shape(const struct mill_weight *w, int n_out, int n_taps, int n_in) {
    assert_int_equal(w->shape.n_out, n_out);
    assert_int_equal(w->shape.n_taps, n_taps);
    assert_int_equal(w->shape.n_in, n_in);
    assert_int_equal(w->shape.dtype, MILL_F32);
}

/* w[o][tap][i] = factor[o] v[o][i][tap] */
static void assert_taps(const struct mill_weight *w, const float *v, const double *factor) {
    const float *at = w->image;
    int n_taps = w->shape.n_taps, n_in = w->shape.n_in;
    for (int o = 0; o < w->shape.n_out; o++)
        for (int tap = 0; tap < n_taps; tap++)
            for (int i = 0; i < n_in; i++, at++)
                assert_near((double)*at, factor[o] * (double)v[(o * n_in + i) * n_taps + tap]);
}

static void test_plain_weights(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_fp32(model);
    const struct mill_lm_layer *layer = &weights->lm.layers[1];
    const struct mill_llm_shape *s = &model->shape.llm;
    size_t hidden = (size_t)s->hidden, ff = (size_t)s->intermediate;
    static const char *const parts[3] = {"q", "k", "v"};
    const size_t rows[3] = {32, 16, 16};
    const float *at = layer->qkv.image, *bias = layer->qkv.bias;
    assert_shape(&layer->qkv, 64, 1, 32);
    for (int i = 0; i < 3; i++, at += rows[i - 1] * hidden, bias += rows[i - 1]) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.1.self_attn.%s_proj.weight", parts[i]);
        float *wanted = read_tensor(LLM_FILE, name, rows[i] * hidden);
        assert_memory_equal(at, wanted, rows[i] * hidden * sizeof *at);
        free(wanted);
        snprintf(name, sizeof name, "model.layers.1.self_attn.%s_proj.bias", parts[i]);
        wanted = read_tensor(LLM_FILE, name, rows[i]);
        assert_memory_equal(bias, wanted, rows[i] * sizeof *bias);
        free(wanted);
    }
    at = layer->gate_up.image;
    for (size_t i = 0; i < 2; i++) { /* in pairs */
        float *wanted = read_tensor(LLM_FILE,
                                    i ? "model.layers.1.mlp.gate_proj.weight"
                                      : "model.layers.1.mlp.up_proj.weight",
                                    ff * hidden);
        for (size_t j = 0; j < ff; j++)
            assert_memory_equal(at + (2 * j + i) * hidden, wanted + j * hidden,
                                hidden * sizeof *at);
        free(wanted);
    }
    assert_null(layer->o.bias);
    assert_null(layer->gate_up.bias);
    assert_null(layer->down.bias);
    for (int j = 0; j < s->head_dim / 2; j++)
        assert_near((double)weights->lm.rope_frequency[j], pow(10000.0, -2.0 * j / s->head_dim));
    mill_weights_close(weights);
}

static void test_head(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_fp32(model);
    const struct mill_lm_weights *lm = &weights->lm;
    size_t hidden = (size_t)model->shape.llm.hidden;
    const int32_t sizes[MILL_LEGAL_COUNT] = {91, 60, FIXTURE_PITCHES, FIXTURE_SPEEDS, 400};
    const int32_t firsts[MILL_LEGAL_COUNT] = {0, 128, 192, 320, 384};
    const float *head = lm->head.image, *embed = lm->embed;
    const float zeros[64] = {0};
    assert_shape(&lm->head, 784, 1, 32);
    for (int i = 0; i < MILL_LEGAL_COUNT; i++) {
        const struct mill_legal_rows *set = &lm->legal[i];
        assert_int_equal(set->n_rows, sizes[i]);
        assert_int_equal(set->first_row, firsts[i]);
        for (int32_t r = 0; r < set->n_rows; r++) {
            assert_true(r == 0 || set->ids[r] > set->ids[r - 1]);
            assert_memory_equal(head + (size_t)(set->first_row + r) * hidden,
                                embed + (size_t)set->ids[r] * hidden, hidden * sizeof *head);
        }
        int32_t next = i + 1 < MILL_LEGAL_COUNT ? firsts[i + 1] : lm->head.shape.n_out;
        for (int32_t r = set->first_row + set->n_rows; r < next; r++)
            assert_memory_equal(head + (size_t)r * hidden, zeros, hidden * sizeof *head);
    }
    assert_int_equal(lm->legal[MILL_LEGAL_SEMANTIC].ids[0], IM_END);
    mill_weights_close(weights);
}

static void test_scales_and_gains(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_fp32(model);
    const struct mill_decoder_weights *decoder = &weights->decoder;
    double threes[16], ones[20], gains[16];
    float *gamma = read_tensor(BICODEC_FILE, "prenet.vocos_backbone.convnext.1.gamma", 16);
    for (int i = 0; i < 20; i++)
        ones[i] = 1.0;
    for (int i = 0; i < 16; i++) {
        threes[i] = 3.0;
        gains[i] = (double)gamma[i];
    }
    struct {
        const struct mill_weight *w;
        const char *name;
        const double *factor, *bias_factor;
        int n_out, n_taps, n_in;
    } cases[] = {
        {&decoder->sampling[0].embed, "prenet.downsample.0.1.embed", threes, ones, 16, 7, 16},
        {&decoder->backbone.embed, "prenet.vocos_backbone.embed", ones, ones, 16, 7, 16},
        {&decoder->backbone.blocks[1].depthwise, "prenet.vocos_backbone.convnext.1.dwconv", ones,
         ones, 16, 7, 1},
        {&decoder->backbone.blocks[1].up, "prenet.vocos_backbone.convnext.1.pwconv1", ones, ones,
         20, 1, 16},
        {&decoder->backbone.blocks[1].down, "prenet.vocos_backbone.convnext.1.pwconv2", gains,
         gains, 16, 1, 20},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        char name[96];
        size_t n = (size_t)(cases[c].n_out * cases[c].n_taps * cases[c].n_in);
        snprintf(name, sizeof name, "%s.weight", cases[c].name);
        float *v = read_tensor(BICODEC_FILE, name, n);
        assert_shape(cases[c].w, cases[c].n_out, cases[c].n_taps, cases[c].n_in);
        assert_taps(cases[c].w, v, cases[c].factor);
        free(v);
        snprintf(name, sizeof name, "%s.bias", cases[c].name);
        v = read_tensor(BICODEC_FILE, name, (size_t)cases[c].n_out);
        for (int o = 0; o < cases[c].n_out; o++)
            assert_near((double)cases[c].w->bias[o], cases[c].bias_factor[o] * (double)v[o]);
        free(v);
    }
    assert_null(decoder->backbone.norm_gain);
    assert_null(decoder->backbone.blocks[0].norm_gain);
    assert_int_equal(decoder->sampling[0].n_blocks, 2);
    assert_non_null(decoder->sampling[0].blocks[1].norm_shift);
    assert_null(decoder->linear.bias);
    free(gamma);
    mill_weights_close(weights);
}

static double norm(const float *x, int n) {
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void test_weight_norm(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_fp32(model);
    const struct mill_decoder_weights *decoder = &weights->decoder;
    double factor[16];
    float *v = read_tensor(BICODEC_FILE, "decoder.model.0.weight_v", 16 * 12 * 7);
    float *g = read_tensor(BICODEC_FILE, "decoder.model.0.weight_g", 16);
    for (int o = 0; o < 16; o++)
        factor[o] = (double)g[o] / norm(v + o * 12 * 7, 12 * 7);
    assert_shape(&decoder->conv_in, 16, 7, 12);
    assert_taps(&decoder->conv_in, v, factor);
    free(v);
    free(g);

    /* transposed: the file has [in 8][out 4][taps 4] in the second stage */
    const struct mill_weight *up = &decoder->stages[1].up;
    const float *at = up->image;
    v = read_tensor(BICODEC_FILE, "decoder.model.2.block.1.weight_v", 8 * 4 * 4);
    g = read_tensor(BICODEC_FILE, "decoder.model.2.block.1.weight_g", 8);
    for (int i = 0; i < 8; i++)
        factor[i] = (double)g[i] / norm(v + i * 16, 16);
    assert_shape(up, 4, 4, 8);
    for (int o = 0; o < 4; o++)
        for (int tap = 0; tap < 4; tap++)
            for (int i = 0; i < 8; i++, at++)
                assert_near((double)*at, factor[i] * (double)v[(i * 4 + o) * 4 + tap]);
    free(v);
    free(g);
    assert_shape(&decoder->conv_out, 1, 7, 4);
    assert_shape(&decoder->stages[1].units[2].pointwise, 4, 1, 4);
    mill_weights_close(weights);
}

/* Adaptive norms: gain = S d + s, with d from the voice matrix's own first rows. */
static void test_voice_norms(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_fp32(model);
    const struct mill_weight *voice = &weights->decoder.voice;
    const float *rows = voice->image;
    enum { D = 12, DIM = 16, DIGITS = 15, NORMS = 3 };
    assert_shape(voice, 2 * D + 2 * DIM * NORMS, 1, DIGITS);
    float *last = read_tensor(BICODEC_FILE, "prenet.linear.bias", D);
    for (int i = 0; i < D; i++)
        assert_near((double)voice->bias[D + i], (double)voice->bias[i] + (double)last[i]);
    assert_memory_equal(rows, rows + D * DIGITS, D * DIGITS * sizeof *rows);
    free(last);
    for (int k = 0; k < 2 * NORMS; k++) {
        char module[80], name[96];
        if (k < 2)
            snprintf(module, sizeof module, "prenet.vocos_backbone.norm.");
        else
            snprintf(module, sizeof module, "prenet.vocos_backbone.convnext.%d.norm.", k / 2 - 1);
        snprintf(name, sizeof name, "%s%s.weight", module, k % 2 ? "shift" : "scale");
        float *s = read_tensor(BICODEC_FILE, name, DIM * D);
        snprintf(name, sizeof name, "%s%s.bias", module, k % 2 ? "shift" : "scale");
        float *bias = read_tensor(BICODEC_FILE, name, DIM);
        int first = mill_voice_norm_column(&model->shape.bicodec, k / 2) + k % 2 * DIM;
        for (int r = 0; r < DIM; r++) {
            double sum = (double)bias[r];
            for (int i = 0; i < D; i++)
                sum += (double)s[r * D + i] * (double)voice->bias[i];
            assert_near((double)voice->bias[first + r], sum);
            for (int j = 0; j < DIGITS; j++) {
                sum = 0.0;
                for (int i = 0; i < D; i++)
                    sum += (double)s[r * D + i] * (double)rows[i * DIGITS + j];
                assert_near((double)rows[(first + r) * DIGITS + j], sum);
            }
        }
        free(s);
        free(bias);
    }
    mill_weights_close(weights);
}

static void *golden(const char *name, size_t bytes) {
    char path[512];
    struct mill_npy npy;
    struct mill_error err;
    snprintf(path, sizeof path, "%s/tiny/decode.7.%s.npy", MILL_GOLDEN, name);
    if (mill_npy_open(&npy, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(npy.n_elements * mill_dtype_bytes(npy.dtype), bytes);
    void *out = mill_alloc_aligned(bytes);
    assert_non_null(out);
    memcpy(out, npy.data, bytes);
    mill_npy_close(&npy);
    return out;
}

/* Codebook table and d-vector of the specification: decoder as in the tiny configuration, beside a
 * language model that has just enough rows. */
static void test_golden_tables(void **state) {
    struct model *model = *state;
    struct mill_shape shape = model->shape;
    struct mill_weights *weights;
    struct mill_error err;
    struct mill_weights_options options = {.precision = MILL_PRECISION_FP32};
    struct fixture_tokens tokens;
    mill_synth_shape(&shape, MILL_SYNTH_TINY);
    shape.llm = model->shape.llm;
    shape.llm.vocab = 13000;
    shape.llm.hidden = 512; /* a table that is written in several batches */
    fixture_tokens_init(&tokens, &shape, 12999, 0, 4096, 12300, 12400);
    fixture_write(MILL_SCRATCH "/weights-tiny", &shape, MILL_F32);
    if (fixture_open_weights(&weights, MILL_SCRATCH "/weights-tiny", &shape, &tokens.tokens,
                             model->ops, model->backend, &options, &err) < 0)
        fail_msg("%s", err.text);
    struct mill_weights *cached;
    options.cache = CACHE;
    assert_int_equal(fixture_open_weights(&cached, MILL_SCRATCH "/weights-tiny", &shape,
                                          &tokens.tokens, model->ops, model->backend, &options,
                                          NULL),
                     MILL_OK);
    assert_memory_equal(image_of(weights), image_of(cached), weights->image_bytes);
    mill_weights_close(cached);
    remove_files(CACHE);
    enum { N = 7, WIDTH = 64, TOKENS = 32, LEVELS = 6 };
    int32_t *semantic = golden("semantic", N * sizeof(int32_t));
    int32_t *global = golden("global", TOKENS * sizeof(int32_t));
    float *z_q = golden("z_q", N * WIDTH * sizeof(float)); /* [WIDTH][N] */
    float *d = golden("d_vector", WIDTH * sizeof(float));
    for (int t = 0; t < N; t++)
        for (int c = 0; c < WIDTH; c++)
            assert_near((double)((const float *)weights->decoder.codebook)[semantic[t] * WIDTH + c],
                        (double)z_q[c * N + t]);
    const float *rows = weights->decoder.voice.image;
    for (int i = 0; i < WIDTH; i++) {
        double sum = (double)weights->decoder.voice.bias[i];
        for (int t = 0; t < TOKENS; t++)
            for (int j = 0, rest = global[t]; j < LEVELS; j++, rest /= 4)
                sum += (rest % 4 - 2) / 2.0 * (double)rows[(i * TOKENS + t) * LEVELS + j];
        assert_true(fabs(sum - (double)d[i]) < 1e-5);
    }
    free(semantic);
    free(global);
    free(z_q);
    free(d);
    mill_weights_close(weights);
    fixture_tokens_deinit(&tokens);
}

/* ------------------------------------------------------------------ dtypes */

static void test_stored_types(void **state) {
    struct model *model = *state;
    struct mill_weights *weights = open_fp32(model);
    void *wanted = copy_image(weights);
    mill_weights_close(weights);
    fixture_write(FOLDER, &model->shape, MILL_F64);
    weights = open_fp32(model);
    assert_memory_equal(image_of(weights), wanted, weights->image_bytes);
    mill_weights_close(weights);
    free(wanted);
    const enum mill_dtype stored[2] = {MILL_BF16, MILL_F16};
    for (int i = 0; i < 2; i++) {
        fixture_write(FOLDER, &model->shape, stored[i]);
        size_t n = (size_t)model->shape.llm.vocab * (size_t)model->shape.llm.hidden;
        float *embed = read_tensor(LLM_FILE, "model.embed_tokens.weight", n);
        weights = open_fp32(model);
        assert_memory_equal(weights->lm.embed, embed, n * sizeof *embed);
        mill_weights_close(weights);
        weights = open_precision(model, MILL_PRECISION_BF16, NULL);
        assert_int_equal(weights->lm.embed_dtype, MILL_BF16);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(((const uint16_t *)weights->lm.embed)[k],
                             mill_bf16_from_f32(embed[k]));
        mill_weights_close(weights);
        free(embed);
    }
    fixture_write(FOLDER, &model->shape, MILL_F32);
}

static void test_precisions(void **state) {
    struct model *model = *state;
    const enum mill_dtype lm[3] = {MILL_F32, MILL_BF16, MILL_I8};
    const enum mill_dtype low[3] = {MILL_F32, MILL_BF16, MILL_BF16};
    for (int p = 0; p < 3; p++) {
        struct mill_weights *weights = open_precision(model, (enum mill_precision)p, NULL);
        const struct mill_decoder_weights *decoder = &weights->decoder;
        assert_int_equal(weights->lm.head.shape.dtype, lm[p]);
        assert_int_equal(weights->lm.layers[0].down.shape.dtype, lm[p]);
        assert_int_equal(weights->lm.kv_dtype, lm[p]);
        assert_int_equal(decoder->codebook_dtype, low[p]);
        assert_int_equal(decoder->stages[0].up.shape.dtype, low[p]);
        assert_int_equal(decoder->backbone.blocks[0].up.shape.dtype, low[p]);
        assert_int_equal(decoder->backbone.blocks[0].depthwise.shape.dtype, MILL_F32);
        assert_int_equal(decoder->conv_out.shape.dtype, MILL_F32);
        assert_int_equal(decoder->voice.shape.dtype, MILL_F32);
        assert_int_equal((uintptr_t)weights->lm.layers[1].down.image % 64, 0);
        mill_weights_close(weights);
    }
}

/* ------------------------------------------------------------------ bad input */

/* Overwrite `size` bytes of a file, open, and put them back. */
static void assert_spoilt(struct model *model, const char *path, off_t at, const void *bytes,
                          size_t size, const char *parts) {
    char kept[64];
    struct mill_weights *weights = NULL;
    struct mill_error err = {0};
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && size <= sizeof kept);
    assert_int_equal(pread(fd, kept, size, at), size);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    mill_status status = try_open(model, &weights, MILL_PRECISION_BF16, CACHE, &err);
    assert_int_equal(pwrite(fd, kept, size, at), size);
    close(fd);
    assert_null(weights);
    assert_refused(status, &err, parts);
}

/* The same for a text of the header. */
static void spoil_text(struct model *model, const char *path, const char *text, const char *by,
                       const char *parts) {
    struct mill_buffer file;
    mill_buffer_init(&file, 1 << 26);
    assert_int_equal(mill_file_read(path, &file, NULL), MILL_OK);
    const char *found = memmem(file.data, file.size, text, strlen(text));
    assert_non_null(found);
    assert_int_equal(strlen(text), strlen(by));
    assert_spoilt(model, path, found - file.data, by, strlen(by), parts);
    mill_buffer_deinit(&file);
}

static void spoil_element(struct model *model, const char *path, const char *tensor, size_t element,
                          float by, const char *parts) {
    struct mill_tensors *file;
    assert_int_equal(mill_safetensors_open(&file, path, NULL), MILL_OK);
    size_t at = mill_tensors_find(file, tensor)->offset + element * sizeof by;
    mill_tensors_close(file);
    assert_spoilt(model, path, (off_t)at, &by, sizeof by, parts);
}

static void test_bad_files(void **state) {
    struct model *model = *state;
    spoil_text(model, LLM_FILE, "\"model.norm.weight\"", "\"model.norm.weighs\"",
               "LLM/model.safetensors|'model.norm.weight'|missing");
    spoil_text(model, BICODEC_FILE, "\"prenet.linear.bias\"", "\"prenet.linear.bios\"",
               "BiCodec/model.safetensors|'prenet.linear.bias'|missing");
    spoil_text(model, BICODEC_FILE, "\"shape\":[16,10]", "\"shape\":[10,16]",
               "prenet.linear_pre.weight'|[10, 16]|[16, 10]");
    spoil_text(model, LLM_FILE, "\"model.norm.weight\":{\"dtype\":\"F32\"",
               "\"model.norm.weight\":{\"dtype\":\"I32\"", "model.norm.weight'|I32");
    spoil_element(model, LLM_FILE, "model.layers.1.mlp.up_proj.weight", 41, NAN,
                  "LLM/model.safetensors'|'model.layers.1.mlp.up_proj.weight'|element 41|finite");
    spoil_element(model, LLM_FILE, "model.embed_tokens.weight", 399 * 32 + 31, INFINITY,
                  "model.embed_tokens.weight'|element 12799|finite");
    static const char *const used[] = {
        "model.layers.0.self_attn.k_proj.bias", /* LLM */
        "quantizer.codebook.weight",
        "quantizer.out_project.weight_v",
        "quantizer.out_project.weight_g",
        "quantizer.out_project.bias",
        "speaker_encoder.quantizer.project_out.weight",
        "speaker_encoder.quantizer.project_out.bias",
        "speaker_encoder.project.weight",
        "speaker_encoder.project.bias",
        "prenet.linear.bias",
        "prenet.vocos_backbone.convnext.0.norm.scale.weight",
        "prenet.vocos_backbone.convnext.0.norm.shift.bias",
        "prenet.vocos_backbone.convnext.1.gamma",
        "prenet.downsample.0.1.embed.weight",
        "decoder.model.1.block.1.weight_v",
        "decoder.model.1.block.1.weight_g",
        "decoder.model.1.block.2.block.0.alpha",
        "decoder.model.3.alpha",
        "decoder.model.4.weight_g",
    };
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        char parts[160];
        snprintf(parts, sizeof parts, "'%s'|element 0 |finite", used[i]);
        spoil_element(model, i == 0 ? LLM_FILE : BICODEC_FILE, used[i], 0, -INFINITY, parts);
    }
    remove_files(CACHE);
}

static void put_element(const char *path, const char *tensor, size_t element, float value) {
    struct mill_tensors *file;
    assert_int_equal(mill_safetensors_open(&file, path, NULL), MILL_OK);
    size_t at = mill_tensors_find(file, tensor)->offset + element * sizeof value;
    mill_tensors_close(file);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, &value, sizeof value, (off_t)at), sizeof value);
    close(fd);
}

/* An element of the second head's keys becomes large: its pair gets a power of two, the queries
 * that meet it the inverse, and nothing else changes. */
static void test_balanced_keys(void **state) {
    enum { HIDDEN = 32, D = 8, Q_ROWS = 32, K_ROWS = 16, ROWS = 64, LARGE = D + 1 };
    static const char name[] = "model.layers.1.self_attn.k_proj.bias";
    struct model *model = *state;
    float *biases = read_tensor(LLM_FILE, name, K_ROWS);
    struct mill_weights *before = open_fp32(model);
    put_element(LLM_FILE, name, LARGE, 100.0f);
    struct mill_weights *after = open_fp32(model);
    put_element(LLM_FILE, name, LARGE, biases[LARGE]);
    const struct mill_weight *old = &before->lm.layers[1].qkv, *new = &after->lm.layers[1].qkv;
    const float *image = new->image, *plain = old->image;
    float factor = new->bias[Q_ROWS + LARGE] / 100.0f;
    assert_true(factor == 1.0f / 16 || factor == 1.0f / 32 || factor == 1.0f / 64);
    for (int r = 0; r < ROWS; r++) {
        float by = 1;
        if (r % D % (D / 2) == LARGE % (D / 2)) {
            if (r >= Q_ROWS / 2 && r < Q_ROWS) /* two query heads of four */
                by = 1 / factor;
            if (r >= Q_ROWS + D && r < Q_ROWS + K_ROWS)
                by = factor;
        }
        for (int i = 0; i < HIDDEN; i++)
            assert_true(image[r * HIDDEN + i] == plain[r * HIDDEN + i] * by);
        assert_true(r == Q_ROWS + LARGE || new->bias[r] == old->bias[r] * by);
    }
    mill_weights_close(before);
    mill_weights_close(after);
    free(biases);
}

static void test_zero_filter(void **state) {
    struct model *model = *state;
    const float zeros[4] = {0};
    struct mill_tensors *file;
    assert_int_equal(mill_safetensors_open(&file, BICODEC_FILE, NULL), MILL_OK);
    /* the last stage's pointwise filters have 4 weights */
    size_t at = mill_tensors_find(file, "decoder.model.2.block.4.block.3.weight_v")->offset;
    mill_tensors_close(file);
    assert_spoilt(model, BICODEC_FILE, (off_t)at + 32, zeros, sizeof zeros,
                  "decoder.model.2.block.4.block.3.weight_v'|filter 2|zeros");
}

static void test_misfits(void **state) {
    struct model *model = *state;
    struct mill_control_tokens *tokens = &model->tokens.tokens, kept = *tokens;
    struct mill_weights *weights;
    struct mill_error err;
    tokens->semantic.n--;
    assert_refused(try_open(model, &weights, MILL_PRECISION_FP32, NULL, &err), &err,
                   "89 semantic tokens|90 entries");
    *tokens = kept;
    tokens->global.n++;
    assert_refused(try_open(model, &weights, MILL_PRECISION_FP32, NULL, &err), &err,
                   "61 global tokens|60");
    *tokens = kept;
    tokens->im_end = 400;
    assert_refused(try_open(model, &weights, MILL_PRECISION_FP32, NULL, &err), &err,
                   "semantic|id 400|outside|400 rows");
    tokens->im_end = SEMANTIC + 4;
    assert_refused(try_open(model, &weights, MILL_PRECISION_FP32, NULL, &err), &err,
                   "semantic|id 104|twice");
    *tokens = kept;
    model->shape.bicodec.prenet.condition = 0;
    assert_true(try_open(model, &weights, MILL_PRECISION_FP32, NULL, &err) < 0);
    model->shape.bicodec.prenet.condition = 12;
    mill_weights_close(open_fp32(model));
}

/* ------------------------------------------------------------------ the rest */

static void note_progress(void *context, size_t done, size_t all) {
    size_t *last = context;
    assert_true(done >= *last && done <= all);
    *last = done;
}

static void test_progress(void **state) {
    struct model *model = *state;
    struct mill_weights *weights;
    size_t last = 0;
    struct mill_weights_options options = {.progress = {note_progress, &last}};
    assert_int_equal(fixture_open_weights(&weights, FOLDER, &model->shape, &model->tokens.tokens,
                                          model->ops, model->backend, &options, NULL),
                     MILL_OK);
    assert_true(weights->image_bytes - last < 64); /* but for the last entry's padding */
    mill_weights_close(weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_weights),    cmocka_unit_test(test_head),
        cmocka_unit_test(test_scales_and_gains), cmocka_unit_test(test_weight_norm),
        cmocka_unit_test(test_voice_norms),      cmocka_unit_test(test_golden_tables),
        cmocka_unit_test(test_stored_types),     cmocka_unit_test(test_precisions),
        cmocka_unit_test(test_bad_files),        cmocka_unit_test(test_zero_filter),
        cmocka_unit_test(test_misfits),          cmocka_unit_test(test_progress),
        cmocka_unit_test(test_balanced_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
