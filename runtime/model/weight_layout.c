/* weight_layout.c - see weight_layout.h; the steps are those of weight_walk.h. */
#include "runtime/model/weight_layout.h"

#include "runtime/base/memory.h"
#include "runtime/model/bicodec_plan.h"
#include "runtime/model/weight_voice.h"
#include "runtime/model/weight_walk.h"

#include <stdio.h>
#include <stdlib.h>

struct layout {
    struct mill_weight_walk walk;
    const struct mill_shape *shape;
    const struct mill_tensors *llm, *bicodec;
    enum mill_dtype lm_dtype;      /* of the language model's matrices and the head */
    enum mill_dtype decoder_dtype; /* of the decoder's matrices */
    enum mill_dtype table_dtype;   /* of embeddings and codebook */
};

/* ------------------------------------------------------------------ language model */

static struct mill_row_keys find_keys(struct layout *layout, const char *prefix, int32_t rows) {
    const struct mill_llm_shape *s = &layout->shape->llm;
    struct mill_row_keys keys = {.n_in = s->hidden, .head_dim = s->head_dim};
    mill_walk_find(&layout->walk, &keys.weights, layout->llm, (size_t)rows * (size_t)s->hidden,
                   "%sself_attn.k_proj.weight", prefix);
    mill_walk_find(&layout->walk, &keys.bias, layout->llm, (size_t)rows, "%sself_attn.k_proj.bias",
                   prefix);
    mill_walk_find(&layout->walk, &keys.gain, layout->llm, (size_t)s->hidden,
                   "%sinput_layernorm.weight", prefix);
    return keys;
}

static void plan_layer(struct layout *layout, struct mill_lm_layer *layer, int32_t index) {
    const struct mill_llm_shape *s = &layout->shape->llm;
    const struct mill_tensors *file = layout->llm;
    int32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    char prefix[MILL_PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "model.layers.%d.", index);
    struct mill_walk_matrix matrix = {
        .file = file, .prefix = prefix, .n_taps = 1, .dtype = layout->lm_dtype};

    mill_walk_add_vector(&layout->walk, file, s->hidden, &layer->attn_norm, prefix,
                         "input_layernorm.weight");
    struct mill_walk_matrix qkv = matrix;
    qkv.modules[0] = "self_attn.q_proj", qkv.rows[0] = q;
    qkv.modules[1] = "self_attn.k_proj", qkv.rows[1] = kv;
    qkv.modules[2] = "self_attn.v_proj", qkv.rows[2] = kv;
    qkv.n_in = s->hidden;
    qkv.bias = true;
    struct mill_row_keys keys = find_keys(layout, prefix, kv);
    qkv.balance = &keys;
    mill_walk_add_matrix(&layout->walk, &layer->qkv, &qkv);
    struct mill_walk_matrix o = matrix;
    o.modules[0] = "self_attn.o_proj", o.rows[0] = s->hidden;
    o.n_in = q;
    mill_walk_add_matrix(&layout->walk, &layer->o, &o);
    mill_walk_add_vector(&layout->walk, file, s->hidden, &layer->mlp_norm, prefix,
                         "post_attention_layernorm.weight");
    struct mill_walk_matrix gate_up = matrix;
    gate_up.modules[0] = "mlp.up_proj", gate_up.rows[0] = s->intermediate;
    gate_up.modules[1] = "mlp.gate_proj", gate_up.rows[1] = s->intermediate;
    gate_up.n_in = s->hidden;
    gate_up.paired = true;
    mill_walk_add_matrix(&layout->walk, &layer->gate_up, &gate_up);
    struct mill_walk_matrix down = matrix;
    down.modules[0] = "mlp.down_proj", down.rows[0] = s->hidden;
    down.n_in = s->intermediate;
    mill_walk_add_matrix(&layout->walk, &layer->down, &down);
}

