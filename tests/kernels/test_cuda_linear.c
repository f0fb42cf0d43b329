/* test_cuda_linear.c - every kernel of the cuda backend's `linear`, with every number of blocks
 * that share a tile, on the emulator: the same bits as the first of its kind. That one of them is
 * right is for test_operators to say, which sees those that the plan chooses. */
#include "kernels/cuda/linear.h"
#include "tests/emulator/emulator.h"
#include "tests/kernels/numbers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sizes at the edges of tiles; chunks of a slice and more; segments, of f32 512 inputs, of bf16
 * 1,024, of i8 2,048. */
static const struct shape {
    int32_t n_rows, n_out, n_in;
    bool strided, normed; /* strided: rows not in aligned quads */
} shapes[] = {{1, 5, 6, false, false},    {7, 13, 100, true, true},    {8, 8, 33, false, true},
              {9, 70, 600, false, false}, {17, 33, 1056, false, true}, {33, 40, 4164, false, false},
              {64, 72, 132, false, true}, {65, 130, 513, true, false}, {200, 72, 900, false, true}};

/* Blocks have several tiles, and pairs of blocks leave one multiprocessor. */
enum { N_GROUPS = 3, FEW_PROCESSORS = 3 };

struct product {
    struct mill_backend *backend;
    struct mill_linear_args args;
    size_t y_floats;
    float *x, *y, *gain, *bias, *residual, *image; /* device */
    int32_t *group;
    float *first, *again; /* y on the host, of the first kernel and of another */
};

static void *to_device(struct mill_backend *backend, void *host, size_t bytes) {
    void *device = mill_cuda_alloc(backend, bytes);
    assert_non_null(device);
    assert_int_equal(mill_cuda_copy_in(backend, device, host, bytes), MILL_OK);
    free(host);
    return device;
}

static float *numbers_on_device(struct mill_backend *backend, size_t n, uint64_t seed) {
    return to_device(backend, numbers(n, seed), n * sizeof(float));
}

static void *packed(struct mill_backend *backend, const struct mill_weight_shape *shape) {
    size_t bytes = mill_cuda_weight_bytes(shape);
    void *image = mill_alloc_aligned(bytes);
    float *rows = numbers((size_t)shape->n_out * (size_t)shape->n_in, 1);
    assert_non_null(image);
    mill_cuda_weight_pack(shape, 0, shape->n_out, rows, image);
    free(rows);
    return to_device(backend, image, bytes);
}

static void product_open(struct product *p, const struct shape *s, enum mill_dtype dtype) {
    int32_t more = s->strided ? 3 : 0, n_groups[256];
    size_t rows = (size_t)s->n_rows, outs = (size_t)(s->n_out + more);
    *p = (struct product){.y_floats = (rows + 1) * outs};
    assert_int_equal(mill_cuda_open(&p->backend, &(struct mill_backend_options){0}, NULL), MILL_OK);
    struct mill_backend *b = p->backend;
    for (int32_t r = 0; r < s->n_rows; r++)
        n_groups[r] = r % N_GROUPS;
    p->group = mill_cuda_alloc(b, sizeof n_groups);
    assert_int_equal(mill_cuda_copy_in(b, p->group, n_groups, rows * sizeof *n_groups), MILL_OK);
    p->x = numbers_on_device(b, rows * (size_t)(s->n_in + more), 2);
    p->gain = s->normed ? numbers_on_device(b, (size_t)s->n_in, 5) : NULL;
    p->y = mill_cuda_alloc(b, p->y_floats * sizeof(float));
    p->bias = numbers_on_device(b, N_GROUPS * outs, 3);
    p->residual = numbers_on_device(b, rows * outs, 4);
    p->first = mill_alloc_array(p->y_floats, sizeof(float));
    p->again = mill_alloc_array(p->y_floats, sizeof(float));
    assert_true(p->first && p->again && p->y);
    struct mill_weight_shape shape = {s->n_out, 1, s->n_in, dtype};
    p->args = (struct mill_linear_args){
        .y = {p->y, MILL_F32, s->n_rows, s->n_out, s->n_out + more},
        .x = {p->x, MILL_F32, s->n_rows, s->n_in, s->n_in + more},
        .gain = p->gain,
        .eps = 1e-6f,
        .w = {shape, packed(b, &shape), p->bias},
        .residual = {p->residual, MILL_F32, s->n_rows, s->n_out, s->n_out + more},
        .bias_group = p->group,
        .bias_stride = s->n_out + more,
    };
}

