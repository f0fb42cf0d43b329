/* weight_layout.c - see weight_layout.h.
 *
 * The first failure sticks in `layout.status` and turns every later call into nothing, so the walk
 * reads like the list of weights that it is. */
#include "runtime/model/weight_layout.h"

#include "runtime/base/memory.h"
#include "runtime/model/weight_voice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONV_TAPS = 7, SAMPLING_BLOCKS = 2, PREFIX_BYTES = 80, NAME_BYTES = 128 };

struct layout {
    struct mill_image_plan *plan;
    const struct mill_shape *shape;
    const struct mill_tensors *llm, *bicodec;
    enum mill_dtype lm_dtype;      /* of the language model's matrices and the head */
    enum mill_dtype decoder_dtype; /* of the decoder's matrices */
    enum mill_dtype table_dtype;   /* of embeddings and codebook */
    mill_status status;
    struct mill_error *err;
};

/* ------------------------------------------------------------------ single entries */

static void find(struct layout *layout, struct mill_tensor_ref *out,
                 const struct mill_tensors *file, size_t n_elements, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void find(struct layout *layout, struct mill_tensor_ref *out,
                 const struct mill_tensors *file, size_t n_elements, const char *format, ...) {
    char name[NAME_BYTES + 32];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (layout->status == MILL_OK)
        layout->status = mill_tensor_ref_find(out, file, name, n_elements, layout->err);
}

static void add(struct layout *layout, enum mill_image_form form, enum mill_dtype dtype,
                const struct mill_row_source *source, void *slot, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

static void add(struct layout *layout, enum mill_image_form form, enum mill_dtype dtype,
                const struct mill_row_source *source, void *slot, const char *format, ...) {
    struct mill_image_entry entry = {.form = form, .source = *source, .slot = slot};
    va_list args;
    va_start(args, format);
    vsnprintf(entry.name, sizeof entry.name, format, args);
    va_end(args);
    if (layout->status == MILL_OK)
        layout->status = mill_image_plan_add(layout->plan, &entry, dtype, layout->err);
}

/* A packed entry; sets the shape in the weight it belongs to. */
static void add_packed(struct layout *layout, enum mill_dtype dtype,
                       const struct mill_row_source *source, struct mill_weight *weight,
                       const char *name) {
    weight->shape = (struct mill_weight_shape){source->n_rows, source->n_taps, source->n_in, dtype};
    add(layout, MILL_IMAGE_PACKED, dtype, source, &weight->image, "%s", name);
}

/* A whole tensor of n elements as it is, F32. */
static void add_vector(struct layout *layout, const struct mill_tensors *file, int32_t n,
                       void *slot, const char *prefix, const char *leaf) {
    struct mill_row_source source = {.make = mill_rows_plain,
                                     .file = file,
                                     .n_rows = n,
                                     .n_taps = 1,
                                     .n_in = 1,
                                     .tensor_rows = {n},
                                     .scale = 1.0};
    find(layout, &source.tensor[0], file, (size_t)n, "%s%s", prefix, leaf);
    add(layout, MILL_IMAGE_TABLE, MILL_F32, &source, slot, "%s%s", prefix, leaf);
}

/* ------------------------------------------------------------------ matrices */

/* Up to three modules' weights (and biases) one below the other. */
struct matrix {
    const struct mill_tensors *file;
    const char *prefix, *modules[MILL_ROW_TENSORS]; /* tensors: prefix module .weight | .bias */
    int32_t rows[MILL_ROW_TENSORS], n_taps, n_in;
    enum mill_dtype dtype;
    bool bias;
    double scale;     /* of the weights, not of the bias; 0 = 1 */
    const char *gain; /* tensor prefix gain, of weights and bias; NULL = none */
};

static void add_matrix(struct layout *layout, struct mill_weight *weight,
                       const struct matrix *matrix) {
    struct mill_row_source source = {.make = mill_rows_plain,
                                     .file = matrix->file,
                                     .n_taps = matrix->n_taps,
                                     .n_in = matrix->n_in,
                                     .scale = matrix->scale != 0.0 ? matrix->scale : 1.0};
    size_t row_elements = (size_t)matrix->n_taps * (size_t)matrix->n_in;
    source.scratch_values = row_elements;
    for (int i = 0; i < MILL_ROW_TENSORS && matrix->modules[i]; i++) {
        source.tensor_rows[i] = matrix->rows[i];
        source.n_rows += matrix->rows[i];
        find(layout, &source.tensor[i], matrix->file, (size_t)matrix->rows[i] * row_elements,
             "%s%s.weight", matrix->prefix, matrix->modules[i]);
    }
    if (matrix->gain)
        find(layout, &source.gain, matrix->file, (size_t)source.n_rows, "%s%s", matrix->prefix,
             matrix->gain);
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", matrix->prefix, matrix->modules[0]);
    add_packed(layout, matrix->dtype, &source, weight, name);
    if (!matrix->bias)
        return;
    source.n_taps = source.n_in = 1;
    source.scale = 1.0;
    for (int i = 0; i < MILL_ROW_TENSORS && matrix->modules[i]; i++)
        find(layout, &source.tensor[i], matrix->file, (size_t)matrix->rows[i], "%s%s.bias",
             matrix->prefix, matrix->modules[i]);
    add(layout, MILL_IMAGE_TABLE, MILL_F32, &source, &weight->bias, "%s.bias", name);
}

/* A weight-normed convolution with its bias; stride is of no concern here. */
static void add_normed(struct layout *layout, struct mill_weight *weight, const char *prefix,
                       int32_t n_out, int32_t n_taps, int32_t n_in, bool transposed,
                       enum mill_dtype dtype) {
    struct mill_row_source source = {.make = transposed ? mill_rows_weight_norm_transposed
                                                        : mill_rows_weight_norm,
                                     .prepare = transposed ? mill_rows_prepare_transposed : NULL,
                                     .file = layout->bicodec,
                                     .n_rows = n_out,
                                     .n_taps = n_taps,
                                     .n_in = n_in};
    size_t taps = (size_t)n_taps;
    source.scratch_values = transposed ? taps * MILL_PACK_ROWS : taps * (size_t)n_in;
    find(layout, &source.tensor[0], layout->bicodec, (size_t)n_out * taps * (size_t)n_in,
         "%sweight_v", prefix);
    find(layout, &source.tensor[1], layout->bicodec, (size_t)(transposed ? n_in : n_out),
         "%sweight_g", prefix);
    add_packed(layout, dtype, &source, weight, prefix);
    add_vector(layout, layout->bicodec, n_out, &weight->bias, prefix, "bias");
}

/* ------------------------------------------------------------------ language model */

static void plan_layer(struct layout *layout, struct mill_lm_layer *layer, int32_t index) {
    const struct mill_llm_shape *s = &layout->shape->llm;
    const struct mill_tensors *file = layout->llm;
    int32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    char prefix[PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "model.layers.%d.", index);
    struct matrix matrix = {.file = file, .prefix = prefix, .n_taps = 1, .dtype = layout->lm_dtype};

    add_vector(layout, file, s->hidden, &layer->attn_norm, prefix, "input_layernorm.weight");
    struct matrix qkv = matrix;
    qkv.modules[0] = "self_attn.q_proj", qkv.rows[0] = q;
    qkv.modules[1] = "self_attn.k_proj", qkv.rows[1] = kv;
    qkv.modules[2] = "self_attn.v_proj", qkv.rows[2] = kv;
    qkv.n_in = s->hidden;
    qkv.bias = true;
    add_matrix(layout, &layer->qkv, &qkv);
    struct matrix o = matrix;
    o.modules[0] = "self_attn.o_proj", o.rows[0] = s->hidden;
    o.n_in = q;
    add_matrix(layout, &layer->o, &o);
    add_vector(layout, file, s->hidden, &layer->mlp_norm, prefix,
               "post_attention_layernorm.weight");
    struct matrix gate_up = matrix;
    gate_up.modules[0] = "mlp.gate_proj", gate_up.rows[0] = s->intermediate;
    gate_up.modules[1] = "mlp.up_proj", gate_up.rows[1] = s->intermediate;
    gate_up.n_in = s->hidden;
    add_matrix(layout, &layer->gate_up, &gate_up);
    struct matrix down = matrix;
    down.modules[0] = "mlp.down_proj", down.rows[0] = s->hidden;
    down.n_in = s->intermediate;
    add_matrix(layout, &layer->down, &down);
}

static void plan_lm(struct layout *layout, struct mill_lm_weights *lm, const int32_t *head_ids) {
    const struct mill_llm_shape *s = &layout->shape->llm;
    struct mill_row_source rope = {.make = mill_rows_rope_frequency,
                                   .n_rows = s->head_dim / 2,
                                   .n_taps = 1,
                                   .n_in = 1,
                                   .scale = (double)s->rope_theta};
    add(layout, MILL_IMAGE_TABLE, MILL_F32, &rope, &lm->rope_frequency, "rope_frequency");
    struct mill_row_source embed = {.make = mill_rows_plain,
                                    .file = layout->llm,
                                    .n_rows = s->vocab,
                                    .n_taps = 1,
                                    .n_in = s->hidden,
                                    .tensor_rows = {s->vocab},
                                    .scale = 1.0};
    find(layout, &embed.tensor[0], layout->llm, (size_t)s->vocab * (size_t)s->hidden, "%s",
         "model.embed_tokens.weight");
    add(layout, MILL_IMAGE_TABLE, layout->table_dtype, &embed, &lm->embed, "embed");
    for (int32_t i = 0; i < s->n_layers; i++)
        plan_layer(layout, &lm->layers[i], i);
    add_vector(layout, layout->llm, s->hidden, &lm->norm, "model.", "norm.weight");
    struct mill_row_source head = embed; /* the head is tied to the embeddings */
    head.make = mill_rows_gather;
    head.ids = head_ids;
    head.n_rows = lm->head.shape.n_out;
    add_packed(layout, layout->lm_dtype, &head, &lm->head, "head");
}

/* ------------------------------------------------------------------ decoder */

static void plan_convnext(struct layout *layout, struct mill_convnext_weights *block,
                          const struct mill_vocos_shape *s, const char *prefix, bool adaptive) {
    struct matrix matrix = {.file = layout->bicodec, .prefix = prefix, .n_taps = 1, .bias = true};
    struct matrix depthwise = matrix;
    depthwise.modules[0] = "dwconv", depthwise.rows[0] = s->dim;
    depthwise.n_taps = CONV_TAPS, depthwise.n_in = 1;
    depthwise.dtype = MILL_F32;
    add_matrix(layout, &block->depthwise, &depthwise);
    if (!adaptive) {
        add_vector(layout, layout->bicodec, s->dim, &block->norm_gain, prefix, "norm.weight");
        add_vector(layout, layout->bicodec, s->dim, &block->norm_shift, prefix, "norm.bias");
    }
    matrix.dtype = layout->decoder_dtype;
    struct matrix up = matrix;
    up.modules[0] = "pwconv1", up.rows[0] = s->intermediate;
    up.n_in = s->dim;
    add_matrix(layout, &block->up, &up);
    struct matrix down = matrix;
    down.modules[0] = "pwconv2", down.rows[0] = s->dim;
    down.n_in = s->intermediate;
    down.gain = "gamma";
    add_matrix(layout, &block->down, &down);
}

/* `scale` multiplies the input: the 3x of a sampling block, moved into the first convolution. Its
 * bias and its zero padding are not affected. */
static void plan_vocos(struct layout *layout, struct mill_vocos_weights *vocos,
                       const struct mill_vocos_shape *s, const char *prefix, bool adaptive,
                       double scale) {
    struct matrix embed = {.file = layout->bicodec,
                           .prefix = prefix,
                           .modules = {"embed"},
                           .rows = {s->dim},
                           .n_taps = CONV_TAPS,
                           .n_in = s->dim,
                           .dtype = layout->decoder_dtype,
                           .bias = true,
                           .scale = scale};
    add_matrix(layout, &vocos->embed, &embed);
    if (!adaptive) {
        add_vector(layout, layout->bicodec, s->dim, &vocos->norm_gain, prefix, "norm.weight");
        add_vector(layout, layout->bicodec, s->dim, &vocos->norm_shift, prefix, "norm.bias");
    }
    for (int32_t i = 0; i < vocos->n_blocks; i++) {
        char block[NAME_BYTES];
        snprintf(block, sizeof block, "%sconvnext.%d.", prefix, i);
        plan_convnext(layout, &vocos->blocks[i], s, block, adaptive);
    }
    add_vector(layout, layout->bicodec, s->dim, &vocos->final_gain, prefix,
               "final_layer_norm.weight");
    add_vector(layout, layout->bicodec, s->dim, &vocos->final_shift, prefix,
               "final_layer_norm.bias");
}

static void plan_quantizers(struct layout *layout, struct mill_decoder_weights *decoder) {
    const struct mill_bicodec_shape *s = &layout->shape->bicodec;
    size_t width = (size_t)s->quantizer.input, dim = (size_t)s->quantizer.codebook_dim;
    struct mill_row_source codebook = {.make = mill_rows_codebook,
                                       .prepare = mill_rows_prepare_codebook,
                                       .file = layout->bicodec,
                                       .n_rows = s->quantizer.codebook_size,
                                       .n_taps = 1,
                                       .n_in = s->quantizer.input,
                                       .tensor_rows = {s->quantizer.codebook_dim},
                                       .scratch_values = dim};
    find(layout, &codebook.tensor[0], layout->bicodec, (size_t)codebook.n_rows * dim, "%s",
         "quantizer.codebook.weight");
    find(layout, &codebook.tensor[1], layout->bicodec, width * dim, "%s",
         "quantizer.out_project.weight_v");
    find(layout, &codebook.tensor[2], layout->bicodec, width, "%s",
         "quantizer.out_project.weight_g");
    find(layout, &codebook.gain, layout->bicodec, width, "%s", "quantizer.out_project.bias");
    add(layout, MILL_IMAGE_TABLE, layout->table_dtype, &codebook, &decoder->codebook, "codebook");

    struct mill_row_source voice = {.make = mill_rows_voice,
                                    .prepare = mill_rows_prepare_voice,
                                    .file = layout->bicodec,
                                    .shape = s,
                                    .n_rows = mill_voice_n_rows(s),
                                    .n_taps = 1,
                                    .n_in = mill_voice_n_digits(s),
                                    .scratch_values = (size_t)s->speaker.output,
                                    .scratch_sums = (size_t)mill_voice_n_digits(s)};
    add_packed(layout, MILL_F32, &voice, &decoder->voice, "voice");
    voice.make = mill_rows_voice_bias;
    voice.n_in = 1;
    add(layout, MILL_IMAGE_TABLE, MILL_F32, &voice, &decoder->voice.bias, "voice.bias");
}

static void plan_prenet(struct layout *layout, struct mill_decoder_weights *decoder) {
    const struct mill_vocos_shape *s = &layout->shape->bicodec.prenet;
    struct matrix matrix = {
        .file = layout->bicodec, .prefix = "prenet.", .n_taps = 1, .dtype = layout->decoder_dtype};
    struct matrix pre = matrix;
    pre.modules[0] = "linear_pre", pre.rows[0] = s->dim;
    pre.n_in = s->input;
    pre.bias = true;
    add_matrix(layout, &decoder->linear_pre, &pre);
    for (int32_t i = 0; i < s->n_samplings; i++) {
        char prefix[PREFIX_BYTES];
        snprintf(prefix, sizeof prefix, "prenet.downsample.%d.1.", i);
        plan_vocos(layout, &decoder->sampling[i], s, prefix, false, 3.0);
    }
    plan_vocos(layout, &decoder->backbone, s, "prenet.vocos_backbone.", true, 1.0);
    struct matrix last = matrix;
    last.modules[0] = "linear", last.rows[0] = s->output;
    last.n_in = s->dim;
    add_matrix(layout, &decoder->linear, &last);
}

static void plan_generator(struct layout *layout, struct mill_decoder_weights *decoder) {
    const struct mill_bicodec_shape *s = &layout->shape->bicodec;
    enum mill_dtype dtype = layout->decoder_dtype;
    int32_t width = s->generator.channels, n_stages = s->generator.n_stages;
    char prefix[PREFIX_BYTES];
    add_normed(layout, &decoder->conv_in, "decoder.model.0.", width, CONV_TAPS, s->generator.input,
               false, dtype);
    for (int32_t i = 0; i < n_stages; i++, width /= 2) {
        struct mill_generator_stage_weights *stage = &decoder->stages[i];
        snprintf(prefix, sizeof prefix, "decoder.model.%d.block.", i + 1);
        add_vector(layout, layout->bicodec, width, &stage->alpha, prefix, "0.alpha");
        snprintf(prefix, sizeof prefix, "decoder.model.%d.block.1.", i + 1);
        add_normed(layout, &stage->up, prefix, width / 2, s->generator.kernels[i], width, true,
                   dtype);
        for (int j = 0; j < 3; j++) {
            struct mill_residual_unit_weights *unit = &stage->units[j];
            int32_t c = width / 2;
            snprintf(prefix, sizeof prefix, "decoder.model.%d.block.%d.block.", i + 1, j + 2);
            add_vector(layout, layout->bicodec, c, &unit->alpha1, prefix, "0.alpha");
            add_vector(layout, layout->bicodec, c, &unit->alpha2, prefix, "2.alpha");
            snprintf(prefix, sizeof prefix, "decoder.model.%d.block.%d.block.1.", i + 1, j + 2);
            add_normed(layout, &unit->dilated, prefix, c, CONV_TAPS, c, false, dtype);
            snprintf(prefix, sizeof prefix, "decoder.model.%d.block.%d.block.3.", i + 1, j + 2);
            add_normed(layout, &unit->pointwise, prefix, c, 1, c, false, dtype);
        }
    }
    snprintf(prefix, sizeof prefix, "decoder.model.%d.", n_stages + 1);
    add_vector(layout, layout->bicodec, width, &decoder->final_alpha, prefix, "alpha");
    snprintf(prefix, sizeof prefix, "decoder.model.%d.", n_stages + 2);
    add_normed(layout, &decoder->conv_out, prefix, 1, CONV_TAPS, width, false, MILL_F32);
}

/* ------------------------------------------------------------------ the whole */

/* What the decoder's folding relies on, beyond what reading the shape has checked. */
static mill_status check_decoder(const struct mill_bicodec_shape *s, struct mill_error *err) {
    if (s->prenet.condition != s->speaker.output || s->prenet.output != s->speaker.output ||
        s->generator.input != s->prenet.output || s->prenet.input != s->quantizer.input)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "BiCodec: prenet (input %d, condition %d, output %d) does not fit "
                         "quantizer %d, d-vector %d and generator %d",
                         s->prenet.input, s->prenet.condition, s->prenet.output, s->quantizer.input,
                         s->speaker.output, s->generator.input);
    return MILL_OK;
}

static mill_status allocate(struct mill_weights *weights, const struct mill_shape *shape,
                            struct mill_error *err) {
    struct mill_decoder_weights *decoder = &weights->decoder;
    const struct mill_vocos_shape *prenet = &shape->bicodec.prenet;
    struct mill_convnext_weights *blocks;
    bool complete = (weights->lm.layers = mill_alloc_array((size_t)shape->llm.n_layers,
                                                           sizeof *weights->lm.layers)) != NULL;
    complete &= (blocks = mill_alloc_array((size_t)prenet->n_layers, sizeof *blocks)) != NULL;
    decoder->backbone.blocks = blocks;
    decoder->backbone.n_blocks = prenet->n_layers;
    for (int32_t i = 0; i < prenet->n_samplings; i++) {
        complete &= (blocks = mill_alloc_array(SAMPLING_BLOCKS, sizeof *blocks)) != NULL;
        decoder->sampling[i].blocks = blocks;
        decoder->sampling[i].n_blocks = SAMPLING_BLOCKS;
    }
    return complete ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory for the weights");
}

void mill_weight_layout_free(struct mill_weights *weights) {
    free(weights->lm.layers);
    free(weights->decoder.backbone.blocks);
    for (int i = 0; i < MILL_MAX_STAGES; i++)
        free(weights->decoder.sampling[i].blocks);
}

mill_status mill_weight_layout_plan(struct mill_weights *weights, struct mill_image_plan *plan,
                                    const struct mill_shape *shape, const int32_t *head_row_ids,
                                    const struct mill_tensors *llm,
                                    const struct mill_tensors *bicodec, struct mill_error *err) {
    bool exact = weights->precision == MILL_PRECISION_FP32;
    enum mill_dtype low = exact ? MILL_F32 : MILL_BF16;
    struct layout layout = {.plan = plan,
                            .shape = shape,
                            .llm = llm,
                            .bicodec = bicodec,
                            .lm_dtype = weights->precision == MILL_PRECISION_INT8 ? MILL_I8 : low,
                            .decoder_dtype = low,
                            .table_dtype = low,
                            .err = err};
    MILL_TRY(check_decoder(&shape->bicodec, err));
    MILL_TRY(allocate(weights, shape, err));
    weights->lm.shape = shape->llm;
    weights->lm.kv_dtype = weights->lm.embed_dtype = low;
    weights->decoder.shape = shape->bicodec;
    weights->decoder.codebook_dtype = low;
    plan_lm(&layout, &weights->lm, head_row_ids);
    plan_quantizers(&layout, &weights->decoder);
    plan_prenet(&layout, &weights->decoder);
    plan_generator(&layout, &weights->decoder);
    return layout.status;
}
