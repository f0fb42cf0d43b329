/* bicodec_run.c - see bicodec_run.h: a call on its way through the layers, in their order. */
#include "runtime/model/bicodec_run.h"

#include "runtime/model/matrix.h"

/* ------------------------------------------------------------------ rows and where they lie */

/* A call on its way through the layers. */
struct run {
    struct mill_bicodec_machine *m;
    const struct mill_bicodec_run_request *request;
    int32_t layer; /* the next one; the rows computed last are those of time line `layer` */
    const int32_t *row_voices;       /* device: of the packed rows behind the next adaptive layer */
    struct mill_bicodec_band packed; /* slab 0, while in the prenet */
};

static const struct mill_bicodec_rows *rows_of(const struct run *run, int32_t piece, int32_t k) {
    return &run->request->pieces[piece].rows[k];
}

static struct mill_matrix band_matrix(const struct mill_bicodec_band *band) {
    return mill_matrix_f32(band->data, band->n_rows, band->columns);
}

static int32_t row_at(const struct mill_bicodec_band *band, int32_t piece, int64_t time) {
    return band->at[piece].row + (int32_t)(time - band->at[piece].time);
}

static struct mill_bicodec_band band_in(const struct run *run, int slab, int32_t columns) {
    return (struct mill_bicodec_band){.data = run->m->slab[slab],
                                      .columns = columns,
                                      .at = run->m->places + slab * run->m->sizes.max_pieces};
}

/* Give every piece its place in the band: its fresh rows of time line k alone ... */
static void place_packed(const struct run *run, struct mill_bicodec_band *band, int32_t k) {
    band->n_rows = 0;
    for (int32_t p = 0; p < run->request->n_pieces; p++) {
        const struct mill_bicodec_rows *rows = rows_of(run, p, k);
        band->at[p] = (struct mill_bicodec_place){band->n_rows, rows->fresh};
        band->n_rows += (int32_t)(rows->end - rows->fresh);
    }
}

/* ... or room for kept and fresh rows of the time lines k .. last, which have one rate. */
static void place_apart(const struct run *run, struct mill_bicodec_band *band, int32_t k,
                        int32_t last) {
    band->n_rows = 0;
    for (int32_t p = 0; p < run->request->n_pieces; p++) {
        int64_t first = rows_of(run, p, k)->kept, end = rows_of(run, p, k)->end;
        for (int32_t i = k + 1; i <= last; i++)
            if (rows_of(run, p, i)->kept < first)
                first = rows_of(run, p, i)->kept;
        band->at[p] = (struct mill_bicodec_place){band->n_rows, first};
        band->n_rows += (int32_t)(end - first);
    }
}

static mill_status copy_rows(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                             int32_t n_spans) {
    if (n_spans == 0)
        return MILL_OK;
    struct mill_copy_rows_args args = {y, x, run->m->spans, n_spans};
    return run->m->ops->copy_rows(run->m->backend, &args);
}

/* The spans of the fresh rows of time line k, from where they lie in x to their place in y; their
 * number. */
static int32_t fresh_spans(const struct run *run, const struct mill_bicodec_band *y,
                           const struct mill_bicodec_band *x, int32_t k) {
    int32_t n = 0;
    for (int32_t p = 0; p < run->request->n_pieces; p++) {
        const struct mill_bicodec_rows *rows = rows_of(run, p, k);
        int32_t n_rows = (int32_t)(rows->end - rows->fresh);
        if (n_rows > 0)
            run->m->spans[n++] = (struct mill_span){.x_first = row_at(x, p, rows->fresh),
                                                    .n_x = n_rows,
                                                    .y_first = row_at(y, p, rows->fresh),
                                                    .n_y = n_rows};
    }
    return n;
}

static mill_status move_fresh(const struct run *run, const struct mill_bicodec_band *y,
                              const struct mill_bicodec_band *x, int32_t k) {
    return copy_rows(run, band_matrix(y), band_matrix(x), fresh_spans(run, y, x, k));
}

/* The next layer's kept rows from the pieces' states into its input, and what the pieces after
 * these will want from there into the states. */
