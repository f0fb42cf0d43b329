/* cases.h - the case table: what is tested of which operator, as data that every kind of test walks
 * through. A case is one operator with its sizes; a variant is a case with a number of rows and an
 * element type. */
#ifndef MILL_TESTS_KERNELS_CASES_H
#define MILL_TESTS_KERNELS_CASES_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stdint.h>

enum operator_kind {
    OP_EMBED,
    OP_COPY_ROWS,
    OP_NORM,
    OP_LINEAR,
    OP_ROPE_APPEND,
    OP_ATTN_PAGED,
    OP_SAMPLE,
    OP_CONV1D,
    OP_CONV_TRANSPOSE1D,
    OP_RESIDUAL_UNIT,
    OP_ATTN_DENSE,
    OP_POOL_MEAN,
    OP_MIX
};

enum case_flags {
    STRIDED = 1,        /* rows lie further apart than their length; pages too */
    BIAS = 2,           /* a bias; mix: a gain */
    GROUPS = 4,         /* bias, or gain and shift, differ by row */
    RESIDUAL = 8,       /* add another matrix */
    RESIDUAL_IS_Y = 16, /* add what y holds */
    IN_PLACE = 32,      /* y is x */
    DEPTHWISE = 64,     /* conv1d: a channel reads itself */
    SNAKE = 128,        /* pre(x) = snake */
    SPANS = 256,        /* several pieces of sequences, not one whole one */
    PERF = 512,         /* a published shape: timed by perf */
    PERF_ONLY = 4096,   /* ... too large to be tested as well: a narrower one like it is */
    OPTIONAL = 1024,    /* no model needs it: a backend may answer MILL_E_UNSUPPORTED */
    OVERLAP = 2048,     /* linear: rows of x begin every `stride` elements and overlap */
    TOKENS = 8192,      /* embed: some ids stand for drawn ones; sample: columns have tokens */
    NORMED = 16384,     /* linear: x is normalised first */
    APPENDS = 32768,    /* attn_paged: rope_append comes first; a row a sequence */
};

#define DTYPE_BIT(dtype) (1u << (dtype))

struct sequence_shape {
    int32_t n_cached, n_rows;
};

struct kernel_case {
    const char *name;
    enum operator_kind op;
    const int32_t *rows; /* each in turn, -1 ends: x rows. NULL where sequences say it */
    unsigned dtypes;     /* DTYPE_BIT of each: of weights, table or pages */
    unsigned flags;
    int32_t n_in, n_out, n_taps; /* n_taps 0 = 1; n_in alone for operators without weights */
    enum mill_activation act;
    enum mill_norm_kind norm;
    enum mill_pairs pairs;                 /* linear */
    int32_t first_out, range_out;          /* linear: the range of outputs */
    int32_t dilation, stride, padding;     /* convolutions; stride: OVERLAP too */
    int32_t n_heads, n_kv_heads, head_dim; /* attention */
    const struct sequence_shape *sequences;
    int32_t n_sequences;
    float temperature, top_p; /* sampling; 0 = drawn at random for each row */
    int32_t top_k;
};

struct case_list {
    const struct kernel_case *cases;
    int32_t n;
};

struct case_list cases_common(void);
struct case_list cases_language_model(void);
struct case_list cases_codec(void);
struct case_list cases_encoder(void);

struct variant {
    const struct kernel_case *c;
    int32_t rows;
    enum mill_dtype dtype;
};

/* Call `visit` with every variant of the table, those to be tested or those to be timed; returns
 * how often it returned false. */
typedef bool variant_visit(const struct variant *v, void *context);
int32_t each_variant(bool timed, variant_visit *visit, void *context);
/* From now on only variants of cases whose name begins so; returns how many cases these are. */
int32_t each_variant_only(const char *beginning);
/* Whether a backend may refuse it: an OPTIONAL case, or an operator that may be missing. */
bool variant_is_optional(const struct variant *v);
/* "name f32 x7 rows" in `text`, for messages. */
const char *variant_name(const struct variant *v, char text[128]);

#endif
