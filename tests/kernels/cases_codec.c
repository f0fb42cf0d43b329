/* cases_codec.c - the case table of conv1d, residual_unit and conv_transpose1d. Data only. */
#include "tests/kernels/cases.h"

#define BOTH (DTYPE_BIT(MILL_F32) | DTYPE_BIT(MILL_BF16))

static const int32_t rows_all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 100, -1};
static const int32_t rows_some[] = {1, 2, 7, 9, 65, -1};
static const int32_t rows_few[] = {1, 9, -1};
static const int32_t rows_two[] = {2, -1};
static const int32_t rows_five[] = {5, -1};
static const int32_t rows_long[] = {450, -1};

/* What most convolutions have in common; the padding keeps their length. */
#define CONV(rows_, out, taps, in, dilation_)                                                      \
    .op = OP_CONV1D, .rows = rows_, .dtypes = BOTH, .n_out = out, .n_taps = taps, .n_in = in,      \
    .dilation = dilation_, .padding = dilation_ * (taps - 1) / 2
/* Depthwise in float32, the one type that models keep such small weights in. */
#define DEPTH(rows_, channels, taps, dilation_)                                                    \
    .op = OP_CONV1D, .rows = rows_, .dtypes = DTYPE_BIT(MILL_F32), .n_out = channels,              \
    .n_taps = taps, .n_in = 1, .dilation = dilation_, .padding = dilation_ * (taps - 1) / 2
/* Residual units of c channels: a backend without the operator runs two convolutions. */
#define UNIT(rows_, c, taps, dilation_)                                                            \
    .op = OP_RESIDUAL_UNIT, .rows = rows_, .dtypes = BOTH, .n_out = c, .n_taps = taps, .n_in = c,  \
    .dilation = dilation_, .padding = dilation_ * (taps - 1) / 2
#define TRANSPOSE(rows_, out, taps, in, stride_)                                                   \
    .op = OP_CONV_TRANSPOSE1D, .rows = rows_, .dtypes = BOTH, .n_out = out, .n_taps = taps,        \
    .n_in = in, .stride = stride_, .padding = (taps - stride_) / 2

