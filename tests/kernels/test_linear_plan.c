/* test_linear_plan.c - the plan of `linear` against what was measured on a card
 * (bench/results/nvidia-h200/products.csv): for every layer and number of rows it takes a kernel
 * that is all but the fastest of those that were measured and are still there; and where one that
 * was not is taken. */
#include "kernels/cuda/linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_LINES = 2048, MAX_KERNELS = 32 };

struct line {
    char layer[16], type[8], tile[16];
    int n_out, n_in, n_rows, kind, n_warps, n_splits, n_blocks;
    double microseconds;
};

static struct line lines[MAX_LINES];
static int n_lines;

static void read_table(void) {
    FILE *file = fopen(MILL_TEST_PRODUCTS, "r");
    char text[256];
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file)); /* the columns */
    for (; n_lines < MAX_LINES && fgets(text, sizeof text, file); n_lines++) {
        struct line *l = &lines[n_lines];
        assert_int_equal(sscanf(text, "%15s %dx%d,%7[^,],%d,%d,%15[^,],%d,%d,%d,%lf", l->layer,
                                &l->n_out, &l->n_in, l->type, &l->n_rows, &l->kind, l->tile,
                                &l->n_warps, &l->n_splits, &l->n_blocks, &l->microseconds),
                         11);
    }
    fclose(file);
}

static bool is_same_case(const struct line *a, const struct line *b) {
    return strcmp(a->layer, b->layer) == 0 && strcmp(a->type, b->type) == 0 &&
           a->n_rows == b->n_rows;
}

static bool is_of(const struct line *l, const struct linear_kernel *kernel) {
    char tile[16];
    snprintf(tile, sizeof tile, "%d x %d", kernel->n_rows, kernel->n_outs);
    return l->kind == (int)kernel->kind && strcmp(l->tile, tile) == 0 &&
           l->n_warps <= kernel->n_warps; /* else of another tile, since gone */
}

static bool is_plan(const struct line *l, const struct linear_plan *plan) {
    return is_of(l, plan->kernel) && l->n_warps == plan->n_warps && l->n_splits == plan->n_splits;
}

static enum mill_dtype dtype_of(const struct line *l) {
    return strcmp(l->type, "I8") == 0 ? MILL_I8 : MILL_BF16;
}

/* Whether what was measured is still there. */
static bool is_left(const struct line *l) {
    int32_t n_kernels;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(dtype_of(l), &n_kernels);
    for (int32_t k = 0; k < n_kernels; k++)
        if (is_of(l, &kernels[k]))
            return true;
    return false;
}

/* Kernels that were measured in a line's case. */
static int32_t measured_kernels(const struct line *l, enum mill_dtype dtype,
                                struct linear_kernel *to) {
    int32_t n_kernels, n = 0;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(dtype, &n_kernels);
    for (int32_t k = 0; k < n_kernels; k++)
        for (int i = 0; i < n_lines; i++)
            if (is_same_case(&lines[i], l) && is_of(&lines[i], &kernels[k])) {
                assert_in_range(n, 0, MAX_KERNELS - 1);
                to[n++] = kernels[k];
                break;
            }
    return n;
}

/* Of a type, those of which something was measured. */
static unsigned measured_kinds(const char *type) {
    unsigned kinds = 0;
    for (int i = 0; i < n_lines; i++)
        if (strcmp(lines[i].type, type) == 0)
            kinds |= 1u << lines[i].kind;
    return kinds;
}

/* On an H200. */
static struct linear_size size_of(const struct mill_weight_shape *shape, bool normed,
                                  int32_t n_rows) {
    return (struct linear_size){
        .kinds = mill_cuda_linear_kinds(90, shape->dtype),
        .normed = normed,
        .n_rows = n_rows,
        .n_out = shape->n_out,
        .n_groups = weight_groups(shape),
        .n_processors = 132,
        .shared_bytes = 226 << 10,
        .prepared_bytes = 16 << 20, /* as it was measured; by now it is more */
        .partial_words = 15 << 18,
        .max_shared_tiles = MILL_CUDA_ARRIVALS,
    };
}

static struct linear_plan plan_of(const struct line *l) {
    enum mill_dtype dtype = dtype_of(l);
    struct mill_weight_shape shape = {l->n_out, 1, l->n_in, dtype};
    static struct linear_kernel kernels[MAX_KERNELS]; /* plans point to them */
    int32_t n_kernels = measured_kernels(l, dtype, kernels);
    bool normed = strcmp(l->layer, "o") != 0 && strcmp(l->layer, "down") != 0;
    struct linear_size size = size_of(&shape, normed, l->n_rows);
    size.kinds &= measured_kinds(l->type);
    return mill_cuda_linear_plan(&size, kernels, n_kernels);
}

