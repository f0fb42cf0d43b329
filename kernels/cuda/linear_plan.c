/* linear_plan.c - which kernel computes a product, and how many blocks share a tile of it.
 *
 * A model of the card decides: the blocks of a multiprocessor, one behind the other, take as long
 * as their bytes need to come in, or as their products need; and the card as a whole cannot take in
 * more than its L2 cache gives. Its constants are those of an H100, predicted and not measured; of
 * other cards they have the order right. Host only, no state. */
#include "kernels/cuda/linear.h"

enum {
    PROCESSOR_BYTES = 48,  /* a clock, into one multiprocessor */
    L2_BYTES = 24,         /* ... into each when all ask */
    BLOCK_CLOCKS = 500,    /* until a block's first bytes are there */
    ROW_CLOCKS = 500,      /* for a warp to read a row and sum its squares */
    PREPARE_CLOCKS = 4000, /* a launch that converts x */
    MEETING_CLOCKS = 2000  /* for blocks that share a tile to write, meet and read */
};

static int32_t ceil_divide(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static int32_t segments_of(int32_t n_groups) {
    return ceil_divide(n_groups, LINEAR_CHUNK * LINEAR_SEGMENT);
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

/* Clocks until all is done. */
static double clocks_of(const struct linear_size *size, const struct linear_plan *plan) {
    const struct linear_kernel *kernel = plan->kernel;
    double groups = (double)size->n_groups / plan->n_splits;
    double rows = (double)size->n_rows / plan->n_row_tiles;
    double bytes = groups * (kernel->n_outs * BRICK_ROW_BYTES + rows * kernel->row_bytes);
    bool prepared = mill_cuda_linear_is_prepared(kernel->kind, size->normed);
    double before = prepared ? PREPARE_CLOCKS : 0;
    if (size->normed && !prepared) { /* every block reads its rows of x once more, all inputs */
        before = ROW_CLOCKS * ceil_divide(size->n_rows, plan->n_row_tiles * kernel->n_warps);
        bytes += size->n_groups * rows * kernel->row_bytes;
    }
    double products = groups * kernel->group_clocks;
    double block = bytes / PROCESSOR_BYTES > products ? bytes / PROCESSOR_BYTES : products;
    int32_t blocks = plan->n_tiles * plan->n_splits;
    double a_processor = ceil_divide(blocks, size->n_processors) * block;
    double l2 = blocks * bytes / ((double)L2_BYTES * size->n_processors);
    return before + BLOCK_CLOCKS + (a_processor > l2 ? a_processor : l2) +
           (plan->n_splits > 1 ? MEETING_CLOCKS : 0);
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
    plan.shared_bytes =
        shared_bytes_of(kernel, split_groups < size->n_groups ? split_groups : size->n_groups);
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
    double soonest = 0;
    for (int32_t k = 0; k < n_kernels; k++)
        for (int32_t n_splits = segments_of(size->n_groups); n_splits >= 1; n_splits /= 2) {
            struct linear_plan plan = mill_cuda_linear_plan_with(size, &kernels[k], n_splits);
            double clocks = plan.kernel ? clocks_of(size, &plan) : 0;
            if (plan.kernel && (!best.kernel || clocks < soonest)) {
                best = plan;
                soonest = clocks;
            }
        }
    return best;
}