static void plan_lm(struct layout *layout, struct mill_lm_weights *lm, const int32_t *head_ids) {
    const struct mill_llm_shape *s = &layout->shape->llm;
    struct mill_row_source rope = {.make = mill_rows_rope_frequency,
                                   .n_rows = s->head_dim / 2,
                                   .n_taps = 1,
                                   .n_in = 1,
                                   .scale = (double)s->rope_theta};
    mill_walk_add(&layout->walk, MILL_IMAGE_TABLE, MILL_F32, &rope, &lm->rope_frequency,
                  "rope_frequency");
    struct mill_row_source embed = {.make = mill_rows_plain,
                                    .file = layout->llm,
                                    .n_rows = s->vocab,
                                    .n_taps = 1,
                                    .n_in = s->hidden,
                                    .tensor_rows = {s->vocab},
                                    .scale = 1.0};
    mill_walk_find(&layout->walk, &embed.tensor[0], layout->llm,
                   (size_t)s->vocab * (size_t)s->hidden, "%s", "model.embed_tokens.weight");
    mill_walk_add(&layout->walk, MILL_IMAGE_TABLE, layout->table_dtype, &embed, &lm->embed,
                  "embed");
    for (int32_t i = 0; i < s->n_layers; i++)
        plan_layer(layout, &lm->layers[i], i);
    mill_walk_add_vector(&layout->walk, layout->llm, s->hidden, &lm->norm, "model.", "norm.weight");
    struct mill_row_source head = embed; /* the head is tied to the embeddings */
    head.make = mill_rows_gather;
    head.ids = head_ids;
    head.n_rows = lm->head.shape.n_out;
    mill_walk_add_packed(&layout->walk, layout->lm_dtype, &head, &lm->head, "head");
}

/* ------------------------------------------------------------------ decoder */

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
    mill_walk_find(&layout->walk, &codebook.tensor[0], layout->bicodec,
                   (size_t)codebook.n_rows * dim, "%s", "quantizer.codebook.weight");
    mill_walk_find(&layout->walk, &codebook.tensor[1], layout->bicodec, width * dim, "%s",
                   "quantizer.out_project.weight_v");
    mill_walk_find(&layout->walk, &codebook.tensor[2], layout->bicodec, width, "%s",
                   "quantizer.out_project.weight_g");
    mill_walk_find(&layout->walk, &codebook.gain, layout->bicodec, width, "%s",
                   "quantizer.out_project.bias");
    mill_walk_add(&layout->walk, MILL_IMAGE_TABLE, layout->table_dtype, &codebook,
                  &decoder->codebook, "codebook");

    struct mill_row_source voice = {.make = mill_rows_voice,
                                    .prepare = mill_rows_prepare_voice,
                                    .file = layout->bicodec,
                                    .shape = s,
                                    .n_rows = mill_voice_n_rows(s),
                                    .n_taps = 1,
                                    .n_in = mill_voice_n_digits(s),
                                    .scratch_values = (size_t)s->speaker.output,
                                    .scratch_sums = (size_t)mill_voice_n_digits(s)};
    mill_walk_add_packed(&layout->walk, MILL_F32, &voice, &decoder->voice, "voice");
    voice.make = mill_rows_voice_bias;
    voice.n_in = 1;
    mill_walk_add(&layout->walk, MILL_IMAGE_TABLE, MILL_F32, &voice, &decoder->voice.bias,
                  "voice.bias");
}

static void plan_prenet(struct layout *layout, struct mill_decoder_weights *decoder) {
    const struct mill_vocos_shape *s = &layout->shape->bicodec.prenet;
    struct mill_walk_matrix matrix = {
        .file = layout->bicodec, .prefix = "prenet.", .n_taps = 1, .dtype = layout->decoder_dtype};
    struct mill_walk_matrix pre = matrix;
    pre.modules[0] = "linear_pre", pre.rows[0] = s->dim;
    pre.n_in = s->input;
    pre.bias = true;
    mill_walk_add_matrix(&layout->walk, &decoder->linear_pre, &pre);
    mill_walk_add_samplings(&layout->walk, decoder->sampling, layout->bicodec, s, "prenet",
                            layout->decoder_dtype);
    struct mill_walk_vocos backbone = {.file = layout->bicodec,
                                       .shape = s,
                                       .prefix = "prenet.vocos_backbone.",
                                       .n_in = s->dim,
                                       .n_blocks = s->n_layers,
                                       .adaptive = true,
                                       .scale = 1.0,
                                       .dtype = layout->decoder_dtype};
    mill_walk_add_vocos(&layout->walk, &decoder->backbone, &backbone);
    struct mill_walk_matrix last = matrix;
    last.modules[0] = "linear", last.rows[0] = s->output;
    last.n_in = s->dim;
    mill_walk_add_matrix(&layout->walk, &decoder->linear, &last);
}