static mill_status exchange_kept(const struct run *run, const struct mill_bicodec_band *band) {
    struct mill_bicodec_machine *m = run->m;
    struct mill_bicodec_layer layer = mill_bicodec_layer_at(&m->weights->shape, run->layer);
    int32_t n_kept = mill_bicodec_layer_keeps(&layer), n_in = 0, n_out = 0;
    struct mill_matrix state =
        mill_matrix_f32(m->states[run->layer], (int64_t)m->sizes.n_states * n_kept, layer.columns);
    struct mill_span *out = m->spans + m->sizes.max_pieces;
    for (int32_t p = 0; p < run->request->n_pieces; p++) {
        const struct mill_bicodec_rows *rows = rows_of(run, p, run->layer);
        int32_t n_restored = (int32_t)(rows->fresh - rows->kept);
        int32_t n_stored = (int32_t)(rows->end - rows->keep);
        int32_t first = run->request->pieces[p].state * n_kept;
        if (first < 0)
            continue;
        if (n_restored > 0)
            m->spans[n_in++] = (struct mill_span){.x_first = first,
                                                  .n_x = n_restored,
                                                  .y_first = row_at(band, p, rows->kept),
                                                  .n_y = n_restored};
        if (n_stored > 0)
            out[n_out++] = (struct mill_span){.x_first = row_at(band, p, rows->keep),
                                              .n_x = n_stored,
                                              .y_first = first,
                                              .n_y = n_stored};
    }
    MILL_TRY(copy_rows(run, band_matrix(band), state, n_in));
    for (int32_t i = 0; i < n_out; i++)
        m->spans[i] = out[i];
    return copy_rows(run, state, band_matrix(band), n_out);
}

/* ------------------------------------------------------------------ layers */

/* The spans of the next layer, from x into y; their number. */
static int32_t layer_spans(const struct run *run, const struct mill_bicodec_band *y,
                           const struct mill_bicodec_band *x) {
    int32_t n = 0;
    for (int32_t p = 0; p < run->request->n_pieces; p++) {
        const struct mill_bicodec_rows *in = rows_of(run, p, run->layer),
                                       *out = rows_of(run, p, run->layer + 1);
        if (out->end > out->fresh)
            run->m->spans[n++] = (struct mill_span){.x_first = row_at(x, p, in->kept),
                                                    .n_x = (int32_t)(in->end - in->kept),
                                                    .x_place = (int32_t)in->kept,
                                                    .y_first = row_at(y, p, out->fresh),
                                                    .n_y = (int32_t)(out->end - out->fresh),
                                                    .y_place = (int32_t)out->fresh};
    }
    return n;
}

/* The next layer's convolution from x, which lies apart, into y. */
static mill_status run_conv(struct run *run, const struct mill_bicodec_band *y,
                            const struct mill_bicodec_band *x, const struct mill_weight *weight,
                            const float *alpha, enum mill_activation act) {
    struct mill_bicodec_machine *m = run->m;
    struct mill_bicodec_layer layer = mill_bicodec_layer_at(&m->weights->shape, run->layer);
    MILL_TRY(exchange_kept(run, x));
    struct mill_conv1d_args conv = {.y = band_matrix(y),
                                    .x = band_matrix(x),
                                    .w = *weight,
                                    .depthwise = layer.kind == MILL_LAYER_BLOCK,
                                    .dilation = layer.dilation,
                                    .padding = layer.padding,
                                    .alpha = alpha,
                                    .act = act,
                                    .spans = m->spans,
                                    .n_spans = layer_spans(run, y, x)};
    run->layer++;
    return m->ops->conv1d(m->backend, &conv);
}

static mill_status run_norm(const struct run *run, struct mill_matrix y, struct mill_matrix x,
                            const float *gain, const float *shift) {
    struct mill_norm_args norm = {.y = y,
                                  .x = x,
                                  .kind = MILL_NORM_LAYER,
                                  .eps = MILL_BICODEC_NORM_EPS,
                                  .gain = gain,
                                  .shift = shift};
    return run->m->ops->norm(run->m->backend, &norm);
}

/* Norm k of a ConvNeXt stack: the stack's own gain and shift, or those of each row's voice. */
static mill_status run_stack_norm(struct run *run, struct mill_matrix y, struct mill_matrix x,
                                  const float *gain, const float *shift, int32_t k) {
    if (gain)
        return run_norm(run, y, x, gain, shift);
    const struct mill_decoder_weights *weights = run->m->weights;
    gain = run->request->voices + mill_voice_norm_column(&weights->shape, k);
    struct mill_norm_args norm = {.y = y,
                                  .x = x,
                                  .kind = MILL_NORM_LAYER,
                                  .eps = MILL_BICODEC_NORM_EPS,
                                  .gain = gain,
                                  .shift = gain + weights->shape.prenet.dim,
                                  .group_stride = weights->voice.shape.n_out,
                                  .group = run->row_voices};
    if (k < weights->shape.prenet.n_layers) /* the last block's serve the last product too */
        run->row_voices += y.rows;
    return run->m->ops->norm(run->m->backend, &norm);
}

