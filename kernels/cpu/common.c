/* common.c - embed, copy_rows, norm, linear on the cpu: argument checks, blocks of rows, and the
 * product driver below them. */
#include "kernels/cpu/cpu_backend.h"

#include <string.h>

static void rows_task(void *context, int task, int worker) {
    (void)worker;
    const struct rows_run *run = context;
    int32_t end = (task + 1) * run->rows_a_task;
    for (int32_t r = task * run->rows_a_task; r < end && r < run->n_rows; r++)
        run->row(run, r);
}

/* About 8,000 values a task. */
void mill_cpu_rows_run(struct mill_backend *backend, struct rows_run *run, int32_t columns) {
    run->isa = backend->isa;
    run->rows_a_task = 8192 / (columns + 1) + 1;
    mill_pool_run(backend->pool, rows_task, run,
                  (run->n_rows + run->rows_a_task - 1) / run->rows_a_task);
}

mill_status mill_cpu_embed(struct mill_backend *backend, const struct mill_embed_args *args) {
    (void)backend;
    size_t n = (size_t)args->y.columns, bytes = mill_dtype_bytes(args->table_dtype);
    for (int32_t r = 0; r < args->y.rows; r++) {
        int32_t id = args->ids[r] < 0 ? args->drawn[-1 - args->ids[r]] : args->ids[r];
        size_t row = id < 0 ? 0 : (size_t)id;
        mill_dtype_to_f32(args->table_dtype, (const char *)args->table + row * n * bytes,
                          matrix_row(&args->y, r), n);
    }
    return MILL_OK;
}

struct copy_run {
    const struct mill_copy_rows_args *args;
    const struct mill_span *span;
    int32_t rows_a_task;
};

static void copy_task(void *context, int task, int worker) {
    (void)worker;
    const struct copy_run *run = context;
    const struct mill_matrix *y = &run->args->y, *x = &run->args->x;
    int32_t first = task * run->rows_a_task, left = run->span->n_y - first;
    int32_t n = left < run->rows_a_task ? left : run->rows_a_task;
    size_t row_bytes = (size_t)y->columns * sizeof(float);
    for (int32_t r = first; r < first + n; r++)
        memcpy(matrix_row(y, run->span->y_first + r), matrix_row(x, run->span->x_first + r),
               row_bytes);
}

mill_status mill_cpu_copy_rows(struct mill_backend *backend,
                               const struct mill_copy_rows_args *args) {
    for (int32_t s = 0; s < args->n_spans; s++) {
        struct copy_run run = {args, &args->spans[s], 16384 / (args->y.columns + 1) + 1};
        mill_pool_run(backend->pool, copy_task, &run,
                      (run.span->n_y + run.rows_a_task - 1) / run.rows_a_task);
    }
    return MILL_OK;
}

static void norm_row(const struct rows_run *run, int32_t row) {
    run->isa->norm(run->args, row);
}

mill_status mill_cpu_norm(struct mill_backend *backend, const struct mill_norm_args *args) {
    struct rows_run run = {.args = args, .row = norm_row, .n_rows = args->x.rows};
    mill_cpu_rows_run(backend, &run, args->x.columns);
    return MILL_OK;
}

mill_status mill_cpu_linear(struct mill_backend *backend, const struct mill_linear_args *args) {
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->n_taps != 1 || shape->n_in != args->x.columns)
        return MILL_E_INPUT;
    size_t row_bytes = mill_cpu_prepared_row_bytes(shape->dtype, shape->n_in);
    if (row_bytes > PREPARED_BYTES)
        return MILL_E_UNSUPPORTED;
    int32_t block = (int32_t)(PREPARED_BYTES / row_bytes);
    if (block > PREPARED_ROWS)
        block = PREPARED_ROWS;
    for (int32_t first = 0; first < args->x.rows; first += block) {
        int32_t n_rows = args->x.rows - first < block ? args->x.rows - first : block;
        mill_cpu_prepare(backend, &(struct preparation){
                                      .x = matrix_row(&args->x, first),
                                      .x_stride = args->x.stride,
                                      .n_x = n_rows,
                                      .n_rows = n_rows,
                                      .n_in = shape->n_in,
                                      .gain = args->gain,
                                      .eps = args->eps,
                                      .dtype = shape->dtype,
                                  });
        mill_cpu_product_run(
            backend,
            &(struct product){
                .w = &args->w,
                .a = backend->prepared,
                .a_row = (ptrdiff_t)row_bytes,
                .a_coded = backend->coded_rows,
                .tap_step = 1,
                .n_taps = 1,
                .first_out = args->first_out,
                .n_out = args->n_out ? args->n_out : shape->n_out - args->first_out,
                .n_rows = n_rows,
                .y = matrix_row(&args->y, first),
                .y_stride = args->y.stride,
                .residual = args->residual.data ? matrix_row(&args->residual, first) : NULL,
                .residual_stride = args->residual.stride,
                .bias_group = args->bias_group ? args->bias_group + first : NULL,
                .bias_stride = args->bias_stride,
                .act = args->act,
                .pairs = args->pairs,
            });
    }
    return MILL_OK;
}
