/* test_reference.c - the reference backend against answers worked out by hand and against the
 * formulas written another way: a definition needs witnesses of its own. test_reference_pages.c
 * has those of attention over pages, test_reference_linear.c those of the linear layer. */
#include "tests/kernels/reference_rig.h"

static void test_embed(void **state) {
    const float table[3][2] = {{1, 2}, {3, 4}, {5, 6}};
    const uint16_t table_bf16[2][2] = {{0x3f80, 0x4000}, {0xbf80, 0x3f00}};
    const int32_t ids[3] = {2, 0, 2}, ids_bf16[1] = {1}, wrong[1] = {-1};
    float y[6];
    struct mill_embed_args args = {matrix(y, 3, 2), table, MILL_F32, ids, NULL};
    assert_int_equal(ops()->embed(*state, &args), MILL_OK);
    assert_floats(y, (float[]){5, 6, 1, 2, 5, 6}, 6, 0);
    args = (struct mill_embed_args){matrix(y, 1, 2), table_bf16, MILL_BF16, ids_bf16, NULL};
    assert_int_equal(ops()->embed(*state, &args), MILL_OK);
    assert_floats(y, (float[]){-1, 0.5f}, 2, 0);
    args.ids = wrong;
    assert_int_equal(ops()->embed(*state, &args), MILL_E_INPUT);
    args.table_dtype = MILL_I8;
    assert_int_equal(ops()->embed(*state, &args), MILL_E_UNSUPPORTED);
}

/* ids below 0 are looked up among the drawn ones, one of which is not a token. */
static void test_embed_drawn(void **state) {
    const float table[3][1] = {{1}, {3}, {5}};
    const int32_t ids[4] = {-2, 1, -1, -3}, drawn[3] = {-1, 2, 1};
    float y[4];
    const struct mill_embed_args args = {matrix(y, 4, 1), table, MILL_F32, ids, drawn};
    assert_int_equal(ops()->embed(*state, &args), MILL_OK);
    assert_floats(y, (float[]){5, 3, 1, 3}, 4, 0);
}

static void test_copy_rows(void **state) {
    float x[6] = {1, 2, 3, 4, 5, 6}, y[8] = {0};
    struct mill_span spans[2] = {{.x_first = 1, .n_x = 2, .x_place = 50, .y_first = 2, .n_y = 2},
                                 {.x_first = 0, .n_x = 1, .y_first = 0, .n_y = 1, .y_place = -4}};
    struct mill_copy_rows_args args = {matrix(y, 4, 2), matrix(x, 3, 2), spans, 2};
    assert_int_equal(ops()->copy_rows(*state, &args), MILL_OK);
    assert_floats(y, (float[]){1, 2, 0, 0, 3, 4, 5, 6}, 8, 0);
    spans[0].x_first = 2;
    assert_int_equal(ops()->copy_rows(*state, &args), MILL_E_INPUT);
    spans[0].x_first = 1;
    spans[0].y_first = 3;
    assert_int_equal(ops()->copy_rows(*state, &args), MILL_E_INPUT);
    spans[0].y_first = 2;
    args.x = matrix(x, 6, 1);
    assert_int_equal(ops()->copy_rows(*state, &args), MILL_E_INPUT);
}