static void product_close(struct product *p) {
    mill_cuda_close(p->backend);
    free(p->first);
    free(p->again);
}

/* Threads and blocks take turns in another order each time. */
static void set_order(int n) {
    static const enum emulator_order orders[] = {EMULATOR_RANDOM, EMULATOR_REVERSE,
                                                 EMULATOR_FORWARD};
    struct emulator_settings settings = emulator_defaults();
    settings.order = orders[n % 3];
    settings.seed = (uint64_t)n;
    emulator_configure(&settings);
}

/* y as a plan makes it, over what nobody may touch. */
static void run(struct product *p, const struct linear_plan *plan, float *y) {
    memset(y, 0xff, p->y_floats * sizeof *y);
    size_t bytes = p->y_floats * sizeof *y;
    assert_int_equal(mill_cuda_copy_in(p->backend, p->y, y, bytes), MILL_OK);
    assert_int_equal(mill_cuda_linear_run(p->backend, &p->args, 0, p->args.x.rows, plan), MILL_OK);
    assert_int_equal(mill_cuda_copy_out(p->backend, y, p->y, bytes), MILL_OK);
    assert_int_equal(mill_cuda_synchronize(p->backend), MILL_OK);
    for (int32_t r = 0; r < p->args.y.rows; r++)
        for (int32_t o = 0; o < p->args.y.columns; o++)
            assert_true(isfinite(y[r * p->args.y.stride + o]));
}

/* All kernels of these kinds; returns how many plans there were. */
static int check_kernels(struct product *p, unsigned kinds, const struct linear_kernel *kernels,
                         int32_t n_kernels) {
    int n_plans = 0;
    for (int32_t k = 0; k < n_kernels; k++)
        for (int32_t n_splits = 1; n_splits <= 5; n_splits++) {
            struct linear_size size = mill_cuda_linear_size(p->backend, &p->args, p->args.x.rows);
            size.kinds = kinds;
            struct linear_plan plan = mill_cuda_linear_plan_with(&size, &kernels[k], n_splits);
            if (!plan.kernel || plan.n_splits < n_splits)
                continue;
            set_order(n_plans);
            p->backend->n_processors = FEW_PROCESSORS;
            run(p, &plan, n_plans ? p->again : p->first);
            if (n_plans && memcmp(p->first, p->again, p->y_floats * sizeof(float)) != 0)
                fail_msg("kernel %d, %d x %d, %d splits: %d x %d x %d differs", k,
                         plan.kernel->n_rows, plan.kernel->n_outs, n_splits, p->args.x.rows,
                         p->args.y.columns, p->args.x.columns);
            n_plans++;
        }
    return n_plans;
}

static void check(enum mill_dtype dtype, unsigned kinds, const struct linear_kernel *kernels,
                  int32_t n_kernels) {
    int n_plans = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct product p;
        product_open(&p, &shapes[i], dtype);
        n_plans += check_kernels(&p, kinds, kernels, n_kernels);
        product_close(&p);
    }
    print_message("%d plans\n", n_plans);
    assert_true(n_plans > (int)(sizeof shapes / sizeof *shapes) * 3);
}

static void test_f32(void **state) {
    (void)state;
    int32_t n;
    const struct linear_kernel *kernels = mill_cuda_linear_f32(&n);
    check(MILL_F32, 1u << LINEAR_F32, kernels, n);
}

static void test_bf16(void **state) {
    (void)state;
    int32_t n;
    const struct linear_kernel *kernels = mill_cuda_linear_bf16(&n);
    check(MILL_BF16, 1u << LINEAR_BF16 | 1u << LINEAR_BF16_ROWS | 1u << LINEAR_BF16_WIDE, kernels,
          n);
    check(MILL_BF16, 1u << LINEAR_BF16_FMAF, kernels, n);
}

static void test_i8(void **state) {
    (void)state;
    int32_t n;
    const struct linear_kernel *kernels = mill_cuda_linear_i8(&n);
    check(MILL_I8, 1u << LINEAR_I8_ROWS, kernels, n);
}

/* A plan of linear_wide.h for a product; kernel NULL: none. */
static struct linear_plan wide_plan(struct product *p, const struct linear_kernel *kernel) {
    struct linear_size size = mill_cuda_linear_size(p->backend, &p->args, p->args.x.rows);
    size.kinds = 1u << LINEAR_BF16_WIDE;
    return mill_cuda_linear_plan_with(&size, kernel, 1);
}