/* The next layer's convolution of the packed rows; its rows come to lie packed in *hidden, and
 * those of its input apart in *input. */
static mill_status run_packed_conv(struct run *run, const struct mill_weight *weight,
                                   struct mill_bicodec_band *input,
                                   struct mill_bicodec_band *hidden) {
    int32_t columns = run->packed.columns;
    *input = band_in(run, 1, columns);
    *hidden = band_in(run, 2, columns);
    place_apart(run, input, run->layer, run->layer);
    place_packed(run, hidden, run->layer + 1);
    MILL_TRY(move_fresh(run, input, &run->packed, run->layer));
    MILL_TRY(run_conv(run, hidden, input, weight, NULL, MILL_ACT_NONE));
    place_packed(run, &run->packed, run->layer);
    return MILL_OK;
}

static mill_status run_block(struct run *run, const struct mill_convnext_weights *block,
                             int32_t norm) {
    struct mill_bicodec_band input, hidden;
    MILL_TRY(run_packed_conv(run, &block->depthwise, &input, &hidden));
    MILL_TRY(move_fresh(run, &run->packed, &input, run->layer));
    struct mill_matrix h = band_matrix(&hidden), stream = band_matrix(&run->packed);
    struct mill_matrix wide = mill_matrix_f32(hidden.data + (int64_t)h.rows * h.columns, h.rows,
                                              run->m->weights->shape.prenet.intermediate);
    MILL_TRY(run_stack_norm(run, h, h, block->norm_gain, block->norm_shift, norm));
    return mill_feed_forward(
        run->m->ops, run->m->backend,
        &(struct mill_feed_forward_args){
            .up = {.y = wide, .x = h, .w = block->up, .act = MILL_ACT_GELU},
            .down = {.y = stream, .x = wide, .w = block->down, .residual = stream}});
}

/* A ConvNeXt stack over the packed rows. */
static mill_status run_vocos(struct run *run, const struct mill_vocos_weights *vocos) {
    struct mill_bicodec_band input, hidden;
    MILL_TRY(run_packed_conv(run, &vocos->embed, &input, &hidden));
    MILL_TRY(run_stack_norm(run, band_matrix(&run->packed), band_matrix(&hidden), vocos->norm_gain,
                            vocos->norm_shift, 0));
    for (int32_t i = 0; i < vocos->n_blocks; i++)
        MILL_TRY(run_block(run, &vocos->blocks[i], 1 + i));
    struct mill_matrix rows = band_matrix(&run->packed);
    return run_norm(run, rows, rows, vocos->final_gain, vocos->final_shift);
}

/* What the caller wants to see of the first piece's packed rows; NULL = nothing. */
static mill_status show(const struct run *run, const struct mill_bicodec_band *band, float *out) {
    if (!out)
        return MILL_OK;
    const struct mill_bicodec_rows *wave = rows_of(run, 0, run->m->n_layers);
    int32_t hop = run->m->weights->shape.hop;
    int64_t first = row_at(band, 0, wave->fresh / hop);
    size_t n = (size_t)((wave->end - wave->fresh) / hop) * (size_t)band->columns;
    return run->m->ops->copy_out(run->m->backend, out, band->data + first * band->columns,
                                 n * sizeof *out);
}

