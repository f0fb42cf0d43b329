/* card_tiles.cpp - how fast each tile of the convolutions' kernels is, for
 * kernels/cuda/conv_rates.h; and a residual unit in one kernel.
 *
 *     bench_tiles [--least]
 *
 * The decoder's layers in the published shapes, of some streams of 25 frames each, in every tile
 * that this card can run: also those that the launcher would not take. Comma-separated on standard
 * output; `of_best` is the share of the fastest tile of the same kernel and layer, `planned` what
 * the launcher takes the microseconds for, without those of a launch. Linked with the backend
 * itself. --least: one stream, few layers, to see that it runs. */
#include "bench/card_layers.h"
#include "bench/card_memory.h"
#include "kernels/cuda/residual_unit.h"
#include "kernels/cuda/weights.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 9 };

/* Of a unit, at once; what it takes in two is in the lines of its layers. */
static const struct unit {
    const char *name;
    int32_t oldest, newest; /* cards that run it */
    struct unit_kernel (*kernel)(const struct conv_args *dilated);
} units[] = {
    {"residual_unit_wide", 90, 90, mill_cuda_unit_wide},
    {"residual_unit_mma", 80, 999, mill_cuda_unit_mma},
};

static const struct kernel {
    const char *name;
    int32_t oldest, newest; /* cards that run it */
    int32_t (*tiles)(const struct conv_args *, struct conv_tile *);
} kernels[] = {
    {"conv_wide", 90, 90, mill_cuda_conv_wide},
    {"conv_mma", 80, 999, mill_cuda_conv_mma},
    {"conv_ffma", 75, 999, mill_cuda_conv_ffma},
};

struct bench {
    struct mill_backend *backend;
    int32_t n_layers, most_streams, burst; /* launches that are timed together */
    void *x, *y, *w;                       /* as large as any layer wants them, used by all */
    float *alpha;
};

/* ------------------------------------------------------------------ memory */

static size_t x_floats(const struct card_layer *l, int32_t n_streams) {
    return (size_t)n_streams * CARD_FRAMES * (size_t)(l->rows_a_frame * l->n_in);
}
static size_t y_floats(const struct card_layer *l, int32_t n_streams) {
    int32_t rows = l->rows_a_frame * (l->stride ? l->stride : 1);
    return (size_t)n_streams * CARD_FRAMES * (size_t)(rows * l->n_out);
}
static struct mill_weight_shape weight_shape(const struct card_layer *l) {
    return {l->n_out, l->n_taps, l->n_in, MILL_BF16};
}

static bool take_memory(struct bench *b) {
    size_t x = 0, y = 0, w = 0;
    for (int32_t i = 0; i < b->n_layers; i++) {
        const struct mill_weight_shape shape = weight_shape(&card_layers[i]);
        size_t bytes = mill_cuda_weight_bytes(&shape);
        w = bytes > w ? bytes : w;
        x = x_floats(&card_layers[i], b->most_streams) > x
                ? x_floats(&card_layers[i], b->most_streams)
                : x;
        y = y_floats(&card_layers[i], b->most_streams) > y
                ? y_floats(&card_layers[i], b->most_streams)
                : y;
    }
    b->x = random_words(b->backend, x * sizeof(float), F32_KEEP, F32_SET);
    b->y = random_words(b->backend, y * sizeof(float), F32_KEEP, F32_SET);
    b->w = random_words(b->backend, w, BF16_KEEP, BF16_SET);
    b->alpha = static_cast<float *>(
        random_words(b->backend, 4096 * sizeof(float), F32_KEEP & 0x7fffffff, F32_SET));
    return b->x && b->y && b->w && b->alpha;
}

/* ------------------------------------------------------------------ a tile */

static struct conv_args args_of(const struct bench *b, const struct card_layer *l,
                                int32_t n_streams) {
    struct conv_args args = card_layer_args(l, n_streams);
    args.x.data = b->x;
    args.y.data = b->y;
    args.w.image = b->w;
    args.alpha = b->alpha;
    return args;
}

/* The median of some bursts of a launch; 0 where it fails. */
template <class LAUNCH> static double seconds_of(const struct bench *b, const LAUNCH &launch) {
    double seconds[MOST_RUNS], total = 0;
    int n = 0;
    if (launch() < 0 || mill_cuda_synchronize(b->backend) < 0)
        return 0;
    while (n < MOST_RUNS && total < 0.05) {
        double start = mill_clock_seconds();
        for (int i = 0; i < b->burst; i++)
            launch();
        if (mill_cuda_synchronize(b->backend) < 0)
            return 0;
        double passed = mill_clock_seconds() - start;
        total += passed;
        seconds[n++] = passed / b->burst;
    }
    return median(seconds, n);
}

