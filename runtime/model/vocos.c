/* vocos.c - see vocos.h. */
#include "runtime/model/vocos.h"

#define NORM_EPS 1e-6f

struct mill_span mill_range_span(struct mill_range in, struct mill_range out) {
    return (struct mill_span){.n_x = (int32_t)mill_range_rows(in),
                              .x_place = (int32_t)in.first,
                              .n_y = (int32_t)mill_range_rows(out),
                              .y_place = (int32_t)out.first};
}

/* From x into y, whose first row becomes the first one of ranges[1]. */
static mill_status run_conv(const struct mill_vocos *run, struct mill_band *y,
                            const struct mill_band *x, const struct mill_weight *weight,
                            bool depthwise, const struct mill_range *ranges) {
    struct mill_span span = mill_range_span(ranges[0], ranges[1]);
    y->place = ranges[1].first;
    struct mill_conv1d_args conv = {.y = mill_matrix_f32(y->data, span.n_y, y->columns),
                                    .x = mill_band_rows(x, ranges[0]),
                                    .w = *weight,
                                    .depthwise = depthwise,
                                    .dilation = 1,
                                    .padding = MILL_BICODEC_TAPS / 2,
                                    .spans = &span,
                                    .n_spans = 1};
    return run->ops->conv1d(run->backend, &conv);
}

static mill_status run_norm(const struct mill_vocos *run, struct mill_matrix y,
                            struct mill_matrix x, const float *gain, const float *shift) {
    struct mill_norm_args norm = {
        .y = y, .x = x, .kind = MILL_NORM_LAYER, .eps = NORM_EPS, .gain = gain, .shift = shift};
    return run->ops->norm(run->backend, &norm);
}

/* Norm k of a stack: the stack's own gain and shift, or the adaptive ones. */
static mill_status run_stack_norm(const struct mill_vocos *run, struct mill_matrix y,
                                  struct mill_matrix x, const float *gain, const float *shift,
                                  int32_t k) {
    if (gain)
        return run_norm(run, y, x, gain, shift);
    gain = run->adaptive + (int64_t)2 * k * x.columns;
    return run_norm(run, y, x, gain, gain + x.columns);
}

static mill_status run_block(const struct mill_vocos *run,
                             const struct mill_convnext_weights *block,
                             const struct mill_range *ranges, const struct mill_band *x,
                             int32_t norm) {
    struct mill_band hidden = {.data = run->hidden, .columns = x->columns};
    MILL_TRY(run_conv(run, &hidden, x, &block->depthwise, true, ranges));
    struct mill_matrix h = mill_band_rows(&hidden, ranges[1]);
    struct mill_matrix stream = mill_band_rows(x, ranges[1]);
    struct mill_matrix wide =
        mill_matrix_f32(run->hidden + (int64_t)h.rows * h.columns, h.rows, block->up.shape.n_out);
    MILL_TRY(run_stack_norm(run, h, h, block->norm_gain, block->norm_shift, norm));
    struct mill_linear_args up = {.y = wide, .x = h, .w = block->up, .act = MILL_ACT_GELU};
    MILL_TRY(run->ops->linear(run->backend, &up));
    struct mill_linear_args down = {.y = stream, .x = wide, .w = block->down, .residual = stream};
    return run->ops->linear(run->backend, &down);
}

mill_status mill_vocos_run(const struct mill_vocos *run, const struct mill_vocos_weights *weights,
                           const struct mill_range *ranges, struct mill_band *y,
                           const struct mill_band *x) {
    struct mill_band hidden = {.data = run->hidden, .columns = weights->embed.shape.n_out};
    MILL_TRY(run_conv(run, &hidden, x, &weights->embed, false, ranges));
    ranges++;
    y->columns = hidden.columns;
    y->place = hidden.place;
    MILL_TRY(run_stack_norm(run, mill_band_rows(y, *ranges), mill_band_rows(&hidden, *ranges),
                            weights->norm_gain, weights->norm_shift, 0));
    for (int32_t i = 0; i < weights->n_blocks; i++, ranges++)
        MILL_TRY(run_block(run, &weights->blocks[i], ranges, y, 1 + i));
    struct mill_matrix rows = mill_band_rows(y, *ranges);
    return run_norm(run, rows, rows, weights->final_gain, weights->final_shift);
}