/* Tokens to the generator's input, packed in *out: the prenet's output + d-vector. */
static mill_status run_prenet(struct run *run, struct mill_bicodec_band *out) {
    struct mill_bicodec_machine *m = run->m;
    const struct mill_decoder_weights *weights = m->weights;
    const struct mill_bicodec_shape *shape = &weights->shape;
    struct mill_bicodec_band z_q = band_in(run, 1, shape->quantizer.input);
    run->packed = band_in(run, 0, shape->prenet.dim);
    place_packed(run, &z_q, 0);
    place_packed(run, &run->packed, 0);
    struct mill_embed_args embed = {.y = band_matrix(&z_q),
                                    .table = weights->codebook,
                                    .table_dtype = weights->codebook_dtype,
                                    .ids = m->index};
    MILL_TRY(m->ops->embed(m->backend, &embed));
    MILL_TRY(show(run, &z_q, run->request->z_q));
    struct mill_linear_args before = {
        .y = band_matrix(&run->packed), .x = embed.y, .w = weights->linear_pre};
    MILL_TRY(m->ops->linear(m->backend, &before));
    for (int32_t i = 0; i < shape->prenet.n_samplings; i++)
        MILL_TRY(run_vocos(run, &weights->sampling[i]));
    MILL_TRY(run_vocos(run, &weights->backbone));
    *out = band_in(run, 1, shape->generator.input);
    place_packed(run, out, run->layer);
    struct mill_linear_args after = {.y = band_matrix(out),
                                     .x = band_matrix(&run->packed),
                                     .w = weights->linear,
                                     .bias_group = run->row_voices,
                                     .bias_stride = weights->voice.shape.n_out};
    after.w.bias = run->request->voices + shape->speaker.output;
    MILL_TRY(m->ops->linear(m->backend, &after));
    return show(run, out, run->request->prenet);
}

/* The next layer, a residual unit, from x into y, which has room for the same rows. */
static mill_status run_unit_at_once(struct run *run, const struct mill_residual_unit_weights *unit,
                                    const struct mill_bicodec_band *y,
                                    const struct mill_bicodec_band *x) {
    struct mill_bicodec_machine *m = run->m;
    struct mill_bicodec_layer layer = mill_bicodec_layer_at(&m->weights->shape, run->layer);
    MILL_TRY(exchange_kept(run, x));
    struct mill_residual_unit_args args = {.y = band_matrix(y),
                                           .x = band_matrix(x),
                                           .dilated = unit->dilated,
                                           .pointwise = unit->pointwise,
                                           .alpha1 = unit->alpha1,
                                           .alpha2 = unit->alpha2,
                                           .dilation = layer.dilation,
                                           .padding = layer.padding,
                                           .spans = m->spans,
                                           .n_spans = layer_spans(run, y, x)};
    run->layer++;
    return m->ops->residual_unit(m->backend, &args);
}

/* ... or in two convolutions, from y into y. */
static mill_status run_unit_in_two(struct run *run, const struct mill_residual_unit_weights *unit,
                                   const struct mill_bicodec_band *y,
                                   struct mill_bicodec_band *dilated) {
    struct mill_bicodec_machine *m = run->m;
    place_packed(run, dilated, run->layer + 1);
    MILL_TRY(run_conv(run, dilated, y, &unit->dilated, unit->alpha1, MILL_ACT_NONE));
    struct mill_conv1d_args pointwise = {.y = band_matrix(y),
                                         .x = band_matrix(dilated),
                                         .w = unit->pointwise,
                                         .dilation = 1,
                                         .alpha = unit->alpha2,
                                         .residual = band_matrix(y),
                                         .spans = m->spans,
                                         .n_spans = fresh_spans(run, y, dilated, run->layer)};
    return m->ops->conv1d(m->backend, &pointwise);
}

static void swap_bands(struct mill_bicodec_band *a, struct mill_bicodec_band *b) {
    struct mill_bicodec_band kept = *a;
    *a = *b;
    *b = kept;
}

/* One stage from *x into *y. The units work on in x's slab too. */
static mill_status run_stage(struct run *run, const struct mill_generator_stage_weights *stage,
                             struct mill_bicodec_band *y, struct mill_bicodec_band *x) {
    struct mill_bicodec_machine *m = run->m;
    struct mill_bicodec_layer layer = mill_bicodec_layer_at(&m->weights->shape, run->layer);
    int32_t first = run->layer + 1, last = first + MILL_BICODEC_UNITS; /* time lines of this rate */
    y->columns = x->columns / 2;
    place_apart(run, y, first, last);
    MILL_TRY(exchange_kept(run, x));
    struct mill_conv_transpose1d_args up = {.y = band_matrix(y),
                                            .x = band_matrix(x),
                                            .w = stage->up,
                                            .stride = layer.stride,
                                            .padding = layer.padding,
                                            .alpha = stage->alpha,
                                            .spans = m->spans,
                                            .n_spans = layer_spans(run, y, x)};
    MILL_TRY(m->ops->conv_transpose1d(m->backend, &up));
    run->layer++;
    x->columns = y->columns;
    for (int i = 0; i < MILL_BICODEC_UNITS; i++) {
        if (!m->ops->residual_unit) {
            MILL_TRY(run_unit_in_two(run, &stage->units[i], y, x));
            continue;
        }
        place_apart(run, x, first, last);
        MILL_TRY(run_unit_at_once(run, &stage->units[i], x, y));
        swap_bands(x, y);
    }
    return MILL_OK;
}

