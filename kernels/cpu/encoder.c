/* encoder.c - attention over whole spans, means over rows and sums of matrices, on the cpu.
 *
 * Attention takes up to ATTN_QUERIES rows of one head at a time, so a run of keys is gathered from
 * its strided rows once for all of them. Runs start at every ATTN_KEYS of the span, whatever rows
 * are asked for. */
#include "kernels/cpu/cpu_backend.h"

struct attn_dense_run {
    const struct mill_attn_dense_args *args;
    const struct mill_span *span;
    const struct cpu_isa *isa;
    int32_t head_dim;
};

static void attn_dense_task(void *context, int task, int worker) {
    (void)worker;
    const struct attn_dense_run *run = context;
    const struct mill_attn_dense_args *args = run->args;
    const struct mill_span *span = run->span;
    int32_t first = task / args->n_heads * ATTN_QUERIES, left = span->n_y - first;
    int32_t n = left < ATTN_QUERIES ? left : ATTN_QUERIES;
    int64_t column = (int64_t)(task % args->n_heads) * run->head_dim;
    int64_t row = (int64_t)span->y_first + first;
    struct attn_queries queries;
    mill_cpu_attn_begin(&queries, matrix_row(&args->q, row) + column, args->q.stride, n,
                        run->head_dim, args->scale);
    for (int32_t at = 0; at < span->n_x; at += ATTN_KEYS) {
        int64_t key = (int64_t)span->x_first + at;
        run->isa->attn(&queries, &(struct attn_keys){
                                     .k = matrix_row(&args->k, key) + column,
                                     .v = matrix_row(&args->v, key) + column,
                                     .dtype = MILL_F32,
                                     .n = span->n_x - at < ATTN_KEYS ? span->n_x - at : ATTN_KEYS,
                                     .k_stride = args->k.stride,
                                     .v_stride = args->v.stride,
                                 });
    }
    mill_cpu_attn_end(&queries, matrix_row(&args->y, row) + column, args->y.stride);
}

mill_status mill_cpu_attn_dense(struct mill_backend *backend,
                                const struct mill_attn_dense_args *args) {
    if (args->n_heads < 1 || args->q.columns % args->n_heads)
        return MILL_E_INPUT;
    int32_t head_dim = args->q.columns / args->n_heads;
    if (!mill_cpu_head_dim_is_supported(head_dim))
        return MILL_E_UNSUPPORTED;
    for (int32_t s = 0; s < args->n_spans; s++) {
        struct attn_dense_run run = {args, &args->spans[s], backend->isa, head_dim};
        int32_t n_blocks = (args->spans[s].n_y + ATTN_QUERIES - 1) / ATTN_QUERIES;
        mill_pool_run(backend->pool, attn_dense_task, &run, n_blocks * args->n_heads);
    }
    return MILL_OK;
}

enum { POOL_COLUMNS = 64 };

struct pool_mean_run {
    const struct mill_pool_mean_args *args;
    int32_t n_blocks; /* of POOL_COLUMNS columns */
};

/* The rows are added in their order, in double: one rounding. */
static void pool_mean_task(void *context, int task, int worker) {
    (void)worker;
    const struct pool_mean_run *run = context;
    const struct mill_matrix *x = &run->args->x;
    const struct mill_span *span = &run->args->spans[task / run->n_blocks];
    int32_t column = task % run->n_blocks * POOL_COLUMNS, left = x->columns - column;
    int32_t n = left < POOL_COLUMNS ? left : POOL_COLUMNS;
    double sum[POOL_COLUMNS] = {0};
    for (int32_t t = 0; t < span->n_x; t++) {
        const float *from = matrix_row(x, (int64_t)span->x_first + t) + column;
        for (int32_t i = 0; i < n; i++)
            sum[i] += from[i];
    }
    float *y = matrix_row(&run->args->y, span->y_first) + column;
    for (int32_t i = 0; i < n; i++)
        y[i] = (float)(sum[i] / span->n_x);
}

mill_status mill_cpu_pool_mean(struct mill_backend *backend,
                               const struct mill_pool_mean_args *args) {
    struct pool_mean_run run = {args, (args->x.columns + POOL_COLUMNS - 1) / POOL_COLUMNS};
    mill_pool_run(backend->pool, pool_mean_task, &run, args->n_spans * run.n_blocks);
    return MILL_OK;
}

static void mix_row(const struct rows_run *run, int32_t row) {
    run->isa->mix(run->args, row);
}

mill_status mill_cpu_mix(struct mill_backend *backend, const struct mill_mix_args *args) {
    struct rows_run run = {.args = args, .row = mix_row, .n_rows = args->x.rows};
    mill_cpu_rows_run(backend, &run, args->x.columns);
    return MILL_OK;
}