static void test_norm(void **state) {
    float x[2] = {3, 4}, y[2];
    const float gain[4] = {1, 2, 10, 20}, shift[4] = {0, 1, 5, 6};
    struct mill_norm_args args = {
        .y = matrix(y, 1, 2), .x = matrix(x, 1, 2), .kind = MILL_NORM_RMS, .gain = gain};
    assert_int_equal(ops()->norm(*state, &args), MILL_OK); /* mean square 12.5 */
    assert_floats(y, (float[]){3 / sqrtf(12.5f), 8 / sqrtf(12.5f)}, 2, 1e-6f);
    args.kind = MILL_NORM_LAYER;
    assert_int_equal(ops()->norm(*state, &args), MILL_E_INPUT); /* no shift */
    args.shift = shift;
    assert_int_equal(ops()->norm(*state, &args), MILL_OK); /* mean 3.5, variance 0.25 */
    assert_floats(y, (float[]){-1, 3}, 2, 1e-6f);
    args.eps = 0.75f;
    const int32_t group[1] = {1};
    args.group = group;
    args.group_stride = 2;
    assert_int_equal(ops()->norm(*state, &args), MILL_OK); /* sqrt(0.25 + 0.75) = 1 */
    assert_floats(y, (float[]){0, 16}, 2, 1e-6f);
    args.kind = MILL_NORM_AFFINE;
    args.act = MILL_ACT_RELU;
    x[0] = -1;
    assert_int_equal(ops()->norm(*state, &args), MILL_OK); /* -10 + 5, 80 + 6 */
    assert_floats(y, (float[]){0, 86}, 2, 0);
    args.act = MILL_ACT_SIGMOID;
    args.group = NULL;
    assert_int_equal(ops()->norm(*state, &args), MILL_OK); /* of -1 and 8 + 1 */
    assert_floats(y, (float[]){0.26894142f, 0.99987661f}, 2, 1e-7f);
    args.shift = NULL;
    assert_int_equal(ops()->norm(*state, &args), MILL_E_INPUT);
    args.shift = shift;
    args.act = (enum mill_activation)6;
    assert_int_equal(ops()->norm(*state, &args), MILL_E_INPUT);
}

static void test_conv1d(void **state) {
    float x[4] = {1, 2, 3, 4}, y[4], image[3];
    const float taps[3] = {1, 10, 100}, bias[1] = {0.5f};
    struct mill_span span = {0, 4, 0, 0, 4, 0};
    struct mill_conv1d_args args = {.y = matrix(y, 4, 1),
                                    .x = matrix(x, 4, 1),
                                    .w = weight(MILL_F32, 1, 3, 1, taps, bias, image),
                                    .dilation = 1,
                                    .padding = 1,
                                    .spans = &span,
                                    .n_spans = 1};
    assert_int_equal(ops()->conv1d(*state, &args), MILL_OK);
    assert_floats(y, (float[]){210.5f, 321.5f, 432.5f, 43.5f}, 4, 0);
    args.dilation = 2;
    args.padding = 2;
    assert_int_equal(ops()->conv1d(*state, &args), MILL_OK);
    assert_floats(y, (float[]){310.5f, 420.5f, 31.5f, 42.5f}, 4, 0);
    span = (struct mill_span){1, 2, 10, 3, 1, 12}; /* time 12 sees time 10 alone, twice 2 */
    assert_int_equal(ops()->conv1d(*state, &args), MILL_OK);
    assert_floats(y, (float[]){310.5f, 420.5f, 31.5f, 2.5f}, 4, 0);
    span.n_x = 4;
    assert_int_equal(ops()->conv1d(*state, &args), MILL_E_INPUT);
    args.w.shape.dtype = MILL_I8;
    assert_int_equal(ops()->conv1d(*state, &args), MILL_E_UNSUPPORTED);
}

static void test_conv1d_depthwise_snake(void **state) {
    float x[2] = {0.5f, -1}, y[2], image[2];
    const float w[2] = {2, 3}, alpha[2] = {1, 0.5f};
    const struct mill_span span = {0, 1, 0, 0, 1, 0};
    const struct mill_conv1d_args args = {.y = matrix(y, 1, 2),
                                          .x = matrix(x, 1, 2),
                                          .w = weight(MILL_F32, 2, 1, 1, w, NULL, image),
                                          .depthwise = true,
                                          .dilation = 1,
                                          .alpha = alpha,
                                          .spans = &span,
                                          .n_spans = 1};
    assert_int_equal(ops()->conv1d(*state, &args), MILL_OK);
    float s = sinf(0.5f);
    assert_floats(y, (float[]){2 * (0.5f + s * s), 3 * (-1 + s * s / 0.5f)}, 2, 1e-6f);
}