/* The samples, packed, to the pieces' waves: one copy for all that lie one behind the other. */
static mill_status copy_waves(const struct run *run, const struct mill_bicodec_band *samples) {
    const struct mill_bicodec_run_piece *pieces = run->request->pieces;
    for (int32_t p = 0, next; p < run->request->n_pieces; p = next) {
        int64_t n = 0;
        for (next = p; next < run->request->n_pieces && pieces[next].wave == pieces[p].wave + n;
             next++) {
            const struct mill_bicodec_rows *wave = rows_of(run, next, run->m->n_layers);
            n += wave->end - wave->fresh;
        }
        MILL_TRY(run->m->ops->copy_out(run->m->backend, pieces[p].wave,
                                       samples->data + samples->at[p].row,
                                       (size_t)n * sizeof *samples->data));
    }
    return MILL_OK;
}

static mill_status run_generator(struct run *run, const struct mill_bicodec_band *packed) {
    struct mill_bicodec_machine *m = run->m;
    const struct mill_decoder_weights *weights = m->weights;
    const struct mill_bicodec_shape *shape = &weights->shape;
    struct mill_bicodec_band input = band_in(run, 2, packed->columns);
    struct mill_bicodec_band x = band_in(run, 0, shape->generator.channels);
    struct mill_bicodec_band y = band_in(run, 1, 0);
    place_apart(run, &input, run->layer, run->layer);
    MILL_TRY(move_fresh(run, &input, packed, run->layer));
    place_apart(run, &x, run->layer + 1, run->layer + 1);
    MILL_TRY(run_conv(run, &x, &input, &weights->conv_in, NULL, MILL_ACT_NONE));
    for (int32_t i = 0; i < shape->generator.n_stages; i++) {
        MILL_TRY(run_stage(run, &weights->stages[i], &y, &x));
        swap_bands(&x, &y);
    }
    y.columns = 1;
    place_packed(run, &y, m->n_layers);
    MILL_TRY(run_conv(run, &y, &x, &weights->conv_out, weights->final_alpha, MILL_ACT_TANH));
    return copy_waves(run, &y);
}

/* ------------------------------------------------------------------ a call */

/* Tokens of all pieces, then for each adaptive layer the voice of each of its rows. */
static mill_status copy_index(struct run *run) {
    struct mill_bicodec_machine *m = run->m;
    const struct mill_bicodec_run_request *request = run->request;
    int32_t n = 0;
    for (int32_t p = 0; p < request->n_pieces; p++)
        for (int64_t t = rows_of(run, p, 0)->fresh; t < rows_of(run, p, 0)->end; t++)
            m->host_index[n++] = request->pieces[p].semantic[t];
    run->row_voices = m->index + n;
    int32_t last = mill_bicodec_first_generator_layer(&m->weights->shape);
    for (int32_t k = last - m->weights->shape.prenet.n_layers; k <= last; k++)
        for (int32_t p = 0; p < request->n_pieces; p++)
            for (int64_t t = rows_of(run, p, k)->fresh; t < rows_of(run, p, k)->end; t++)
                m->host_index[n++] = request->pieces[p].voice;
    return m->ops->copy_in(m->backend, m->index, m->host_index, (size_t)n * sizeof *m->index);
}

mill_status mill_bicodec_run(struct mill_bicodec_machine *machine,
                             const struct mill_bicodec_run_request *request) {
    struct run run = {.m = machine, .request = request};
    struct mill_bicodec_band between;
    MILL_TRY(copy_index(&run));
    MILL_TRY(run_prenet(&run, &between));
    return run_generator(&run, &between);
}

mill_status mill_bicodec_check_tokens(const struct mill_bicodec_shape *shape,
                                      const int32_t *semantic, const struct mill_bicodec_rows *rows,
                                      struct mill_error *err) {
    for (int64_t i = rows->fresh; i < rows->end; i++)
        if (semantic[i] < 0 || semantic[i] >= shape->quantizer.codebook_size)
            return mill_fail(err, MILL_E_INPUT,
                             "decoder: semantic token %lld is %d; there are %d codewords",
                             (long long)i, semantic[i], shape->quantizer.codebook_size);
    return MILL_OK;
}
