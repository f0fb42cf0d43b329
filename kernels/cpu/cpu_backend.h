/* cpu_backend.h - what the files of the cpu backend share: the backend itself, the weight layout,
 * the product driver. Private to kernels/cpu. */
#ifndef MILL_KERNELS_CPU_BACKEND_H
#define MILL_KERNELS_CPU_BACKEND_H

#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "runtime/base/pool.h"

enum {
    PREPARED_BYTES = 16 << 20, /* prepared input rows of one block of an operator */
    PREPARED_ROWS = 1 << 18,   /* most rows of a block (their scales) */
};

struct mill_backend {
    const struct cpu_isa *isa;
    struct mill_pool *pool;
    char *prepared;               /* [PREPARED_BYTES] */
    struct coded_row *coded_rows; /* [PREPARED_ROWS] */
    char description[96];
};

/* ---- layout.c: weights as panels of PANEL outputs: [panel][tap][k group][columns][group], group 1
 * (f32) or 2 consecutive inputs (bf16, i8); n_in is padded to whole groups with zeros, the last
 * panel to LANES columns. 8-bit scales stand behind. */
struct panels {
    int32_t n_groups; /* of a tap */
    int32_t group;    /* inputs a group */
    size_t element_bytes;
    size_t tap_bytes_a_column; /* n_groups * group * element_bytes */
    size_t scales_at;          /* I8: byte offset of float [n_out] */
    size_t bytes;
};
struct panels mill_cpu_panels(const struct mill_weight_shape *shape);
/* Columns of the panel that starts at output `first`: PANEL, or what is left in steps of LANES. */
static inline int32_t panel_columns(const struct mill_weight_shape *shape, int32_t first) {
    int32_t left = shape->n_out - first;
    return left >= PANEL ? PANEL : (left + LANES - 1) / LANES * LANES;
}
size_t mill_cpu_weight_bytes(const struct mill_weight_shape *shape);
void mill_cpu_weight_pack(const struct mill_weight_shape *shape, int32_t first_out, int32_t n_rows,
                          const float *rows, void *image);

/* ---- product.c: rows of prepared input times panels, with everything behind the sum. */
struct product_piece { /* rows that follow one another, seen from the product's first ones */
    int32_t n_rows;
    ptrdiff_t a;         /* bytes */
    int64_t y, residual; /* elements */
};
struct product {
    const struct mill_weight *w;
    const char *a;                       /* prepared input of output row 0, its first tap */
    ptrdiff_t a_row, a_tap;              /* bytes from output row to row, from tap to tap */
    const struct coded_row *a_coded;     /* I8: of each output row, else NULL */
    int32_t first_tap, tap_step, n_taps; /* which taps of w take part */
    int32_t first_out, n_out, n_rows;
    float *y;
    const float *residual; /* or NULL */
    int64_t y_stride, residual_stride;
    const int32_t *bias_group;
    int64_t bias_stride;
    enum mill_activation act;
    enum mill_pairs pairs;
    /* Where the rows lie in several places, so that weights are read once for all of them; n_rows,
     * a_coded and bias_group then count through. NULL = one piece of n_rows. */
    const struct product_piece *pieces;
};
void mill_cpu_product_run(struct mill_backend *backend, const struct product *product);

/* Prepare rows x[first .. first + n_rows) of width n_in into backend->prepared, from its row `to`
 * on, on all threads: converted for the weight's dtype, snake where alpha is given, RMS norm where
 * gain is. Rows outside [0, n_x) become zeros. */
struct preparation {
    const float *x;
    int64_t x_stride;
    int32_t n_x, first, n_rows, n_in, to;
    const float *alpha, *gain;
    float eps;
    enum mill_dtype dtype; /* of the weight */
};
void mill_cpu_prepare(struct mill_backend *backend, const struct preparation *preparation);
/* Bytes of one prepared row. */
size_t mill_cpu_prepared_row_bytes(enum mill_dtype dtype, int32_t n_in);

static inline float *matrix_row(const struct mill_matrix *m, int64_t row) {
    return (float *)m->data + row * m->stride;
}

/* ---- attention: language_model.c; both kinds begin, go through runs of keys (isa->attn), end. */
static inline bool mill_cpu_head_dim_is_supported(int32_t head_dim) {
    return head_dim > 0 && head_dim % LANES == 0 && head_dim <= ATTN_HEAD_DIM;
}
/* Takes n <= ATTN_QUERIES queries, `stride` elements apart, with nothing attended to yet. */
void mill_cpu_attn_begin(struct attn_queries *queries, const float *q, int64_t stride, int32_t n,
                         int32_t head_dim, float scale);
/* Writes the queries' results, `stride` elements apart. */
void mill_cpu_attn_end(const struct attn_queries *queries, float *y, int64_t stride);

/* ---- rows one by one on all threads: common.c. `row` finds its operator's arguments in `args`. */
struct rows_run {
    const void *args;
    const struct cpu_isa *isa; /* filled in by the run */
    void (*row)(const struct rows_run *, int32_t row);
    int32_t n_rows, rows_a_task;
};
void mill_cpu_rows_run(struct mill_backend *backend, struct rows_run *run, int32_t columns);

/* ---- the operators */
mill_status mill_cpu_embed(struct mill_backend *, const struct mill_embed_args *);
mill_status mill_cpu_copy_rows(struct mill_backend *, const struct mill_copy_rows_args *);
mill_status mill_cpu_norm(struct mill_backend *, const struct mill_norm_args *);
mill_status mill_cpu_linear(struct mill_backend *, const struct mill_linear_args *);
mill_status mill_cpu_rope_append(struct mill_backend *, const struct mill_rope_append_args *);
mill_status mill_cpu_attn_paged(struct mill_backend *, const struct mill_attn_paged_args *);
mill_status mill_cpu_sample(struct mill_backend *, const struct mill_sample_args *);
mill_status mill_cpu_conv1d(struct mill_backend *, const struct mill_conv1d_args *);
mill_status mill_cpu_conv_transpose1d(struct mill_backend *,
                                      const struct mill_conv_transpose1d_args *);
mill_status mill_cpu_attn_dense(struct mill_backend *, const struct mill_attn_dense_args *);
mill_status mill_cpu_pool_mean(struct mill_backend *, const struct mill_pool_mean_args *);
mill_status mill_cpu_mix(struct mill_backend *, const struct mill_mix_args *);

#endif
