/* cases_encoder.c - the case table of the encoder group, and of what it asks of the other
 * operators: affine norms, activations behind a norm, linear layers over overlapping rows and
 * with pairs of outputs. Data only. */
#include "tests/kernels/cases.h"

#define F32 DTYPE_BIT(MILL_F32)
#define BF16 DTYPE_BIT(MILL_BF16)
#define ALL (F32 | BF16 | DTYPE_BIT(MILL_I8))

static const int32_t rows_all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 100, -1};
static const int32_t rows_spans[] = {1, 2, 3, 31, 32, 33, 64, 65, 100, -1};
static const int32_t rows_some[] = {1, 2, 7, 9, 65, -1};
static const int32_t rows_few[] = {1, 9, -1};
static const int32_t rows_long[] = {299, -1};

#define NORM(rows_, n, kind, act_)                                                                 \
    .op = OP_NORM, .rows = rows_, .dtypes = F32, .n_in = n, .norm = kind, .act = act_
#define OVERLAPPING(rows_, out, in, hop)                                                           \
    .op = OP_LINEAR, .rows = rows_, .dtypes = ALL, .n_out = out, .n_in = in, .stride = hop
#define ATTENTION(rows_, heads, d)                                                                 \
    .op = OP_ATTN_DENSE, .rows = rows_, .dtypes = F32, .n_heads = heads, .head_dim = d
#define MEAN(rows_, n) .op = OP_POOL_MEAN, .rows = rows_, .dtypes = F32, .n_in = n
#define MIX(rows_, n) .op = OP_MIX, .rows = rows_, .dtypes = F32, .n_in = n

static const struct kernel_case cases[] = {
    {.name = "affine 1", NORM(rows_few, 1, MILL_NORM_AFFINE, MILL_ACT_NONE)},
    {.name = "affine 63 strided",
     NORM(rows_all, 63, MILL_NORM_AFFINE, MILL_ACT_NONE),
     .flags = STRIDED},
    {.name = "affine 129 relu groups",
     NORM(rows_some, 129, MILL_NORM_AFFINE, MILL_ACT_RELU),
     .flags = GROUPS | STRIDED},
    {.name = "affine 512 relu in place",
     NORM(rows_all, 512, MILL_NORM_AFFINE, MILL_ACT_RELU),
     .flags = IN_PLACE | PERF},
    {.name = "affine 65 sigmoid", NORM(rows_some, 65, MILL_NORM_AFFINE, MILL_ACT_SIGMOID)},
    {.name = "affine 17 tanh", NORM(rows_some, 17, MILL_NORM_AFFINE, MILL_ACT_TANH)},
    {.name = "layer norm 512 gelu",
     NORM(rows_all, 512, MILL_NORM_LAYER, MILL_ACT_GELU),
     .flags = PERF},
    {.name = "rms norm 33 gelu", NORM(rows_some, 33, MILL_NORM_RMS, MILL_ACT_GELU)},

    {.name = "linear 64x10 every 5", OVERLAPPING(rows_all, 64, 10, 5), .flags = BIAS | OVERLAP},
    {.name = "linear 7x129 every sample",
     OVERLAPPING(rows_some, 7, 129, 1),
     .flags = OVERLAP | STRIDED},
    {.name = "linear 64x1536 every 1024 gelu",
     OVERLAPPING(rows_few, 64, 1536, 1024),
     .act = MILL_ACT_GELU,
     .flags = BIAS | OVERLAP | PERF},

    {.name = "linear gelu gate 130x65",
     .op = OP_LINEAR,
     .rows = rows_some,
     .dtypes = F32 | BF16,
     .n_in = 65,
     .n_out = 130,
     .act = MILL_ACT_GELU,
     .pairs = MILL_PAIRS_GATE,
     .flags = BIAS | STRIDED},
    {.name = "linear gelu gate 2730x512",
     .op = OP_LINEAR,
     .rows = rows_few,
     .dtypes = F32,
     .n_in = 512,
     .n_out = 2730,
     .act = MILL_ACT_GELU,
     .pairs = MILL_PAIRS_GATE,
     .flags = BIAS | PERF_ONLY},
    {.name = "linear magnitude 74x129 every 31",
     OVERLAPPING(rows_some, 74, 129, 31),
     .pairs = MILL_PAIRS_MAGNITUDE,
     .flags = OVERLAP | RESIDUAL},
    {.name = "linear magnitude 1026x640 every 320",
     OVERLAPPING(rows_few, 1026, 640, 320),
     .pairs = MILL_PAIRS_MAGNITUDE,
     .flags = OVERLAP | PERF_ONLY},

    {.name = "attention dense 1x16", ATTENTION(rows_spans, 1, 16)},
    {.name = "attention dense 3x32 spans", ATTENTION(rows_spans, 3, 32), .flags = SPANS | STRIDED},
    {.name = "attention dense 2x64 spans", ATTENTION(rows_some, 2, 64), .flags = SPANS},
    {.name = "attention dense 1x256", ATTENTION(rows_few, 1, 256), .flags = STRIDED},
    {.name = "attention dense 5x7 odd",
     ATTENTION(rows_some, 5, 7),
     .flags = SPANS | STRIDED | OPTIONAL},
    {.name = "attention dense 4x64 long", ATTENTION(rows_long, 4, 64), .flags = PERF},

    {.name = "mean 1", MEAN(rows_some, 1)},
    {.name = "mean 65 spans", MEAN(rows_spans, 65), .flags = SPANS | STRIDED},
    {.name = "mean 1024", MEAN(rows_long, 1024), .flags = SPANS | PERF},

    {.name = "mix 1", MIX(rows_few, 1)},
    {.name = "mix 63 strided", MIX(rows_all, 63), .flags = STRIDED},
    {.name = "mix 65 gain", MIX(rows_some, 65), .flags = BIAS},
    {.name = "mix 129 groups", MIX(rows_some, 129), .flags = GROUPS | STRIDED},
    {.name = "mix 512 groups in place", MIX(rows_all, 512), .flags = GROUPS | IN_PLACE | PERF},
};

struct case_list cases_encoder(void) {
    return (struct case_list){cases, (int32_t)(sizeof cases / sizeof *cases)};
}