/* A convolution is a linear layer over the rows its taps meet, laid side by side. */
static void test_conv1d_is_linear(void **state) {
    enum { N = 6, IN = 3, OUT = 4, TAPS = 3 };
    float x[N * IN], rows[OUT * TAPS * IN], image[OUT * TAPS * IN], y[N * OUT], z[(N - 2) * OUT];
    const struct mill_span span = {0, N, 0, 0, N, 0};
    fill(x, N * IN, 1);
    fill(rows, OUT * TAPS * IN, 2);
    struct mill_weight w = weight(MILL_F32, OUT, TAPS, IN, rows, NULL, image);
    const struct mill_conv1d_args conv = {.y = matrix(y, N, OUT),
                                          .x = matrix(x, N, IN),
                                          .w = w,
                                          .dilation = 1,
                                          .padding = 1,
                                          .spans = &span,
                                          .n_spans = 1};
    w.shape = (struct mill_weight_shape){OUT, 1, TAPS * IN, MILL_F32};
    struct mill_linear_args linear = {.y = matrix(z, 1, OUT), .x = matrix(x, 1, TAPS * IN), .w = w};
    assert_int_equal(ops()->conv1d(*state, &conv), MILL_OK);
    for (int32_t t = 0; t < N - 2; t++) {
        linear.x.data = x + t * IN;
        linear.y.data = z + t * OUT;
        assert_int_equal(ops()->linear(*state, &linear), MILL_OK);
    }
    assert_floats(y + OUT, z, (N - 2) * OUT, 1e-6f);
}

/* The transposed convolution as it is usually defined: each input scatters its taps. */
static void test_conv_transpose1d_scatters(void **state) {
    enum { N = 5, IN = 3, OUT = 2, TAPS = 7, STRIDE = 3, PADDING = 2 };
    enum { N_Y = (N - 1) * STRIDE - 2 * PADDING + TAPS };
    float x[N * IN], rows[OUT * TAPS * IN], image[OUT * TAPS * IN];
    float y[N_Y * OUT], expected[N_Y * OUT], bias[OUT] = {1, -1};
    const struct mill_span span = {0, N, 0, 0, N_Y, 0};
    fill(x, N * IN, 3);
    fill(rows, OUT * TAPS * IN, 4);
    for (int t = 0; t < N_Y; t++)
        memcpy(expected + t * OUT, bias, sizeof bias);
    for (int i = 0; i < N; i++)
        for (int tap = 0; tap < TAPS; tap++)
            for (int o = 0; o < OUT; o++)
                for (int c = 0; c < IN; c++) {
                    int t = i * STRIDE + tap - PADDING;
                    if (t >= 0 && t < N_Y)
                        expected[t * OUT + o] += rows[(o * TAPS + tap) * IN + c] * x[i * IN + c];
                }
    const struct mill_conv_transpose1d_args args = {
        .y = matrix(y, N_Y, OUT),
        .x = matrix(x, N, IN),
        .w = weight(MILL_F32, OUT, TAPS, IN, rows, bias, image),
        .stride = STRIDE,
        .padding = PADDING,
        .spans = &span,
        .n_spans = 1};
    assert_int_equal(ops()->conv_transpose1d(*state, &args), MILL_OK);
    assert_floats(y, expected, N_Y * OUT, 2e-6f);
}

