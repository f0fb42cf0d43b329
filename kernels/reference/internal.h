/* internal.h - what the files of the reference backend share: its state, the argument checks and
 * the one inner product that every weighted operator is made of.
 *
 * The reference backend is the definition: it is written to be read, sums in double, rounds once at
 * the end, and checks every argument that it can see. Only the thread that owns the backend calls
 * it. */
#ifndef MILL_KERNELS_REFERENCE_INTERNAL_H
#define MILL_KERNELS_REFERENCE_INTERNAL_H

#include "kernels/backend.h"

enum {
    MILL_REFERENCE_MAX_INPUT = 65536,   /* columns of a weight's input, for the row buffers */
    MILL_REFERENCE_MAX_I8_INPUT = 8192, /* inputs of one integer sum, see kernels/README.md */
    MILL_REFERENCE_MAX_HEAD_DIM = 256
};

struct mill_backend {
    float row[MILL_REFERENCE_MAX_INPUT];    /* one input row as the products see it */
    double sum[MILL_REFERENCE_MAX_INPUT];   /* one output row before it is rounded */
    float middle[MILL_REFERENCE_MAX_INPUT]; /* one row between two operators */
    int16_t quantised[MILL_REFERENCE_MAX_I8_INPUT];
};

/* ---- check.c: MILL_OK, MILL_E_INPUT, or MILL_E_UNSUPPORTED for types and sizes beyond us */

mill_status mill_reference_check_matrix(const struct mill_matrix *m);
/* A matrix that is only read, whose rows may overlap. */
mill_status mill_reference_check_view(const struct mill_matrix *m);
/* A matrix of exactly this shape. */
mill_status mill_reference_check_shape(const struct mill_matrix *m, int32_t rows, int32_t columns);
/* No residual, or one of y's shape. */
mill_status mill_reference_check_residual(const struct mill_matrix *residual,
                                          const struct mill_matrix *y);
/* No groups, or one for every row of x, whose rows are `group_stride` elements apart. */
mill_status mill_reference_check_group(const int32_t *group, int64_t group_stride,
                                       const struct mill_matrix *x);
mill_status mill_reference_check_weight(const struct mill_weight *w);
mill_status mill_reference_check_activation(enum mill_activation act);
mill_status mill_reference_check_spans(const struct mill_span *spans, int32_t n_spans,
                                       const struct mill_matrix *x, const struct mill_matrix *y);
/* `x` is the fused projection of `n_heads` query heads and the pages' heads. */
mill_status mill_reference_check_batch(const struct mill_batch *batch,
                                       const struct mill_kv_pages *kv, const struct mill_matrix *x,
                                       int32_t n_heads);

static inline float *mill_reference_row(const struct mill_matrix *m, int64_t row) {
    return (float *)m->data + row * m->stride;
}

/* ---- weights.c */

/* x as signed 8-bit codes; returns their scale (code_scale.h). */
float mill_reference_quantise_i8(const float *x, size_t n, int8_t *codes);

size_t mill_reference_weight_bytes(const struct mill_weight_shape *shape);
void mill_reference_weight_pack(const struct mill_weight_shape *shape, int32_t first_out,
                                int32_t n_rows, const float *rows, void *image);
/* [n_out] scales of an I8 image. */
const float *mill_reference_weight_scales(const struct mill_weight *w);
/* Codes of output o of an I8 image. */
const int8_t *mill_reference_weight_codes(const struct mill_weight *w, int32_t o);
/* Inner product of n_in values with w[o][tap], for F32 and BF16 images. */
double mill_reference_weight_dot(const struct mill_weight *w, int32_t o, int32_t tap,
                                 const float *x);

/* ---- common.c */

double mill_reference_activate(enum mill_activation act, double v);

/* ---- the operators, by file */

mill_status mill_reference_embed(struct mill_backend *b, const struct mill_embed_args *a);
mill_status mill_reference_copy_rows(struct mill_backend *b, const struct mill_copy_rows_args *a);
mill_status mill_reference_norm(struct mill_backend *b, const struct mill_norm_args *a);
mill_status mill_reference_linear(struct mill_backend *b, const struct mill_linear_args *a);
mill_status mill_reference_rope_append(struct mill_backend *b,
                                       const struct mill_rope_append_args *a);
mill_status mill_reference_attn_paged(struct mill_backend *b, const struct mill_attn_paged_args *a);
mill_status mill_reference_sample(struct mill_backend *b, const struct mill_sample_args *a);
mill_status mill_reference_conv1d(struct mill_backend *b, const struct mill_conv1d_args *a);
mill_status mill_reference_conv_transpose1d(struct mill_backend *b,
                                            const struct mill_conv_transpose1d_args *a);
mill_status mill_reference_residual_unit(struct mill_backend *b,
                                         const struct mill_residual_unit_args *a);
mill_status mill_reference_attn_dense(struct mill_backend *b, const struct mill_attn_dense_args *a);
mill_status mill_reference_pool_mean(struct mill_backend *b, const struct mill_pool_mean_args *a);
mill_status mill_reference_mix(struct mill_backend *b, const struct mill_mix_args *a);

#endif
