/* linear.c - the operator `linear`: what kind of product it is, rows prepared where the kind wants
 * them so, and a launch for every block of rows that the scratch memory has room for.
 */
#include "kernels/cuda/linear.h"

enum {
    MAX_I8_INPUTS = 8192, /* of a sum that int32 holds */
    MAX_PREPARED_ROWS = 1 << 17,
    /* The scratch memory: prepared rows, their scales, partial sums. */
    PREPARED_BYTES = 20 << 20, /* 2,048 rows of 4,864 bf16 inputs, and part of a tile */
    SCALES_AT = PREPARED_BYTES,
    PARTIAL_AT = SCALES_AT + MAX_PREPARED_ROWS * (int)sizeof(float),
};

unsigned mill_cuda_linear_kinds(int32_t capability, enum mill_dtype dtype) {
    if (dtype == MILL_F32)
        return 1u << LINEAR_F32;
    if (dtype == MILL_I8)
        return 1u << LINEAR_I8_ROWS;
    if (capability < 80)
        return 1u << LINEAR_BF16_FMAF;
    unsigned wide = capability == 90 ? 1u << LINEAR_BF16_WIDE : 0;
    return 1u << LINEAR_BF16 | 1u << LINEAR_BF16_ROWS | wide;
}

const struct linear_kernel *mill_cuda_linear_kernels(enum mill_dtype dtype, int32_t *n) {
    return dtype == MILL_F32    ? mill_cuda_linear_f32(n)
           : dtype == MILL_BF16 ? mill_cuda_linear_bf16(n)
                                : mill_cuda_linear_i8(n);
}

static bool is_whole(const void *data, int64_t step, int32_t n) {
    return (uintptr_t)data % 16 == 0 && step % 4 == 0 && n % 4 == 0;
}

static int32_t outputs_of(const struct mill_linear_args *args) {
    return args->n_out ? args->n_out : args->w.shape.n_out - args->first_out;
}

/* What a launch of all rows is told; take_rows then chooses some. */
static struct linear_run run_of(const struct mill_linear_args *args) {
    const struct mill_weight_shape *shape = &args->w.shape;
    int32_t n_out = outputs_of(args);
    struct linear_run run = {
        .weights = (const char *)args->w.image +
                   weight_brick_at(shape, args->first_out, 0, 0) * BRICK_BYTES,
        .x = args->x.data,
        .x_step = args->x.stride * (int64_t)sizeof(float),
        .gain = args->gain,
        .eps = args->eps,
        .n_in = shape->n_in,
        .n_out = n_out,
        .n_groups = weight_groups(shape),
        .y = args->y.data,
        .residual = args->residual.data,
        .bias = args->w.bias ? args->w.bias + args->first_out : NULL,
        .bias_group = args->bias_group,
        .y_step = args->y.stride,
        .residual_step = args->residual.stride,
        .bias_step = args->bias_stride,
        .act = args->act,
        .pairs = args->pairs,
        .whole_x = is_whole(args->x.data, args->x.stride, shape->n_in) &&
                   is_whole(args->gain, 0, shape->n_in),
        .whole_y = is_whole(args->y.data, args->y.stride, n_out) &&
                   is_whole(args->residual.data, args->residual.stride, n_out) &&
                   is_whole(args->w.bias, args->bias_stride, n_out),
    };
    if (shape->dtype == MILL_I8)
        run.weight_scale = (const float *)((const char *)args->w.image + weight_scales_at(shape)) +
                           args->first_out;
    return run;
}

/* The rows from `first` on, prepared if they are to be. */
static mill_status take_rows(struct mill_backend *backend, const struct mill_linear_args *args,
                             const struct linear_kernel *kernel, int32_t first, int32_t n_rows,
                             struct linear_run *run) {
    run->n_rows = n_rows;
    run->y += first * run->y_step;
    if (run->residual)
        run->residual += first * run->residual_step;
    if (run->bias_group)
        run->bias_group += first;
    run->x += first * run->x_step;
    if (!mill_cuda_linear_is_prepared(kernel->kind, args->gain))
        return MILL_OK;
    int32_t n_groups = kernel->n_wide ? mill_cuda_linear_wide_groups(run->n_groups) : run->n_groups;
    struct linear_preparation p = {
        .x = args->x,
        .to = backend->scratch,
        .row_bytes = n_groups * BRICK_ROW_BYTES,
        .gain = args->gain,
        .eps = args->eps,
        .dtype = args->w.shape.dtype,
        .scale = (float *)(backend->scratch + SCALES_AT),
        .transposed = kernel->kind == LINEAR_BF16_ROWS ||
                      (kernel->kind == LINEAR_I8_ROWS && !kernel->unit_groups),
        .tile_rows = kernel->block_rows,
    };
    p.x.data = (float *)args->x.data + first * args->x.stride;
    p.x.rows = n_rows;
    MILL_TRY(mill_cuda_linear_prepare(backend, &p));
    run->x = p.to;
    run->x_step = p.row_bytes;
    run->x_plane = (int64_t)n_rows * p.row_bytes;
    run->x_scale = p.scale;
    run->whole_x = true;
    return MILL_OK;
}

