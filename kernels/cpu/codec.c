/* codec.c - convolutions on the cpu, as products: a tap is a shifted view of the prepared rows, so
 * nothing is unfolded.
 *
 * Output row t of a dilated convolution reads prepared rows t + tap * dilation: the product driver
 * gets that as a byte step from tap to tap. A transposed convolution of stride s is s ordinary
 * products, one for each phase of the output: phase q = (t + padding) mod s uses the taps q, q + s,
 * ... on successive input rows, going back in time, and writes every s-th output row. The spans of
 * a call go through the products together, so that weights are read once for all of them. */
#include "kernels/cpu/cpu_backend.h"

enum {
    MAX_TAPS = 32,
    MAX_BLOCKS = 64 /* of spans in one product */
};

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

/* ------------------------------------------------------------------ blocks of spans */

/* Output rows [first, first + n_rows) of a span whose input is prepared from row `prepared` on. */
struct block {
    const struct mill_span *span;
    int32_t first, n_rows, prepared;
};

/* Blocks that go through a product together. */
struct blocks {
    struct block at[MAX_BLOCKS];
    int32_t n, n_prepared; /* blocks; prepared rows */
};

/* Prepared rows of this width that there is room for. */
static int64_t room_for(const struct mill_weight_shape *shape) {
    return (int64_t)(PREPARED_BYTES / mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in));
}

static struct block *add_block(struct blocks *blocks, const struct mill_span *span, int32_t first,
                               int32_t n_rows, int32_t n_prepared) {
    struct block *block = &blocks->at[blocks->n++];
    *block = (struct block){span, first, n_rows, blocks->n_prepared};
    blocks->n_prepared += n_prepared;
    return block;
}

/* ------------------------------------------------------------------ conv1d */

static void prepare_conv(struct mill_backend *backend, const struct mill_conv1d_args *args,
                         const struct block *block, int32_t n_prepared) {
    const struct mill_span *span = block->span;
    mill_cpu_prepare(backend,
                     &(struct preparation){
                         .x = matrix_row(&args->x, span->x_first),
                         .x_stride = args->x.stride,
                         .n_x = span->n_x,
                         .first = span->y_place + block->first - args->padding - span->x_place,
                         .n_rows = n_prepared,
                         .n_in = args->w.shape.n_in,
                         .to = block->prepared,
                         .alpha = args->alpha,
                         .dtype = args->w.shape.dtype,
                     });
}

static void conv_blocks(struct mill_backend *backend, const struct mill_conv1d_args *args,
                        struct blocks *blocks) {
    const struct mill_weight_shape *shape = &args->w.shape;
    ptrdiff_t row_bytes = (ptrdiff_t)mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in);
    struct product_piece pieces[MAX_BLOCKS];
    int32_t n_rows = 0;
    for (int32_t i = 0; i < blocks->n; i++) {
        const struct block *block = &blocks->at[i];
        int64_t row = (int64_t)block->span->y_first + block->first;
        pieces[i] = (struct product_piece){.n_rows = block->n_rows,
                                           .a = block->prepared * row_bytes,
                                           .y = row * args->y.stride,
                                           .residual = row * args->residual.stride};
        n_rows += block->n_rows;
    }
    mill_cpu_product_run(backend, &(struct product){
                                      .w = &args->w,
                                      .a = backend->prepared,
                                      .a_row = row_bytes,
                                      .a_tap = row_bytes * args->dilation,
                                      .tap_step = 1,
                                      .n_taps = shape->n_taps,
                                      .n_out = shape->n_out,
                                      .n_rows = n_rows,
                                      .y = args->y.data,
                                      .y_stride = args->y.stride,
                                      .residual = args->residual.data,
                                      .residual_stride = args->residual.stride,
                                      .act = args->act,
                                      .pieces = pieces,
                                  });
    blocks->n = blocks->n_prepared = 0;
}

mill_status mill_cpu_conv1d(struct mill_backend *backend, const struct mill_conv1d_args *args) {
    if (args->depthwise)
        return depthwise(backend, args);
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->dtype == MILL_I8)
        return MILL_E_UNSUPPORTED;
    int64_t room = room_for(shape), reach = (int64_t)(shape->n_taps - 1) * args->dilation;
    if (room <= reach)
        return MILL_E_UNSUPPORTED;
    struct blocks blocks;
    blocks.n = blocks.n_prepared = 0;
    for (int32_t s = 0; s < args->n_spans; s++)
        for (int32_t first = 0, n; first < args->spans[s].n_y; first += n) {
            int32_t left = args->spans[s].n_y - first;
            n = left < room - reach ? left : (int32_t)(room - reach);
            if (blocks.n == MAX_BLOCKS || blocks.n_prepared + n + reach > room)
                conv_blocks(backend, args, &blocks);
            int32_t n_prepared = n + (int32_t)reach;
            prepare_conv(backend, args, add_block(&blocks, &args->spans[s], first, n, n_prepared),
                         n_prepared);
        }
    if (blocks.n > 0)
        conv_blocks(backend, args, &blocks);
    return MILL_OK;
}

