/* codec.c - convolutions on the cpu, as products: a tap is a shifted view of the prepared rows, so
 * nothing is unfolded.
 *
 * Output row t of a dilated convolution reads prepared rows t + tap * dilation: the product driver
 * gets that as a byte step from tap to tap. A transposed convolution of stride s is s ordinary
 * products, one for each phase of the output: phase q = (t + padding) mod s uses the taps q, q + s,
 * ... on successive input rows, going back in time, and writes every s-th output row. */
#include "kernels/cpu/cpu_backend.h"

enum { MAX_TAPS = 32 };

struct depthwise_run {
    const struct mill_conv1d_args *args;
    const struct mill_span *span;
    const struct cpu_isa *isa;
    int32_t rows_a_task;
};

static void depthwise_task(void *context, int task, int worker) {
    (void)worker;
    const struct depthwise_run *run = context;
    const struct mill_conv1d_args *args = run->args;
    const struct mill_span *span = run->span;
    int32_t end = (task + 1) * run->rows_a_task;
    for (int32_t r = task * run->rows_a_task; r < end && r < span->n_y; r++) {
        const float *x[MAX_TAPS];
        for (int32_t tap = 0; tap < args->w.shape.n_taps; tap++) {
            int32_t row = span->y_place + r + tap * args->dilation - args->padding - span->x_place;
            x[tap] = row >= 0 && row < span->n_x ? matrix_row(&args->x, span->x_first + row) : NULL;
        }
        run->isa->depthwise(matrix_row(&args->y, span->y_first + r), x, args->w.image, args->w.bias,
                            args->w.shape.n_taps, args->w.shape.n_out);
    }
}

static mill_status depthwise(struct mill_backend *backend, const struct mill_conv1d_args *args) {
    if (args->w.shape.dtype != MILL_F32 || args->w.shape.n_taps > MAX_TAPS || args->alpha ||
        args->act != MILL_ACT_NONE || args->residual.data)
        return MILL_E_UNSUPPORTED;
    for (int32_t s = 0; s < args->n_spans; s++) {
        struct depthwise_run run = {.args = args,
                                    .span = &args->spans[s],
                                    .isa = backend->isa,
                                    .rows_a_task = 4096 / (args->w.shape.n_out + 1) + 1};
        mill_pool_run(backend->pool, depthwise_task, &run,
                      (args->spans[s].n_y + run.rows_a_task - 1) / run.rows_a_task);
    }
    return MILL_OK;
}

/* Output rows [first, first + n_rows) of one span. */
static void conv_block(struct mill_backend *backend, const struct mill_conv1d_args *args,
                       const struct mill_span *span, int32_t first, int32_t n_rows) {
    const struct mill_weight_shape *shape = &args->w.shape;
    size_t row_bytes = mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in);
    mill_cpu_prepare(backend, &(struct preparation){
                                  .x = matrix_row(&args->x, span->x_first),
                                  .x_stride = args->x.stride,
                                  .n_x = span->n_x,
                                  .first = span->y_place + first - args->padding - span->x_place,
                                  .n_rows = n_rows + (shape->n_taps - 1) * args->dilation,
                                  .n_in = shape->n_in,
                                  .alpha = args->alpha,
                                  .dtype = shape->dtype,
                              });
    mill_cpu_product_run(backend,
                         &(struct product){
                             .w = &args->w,
                             .a = backend->prepared,
                             .a_row = (ptrdiff_t)row_bytes,
                             .a_tap = (ptrdiff_t)row_bytes * args->dilation,
                             .tap_step = 1,
                             .n_taps = shape->n_taps,
                             .n_out = shape->n_out,
                             .n_rows = n_rows,
                             .y = matrix_row(&args->y, span->y_first + first),
                             .y_stride = args->y.stride,
                             .residual = args->residual.data
                                             ? matrix_row(&args->residual, span->y_first + first)
                                             : NULL,
                             .residual_stride = args->residual.stride,
                             .act = args->act,
                         });
}

