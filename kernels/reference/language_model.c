/* language_model.c - rope_append and attn_paged in plain C; formulas in kernels/README.md. One
 * thread. */
#include "kernels/reference/internal.h"

#include <math.h>

/* Where a page keeps position `position` of a sequence, key (part 0) or value (part 1), for kv head
 * h. */
struct page_row {
    int64_t first; /* its first element, counted from kv->data */
    float *scale;  /* MILL_I8 */
};

static struct page_row find_row(const struct mill_kv_pages *kv, const int32_t *pages,
                                int32_t position, int part, int32_t h) {
    int64_t page = pages[position / kv->page_tokens] * kv->page_stride;
    int64_t row = ((int64_t)part * kv->n_heads + h) * kv->page_tokens + position % kv->page_tokens;
    int64_t codes = (int64_t)2 * kv->n_heads * kv->page_tokens * kv->head_dim;
    return (struct page_row){page + row * kv->head_dim,
                             kv->dtype == MILL_I8 ? (float *)((char *)kv->data + page + codes) + row
                                                  : NULL};
}

static void page_write(const struct mill_kv_pages *kv, struct page_row row, const float *values) {
    if (kv->dtype == MILL_I8) {
        *row.scale = mill_reference_quantise_i8(values, (size_t)kv->head_dim,
                                                (int8_t *)kv->data + row.first);
        return;
    }
    for (int32_t i = 0; i < kv->head_dim; i++)
        if (kv->dtype == MILL_F32)
            ((float *)kv->data)[row.first + i] = values[i];
        else
            ((uint16_t *)kv->data)[row.first + i] = mill_bf16_from_f32(values[i]);
}

static double page_read(const struct mill_kv_pages *kv, struct page_row row, int32_t i) {
    if (kv->dtype == MILL_I8)
        return (double)((const int8_t *)kv->data)[row.first + i] * *row.scale;
    return kv->dtype == MILL_F32 ? ((const float *)kv->data)[row.first + i]
                                 : mill_bf16_to_f32(((const uint16_t *)kv->data)[row.first + i]);
}

/* Rotate one head in place. The angle is a float32 product, as the published model computes it: at
 * position 3,000 its rounding is no longer small. */
static void rotate(float *head, int32_t head_dim, const float *frequency, int32_t position) {
    for (int32_t j = 0; j < head_dim / 2; j++) {
        float angle = (float)position * frequency[j];
        double c = cos(angle), s = sin(angle);
        double u = head[j], v = head[j + head_dim / 2];
        head[j] = (float)(u * c - v * s);
        head[j + head_dim / 2] = (float)(v * c + u * s);
    }
}

mill_status mill_reference_rope_append(struct mill_backend *b,
                                       const struct mill_rope_append_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_batch(&a->batch, &a->kv, &a->x, a->n_heads));
    if (!a->frequency)
        return MILL_E_INPUT;
    const int32_t d = a->kv.head_dim;
    for (int32_t s = 0; s < a->batch.n_sequences; s++) {
        const int32_t *pages = a->batch.page_table + (int64_t)s * a->batch.max_pages;
        int32_t first = a->batch.row_first[s];
        for (int32_t r = first; r < a->batch.row_first[s + 1]; r++) {
            int32_t position = a->batch.n_cached[s] + r - first;
            float *x = mill_reference_row(&a->x, r);
            float *k = x + (int64_t)a->n_heads * d, *v = k + (int64_t)a->kv.n_heads * d;
            for (int32_t h = 0; h < a->n_heads + a->kv.n_heads; h++)
                rotate(x + (int64_t)h * d, d, a->frequency, position);
            for (int32_t h = 0; h < a->kv.n_heads; h++) {
                page_write(&a->kv, find_row(&a->kv, pages, position, 0, h), k + (int64_t)h * d);
                page_write(&a->kv, find_row(&a->kv, pages, position, 1, h), v + (int64_t)h * d);
            }
        }
    }
    return MILL_OK;
}

/* q . K[position] * scale */
static double score(const struct mill_attn_paged_args *a, const int32_t *pages, const float *q,
                    int32_t position, int32_t kv_head) {
    struct page_row key = find_row(&a->kv, pages, position, 0, kv_head);
    double sum = 0;
    for (int32_t i = 0; i < a->kv.head_dim; i++)
        sum += (double)q[i] * page_read(&a->kv, key, i);
    return sum * a->scale;
}

/* One query head over positions 0 .. last. The scores are computed twice in place of being kept. */
static void attend(const struct mill_attn_paged_args *a, const int32_t *pages, const float *q,
                   int32_t last, int32_t kv_head, float *y) {
    double value[MILL_REFERENCE_MAX_HEAD_DIM] = {0}, total = 0;
    double largest = score(a, pages, q, 0, kv_head);
    for (int32_t p = 1; p <= last; p++)
        largest = fmax(largest, score(a, pages, q, p, kv_head));
    for (int32_t p = 0; p <= last; p++) {
        double weight = exp(score(a, pages, q, p, kv_head) - largest);
        struct page_row v = find_row(&a->kv, pages, p, 1, kv_head);
        total += weight;
        for (int32_t i = 0; i < a->kv.head_dim; i++)
            value[i] += weight * page_read(&a->kv, v, i);
    }
    for (int32_t i = 0; i < a->kv.head_dim; i++)
        y[i] = (float)(value[i] / total);
}

/* rope_append before attention, for which every sequence has one row. */
static mill_status append_rows(struct mill_backend *b, const struct mill_attn_paged_args *a) {
    for (int32_t s = 0; s < a->batch.n_sequences; s++)
        if (a->batch.row_first[s] != s)
            return MILL_E_INPUT;
    if (a->batch.n_rows != a->batch.n_sequences)
        return MILL_E_INPUT;
    return mill_reference_rope_append(
        b, &(struct mill_rope_append_args){a->x, a->n_heads, a->frequency, a->batch, a->kv});
}

mill_status mill_reference_attn_paged(struct mill_backend *b,
                                      const struct mill_attn_paged_args *a) {
    MILL_TRY(mill_reference_check_batch(&a->batch, &a->kv, &a->x, a->n_heads));
    MILL_TRY(mill_reference_check_shape(&a->y, a->x.rows, a->n_heads * a->kv.head_dim));
    if (a->frequency)
        MILL_TRY(append_rows(b, a));
    const int32_t d = a->kv.head_dim, heads_per_kv = a->n_heads / a->kv.n_heads;
    for (int32_t s = 0; s < a->batch.n_sequences; s++) {
        const int32_t *pages = a->batch.page_table + (int64_t)s * a->batch.max_pages;
        int32_t first = a->batch.row_first[s];
        for (int32_t r = first; r < a->batch.row_first[s + 1]; r++)
            for (int32_t h = 0; h < a->n_heads; h++)
                attend(a, pages, mill_reference_row(&a->x, r) + (int64_t)h * d,
                       a->batch.n_cached[s] + r - first, h / heads_per_kv,
                       mill_reference_row(&a->y, r) + (int64_t)h * d);
    }
    return MILL_OK;
}