/* ------------------------------------------------------------------ conv_transpose1d */

static int32_t floor_divide(int32_t a, int32_t b) {
    return a / b - (a % b < 0);
}

/* The block's first row on shifted time: (t + padding) / stride is the newest input of t. */
static int32_t shifted_first(const struct mill_conv_transpose1d_args *args,
                             const struct block *block) {
    return block->span->y_place + block->first + args->padding;
}

/* Time of the first input row that the block reaches. */
static int32_t lowest_input(const struct mill_conv_transpose1d_args *args,
                            const struct block *block) {
    return floor_divide(shifted_first(args, block), args->stride) -
           (args->w.shape.n_taps - 1) / args->stride;
}

static void prepare_transpose(struct mill_backend *backend,
                              const struct mill_conv_transpose1d_args *args, struct blocks *blocks,
                              const struct mill_span *span, int32_t first, int32_t n_rows) {
    struct block *block = add_block(blocks, span, first, n_rows, 0);
    int32_t low = lowest_input(args, block);
    int32_t high = floor_divide(shifted_first(args, block) + n_rows - 1, args->stride);
    blocks->n_prepared += high - low + 1;
    mill_cpu_prepare(backend, &(struct preparation){
                                  .x = matrix_row(&args->x, span->x_first),
                                  .x_stride = args->x.stride,
                                  .n_x = span->n_x,
                                  .first = low - span->x_place,
                                  .n_rows = high - low + 1,
                                  .n_in = args->w.shape.n_in,
                                  .to = block->prepared,
                                  .alpha = args->alpha,
                                  .dtype = args->w.shape.dtype,
                              });
}

/* One product a phase, of those rows of every block that have it. */
static void transpose_phase(struct mill_backend *backend,
                            const struct mill_conv_transpose1d_args *args,
                            const struct blocks *blocks, int32_t phase) {
    const struct mill_weight_shape *shape = &args->w.shape;
    ptrdiff_t row_bytes = (ptrdiff_t)mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in);
    struct product_piece pieces[MAX_BLOCKS];
    int32_t n = 0, n_rows = 0, stride = args->stride;
    for (int32_t i = 0; i < blocks->n; i++) {
        const struct block *block = &blocks->at[i];
        int32_t t = shifted_first(args, block);
        int32_t row = phase - (t - floor_divide(t, stride) * stride);
        if (row < 0)
            row += stride;
        if (row >= block->n_rows)
            continue;
        int32_t newest = floor_divide(t + row, stride) - lowest_input(args, block);
        pieces[n] = (struct product_piece){
            .n_rows = (block->n_rows - 1 - row) / stride + 1,
            .a = (block->prepared + newest) * row_bytes,
            .y = ((int64_t)block->span->y_first + block->first + row) * args->y.stride};
        n_rows += pieces[n++].n_rows;
    }
    if (n == 0)
        return;
    mill_cpu_product_run(backend, &(struct product){
                                      .w = &args->w,
                                      .a = backend->prepared,
                                      .a_row = row_bytes,
                                      .a_tap = -row_bytes,
                                      .first_tap = phase,
                                      .tap_step = stride,
                                      .n_taps = (shape->n_taps - 1 - phase) / stride + 1,
                                      .n_out = shape->n_out,
                                      .n_rows = n_rows,
                                      .y = args->y.data,
                                      .y_stride = args->y.stride * stride,
                                      .pieces = pieces,
                                  });
}

static void transpose_blocks(struct mill_backend *backend,
                             const struct mill_conv_transpose1d_args *args, struct blocks *blocks) {
    for (int32_t phase = 0; phase < args->stride; phase++)
        transpose_phase(backend, args, blocks, phase);
    blocks->n = blocks->n_prepared = 0;
}

mill_status mill_cpu_conv_transpose1d(struct mill_backend *backend,
                                      const struct mill_conv_transpose1d_args *args) {
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->dtype == MILL_I8 || shape->n_taps < args->stride)
        return MILL_E_UNSUPPORTED;
    int64_t room = room_for(shape), reach = shape->n_taps / args->stride + 2;
    int64_t largest = (room - reach) * args->stride;
    if (largest < 1)
        return MILL_E_UNSUPPORTED;
    struct blocks blocks;
    blocks.n = blocks.n_prepared = 0;
    for (int32_t s = 0; s < args->n_spans; s++)
        for (int32_t first = 0, n; first < args->spans[s].n_y; first += n) {
            int32_t left = args->spans[s].n_y - first;
            n = left < largest ? left : (int32_t)largest;
            if (blocks.n == MAX_BLOCKS || blocks.n_prepared + n / args->stride + reach > room)
                transpose_blocks(backend, args, &blocks);
            prepare_transpose(backend, args, &blocks, &args->spans[s], first, n);
        }
    if (blocks.n > 0)
        transpose_blocks(backend, args, &blocks);
    return MILL_OK;
}
