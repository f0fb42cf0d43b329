/* test_reference_linear.c - the reference backend's linear layer against answers worked out by
 * hand.
 */
#include "tests/kernels/reference_rig.h"

static void test_linear(void **state) {
    float x[4] = {1, 2, -1, 0.5f}, y[4], residual[4] = {10, 20, 30, 40};
    const float rows[4] = {1, 10, 100, 1000}, bias[4] = {0.5f, 0.25f, -3, -4};
    const int32_t group[2] = {1, 0};
    float image[4];
    struct mill_linear_args args = {.y = matrix(y, 2, 2),
                                    .x = matrix(x, 2, 2),
                                    .w = weight(MILL_F32, 2, 1, 2, rows, NULL, image)};
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){21, 2100, 4, 400}, 4, 0);
    args.w.bias = bias;
    args.bias_group = group;
    args.bias_stride = 2;
    args.residual = matrix(residual, 2, 2);
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){28, 2116, 34.5f, 440.25f}, 4, 0);
    args.residual.rows = 1;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
    args.residual.rows = 2;
    args.n_out = 3;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
    args.n_out = 2;
    args.first_out = 64;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
}

/* Windows of three samples every two: rows that overlap. */
static void test_linear_over_windows(void **state) {
    float x[7] = {1, 2, 3, 4, 5, 6, 7}, y[3], image[3];
    const float rows[3] = {1, 10, 100};
    struct mill_linear_args args = {.y = matrix(y, 3, 1),
                                    .x = {x, MILL_F32, 3, 3, 2},
                                    .w = weight(MILL_F32, 1, 1, 3, rows, NULL, image)};
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){321, 543, 765}, 3, 0);
    args.x.stride = 0;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
}

static void test_linear_activations(void **state) {
    float x[3] = {1, -2, 0}, y[3], image[1];
    const float one[1] = {1};
    struct mill_linear_args args = {.y = matrix(y, 3, 1),
                                    .x = matrix(x, 3, 1),
                                    .w = weight(MILL_F32, 1, 1, 1, one, NULL, image)};
    args.act = MILL_ACT_GELU;
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){0.84134475f, -0.04550026f, 0}, 3, 1e-7f);
    args.act = MILL_ACT_TANH;
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){0.76159416f, -0.96402758f, 0}, 3, 1e-7f);
    args.act = MILL_ACT_RELU;
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){1, 0, 0}, 3, 0);
    args.act = MILL_ACT_SILU;
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){0.73105858f, -0.23840584f, 0}, 3, 1e-7f);
}

/* 1 + 2^-8 is a tie between two bf16 values and goes to the even one, 1; 1 + 3 * 2^-8 to 1 + 2^-6.
 */
static void test_linear_bf16_rounds_x(void **state) {
    float x[2] = {1 + 0x1p-8f, 1 + 3 * 0x1p-8f}, y[2];
    uint16_t image[1];
    const float one[1] = {1};
    struct mill_linear_args args = {.y = matrix(y, 2, 1),
                                    .x = matrix(x, 2, 1),
                                    .w = weight(MILL_BF16, 1, 1, 1, one, NULL, image)};
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){1, 1 + 0x1p-6f}, 2, 0);
}

/* Every step of the int8 product as kernels/README.md defines it. */
static void test_linear_i8_to_the_bit(void **state) {
    float x[3] = {0.3f, -1.7f, 0.01f}, y[2];
    const float rows[6] = {0.5f, -0.25f, 0.125f, 3, 2, 1}, bias[2] = {0.1f, -0.2f};
    _Alignas(64) char image[128];
    struct mill_linear_args args = {.y = matrix(y, 1, 2),
                                    .x = matrix(x, 1, 3),
                                    .w = weight(MILL_I8, 2, 1, 3, rows, bias, image)};
    /* weights: 127, -63.5 -> -64 (even), 31.75 -> 32; 127, 84.67 -> 85, 42.33 -> 42 */
    const int8_t codes[6] = {127, -64, 32, 127, 85, 42};
    assert_memory_equal(image, codes, sizeof codes);
    /* x: 0.3 / 1.7 * 32767 = 5782.4; -32767; 192.7 */
    const int64_t sums[2] = {127 * 5782 + 64 * 32767 + 32 * 193,
                             127 * 5782 - 85 * 32767 + 42 * 193};
    float scale = 1.7f / 32767.0f;
    const float expected[2] = {(float)sums[0] * (scale * (0.5f / 127.0f)) + 0.1f,
                               (float)sums[1] * (scale * (3.0f / 127.0f)) - 0.2f};
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, expected, 2, 0);
    memset(x, 0, sizeof x); /* a row of zeros: the bias alone */
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, bias, 2, 0);
    x[1] = 1e-38f; /* too small to be divided by */
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, bias, 2, 0);
}

static void test_linear_normed(void **state) {
    float x[4] = {3, 4, 0, 0}, y[2];
    const float rows[2] = {1, 10}, gain[2] = {1, 2};
    _Alignas(64) char image[128];
    struct mill_linear_args args = {.y = matrix(y, 2, 1),
                                    .x = matrix(x, 2, 2),
                                    .gain = gain,
                                    .eps = 1e-6f,
                                    .w = weight(MILL_F32, 1, 1, 2, rows, NULL, image)};
    assert_int_equal(ops()->linear(*state, &args), MILL_OK); /* mean square 12.5 */
    assert_floats(y, (float[]){(3 + 80) / sqrtf(12.5f), 0}, 2, 1e-5f);
    args.eps = -1;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
}

/* v = 5, 0, 2, 1, of them 5 silu(0) and 2 silu(1), and so on. */
static void test_linear_pairs(void **state) {
    float one = 1, y[2];
    const float rows[4] = {5, 0, 2, 1}, bias[4] = {-2, 1, 3, 11}, residual[2] = {100, 200};
    _Alignas(64) char image[128];
    struct mill_linear_args args = {.y = matrix(y, 1, 2),
                                    .x = matrix(&one, 1, 1),
                                    .w = weight(MILL_F32, 4, 1, 1, rows, NULL, image),
                                    .act = MILL_ACT_SILU,
                                    .pairs = MILL_PAIRS_GATE};
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){0, 2 * 0.73105858f}, 2, 1e-7f);
    args.act = MILL_ACT_GELU;
    args.residual = matrix((float *)(uintptr_t)residual, 1, 2);
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){100, 200 + 2 * 0.84134475f}, 2, 1e-5f);
    args.pairs = MILL_PAIRS_MAGNITUDE;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT); /* no activation there */
    args.act = MILL_ACT_NONE;
    args.residual.data = NULL;
    args.w.bias = bias; /* 3, 1, 5, 12 */
    assert_int_equal(ops()->linear(*state, &args), MILL_OK);
    assert_floats(y, (float[]){3.1622777f, 13}, 2, 1e-6f);
    args.pairs = (enum mill_pairs)3;
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
    args.pairs = MILL_PAIRS_GATE;
    args.y = matrix(y, 1, 1);
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
    args.n_out = 3; /* not pairs */
    assert_int_equal(ops()->linear(*state, &args), MILL_E_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_linear),
        TEST(test_linear_over_windows),
        TEST(test_linear_activations),
        TEST(test_linear_bf16_rounds_x),
        TEST(test_linear_i8_to_the_bit),
        TEST(test_linear_normed),
        TEST(test_linear_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