/* Each two kernels of which the first can hand its rows to the second, against two calls. */
static void test_feed_forward(void **state) {
    static const struct shape shape_up = {130, 256, 40, false, true},
                              shape_down = {130, 392, 256, false, false};
    (void)state;
    int32_t n, n_pairs = 0;
    const struct linear_kernel *kernels = mill_cuda_linear_bf16(&n);
    struct product up, down;
    product_open(&up, &shape_up, MILL_BF16);
    product_open(&down, &shape_down, MILL_BF16);
    up.args.residual.data = NULL;
    down.args.x = up.args.y;
    up.backend->n_processors = down.backend->n_processors = FEW_PROCESSORS;
    const struct mill_feed_forward_args args = {up.args, down.args};
    for (int32_t k = 0; k < n * n; k++) {
        struct linear_plan first = wide_plan(&up, &kernels[k / n]),
                           second = wide_plan(&down, &kernels[k % n]);
        if (!first.kernel || !second.kernel ||
            !mill_cuda_linear_hands_over(&args, first.kernel, second.kernel))
            continue;
        if (n_pairs++ == 0) {
            run(&up, &first, up.first);
            run(&down, &second, down.first);
        }
        set_order(n_pairs);
        size_t bytes = down.y_floats * sizeof(float);
        memset(down.again, 0xff, bytes);
        mill_cuda_copy_in(down.backend, down.y, down.again, bytes);
        assert_int_equal(mill_cuda_linear_run_both(down.backend, &args, &first, &second), MILL_OK);
        mill_cuda_copy_out(down.backend, down.again, down.y, bytes);
        assert_int_equal(mill_cuda_synchronize(down.backend), MILL_OK);
        if (memcmp(down.first, down.again, bytes) != 0)
            fail_msg("%d x %d behind %d x %d differs", second.kernel->n_rows, second.kernel->n_outs,
                     first.kernel->n_rows, first.kernel->n_outs);
    }
    print_message("%d pairs\n", n_pairs);
    assert_true(n_pairs > 20);
    product_close(&up);
    product_close(&down);
}

/* Whatever the card and the size, there is a kernel that fits. */
static void check_plans(int32_t shared_bytes, unsigned kinds, const struct linear_kernel *kernels,
                        int32_t n_kernels) {
    static const int32_t outs[] = {1, 896, 9728, 166000}, groups[] = {1, 28, 152, 1024};
    for (int32_t n_rows = 1; n_rows <= 5000; n_rows = 2 * n_rows + 1)
        for (int i = 0; i < 16; i++) {
            struct linear_size size = {kinds, i % 2,        n_rows,   outs[i / 4], groups[i % 4],
                                       40,    shared_bytes, 16 << 20, 1 << 22,     1024};
            struct linear_plan plan = mill_cuda_linear_plan(&size, kernels, n_kernels);
            assert_non_null(plan.kernel);
            assert_in_range(plan.shared_bytes, 1, shared_bytes);
            assert_true((int64_t)plan.n_row_tiles * plan.kernel->n_rows >= n_rows);
            assert_true((int64_t)plan.n_tiles * plan.kernel->n_outs >=
                        (int64_t)plan.n_row_tiles * outs[i / 4]);
            assert_true(plan.n_splits * plan.split_segments * LINEAR_SEGMENT * LINEAR_CHUNK >=
                        groups[i % 4]);
        }
}

static void test_plans(void **state) {
    (void)state;
    const int32_t turing = 63 << 10, ampere = 98 << 10 /* sm_86 */, hopper = 226 << 10;
    const unsigned bf16 = 1u << LINEAR_BF16 | 1u << LINEAR_BF16_ROWS;
    int32_t n;
    const struct linear_kernel *kernels = mill_cuda_linear_f32(&n);
    check_plans(turing, 1u << LINEAR_F32, kernels, n);
    kernels = mill_cuda_linear_i8(&n);
    check_plans(turing, 1u << LINEAR_I8_ROWS, kernels, n);
    kernels = mill_cuda_linear_bf16(&n);
    check_plans(turing, 1u << LINEAR_BF16_FMAF, kernels, n);
    check_plans(ampere, bf16, kernels, n);
    check_plans(hopper, bf16 | 1u << LINEAR_BF16_WIDE, kernels, n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_bf16),         cmocka_unit_test(test_i8),
        cmocka_unit_test(test_feed_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
