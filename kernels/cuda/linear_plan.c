/* linear_plan.c - which kernel computes a product, and how many blocks share a tile of it: the
 * soonest by what each kernel took on an H200, or is predicted to (linear_pace; bench/results/
 * nvidia-h200/products.csv; test_linear_plan holds the two together). Of other cards that has the
 * order right, not measured. Host only, no state. */
#include "kernels/cuda/linear.h"

enum { MAX_GRID_Y = 65535 /* of any card */ };

static int32_t ceil_divide(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static int32_t segments_of(int32_t n_groups) {
    return ceil_divide(n_groups, LINEAR_CHUNK * LINEAR_SEGMENT);
}

/* Warps of a block of linear_few.h, all with as many units if that can be. */
static int32_t few_warps(const struct linear_kernel *kernel, int32_t n_groups) {
    if (kernel->whole_units > 1)
        return kernel->n_warps;
    int32_t units = ceil_divide(n_groups, kernel->unit_groups);
    return ceil_divide(units, ceil_divide(units, kernel->n_warps));
}

/* Weights, rows of x rounded to bf16, what they are normed by, sums of units, or of warps, and what
 * is added to sums. */
static int64_t few_shared_bytes(const struct linear_kernel *kernel,
                                const struct linear_size *size) {
    int32_t warps = few_warps(kernel, size->n_groups);
    int32_t units = ceil_divide(ceil_divide(size->n_groups, kernel->unit_groups), warps);
    units = ceil_divide(units, kernel->whole_units) * kernel->whole_units * warps;
    int32_t rows = size->n_rows < kernel->n_rows ? size->n_rows : kernel->n_rows;
    int64_t groups = (int64_t)units * kernel->unit_groups;
    int64_t slots = (kernel->is_exact ? warps : units) + 2;
    int64_t bytes =
        groups * kernel->waiting_bricks * BRICK_BYTES + slots * rows * kernel->exchange_bytes;
    if (kernel->kind == LINEAR_BF16)
        bytes += rows * (groups | 1) * BRICK_ROW_BYTES;
    if (kernel->kind == LINEAR_BF16 && size->normed)
        bytes += 2 * groups * BRICK_ROW_BYTES;
    return bytes;
}

/* Shared memory of a block that sums n_groups. */
static int32_t shared_bytes_of(const struct linear_kernel *kernel, int32_t n_groups) {
    int32_t rounds = ceil_divide(ceil_divide(n_groups, LINEAR_CHUNK), kernel->n_slices);
    int32_t stages = rounds * kernel->stages_a_chunk;
    int32_t ring = (stages < kernel->n_stages ? stages : kernel->n_stages) * kernel->stage_bytes;
    return kernel->n_slices > 1 ? ring + kernel->exchange_bytes
                                : larger(ring, kernel->exchange_bytes);
}

bool mill_cuda_linear_is_prepared(enum linear_kind kind, bool normed) {
    return kind == LINEAR_F32 ? normed : kind != LINEAR_BF16;
}

/* Chunks of inputs that a block waits for, one after the other. */
static int32_t steps_of(const struct linear_size *size, const struct linear_plan *plan) {
    const struct linear_kernel *kernel = plan->kernel;
    if (kernel->unit_groups)
        return ceil_divide(ceil_divide(size->n_groups, kernel->unit_groups), plan->n_warps);
    int32_t split = plan->split_segments * LINEAR_SEGMENT;
    int32_t chunks = ceil_divide(size->n_groups, LINEAR_CHUNK);
    return ceil_divide(split < chunks ? split : chunks, larger(kernel->n_slices, 1));
}

/* So many blocks at once. */
static double turn_microseconds(const struct linear_size *size, const struct linear_plan *plan,
                                int32_t blocks) {
    const struct linear_pace *pace = &plan->kernel->pace;
    double fill = (double)blocks / size->n_processors, rows = size->n_rows;
    /* A warp group reads a whole tile, however many rows of it there are. */
    bool is_whole = plan->kernel->n_wide || rows >= plan->kernel->n_rows;
    double share = is_whole ? 1 : rows / plan->kernel->n_rows;
    double step = pace->step + pace->more * share * (fill < 1 ? fill : 1);
    return blocks > 0 ? pace->block + steps_of(size, plan) * step : 0;
}

double mill_cuda_linear_microseconds(const struct linear_size *size,
                                     const struct linear_plan *plan) {
    const struct linear_pace *pace = &plan->kernel->pace;
    int32_t n_blocks = plan->kernel->n_blocks, clusters = size->n_processors / n_blocks;
    int32_t blocks = plan->n_tiles * plan->n_splits * n_blocks;
    int32_t abreast = clusters * n_blocks * pace->abreast;
    return pace->start + (size->normed ? pace->norm : 0) +
           (plan->n_splits > 1 ? pace->meeting : 0) +
           blocks / abreast * turn_microseconds(size, plan, abreast) +
           turn_microseconds(size, plan, blocks % abreast);
}

int32_t mill_cuda_linear_wide_groups(int32_t n_groups) {
    return ceil_divide(n_groups, LINEAR_CHUNK) * LINEAR_CHUNK;
}

/* All segments by one block, or each by another. */
static struct linear_plan wide_plan(const struct linear_size *size,
                                    const struct linear_kernel *kernel, struct linear_plan plan) {
    int64_t row_bytes = (int64_t)mill_cuda_linear_wide_groups(size->n_groups) * BRICK_ROW_BYTES;
    int64_t words = (int64_t)plan.n_tiles * plan.n_splits * kernel->n_rows * kernel->n_outs;
    int32_t rows = ceil_divide(size->n_rows, kernel->block_rows) * kernel->block_rows;
    bool fits = (size->kinds >> kernel->kind & 1) && kernel->exchange_bytes <= size->shared_bytes &&
                kernel->n_blocks <= size->n_processors && rows * row_bytes <= size->prepared_bytes;
    if (plan.n_splits > 1)
        fits = fits && plan.split_segments == 1 && words <= size->partial_words &&
               plan.n_tiles <= size->max_shared_tiles / kernel->n_wide;
    plan.shared_bytes = kernel->exchange_bytes;
    plan.kernel = fits ? kernel : NULL;
    return plan;
}

struct linear_plan mill_cuda_linear_plan_with(const struct linear_size *size,
                                              const struct linear_kernel *kernel,
                                              int32_t n_splits) {
    int32_t segments = segments_of(size->n_groups);
    int32_t row_tiles = ceil_divide(size->n_rows, kernel->n_rows);
    int64_t tiles = (int64_t)row_tiles * ceil_divide(size->n_out, kernel->n_outs);
    struct linear_plan plan = {.n_row_tiles = row_tiles, .n_tiles = (int32_t)tiles};
    plan.split_segments = ceil_divide(segments, n_splits);
    plan.n_splits = ceil_divide(segments, plan.split_segments);
    int32_t split_groups = plan.split_segments * LINEAR_SEGMENT * LINEAR_CHUNK;
    plan.n_warps = kernel->n_warps;
    if (kernel->unit_groups) {
        int64_t bytes = few_shared_bytes(kernel, size);
        bool fits = tiles / row_tiles <= MAX_GRID_Y && bytes <= size->shared_bytes;
        if (plan.n_splits > 1 || !fits)
            return plan;
        plan.n_warps = few_warps(kernel, size->n_groups);
        plan.shared_bytes = (int32_t)bytes;
    } else if (kernel->n_wide) {
        return tiles <= INT32_MAX / segments / kernel->n_blocks ? wide_plan(size, kernel, plan)
                                                                : plan;
    } else {
        plan.shared_bytes =
            shared_bytes_of(kernel, split_groups < size->n_groups ? split_groups : size->n_groups);
    }
    int64_t words = (int64_t)segments * 2 * size->n_rows * (size->n_out + 3);
    bool fits = (size->kinds >> kernel->kind & 1) && plan.shared_bytes <= size->shared_bytes &&
                segments <= kernel->max_segments && tiles <= INT32_MAX / larger(segments, 1);
    if (plan.n_splits > 1)
        fits = fits && words <= size->partial_words && tiles <= size->max_shared_tiles;
    plan.kernel = fits ? kernel : NULL;
    return plan;
}

struct linear_plan mill_cuda_linear_plan(const struct linear_size *size,
                                         const struct linear_kernel *kernels, int32_t n_kernels) {
    struct linear_plan best = {.kernel = NULL};
    double least = 0;
    for (int32_t k = 0; k < n_kernels; k++)
        for (int32_t n_splits = segments_of(size->n_groups); n_splits >= 1; n_splits /= 2) {
            struct linear_plan plan = mill_cuda_linear_plan_with(size, &kernels[k], n_splits);
            double time = plan.kernel ? mill_cuda_linear_microseconds(size, &plan) : 0;
            if (plan.kernel && (!best.kernel || time < least)) {
                best = plan;
                least = time;
            }
        }
    return best;
}
