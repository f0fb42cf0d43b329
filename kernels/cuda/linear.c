/* linear.c - the operators `linear` and `feed_forward`: what kind of product it is, rows prepared
 * where the kind wants them so, and a launch for every block of rows that the scratch memory has
 * room for. Of two products by warp groups the first prepares the rows of the second. */
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

/* The rows from `first` on. */
static void take_rows(struct linear_run *run, int32_t first, int32_t n_rows) {
    run->n_rows = n_rows;
    run->y += first * run->y_step;
    if (run->residual)
        run->residual += first * run->residual_step;
    if (run->bias_group)
        run->bias_group += first;
    run->x += first * run->x_step;
}

/* They are prepared, if the kernel wants them so. */
static mill_status prepare_rows(struct mill_backend *backend, const struct mill_linear_args *args,
                                const struct linear_kernel *kernel, int32_t first,
                                struct linear_run *run) {
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
    p.x.rows = run->n_rows;
    MILL_TRY(mill_cuda_linear_prepare(backend, &p));
    run->x = p.to;
    run->x_step = p.row_bytes;
    run->x_plane = (int64_t)run->n_rows * p.row_bytes;
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

static mill_status launch(struct mill_backend *backend, const struct linear_plan *plan,
                          struct linear_run *run) {
    run->n_row_tiles = plan->n_row_tiles;
    run->n_splits = plan->n_splits;
    run->split_segments = plan->split_segments;
    run->partial = backend->scratch + PARTIAL_AT;
    run->arrived = backend->arrived;
    const void *function = (const void *)plan->kernel->function;
    MILL_TRY(mill_cuda_allow_shared(backend, function, (size_t)plan->shared_bytes));
    MILL_TRY(mill_cuda_prefer_shared(backend, function));
    plan->kernel->launch(backend, plan, run);
    return mill_cuda_launched(backend, "linear");
}

mill_status mill_cuda_linear_run(struct mill_backend *backend, const struct mill_linear_args *args,
                                 int32_t first, int32_t n_rows, const struct linear_plan *plan) {
    struct linear_run run = run_of(args);
    take_rows(&run, first, n_rows);
    MILL_TRY(prepare_rows(backend, args, plan->kernel, first, &run));
    return launch(backend, plan, &run);
}

/* Rows that the scratch memory has room for. */
static int32_t most_rows(const struct mill_linear_args *args) {
    int64_t row_bytes = (int64_t)weight_groups(&args->w.shape) * BRICK_ROW_BYTES;
    int64_t most = PREPARED_BYTES / (args->w.shape.dtype == MILL_I8 ? 2 * row_bytes : row_bytes);
    return most < MAX_PREPARED_ROWS ? (int32_t)most : MAX_PREPARED_ROWS;
}

/* kernel NULL: none does it. */
static struct linear_plan plan_rows(const struct mill_backend *backend,
                                    const struct mill_linear_args *args, int32_t n_rows) {
    int32_t n_kernels;
    struct linear_size size = mill_cuda_linear_size(backend, args, n_rows);
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(args->w.shape.dtype, &n_kernels);
    return mill_cuda_linear_plan(&size, kernels, n_kernels);
}

static mill_status check(const struct mill_linear_args *args) {
    const struct mill_weight_shape *shape = &args->w.shape;
    if (shape->n_taps != 1 || shape->n_in != args->x.columns)
        return MILL_E_INPUT;
    bool is_known =
        shape->dtype == MILL_F32 || shape->dtype == MILL_BF16 || shape->dtype == MILL_I8;
    if (!is_known || most_rows(args) == 0 ||
        (shape->dtype == MILL_I8 && shape->n_in > MAX_I8_INPUTS))
        return MILL_E_UNSUPPORTED;
    return MILL_OK;
}

mill_status mill_cuda_linear(struct mill_backend *backend, const struct mill_linear_args *args) {
    MILL_TRY(check(args));
    int32_t block = most_rows(args);
    for (int32_t first = 0; first < args->x.rows; first += block) {
        int32_t n_rows = args->x.rows - first < block ? args->x.rows - first : block;
        struct linear_plan plan = plan_rows(backend, args, n_rows);
        if (!plan.kernel)
            return MILL_E_UNSUPPORTED;
        MILL_TRY(mill_cuda_linear_run(backend, args, first, n_rows, &plan));
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ feed_forward */

/* Of all blocks' tiles. */
static int32_t rows_of_tiles(const struct linear_kernel *kernel, int32_t n_rows) {
    return (n_rows + kernel->block_rows - 1) / kernel->block_rows * kernel->block_rows;
}

bool mill_cuda_linear_hands_over(const struct mill_feed_forward_args *args,
                                 const struct linear_kernel *up, const struct linear_kernel *down) {
    if (!up->n_wide || !down->n_wide)
        return false;
    const struct mill_matrix *y = &args->up.y;
    int32_t n_between = args->down.w.shape.n_in, n_groups = weight_groups(&args->down.w.shape);
    int64_t room = ((y->rows - 1) * y->stride + n_between) * (int64_t)sizeof(float);
    int64_t rows = rows_of_tiles(down, y->rows);
    return mill_cuda_linear_wide_groups(n_groups) * 32 == n_between && run_of(&args->up).whole_y &&
           !args->up.residual.data && !args->down.gain && rows <= rows_of_tiles(up, y->rows) &&
           rows * n_between * (int)sizeof(uint16_t) <= room;
}

mill_status mill_cuda_linear_run_both(struct mill_backend *backend,
                                      const struct mill_feed_forward_args *args,
                                      const struct linear_plan *up_plan,
                                      const struct linear_plan *down_plan) {
    int32_t n_rows = args->up.x.rows;
    struct linear_run up = run_of(&args->up), down = run_of(&args->down);
    take_rows(&up, 0, n_rows);
    take_rows(&down, 0, n_rows);
    up.planes = args->up.y.data;
    up.planes_rows = down_plan->kernel->block_rows;
    up.planes_groups = down.n_groups;
    up.planes_end = rows_of_tiles(down_plan->kernel, n_rows);
    down.x = args->up.y.data;
    down.whole_x = true;
    MILL_TRY(prepare_rows(backend, &args->up, up_plan->kernel, 0, &up));
    MILL_TRY(launch(backend, up_plan, &up));
    return launch(backend, down_plan, &down);
}

mill_status mill_cuda_feed_forward(struct mill_backend *backend,
                                   const struct mill_feed_forward_args *args) {
    int32_t n_rows = args->up.x.rows;
    if (args->down.x.data != args->up.y.data)
        return MILL_E_INPUT;
    MILL_TRY(check(&args->up));
    MILL_TRY(check(&args->down));
    if (n_rows == 0)
        return MILL_OK;
    if (n_rows > most_rows(&args->up) || n_rows > most_rows(&args->down)) {
        MILL_TRY(mill_cuda_linear(backend, &args->up));
        return mill_cuda_linear(backend, &args->down);
    }
    struct linear_plan up = plan_rows(backend, &args->up, n_rows),
                       down = plan_rows(backend, &args->down, n_rows);
    if (!up.kernel || !down.kernel)
        return MILL_E_UNSUPPORTED;
    if (mill_cuda_linear_hands_over(args, up.kernel, down.kernel))
        return mill_cuda_linear_run_both(backend, args, &up, &down);
    MILL_TRY(mill_cuda_linear_run(backend, &args->up, 0, n_rows, &up));
    return mill_cuda_linear_run(backend, &args->down, 0, n_rows, &down);
}
