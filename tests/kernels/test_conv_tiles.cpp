/* test_conv_tiles.cpp - the launcher of the convolutions against what was measured on a card
 * (bench/results/nvidia-h200/tiles.csv): of a kernel's tiles it takes one that is all but the
 * fastest, for few streams and many; and which kernel does a layer is a matter of the layer, and
 * right for many streams, of units as a whole. */
#include "bench/card_layers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

enum { N_PROCESSORS = 132 }; /* of the card */

static const struct kernel {
    const char *name, *of_units; /* NULL = none */
    int32_t (*tiles)(const struct conv_args *, struct conv_tile *);
} kernels[] = {
    {"conv_wide", "residual_unit_wide", mill_cuda_conv_wide},
    {"conv_mma", "residual_unit_mma", mill_cuda_conv_mma},
    {"conv_ffma", NULL, mill_cuda_conv_ffma},
};

/* ------------------------------------------------------------------ the table */

struct line {
    char kernel[32], tile[16], layer[32];
    int n_streams;
    double microseconds;
};

struct table {
    struct line lines[512];
    int n;
};

static void read_table(struct table *table) {
    FILE *file = fopen(MILL_TEST_TILES, "r");
    char text[256];
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file)); /* the columns */
    for (table->n = 0; table->n < 512 && fgets(text, sizeof text, file); table->n++) {
        struct line *l = &table->lines[table->n];
        assert_int_equal(sscanf(text, "%31[^,],%15[^,],%31[^,],%d,%lf", l->kernel, l->tile,
                                l->layer, &l->n_streams, &l->microseconds),
                         5);
    }
    fclose(file);
}

/* 0 where it was not measured. */
static double measured(const struct table *table, const char *kernel, const struct conv_tile *tile,
                       const char *layer, int n_streams) {
    char name[16];
    snprintf(name, sizeof name, "%d x %d", tile->n_out, tile->n_rows);
    for (int i = 0; i < table->n; i++) {
        const struct line *l = &table->lines[i];
        if (l->n_streams == n_streams && strcmp(l->kernel, kernel) == 0 &&
            strcmp(l->layer, layer) == 0 && strcmp(l->tile, name) == 0)
            return l->microseconds;
    }
    return 0;
}

/* ------------------------------------------------------------------ tests */

/* Of a kernel's tiles, in microseconds: the one that would be taken, and the fastest; 0 = nothing
 * measured. */
struct times {
    double taken, fastest;
};

static struct times times_of(const struct table *table, const struct kernel *kernel,
                             const struct card_layer *layer, int32_t n_streams) {
    const struct conv_args args = card_layer_args(layer, n_streams);
    struct conv_tile tiles[CONV_TILES];
    double least = 0, fastest = 0, taken = 0;
    for (int32_t i = 0, n = kernel->tiles(&args, tiles); i < n; i++) {
        double planned = mill_cuda_conv_microseconds(&tiles[i], &args, n_streams, N_PROCESSORS);
        double time = measured(table, kernel->name, &tiles[i], layer->name, n_streams);
        if (time > 0 && (taken == 0 || planned < least)) {
            least = planned;
            taken = time;
        }
        fastest = time > 0 && (fastest == 0 || time < fastest) ? time : fastest;
    }
    return {taken, fastest};
}

static void test_tiles_are_the_fastest(void **state) {
    (void)state;
    static struct table table;
    int n = 0, n_slow = 0;
    read_table(&table);
    for (const struct kernel &kernel : kernels)
        for (const struct card_layer &layer : card_layers)
            for (int32_t n_streams = 1; n_streams <= CONV_SPANS; n_streams++) {
                const struct times t = times_of(&table, &kernel, &layer, n_streams);
                double slower = t.fastest > 0 ? t.taken / t.fastest : 0;
                n += slower > 0;
                n_slow += slower > 1.15;
                if (slower > 1.15)
                    printf("%s, %s, %d streams: %.2f times the fastest\n", kernel.name, layer.name,
                           (int)n_streams, slower);
            }
    assert_true(n >= 117); /* measured: three kernels, 13 layers, three numbers of streams */
    assert_true(n_slow * 20 <= n);
}