static const struct kernel_case cases[] = {

    {.name = "conv 1x1x1", CONV(rows_all, 1, 1, 1, 1)},
    {.name = "conv 2x3x1", CONV(rows_some, 2, 3, 1, 1), .flags = BIAS},
    {.name = "conv 7x7x6", CONV(rows_all, 7, 7, 6, 1), .flags = BIAS | STRIDED | SPANS},
    {.name = "conv 63x3x65 dilated", CONV(rows_some, 63, 3, 65, 9), .flags = BIAS | SNAKE | SPANS},
    {.name = "conv 65x7x63 relu",
     CONV(rows_some, 65, 7, 63, 3),
     .act = MILL_ACT_RELU,
     .flags = BIAS | RESIDUAL | STRIDED | SPANS},
    {.name = "conv 129x1x33 residual is y",
     CONV(rows_some, 129, 1, 33, 1),
     .flags = RESIDUAL_IS_Y | SNAKE | SPANS},
    {.name = "conv 16x5x16 gelu",
     CONV(rows_some, 16, 5, 16, 1),
     .act = MILL_ACT_GELU,
     .flags = BIAS | SPANS},
    {.name = "conv 24x4x8 even taps", CONV(rows_some, 24, 4, 8, 2), .flags = BIAS | SPANS},
    {.name = "conv 97x3x200 d9",
     CONV(rows_some, 97, 3, 200, 9),
     .flags = BIAS | SNAKE | STRIDED | SPANS},
    {.name = "depthwise 1", DEPTH(rows_some, 1, 3, 1), .flags = DEPTHWISE},
    {.name = "depthwise 65",
     DEPTH(rows_all, 65, 7, 1),
     .flags = DEPTHWISE | BIAS | STRIDED | SPANS},
    {.name = "depthwise 33 dilated",
     CONV(rows_some, 33, 5, 1, 2),
     .flags = DEPTHWISE | BIAS | SNAKE | SPANS | RESIDUAL | OPTIONAL},
    {.name = "depthwise 384", DEPTH(rows_all, 384, 7, 1), .flags = DEPTHWISE | BIAS | SPANS | PERF},
    {.name = "depthwise 65 bf16",
     .op = OP_CONV1D,
     .rows = rows_some,
     .dtypes = DTYPE_BIT(MILL_BF16),
     .n_out = 65,
     .n_taps = 7,
     .n_in = 1,
     .dilation = 1,
     .padding = 3,
     .flags = DEPTHWISE | BIAS | SPANS | OPTIONAL},
    {.name = "conv embed 384x7x1024", CONV(rows_few, 384, 7, 1024, 1), .flags = BIAS | PERF},
    {.name = "conv first 1536x7x1024", CONV(rows_two, 1536, 7, 1024, 1), .flags = BIAS | PERF_ONLY},
    {.name = "conv residual 768x7x768 d1",
     CONV(rows_few, 768, 7, 768, 1),
     .flags = BIAS | SNAKE | PERF_ONLY},
    {.name = "conv residual 768x7x768 d9",
     CONV(rows_two, 768, 7, 768, 9),
     .flags = BIAS | SNAKE | SPANS | PERF},
    {.name = "conv residual 768x1x768",
     CONV(rows_few, 768, 1, 768, 1),
     .flags = BIAS | SNAKE | RESIDUAL_IS_Y | PERF},
    {.name = "conv residual 384x7x384 d3",
     CONV(rows_few, 384, 7, 384, 3),
     .flags = BIAS | SNAKE | PERF},
    {.name = "conv residual 192x7x192 d9",
     CONV(rows_some, 192, 7, 192, 9),
     .flags = BIAS | SNAKE | PERF},
    {.name = "conv residual 96x7x96 d3",
     CONV(rows_some, 96, 7, 96, 3),
     .flags = BIAS | SNAKE | PERF},
    {.name = "conv residual 96x1x96",
     CONV(rows_all, 96, 1, 96, 1),
     .flags = BIAS | SNAKE | RESIDUAL_IS_Y | PERF},
    {.name = "conv last 1x7x96 tanh",
     CONV(rows_all, 1, 7, 96, 1),
     .act = MILL_ACT_TANH,
     .flags = BIAS | SNAKE | SPANS | PERF},

    {.name = "conv single 1x3x41 d2",
     CONV(rows_some, 1, 3, 41, 2),
     .flags = BIAS | SNAKE | SPANS | STRIDED | RESIDUAL},

    {.name = "unit 1", UNIT(rows_some, 1, 3, 1), .flags = BIAS | SNAKE},
    {.name = "unit 6 d2", UNIT(rows_all, 6, 3, 2), .flags = BIAS | SNAKE | STRIDED | SPANS},
    {.name = "unit 16 of several tiles", UNIT(rows_long, 16, 1, 1), .flags = BIAS | SNAKE},
    {.name = "unit 65 d9", UNIT(rows_some, 65, 7, 9), .flags = BIAS | SNAKE | SPANS},
    {.name = "unit 32 d3", UNIT(rows_all, 32, 7, 3), .flags = BIAS | SNAKE | SPANS},
    {.name = "unit 96 d1", UNIT(rows_all, 96, 7, 1), .flags = BIAS | SNAKE | SPANS | PERF},
    {.name = "unit 192 d9", UNIT(rows_some, 192, 7, 9), .flags = BIAS | SNAKE | PERF},
    {.name = "unit 384 d3", UNIT(rows_two, 384, 7, 3), .flags = BIAS | SNAKE | PERF},
    {.name = "unit 768 d9", UNIT(rows_two, 768, 7, 9), .flags = BIAS | SNAKE | PERF_ONLY},

    {.name = "transpose 1x1x1", TRANSPOSE(rows_some, 1, 1, 1, 1)},
    {.name = "transpose 2x2x1 stride 2", TRANSPOSE(rows_some, 2, 2, 1, 2), .flags = BIAS},
    {.name = "transpose 7x11x6 stride 5",
     TRANSPOSE(rows_all, 7, 11, 6, 5),
     .flags = BIAS | STRIDED | SPANS},
    {.name = "transpose 63x8x65 stride 4",
     TRANSPOSE(rows_some, 63, 8, 65, 4),
     .flags = BIAS | SNAKE | SPANS},
    {.name = "transpose 33x4x17 stride 2",
     TRANSPOSE(rows_some, 33, 4, 17, 2),
     .flags = SNAKE | STRIDED | SPANS},
    {.name = "transpose 97x6x200 stride 3",
     TRANSPOSE(rows_some, 97, 6, 200, 3),
     .flags = BIAS | SNAKE | STRIDED | SPANS},
    {.name = "transpose 5x3x8 stride 4",
     TRANSPOSE(rows_some, 5, 3, 8, 4),
     .flags = BIAS | SPANS | OPTIONAL},
    {.name = "transpose 768x16x1536 stride 8",
     TRANSPOSE(rows_two, 768, 16, 1536, 8),
     .flags = BIAS | SNAKE | PERF_ONLY},
    {.name = "transpose 70x16x1536 stride 8",
     TRANSPOSE(rows_two, 70, 16, 1536, 8),
     .flags = BIAS | SNAKE},
    {.name = "transpose 384x11x768 stride 5",
     TRANSPOSE(rows_five, 384, 11, 768, 5),
     .flags = BIAS | SNAKE | PERF},
    {.name = "transpose 192x8x384 stride 4",
     TRANSPOSE(rows_five, 192, 8, 384, 4),
     .flags = BIAS | SNAKE | PERF},
    {.name = "transpose 96x4x192 stride 2",
     TRANSPOSE(rows_some, 96, 4, 192, 2),
     .flags = BIAS | SNAKE | PERF},
};

struct case_list cases_codec(void) {
    return (struct case_list){cases, (int32_t)(sizeof cases / sizeof *cases)};
}