static void test_plan_is_nearly_best(void **state) {
    (void)state;
    double sum = 0;
    int n_cases = 0, n_slow = 0;
    read_table();
    for (int first = 0, end; first < n_lines; first = end) {
        const struct line *l = &lines[first];
        struct linear_plan plan = plan_of(l);
        double best = 0, taken = 0;
        for (end = first; end < n_lines && is_same_case(l, &lines[end]); end++) {
            double time = lines[end].microseconds;
            if (is_left(&lines[end]) && (best == 0 || time < best))
                best = time;
            if (is_plan(&lines[end], &plan) && (taken == 0 || time < taken))
                taken = time;
        }
        if (taken == 0)
            fail_msg("%s %s, %d rows: the plan (%d x %d, %d splits) was not measured", l->layer,
                     l->type, l->n_rows, plan.kernel->n_rows, plan.kernel->n_outs, plan.n_splits);
        if (taken > 1.15 * best)
            print_message("%s %s, %d rows: %.1f us, the best took %.1f\n", l->layer, l->type,
                          l->n_rows, taken, best);
        n_slow += taken > 1.15 * best;
        sum += taken / best;
        n_cases++;
    }
    print_message("%d cases: %.3f times the best on average\n", n_cases, sum / n_cases);
    assert_in_range(n_cases, 90, 200);
    assert_true(sum / n_cases < 1.05);
    assert_true(n_slow <= 8);
}

/* What a step takes of a layer of the published model; not measured. */
static struct linear_plan step_plan(int32_t n_out, int32_t n_in, bool normed, int32_t n_rows) {
    const struct mill_weight_shape shape = {n_out, 1, n_in, MILL_BF16};
    int32_t n_kernels;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(MILL_BF16, &n_kernels);
    struct linear_size size = size_of(&shape, normed, n_rows);
    return mill_cuda_linear_plan(&size, kernels, n_kernels);
}

/* gate-up and the head at up to 8 rows: all blocks at once, two a multiprocessor. */
static void test_wide_layers_are_one_wave(void **state) {
    (void)state;
    for (int32_t n_rows = 1; n_rows <= 8; n_rows++)
        for (int i = 0; i < 2; i++) {
            struct linear_plan plan = step_plan(i ? 8193 : 9728, 896, true, n_rows);
            assert_int_equal(plan.kernel->n_outs, 40);
            assert_true(plan.n_tiles <= 2 * 132);
        }
}

/* The others: weights in shared memory, in the tile that is made for so many inputs. */
static void test_weights_wait_in_shared_memory(void **state) {
    (void)state;
    for (int32_t n_rows = 1; n_rows <= 8; n_rows++) {
        const struct linear_plan plans[] = {step_plan(1152, 896, true, n_rows),
                                            step_plan(896, 896, false, n_rows),
                                            step_plan(896, 4864, false, n_rows)};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(plans[i].kernel->n_outs, 8);
            assert_int_equal(plans[i].kernel->waiting_bricks, 1);
            assert_int_equal(plans[i].kernel->whole_units, i < 2 ? 2 : 5);
        }
    }
}

/* o, gate-up and down of one sequence begin beside one another. */
static void test_a_step_fits_a_multiprocessor(void **state) {
    (void)state;
    const int32_t own = 2 << 10; /* of a block: what CUDA keeps, and what is static */
    int32_t bytes = step_plan(896, 896, false, 1).shared_bytes + own +
                    2 * (step_plan(9728, 896, true, 1).shared_bytes + own) +
                    step_plan(896, 4864, false, 1).shared_bytes + own;
    assert_in_range(bytes, 200 << 10, 228 << 10);
}

/* What is predicted of few rows, and of warp groups, goes together: from 64 rows on these have all
 * layers; not measured. */
static void test_many_rows_go_by_warp_groups(void **state) {
    (void)state;
    const struct mill_weight_shape shapes[] = {{1152, 1, 896, MILL_BF16},
                                               {896, 1, 896, MILL_BF16},
                                               {9728, 1, 896, MILL_BF16},
                                               {896, 1, 4864, MILL_BF16}};
    int32_t n_kernels;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(MILL_BF16, &n_kernels);
    for (int i = 0; i < 4; i++)
        for (int32_t n_rows = 64; n_rows <= 1024; n_rows *= 2) {
            struct linear_size size = size_of(&shapes[i], i % 2 == 0, n_rows);
            struct linear_plan plan = mill_cuda_linear_plan(&size, kernels, n_kernels);
            assert_int_equal(plan.kernel->kind, LINEAR_BF16_WIDE);
        }
}

/* Tiles of gate-up that fill the card are pairs': of two tiles of rows, or of outputs where those
 * of rows are odd in number. A card of one multiprocessor has no pairs; not measured. */
static void test_a_full_card_goes_by_pairs(void **state) {
    (void)state;
    for (int32_t n_rows = 128; n_rows <= 2048; n_rows += 128) {
        const struct linear_kernel *kernel = step_plan(9728, 896, true, n_rows).kernel;
        assert_int_equal(kernel->n_blocks, 2);
        assert_int_equal(kernel->n_rows * kernel->n_outs, 256 * 128);
        if (n_rows % 256 && n_rows < 1024)
            assert_int_equal(kernel->n_outs, 256);
    }
    const struct mill_weight_shape shape = {9728, 1, 896, MILL_BF16};
    int32_t n_kernels;
    const struct linear_kernel *kernels = mill_cuda_linear_kernels(MILL_BF16, &n_kernels);
    struct linear_size size = size_of(&shape, true, 1024);
    size.n_processors = 1;
    assert_int_equal(mill_cuda_linear_plan(&size, kernels, n_kernels).kernel->n_blocks, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_is_nearly_best),
        cmocka_unit_test(test_wide_layers_are_one_wave),
        cmocka_unit_test(test_weights_wait_in_shared_memory),
        cmocka_unit_test(test_a_step_fits_a_multiprocessor),
        cmocka_unit_test(test_many_rows_go_by_warp_groups),
        cmocka_unit_test(test_a_full_card_goes_by_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