static bool fits(const struct bench *b, size_t shared_bytes) {
    return shared_bytes + MILL_CUDA_STATIC_SHARED_BYTES <= (size_t)b->backend->shared_bytes;
}

/* All tiles of a kernel, one beside the other. */
static void time_kernel(const struct bench *b, const struct kernel *kernel,
                        const struct card_layer *l, int32_t n_streams) {
    struct conv_args args = args_of(b, l, n_streams);
    struct conv_tile tiles[CONV_TILES];
    double seconds[CONV_TILES], best = 0;
    int32_t n = kernel->tiles(&args, tiles);
    for (int32_t i = 0; i < n; i++) {
        const struct conv_tile *tile = &tiles[i];
        seconds[i] = 0;
        if (fits(b, tile->shared_bytes))
            seconds[i] =
                seconds_of(b, [&] { return tile->launch(b->backend, &args, n_streams, tile); });
        best = seconds[i] > 0 && (best == 0 || seconds[i] < best) ? seconds[i] : best;
    }
    double flop = 2.0 * (double)x_floats(l, n_streams) * l->n_taps * l->n_out;
    for (int32_t i = 0; i < n; i++)
        if (seconds[i] > 0)
            printf(
                "%s,%d x %d,%s,%d,%.1f,%.2f,%.2f,%.1f\n", kernel->name, tiles[i].n_out,
                tiles[i].n_rows, l->name, n_streams, 1e6 * seconds[i], flop / seconds[i] / 1e12,
                best / seconds[i],
                mill_cuda_conv_microseconds(&tiles[i], &args, n_streams, b->backend->n_processors));
    fflush(stdout);
}

/* The residual unit that a dilated layer begins. */
static void time_unit(const struct bench *b, const struct unit *unit, const struct card_layer *l,
                      int32_t n_streams) {
    struct unit_args args = {};
    args.dilated = args_of(b, l, n_streams);
    args.dilated.residual = args.dilated.x;
    for (int32_t s = 0; s < n_streams; s++)
        args.dilated.residual_first[s] = args.dilated.spans[s].x_first;
    args.pointwise = {{l->n_out, 1, l->n_in, MILL_BF16}, b->w, NULL};
    args.alpha2 = b->alpha;
    const struct unit_kernel kernel = unit->kernel(&args.dilated);
    if (!kernel.launch || !fits(b, kernel.shared_bytes))
        return;
    double seconds =
        seconds_of(b, [&] { return kernel.launch(b->backend, &args, n_streams, &kernel); });
    double flop = 2.0 * (double)x_floats(l, n_streams) * (l->n_taps + 1) * l->n_out;
    if (seconds > 0)
        printf("%s,%d x %d,unit of %s,%d,%.1f,%.2f,1.00,\n", unit->name, kernel.n_out,
               kernel.n_rows, l->name, n_streams, 1e6 * seconds, flop / seconds / 1e12);
    fflush(stdout);
}

static void time_all(const struct bench *b) {
    int32_t card = b->backend->capability;
    printf("kernel,tile,layer,streams,microseconds,TFLOP/s,of_best,planned\n");
    for (int32_t i = 0; i < b->n_layers; i++)
        for (int32_t n = 1; n <= b->most_streams; n *= n == 1 ? 16 : 8) {
            const struct card_layer *layer = &card_layers[i];
            for (const struct kernel &kernel : kernels)
                if (card >= kernel.oldest && card <= kernel.newest)
                    time_kernel(b, &kernel, layer, n);
            for (const struct unit &unit : units)
                if (layer->dilation > 1 && card >= unit.oldest && card <= unit.newest)
                    time_unit(b, &unit, layer, n);
        }
}

int main(int argc, char **argv) {
    struct bench b = {};
    struct mill_error err = {""};
    const struct mill_backend_options options = {};
    bool least = argc > 1 && strcmp(argv[1], "--least") == 0;
    b.n_layers = least ? 2 : N_CARD_LAYERS;
    b.most_streams = least ? 1 : CONV_SPANS;
    b.burst = least ? 1 : 10;
    if (mill_cuda_open(&b.backend, &options, &err) < 0) {
        fprintf(stderr, "bench_tiles: %s\n", err.text);
        return 77;
    }
    bool good = take_memory(&b);
    if (good)
        time_all(&b);
    good = good && mill_cuda_synchronize(b.backend) >= 0;
    if (!good)
        fprintf(stderr, "bench_tiles: %s\n", b.backend->failure);
    mill_cuda_close(b.backend);
    return good ? 0 : 1;
}
