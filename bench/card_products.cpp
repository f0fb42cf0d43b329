/* card_products.cpp - how fast each kernel of `linear` is, for the model in
 * kernels/cuda/linear_plan.c.
 *
 *     bench_products [--least]
 *
 * The language model's layers in the published shapes, of some rows, by every kernel that this card
 * can run and several numbers of blocks that share a tile: also those that the plan would not take.
 * Comma-separated on standard output; `chosen` marks what the plan takes. Rows that a kernel wants
 * prepared are prepared, which counts. Launches repeat as a graph, the weights in turn from copies
 * that exceed the caches. Linked with the backend itself. --least: to see that it runs. */
#include "bench/card_memory.h"
#include "kernels/cuda/linear.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <string.h>

enum { MOST_RUNS = 9, WEIGHT_BYTES = 200 << 20, MOST_SPLITS = 8 };

static const struct layer {
    const char *name;
    int32_t n_out, n_in;
    bool normed, gated;
} layers[] = {
    {"qkv 1152x896", 1152, 896, true, false},    {"o 896x896", 896, 896, false, false},
    {"gate-up 9728x896", 9728, 896, true, true}, {"down 896x4864", 896, 4864, false, false},
    {"head 8193x896", 8193, 896, true, false},
};

static const enum mill_dtype dtypes[] = {MILL_BF16, MILL_I8};

struct bench {
    struct mill_backend *backend;
    int32_t most_rows, burst;
    float *x, *y, *gain;
    char *w;
};

static struct mill_linear_args args_of(const struct bench *b, const struct layer *l,
                                       enum mill_dtype dtype, int32_t n_rows) {
    struct mill_linear_args args = {};
    int32_t n_y = l->gated ? l->n_out / 2 : l->n_out, y_step = (n_y + 3) / 4 * 4;
    args.x = {b->x, MILL_F32, n_rows, l->n_in, l->n_in};
    args.y = {b->y, MILL_F32, n_rows, n_y, y_step};
    args.w = {{l->n_out, 1, l->n_in, dtype}, b->w, NULL};
    args.gain = l->normed ? b->gain : NULL;
    args.eps = 1e-6f;
    args.act = l->gated ? MILL_ACT_SILU : MILL_ACT_NONE;
    args.pairs = l->gated ? MILL_PAIRS_GATE : MILL_PAIRS_NONE;
    if (!l->normed)
        args.residual = args.y;
    return args;
}

/* Each launch with the next copy of the weights. */
static mill_status run_burst(const struct bench *b, struct mill_linear_args args,
                             const struct linear_plan *plan) {
    size_t bytes =
        (mill_cuda_weight_bytes(&args.w.shape) + BRICK_BYTES - 1) / BRICK_BYTES * BRICK_BYTES;
    size_t copies = WEIGHT_BYTES / bytes;
    for (int32_t i = 0; i < b->burst; i++) {
        args.w.image = b->w + (size_t)i % copies * bytes;
        mill_status status = mill_cuda_linear_run(b->backend, &args, 0, args.x.rows, plan);
        if (status < 0)
            return status;
    }
    return MILL_OK;
}

/* The median of some bursts; 0 where the kernel cannot be launched. */
static double seconds_of(const struct bench *b, const struct mill_linear_args *args,
                         const struct linear_plan *plan) {
    struct mill_graph *graph = NULL;
    double seconds[MOST_RUNS], total = 0;
    int n = 0;
    if (run_burst(b, *args, plan) < 0 || mill_cuda_synchronize(b->backend) < 0 ||
        mill_cuda_graph_begin(b->backend) < 0)
        return 0;
    run_burst(b, *args, plan);
    if (mill_cuda_graph_end(b->backend, &graph) < 0)
        return 0;
    while (n < MOST_RUNS && total < 0.01) {
        double start = mill_clock_seconds();
        if (mill_cuda_graph_launch(b->backend, graph) < 0 || mill_cuda_synchronize(b->backend) < 0)
            break;
        double passed = mill_clock_seconds() - start;
        total += passed;
        seconds[n++] = passed / b->burst;
    }
    mill_cuda_graph_free(b->backend, graph);
    return n ? median(seconds, n) : 0;
}