struct linear_size mill_cuda_linear_size(const struct mill_backend *backend,
                                         const struct mill_linear_args *args, int32_t n_rows) {
    return (struct linear_size){
        .kinds = mill_cuda_linear_kinds(backend->capability, args->w.shape.dtype),
        .normed = args->gain != NULL,
        .n_rows = n_rows,
        .n_out = outputs_of(args),
        .n_groups = weight_groups(&args->w.shape),
        .n_processors = backend->n_processors,
        /* Twice: code for sm_90 counts what the driver keeps of each block with what is fixed. */
        .shared_bytes = backend->shared_bytes - 2 * MILL_CUDA_STATIC_SHARED_BYTES,
        .prepared_bytes = PREPARED_BYTES,
        .partial_words = (MILL_CUDA_SCRATCH_BYTES - PARTIAL_AT) / (int)sizeof(int32_t),
        .max_shared_tiles = MILL_CUDA_ARRIVALS,
    };
}

mill_status mill_cuda_linear_run(struct mill_backend *backend, const struct mill_linear_args *args,
                                 int32_t first, int32_t n_rows, const struct linear_plan *plan) {
    struct linear_run run = run_of(args);
    MILL_TRY(take_rows(backend, args, plan->kernel, first, n_rows, &run));
    run.n_row_tiles = plan->n_row_tiles;
    run.n_splits = plan->n_splits;
    run.split_segments = plan->split_segments;
    run.partial = backend->scratch + PARTIAL_AT;
    run.arrived = backend->arrived;
    const void *function = (const void *)plan->kernel->function;
    MILL_TRY(mill_cuda_allow_shared(backend, function, (size_t)plan->shared_bytes));
    MILL_TRY(mill_cuda_prefer_shared(backend, function));
    plan->kernel->launch(backend, plan, &run);
    return mill_cuda_launched(backend, "linear");
}

/* Rows that the scratch memory has room for. */
static int32_t most_rows(const struct mill_linear_args *args) {
    int64_t row_bytes = (int64_t)weight_groups(&args->w.shape) * BRICK_ROW_BYTES;
    int64_t most = PREPARED_BYTES / (args->w.shape.dtype == MILL_I8 ? 2 * row_bytes : row_bytes);
    return most < MAX_PREPARED_ROWS ? (int32_t)most : MAX_PREPARED_ROWS;
}

mill_status mill_cuda_linear(struct mill_backend *backend, const struct mill_linear_args *args) {
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->n_taps != 1 || shape->n_in != args->x.columns)
        return MILL_E_INPUT;
    if (shape->dtype != MILL_F32 && shape->dtype != MILL_BF16 && shape->dtype != MILL_I8)
        return MILL_E_UNSUPPORTED;
    int32_t block = most_rows(args), n_kernels;
    if (block == 0 || (shape->dtype == MILL_I8 && shape->n_in > MAX_I8_INPUTS))
        return MILL_E_UNSUPPORTED;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(shape->dtype, &n_kernels);
    for (int32_t first = 0; first < args->x.rows; first += block) {
        int32_t n_rows = args->x.rows - first < block ? args->x.rows - first : block;
        struct linear_size size = mill_cuda_linear_size(backend, args, n_rows);
        struct linear_plan plan = mill_cuda_linear_plan(&size, kernels, n_kernels);
        if (!plan.kernel)
            return MILL_E_UNSUPPORTED;
        MILL_TRY(mill_cuda_linear_run(backend, args, first, n_rows, &plan));
    }
    return MILL_OK;
}