static void test_sample_draws(void **state) {
    /* probabilities 0.1 0.4 0.2 0.3: by falling probability columns 1 3 2 0 */
    float logits[4] = {logf(0.1f), logf(0.4f), logf(0.2f), logf(0.3f)};
    const float temperature[1] = {1};
    float top_p[1] = {1};
    int32_t top_k[1] = {0}, column[1];
    double u[1];
    struct mill_sample_args args = {.logits = matrix(logits, 1, 4),
                                    .tokens = column,
                                    .temperature = temperature,
                                    .top_p = top_p,
                                    .top_k = top_k,
                                    .u = u};
    static const struct {
        float top_p;
        int32_t top_k;
        double u;
        int32_t column;
    } draws[] = {{1, 0, 0, 1},          {1, 0, 0.39, 1},     {1, 0, 0.41, 3},
                 {1, 0, 0.69, 3},       {1, 0, 0.71, 2},     {1, 0, 0.91, 0},
                 {1, 2, 0.56, 1},       {1, 2, 0.58, 3},     {0.65f, 0, 0.56, 1},
                 {0.65f, 0, 0.58, 3},   {0.75f, 0, 0.99, 2}, {0.3f, 0, 0.9999, 1},
                 {0.5f, 3, 0.999999, 3}};
    for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) {
        top_p[0] = draws[i].top_p;
        top_k[0] = draws[i].top_k;
        u[0] = draws[i].u;
        assert_int_equal(ops()->sample(*state, &args), MILL_OK);
        assert_int_equal(column[0], draws[i].column);
    }
    const int32_t ids[4] = {11, 22, 33, 44};
    args.ids = ids;
    assert_int_equal(ops()->sample(*state, &args), MILL_OK);
    assert_int_equal(column[0], 44);
    logits[2] = NAN;
    assert_int_equal(ops()->sample(*state, &args), MILL_OK);
    assert_int_equal(column[0], -1);
    u[0] = 1;
    assert_int_equal(ops()->sample(*state, &args), MILL_E_INPUT);
}

/* snake(x) = x + sin(x)^2 with alpha 1 (1e-9 aside), which is x at 0 and at pi. */
static void test_residual_unit(void **state) {
    const float pi = 3.14159265f, half = pi / 2, alpha[1] = {1};
    float x[3] = {pi, 0, half}, y[3] = {8, 8, 8};
    const float taps[2] = {1, 2}, bias1[1] = {-pi}, three[1] = {3}, bias2[1] = {0.5f};
    float image1[2], image2[1];
    struct mill_span span = {.n_x = 3, .x_place = 10, .y_first = 1, .n_y = 2, .y_place = 10};
    struct mill_residual_unit_args args = {
        .y = matrix(y, 3, 1),
        .x = matrix(x, 3, 1),
        .dilated = weight(MILL_F32, 1, 2, 1, taps, bias1, image1),
        .pointwise = weight(MILL_F32, 1, 1, 1, three, bias2, image2),
        .alpha1 = alpha,
        .alpha2 = alpha,
        .dilation = 2,
        .padding = 1,
        .spans = &span,
        .n_spans = 1};
    /* time 10: taps at 9 (nothing) and 11 (0): -pi, snake the same, y = pi + 0.5 - 3 pi; time 11:
     * taps at 10 (pi) and 12 (pi/2 + 1): pi + pi + 2 - pi = pi + 2, snake pi + 2 + sin(2)^2 */
    assert_int_equal(ops()->residual_unit(*state, &args), MILL_OK);
    assert_floats(y, (float[]){8, 0.5f - 2 * pi, 0.5f + 3 * (pi + 2 + sinf(2) * sinf(2))}, 3,
                  2e-6f);
    span.y_place = 12; /* one row behind the input */
    assert_int_equal(ops()->residual_unit(*state, &args), MILL_E_INPUT);
    span.y_place = 9;
    assert_int_equal(ops()->residual_unit(*state, &args), MILL_E_INPUT);
    span.y_place = 10;
    args.y.data = x;
    assert_int_equal(ops()->residual_unit(*state, &args), MILL_E_INPUT);
}

/* Two heads of one column; scores ln 1, ln 2, ln 3 for the first, equal ones for the second. */
static void test_attn_dense(void **state) {
    float q[4] = {NAN, NAN, 2, 0}, y[4] = {8, 8, 8, 8};
    float k[6] = {0, 5, logf(2), -7, logf(3), 9}, v[8] = {12, 1, 0, 2, 6, 6, NAN, NAN};
    struct mill_span span = {0, 3, 100, 1, 1, 7};
    struct mill_attn_dense_args args = {.y = matrix(y, 2, 2),
                                        .q = matrix(q, 2, 2),
                                        .k = matrix(k, 3, 2),
                                        .v = matrix(v, 3, 2),
                                        .n_heads = 2,
                                        .scale = 0.5f,
                                        .spans = &span,
                                        .n_spans = 1};
    assert_int_equal(ops()->attn_dense(*state, &args), MILL_OK); /* weights 1/6 2/6 3/6 */
    assert_floats(y, (float[]){8, 8, 5, 3}, 4, 1e-6f);
    args.v.rows = 4;
    assert_int_equal(ops()->attn_dense(*state, &args), MILL_E_INPUT);
    args.v.rows = 3;
    args.n_heads = 3;
    assert_int_equal(ops()->attn_dense(*state, &args), MILL_E_INPUT);
    args.n_heads = 2;
    span.n_x = 0;
    assert_int_equal(ops()->attn_dense(*state, &args), MILL_E_INPUT);
    span.n_x = 4;
    assert_int_equal(ops()->attn_dense(*state, &args), MILL_E_INPUT);
}