/* Which kernel a launch of these spans goes to. */
static const char *kernel_of(int capability, const struct conv_args *args, int32_t n_spans) {
    struct mill_backend backend = {};
    backend.capability = capability;
    backend.n_processors = N_PROCESSORS;
    backend.shared_bytes = 227 << 10;
    const struct conv_tile best = mill_cuda_conv_best(&backend, args, n_spans);
    for (const struct kernel &kernel : kernels) {
        struct conv_tile tiles[CONV_TILES];
        for (int32_t i = 0, n = kernel.tiles(args, tiles); i < n; i++)
            if (tiles[i].launch == best.launch)
                return kernel.name;
    }
    return "none";
}

/* Two kernels sum differently: streams that come and go, or shorter ones, must not change bits. */
static void test_a_layer_has_one_kernel(void **state) {
    (void)state;
    for (int capability : {75, 80, 90})
        for (const struct card_layer &layer : card_layers) {
            struct conv_args args = card_layer_args(&layer, CONV_SPANS);
            const char *kernel = kernel_of(capability, &args, CONV_SPANS);
            for (int32_t n_rows = args.spans[0].n_y; n_rows > 0; n_rows /= 3) {
                for (struct mill_span &span : args.spans)
                    span.n_y = n_rows;
                for (int32_t n = 1; n <= CONV_SPANS; n *= 2)
                    assert_string_equal(kernel_of(capability, &args, n), kernel);
            }
            if (capability == 75)
                assert_string_equal(kernel, "conv_ffma");
            if (capability == 80)
                assert_string_equal(kernel, "conv_mma");
            if (capability == 90)
                assert_string_equal(kernel, "conv_wide");
        }
}

/* On a full card; of a dilated layer, the whole unit that it begins. */
static struct times times_on_full_card(const struct table *table, const struct kernel *kernel,
                                       const struct card_layer *layer) {
    if (layer->dilation == 1)
        return times_of(table, kernel, layer, CONV_SPANS);
    struct times unit = {};
    char name[48];
    snprintf(name, sizeof name, "unit of %s", layer->name);
    for (int i = 0; kernel->of_units && i < table->n; i++) {
        const struct line *l = &table->lines[i];
        if (l->n_streams == CONV_SPANS && strcmp(l->kernel, kernel->of_units) == 0 &&
            strcmp(l->layer, name) == 0)
            unit = {l->microseconds, l->microseconds};
    }
    return unit;
}

/* For few streams a card has time enough. Of units that conv_wide does at once nothing is measured:
 * the table has them in launches. */
static void test_kernels_are_the_faster(void **state) {
    (void)state;
    static struct table table;
    int n_at_once = 0;
    read_table(&table);
    for (const struct card_layer &layer : card_layers) {
        const struct conv_args args = card_layer_args(&layer, CONV_SPANS);
        if (layer.dilation > 1 && mill_cuda_conv_wide_unit(&args).launch) {
            n_at_once++;
            continue;
        }
        const char *name = kernel_of(90, &args, CONV_SPANS);
        double taken = 0, fastest = 0;
        for (const struct kernel &kernel : kernels) {
            const struct times t = times_on_full_card(&table, &kernel, &layer);
            taken = strcmp(kernel.name, name) == 0 ? t.taken : taken;
            fastest = t.fastest > 0 && (fastest == 0 || t.fastest < fastest) ? t.fastest : fastest;
        }
        if (taken > 1.15 * fastest)
            printf("%s by %s: %.0f us, not %.0f\n", layer.name, name, taken, fastest);
        assert_true(fastest > 0);
        assert_true(taken > 0 && taken <= 1.15 * fastest);
    }
    assert_int_equal(n_at_once, 2); /* of 96 and of 192 channels */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles_are_the_fastest),
        cmocka_unit_test(test_a_layer_has_one_kernel),
        cmocka_unit_test(test_kernels_are_the_faster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
