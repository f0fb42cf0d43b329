/* encoder.c - attn_dense, pool_mean and mix in plain C; formulas in kernels/README.md. One thread.
 */
#include "kernels/reference/internal.h"

#include <math.h>

static mill_status check_attn_dense(const struct mill_attn_dense_args *a) {
    MILL_TRY(mill_reference_check_matrix(&a->q));
    MILL_TRY(mill_reference_check_matrix(&a->k));
    MILL_TRY(mill_reference_check_shape(&a->v, a->k.rows, a->q.columns));
    MILL_TRY(mill_reference_check_shape(&a->y, a->q.rows, a->q.columns));
    if (a->k.columns != a->q.columns || a->n_heads < 1 || a->q.columns % a->n_heads)
        return MILL_E_INPUT;
    if (a->q.columns / a->n_heads > MILL_REFERENCE_MAX_HEAD_DIM)
        return MILL_E_UNSUPPORTED;
    MILL_TRY(mill_reference_check_spans(a->spans, a->n_spans, &a->k, &a->q));
    for (int32_t s = 0; s < a->n_spans; s++)
        if (a->spans[s].n_y > 0 && a->spans[s].n_x == 0) /* a softmax of nothing */
            return MILL_E_INPUT;
    return MILL_OK;
}

/* q . k * scale over one head */
static double score(const float *q, const float *k, int32_t head_dim, float scale) {
    double sum = 0;
    for (int32_t i = 0; i < head_dim; i++)
        sum += (double)q[i] * k[i];
    return sum * scale;
}

/* One query row's head over the span's keys. The scores are computed twice in place of being kept.
 */
static void attend(const struct mill_attn_dense_args *a, const struct mill_span *span, int64_t row,
                   int32_t head) {
    const int32_t d = a->q.columns / a->n_heads;
    const int64_t column = (int64_t)head * d;
    const float *q = mill_reference_row(&a->q, row) + column;
    double value[MILL_REFERENCE_MAX_HEAD_DIM] = {0}, total = 0, largest = -INFINITY;
    for (int32_t t = 0; t < span->n_x; t++)
        largest = fmax(
            largest, score(q, mill_reference_row(&a->k, span->x_first + t) + column, d, a->scale));
    for (int32_t t = 0; t < span->n_x; t++) {
        const float *k = mill_reference_row(&a->k, span->x_first + t) + column;
        const float *v = mill_reference_row(&a->v, span->x_first + t) + column;
        double weight = exp(score(q, k, d, a->scale) - largest);
        total += weight;
        for (int32_t i = 0; i < d; i++)
            value[i] += weight * v[i];
    }
    float *y = mill_reference_row(&a->y, row) + column;
    for (int32_t i = 0; i < d; i++)
        y[i] = (float)(value[i] / total);
}

mill_status mill_reference_attn_dense(struct mill_backend *b,
                                      const struct mill_attn_dense_args *a) {
    (void)b;
    MILL_TRY(check_attn_dense(a));
    for (int32_t s = 0; s < a->n_spans; s++)
        for (int32_t j = 0; j < a->spans[s].n_y; j++)
            for (int32_t h = 0; h < a->n_heads; h++)
                attend(a, &a->spans[s], (int64_t)a->spans[s].y_first + j, h);
    return MILL_OK;
}

mill_status mill_reference_pool_mean(struct mill_backend *b, const struct mill_pool_mean_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_matrix(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->y, a->y.rows, a->x.columns));
    MILL_TRY(mill_reference_check_spans(a->spans, a->n_spans, &a->x, &a->y));
    for (int32_t s = 0; s < a->n_spans; s++)
        if (a->spans[s].n_x < 1 || a->spans[s].y_first >= a->y.rows)
            return MILL_E_INPUT;
    for (int32_t s = 0; s < a->n_spans; s++)
        for (int32_t i = 0; i < a->x.columns; i++) {
            double sum = 0;
            for (int32_t t = 0; t < a->spans[s].n_x; t++)
                sum += mill_reference_row(&a->x, (int64_t)a->spans[s].x_first + t)[i];
            mill_reference_row(&a->y, a->spans[s].y_first)[i] = (float)(sum / a->spans[s].n_x);
        }
    return MILL_OK;
}

mill_status mill_reference_mix(struct mill_backend *b, const struct mill_mix_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_matrix(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->z, a->x.rows, a->x.columns));
    MILL_TRY(mill_reference_check_shape(&a->y, a->x.rows, a->x.columns));
    MILL_TRY(mill_reference_check_group(a->group, a->group_stride, &a->x));
    if (a->group && !a->gain)
        return MILL_E_INPUT;
    for (int32_t r = 0; r < a->x.rows; r++) {
        const float *x = mill_reference_row(&a->x, r), *z = mill_reference_row(&a->z, r);
        int64_t first = a->group ? a->group[r] * a->group_stride : 0;
        float *y = mill_reference_row(&a->y, r);
        for (int32_t i = 0; i < a->x.columns; i++)
            y[i] = (float)((double)x[i] * a->x_scale +
                           (double)z[i] * a->z_scale * (a->gain ? a->gain[first + i] : 1.0f));
    }
    return MILL_OK;
}