static bool is_same(const struct linear_plan *a, const struct linear_plan *b) {
    return a->kernel == b->kernel && a->n_splits == b->n_splits;
}

static void time_kernels(const struct bench *b, const struct layer *l, enum mill_dtype dtype,
                         int32_t n_rows) {
    struct mill_linear_args args = args_of(b, l, dtype, n_rows);
    struct linear_size size = mill_cuda_linear_size(b->backend, &args, n_rows);
    int32_t n_kernels;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(dtype, &n_kernels);
    struct linear_plan chosen = mill_cuda_linear_plan(&size, kernels, n_kernels);
    for (int32_t k = 0; k < n_kernels; k++)
        for (int32_t splits = 1, before = 0; splits <= MOST_SPLITS; splits++) {
            struct linear_plan plan = mill_cuda_linear_plan_with(&size, &kernels[k], splits);
            if (!plan.kernel || plan.n_splits == before || kernels[k].n_rows > 8 * n_rows + 16)
                continue;
            before = plan.n_splits;
            double seconds = seconds_of(b, &args, &plan);
            double weights = (double)l->n_out * l->n_in;
            printf("%s,%s,%d,%d,%d x %d,%d,%d,%d,%.2f,%.0f,%.1f,%s\n", l->name,
                   mill_dtype_name(dtype), n_rows, plan.kernel->kind, plan.kernel->n_rows,
                   plan.kernel->n_outs, plan.n_warps, plan.n_splits,
                   plan.n_tiles * plan.n_splits * plan.kernel->n_blocks, 1e6 * seconds,
                   weights * (double)mill_dtype_bytes(dtype) / seconds / 1e9,
                   2 * weights * n_rows / seconds / 1e12, is_same(&plan, &chosen) ? "chosen" : "");
        }
    fflush(stdout);
}

static bool take_memory(struct bench *b) {
    const size_t most_in = 4864, most_out = 9728;
    b->x = static_cast<float *>(random_words(
        b->backend, (size_t)b->most_rows * most_in * sizeof(float), F32_KEEP, F32_SET));
    b->y = static_cast<float *>(random_words(
        b->backend, (size_t)b->most_rows * most_out * sizeof(float), F32_KEEP, F32_SET));
    b->gain =
        static_cast<float *>(random_words(b->backend, most_in * sizeof(float), F32_KEEP, F32_SET));
    b->w = static_cast<char *>(random_words(b->backend, WEIGHT_BYTES, BF16_KEEP, BF16_SET));
    return b->x && b->y && b->gain && b->w;
}

int main(int argc, char **argv) {
    struct bench b = {};
    struct mill_error err = {""};
    const struct mill_backend_options options = {};
    bool least = argc > 1 && strcmp(argv[1], "--least") == 0;
    b.most_rows = least ? 1 : 2048;
    b.burst = least ? 1 : 40;
    if (mill_cuda_open(&b.backend, &options, &err) < 0) {
        fprintf(stderr, "bench_products: %s\n", err.text);
        return 77;
    }
    bool good = take_memory(&b);
    printf("layer,type,rows,kind,tile,warps,splits,blocks,microseconds,GB/s,TFLOP/s,plan\n");
    for (const struct layer &layer : layers)
        for (enum mill_dtype dtype : dtypes)
            for (int32_t rows = 1; good && rows <= b.most_rows; rows *= rows < 512 ? 2 : 4)
                time_kernels(&b, &layer, dtype, rows);
    good = good && mill_cuda_synchronize(b.backend) >= 0;
    if (!good)
        fprintf(stderr, "bench_products: %s\n", b.backend->failure);
    mill_cuda_close(b.backend);
    return good ? 0 : 1;
}