mill_status mill_cpu_conv1d(struct mill_backend *backend, const struct mill_conv1d_args *args) {
    if (args->depthwise)
        return depthwise(backend, args);
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->dtype == MILL_I8)
        return MILL_E_UNSUPPORTED;
    int64_t fits =
        (int64_t)(PREPARED_BYTES / mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in));
    int64_t block = fits - (int64_t)(shape->n_taps - 1) * args->dilation;
    if (block < 1)
        return MILL_E_UNSUPPORTED;
    for (int32_t s = 0; s < args->n_spans; s++)
        for (int32_t first = 0; first < args->spans[s].n_y; first += (int32_t)block) {
            int32_t left = args->spans[s].n_y - first;
            conv_block(backend, args, &args->spans[s], first, left < block ? left : (int32_t)block);
        }
    return MILL_OK;
}

static int32_t floor_divide(int32_t a, int32_t b) {
    return a / b - (a % b < 0);
}

/* Output rows [first, first + n_rows) of one span: prepare the input rows they reach, then one
 * product a phase. */
static void transpose_block(struct mill_backend *backend,
                            const struct mill_conv_transpose1d_args *args,
                            const struct mill_span *span, int32_t first, int32_t n_rows) {
    const struct mill_weight_shape *shape = &args->w.shape;
    int32_t stride = args->stride, reach = (shape->n_taps - 1) / stride;
    int32_t t_first = span->y_place + first +
                      args->padding; /* shifted time: (t + padding) / stride is the newest input */
    int32_t x_low = floor_divide(t_first, stride) - reach;
    int32_t x_high = floor_divide(t_first + n_rows - 1, stride);
    size_t row_bytes = mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in);
    mill_cpu_prepare(backend, &(struct preparation){
                                  .x = matrix_row(&args->x, span->x_first),
                                  .x_stride = args->x.stride,
                                  .n_x = span->n_x,
                                  .first = x_low - span->x_place,
                                  .n_rows = x_high - x_low + 1,
                                  .n_in = shape->n_in,
                                  .alpha = args->alpha,
                                  .dtype = shape->dtype,
                              });
    for (int32_t row = 0; row < stride && row < n_rows; row++) {
        int32_t t = t_first + row, newest = floor_divide(t, stride), phase = t - newest * stride;
        if (phase >= shape->n_taps)
            continue;
        mill_cpu_product_run(backend,
                             &(struct product){
                                 .w = &args->w,
                                 .a = backend->prepared + (size_t)(newest - x_low) * row_bytes,
                                 .a_row = (ptrdiff_t)row_bytes,
                                 .a_tap = -(ptrdiff_t)row_bytes,
                                 .first_tap = phase,
                                 .tap_step = stride,
                                 .n_taps = (shape->n_taps - 1 - phase) / stride + 1,
                                 .n_out = shape->n_out,
                                 .n_rows = (n_rows - 1 - row) / stride + 1,
                                 .y = matrix_row(&args->y, span->y_first + first + row),
                                 .y_stride = args->y.stride * stride,
                             });
    }
}

mill_status mill_cpu_conv_transpose1d(struct mill_backend *backend,
                                      const struct mill_conv_transpose1d_args *args) {
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->dtype == MILL_I8 || shape->n_taps < args->stride)
        return MILL_E_UNSUPPORTED;
    int64_t fits =
        (int64_t)(PREPARED_BYTES / mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in));
    int64_t block = (fits - shape->n_taps / args->stride - 2) * args->stride;
    if (block < 1)
        return MILL_E_UNSUPPORTED;
    for (int32_t s = 0; s < args->n_spans; s++)
        for (int32_t first = 0; first < args->spans[s].n_y; first += (int32_t)block) {
            int32_t left = args->spans[s].n_y - first;
            transpose_block(backend, args, &args->spans[s], first,
                            left < block ? left : (int32_t)block);
        }
    return MILL_OK;
}
