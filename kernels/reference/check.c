/* check.c - the reference backend's argument checks: a mistake in the model code is an error status
 * here before it is a wrong number on a faster backend. Nothing is owned; any thread. */
#include "kernels/reference/internal.h"

mill_status mill_reference_check_view(const struct mill_matrix *m) {
    if (m->dtype != MILL_F32)
        return MILL_E_UNSUPPORTED;
    if (m->rows < 0 || m->columns < 1 || m->stride < 1)
        return MILL_E_INPUT;
    return m->data || m->rows == 0 ? MILL_OK : MILL_E_INPUT;
}

mill_status mill_reference_check_matrix(const struct mill_matrix *m) {
    MILL_TRY(mill_reference_check_view(m));
    return m->stride >= m->columns ? MILL_OK : MILL_E_INPUT;
}

mill_status mill_reference_check_shape(const struct mill_matrix *m, int32_t rows, int32_t columns) {
    MILL_TRY(mill_reference_check_matrix(m));
    return m->rows == rows && m->columns == columns ? MILL_OK : MILL_E_INPUT;
}

mill_status mill_reference_check_residual(const struct mill_matrix *residual,
                                          const struct mill_matrix *y) {
    return residual->data ? mill_reference_check_shape(residual, y->rows, y->columns) : MILL_OK;
}

mill_status mill_reference_check_group(const int32_t *group, int64_t group_stride,
                                       const struct mill_matrix *x) {
    if (group && group_stride < x->columns)
        return MILL_E_INPUT;
    for (int32_t r = 0; group && r < x->rows; r++)
        if (group[r] < 0)
            return MILL_E_INPUT;
    return MILL_OK;
}

mill_status mill_reference_check_weight(const struct mill_weight *w) {
    const struct mill_weight_shape *s = &w->shape;
    if (s->n_out < 1 || s->n_taps < 1 || s->n_in < 1 || !w->image)
        return MILL_E_INPUT;
    if (s->dtype != MILL_F32 && s->dtype != MILL_BF16 && s->dtype != MILL_I8)
        return MILL_E_UNSUPPORTED;
    if (s->n_in > MILL_REFERENCE_MAX_INPUT || s->n_out > (1 << 24))
        return MILL_E_UNSUPPORTED;
    if (s->dtype == MILL_I8 && s->n_in > MILL_REFERENCE_MAX_I8_INPUT)
        return MILL_E_UNSUPPORTED;
    return MILL_OK;
}

mill_status mill_reference_check_activation(enum mill_activation act) {
    return (int)act >= MILL_ACT_NONE && act <= MILL_ACT_SILU ? MILL_OK : MILL_E_INPUT;
}

/* Whether rows first .. first + n - 1 lie in a matrix of `rows` rows. */
static bool range_fits(int32_t first, int32_t n, int32_t rows) {
    return first >= 0 && n >= 0 && first <= rows && n <= rows - first;
}

mill_status mill_reference_check_spans(const struct mill_span *spans, int32_t n_spans,
                                       const struct mill_matrix *x, const struct mill_matrix *y) {
    if (n_spans < 0 || (n_spans > 0 && !spans))
        return MILL_E_INPUT;
    for (int32_t i = 0; i < n_spans; i++)
        if (!range_fits(spans[i].x_first, spans[i].n_x, x->rows) ||
            !range_fits(spans[i].y_first, spans[i].n_y, y->rows))
            return MILL_E_INPUT;
    return MILL_OK;
}

static mill_status check_pages(const struct mill_kv_pages *kv) {
    if (kv->dtype != MILL_F32 && kv->dtype != MILL_BF16 && kv->dtype != MILL_I8)
        return MILL_E_UNSUPPORTED;
    if (kv->n_heads < 1 || kv->page_tokens < 1 || kv->head_dim < 2 || kv->head_dim % 2)
        return MILL_E_INPUT;
    if (kv->head_dim > MILL_REFERENCE_MAX_HEAD_DIM || kv->n_heads > 4096)
        return MILL_E_UNSUPPORTED;
    struct mill_kv_pages token = *kv;
    token.page_tokens = 1;
    if (kv->dtype == MILL_I8 && kv->page_stride % (int64_t)sizeof(float))
        return MILL_E_INPUT;
    return kv->page_stride / mill_kv_page_elements(&token) >= kv->page_tokens ? MILL_OK
                                                                              : MILL_E_INPUT;
}

mill_status mill_reference_check_batch(const struct mill_batch *batch,
                                       const struct mill_kv_pages *kv, const struct mill_matrix *x,
                                       int32_t n_heads) {
    MILL_TRY(mill_reference_check_matrix(x));
    MILL_TRY(check_pages(kv));
    if (n_heads < 1 || n_heads > 4096 || n_heads % kv->n_heads)
        return MILL_E_INPUT;
    if (x->columns != (n_heads + 2 * kv->n_heads) * kv->head_dim)
        return MILL_E_INPUT;
    if (batch->n_sequences < 0 || batch->n_rows != x->rows || batch->max_pages < 0)
        return MILL_E_INPUT;
    if (batch->n_sequences == 0)
        return batch->n_rows == 0 ? MILL_OK : MILL_E_INPUT;
    if (!batch->row_first || !batch->n_cached || !batch->page_table || !kv->data)
        return MILL_E_INPUT;
    if (batch->row_first[0] != 0 || batch->row_first[batch->n_sequences] != batch->n_rows)
        return MILL_E_INPUT;
    for (int32_t s = 0; s < batch->n_sequences; s++) {
        int64_t n_rows = (int64_t)batch->row_first[s + 1] - batch->row_first[s];
        if (n_rows < 0 || batch->n_cached[s] < 0)
            return MILL_E_INPUT;
        int64_t n_tokens = batch->n_cached[s] + n_rows;
        int64_t n_pages = (n_tokens + kv->page_tokens - 1) / kv->page_tokens;
        if (n_tokens > INT32_MAX || n_pages > batch->max_pages)
            return MILL_E_INPUT;
        for (int64_t p = 0; n_rows > 0 && p < n_pages; p++)
            if (batch->page_table[(int64_t)s * batch->max_pages + p] < 0)
                return MILL_E_INPUT;
    }
    return MILL_OK;
}