static void plan_generator(struct layout *layout, struct mill_decoder_weights *decoder) {
    const struct mill_bicodec_shape *s = &layout->shape->bicodec;
    enum mill_dtype dtype = layout->decoder_dtype;
    int32_t width = s->generator.channels, n_stages = s->generator.n_stages;
    char prefix[MILL_PREFIX_BYTES];
    mill_walk_add_normed(&layout->walk, layout->bicodec, &decoder->conv_in, "decoder.model.0.",
                         width, MILL_BICODEC_TAPS, s->generator.input, false, dtype);
    for (int32_t i = 0; i < n_stages; i++, width /= 2) {
        struct mill_generator_stage_weights *stage = &decoder->stages[i];
        snprintf(prefix, sizeof prefix, "decoder.model.%d.block.", i + 1);
        mill_walk_add_vector(&layout->walk, layout->bicodec, width, &stage->alpha, prefix,
                             "0.alpha");
        snprintf(prefix, sizeof prefix, "decoder.model.%d.block.1.", i + 1);
        mill_walk_add_normed(&layout->walk, layout->bicodec, &stage->up, prefix, width / 2,
                             s->generator.kernels[i], width, true, dtype);
        for (int j = 0; j < 3; j++) {
            struct mill_residual_unit_weights *unit = &stage->units[j];
            int32_t c = width / 2;
            snprintf(prefix, sizeof prefix, "decoder.model.%d.block.%d.block.", i + 1, j + 2);
            mill_walk_add_vector(&layout->walk, layout->bicodec, c, &unit->alpha1, prefix,
                                 "0.alpha");
            mill_walk_add_vector(&layout->walk, layout->bicodec, c, &unit->alpha2, prefix,
                                 "2.alpha");
            snprintf(prefix, sizeof prefix, "decoder.model.%d.block.%d.block.1.", i + 1, j + 2);
            mill_walk_add_normed(&layout->walk, layout->bicodec, &unit->dilated, prefix, c,
                                 MILL_BICODEC_TAPS, c, false, dtype);
            snprintf(prefix, sizeof prefix, "decoder.model.%d.block.%d.block.3.", i + 1, j + 2);
            mill_walk_add_normed(&layout->walk, layout->bicodec, &unit->pointwise, prefix, c, 1, c,
                                 false, dtype);
        }
    }
    snprintf(prefix, sizeof prefix, "decoder.model.%d.", n_stages + 1);
    mill_walk_add_vector(&layout->walk, layout->bicodec, width, &decoder->final_alpha, prefix,
                         "alpha");
    snprintf(prefix, sizeof prefix, "decoder.model.%d.", n_stages + 2);
    mill_walk_add_normed(&layout->walk, layout->bicodec, &decoder->conv_out, prefix, 1,
                         MILL_BICODEC_TAPS, width, false, MILL_F32);
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
    struct layout layout = {.walk = {.plan = plan, .err = err},
                            .shape = shape,
                            .llm = llm,
                            .bicodec = bicodec,
                            .lm_dtype = weights->precision == MILL_PRECISION_INT8 ? MILL_I8 : low,
                            .decoder_dtype = low,
                            .table_dtype = low};
    MILL_TRY(check_decoder(&shape->bicodec, err));
    weights->lm.layers = mill_alloc_array((size_t)shape->llm.n_layers, sizeof *weights->lm.layers);
    if (!weights->lm.layers)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the weights");
    weights->lm.shape = shape->llm;
    weights->lm.embed_dtype = low;
    weights->lm.kv_dtype = layout.lm_dtype;
    weights->decoder.shape = shape->bicodec;
    weights->decoder.codebook_dtype = low;
    plan_lm(&layout, &weights->lm, head_row_ids);
    plan_quantizers(&layout, &weights->decoder);
    plan_prenet(&layout, &weights->decoder);
    plan_generator(&layout, &weights->decoder);
    return layout.walk.status;
}