static void test_pool_mean(void **state) {
    float x[8] = {NAN, NAN, 1, 2, 4, 6, 4, 7}, y[4] = {8, 8, 8, 8};
    struct mill_span span = {.x_first = 1, .n_x = 3, .y_first = 1};
    const struct mill_pool_mean_args args = {matrix(y, 2, 2), matrix(x, 4, 2), &span, 1};
    assert_int_equal(ops()->pool_mean(*state, &args), MILL_OK);
    assert_floats(y, (float[]){8, 8, 3, 5}, 4, 0);
    span.y_first = 2;
    assert_int_equal(ops()->pool_mean(*state, &args), MILL_E_INPUT);
    span = (struct mill_span){.n_x = 0};
    assert_int_equal(ops()->pool_mean(*state, &args), MILL_E_INPUT);
}

static void test_mix(void **state) {
    float x[4] = {1, 2, 3, 4}, z[4] = {10, 20, 30, 40}, y[4];
    const float gain[4] = {1, 2, 3, 4};
    const int32_t group[2] = {1, 0};
    struct mill_mix_args args = {.y = matrix(y, 2, 2),
                                 .x = matrix(x, 2, 2),
                                 .z = matrix(z, 2, 2),
                                 .x_scale = 2,
                                 .z_scale = -0.5f,
                                 .group_stride = 2};
    assert_int_equal(ops()->mix(*state, &args), MILL_OK);
    assert_floats(y, (float[]){-3, -6, -9, -12}, 4, 0);
    args.group = group;
    assert_int_equal(ops()->mix(*state, &args), MILL_E_INPUT); /* groups of no gain */
    args.gain = gain;
    assert_int_equal(ops()->mix(*state, &args), MILL_OK);
    assert_floats(y, (float[]){-13, -36, -9, -32}, 4, 0);
    args.y = args.z; /* in place */
    assert_int_equal(ops()->mix(*state, &args), MILL_OK);
    assert_floats(z, (float[]){-13, -36, -9, -32}, 4, 0);
    args.z.rows = 1;
    assert_int_equal(ops()->mix(*state, &args), MILL_E_INPUT);
}

static void test_matrices_are_checked(void **state) {
    float x[4] = {0}, y[4];
    struct mill_norm_args args = {.y = matrix(y, 1, 4), .x = matrix(x, 1, 4), .gain = x};
    args.x.stride = 3;
    assert_int_equal(ops()->norm(*state, &args), MILL_E_INPUT);
    args.x = matrix(NULL, 1, 4);
    assert_int_equal(ops()->norm(*state, &args), MILL_E_INPUT);
    args.x = matrix(x, 1, 4);
    args.x.dtype = MILL_BF16;
    assert_int_equal(ops()->norm(*state, &args), MILL_E_UNSUPPORTED);
    args.x = matrix(x, -1, 4);
    assert_int_equal(ops()->norm(*state, &args), MILL_E_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_embed),
        TEST(test_embed_drawn),
        TEST(test_copy_rows),
        TEST(test_norm),
        TEST(test_conv1d),
        TEST(test_conv1d_depthwise_snake),
        TEST(test_conv1d_is_linear),
        TEST(test_conv_transpose1d_scatters),
        TEST(test_sample_draws),
        TEST(test_residual_unit),
        TEST(test_attn_dense),
        TEST(test_pool_mean),
        TEST(test_mix),
        TEST(test_matrices_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
