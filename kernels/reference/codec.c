/* codec.c - conv1d, residual_unit and conv_transpose1d in plain C; formulas in kernels/README.md.
 *
 * All gather: for an output row, every tap that meets an input row adds W[tap] pre(x) to the row's
 * sums. The sums live in the backend's row buffers. One thread. */
#include "kernels/reference/internal.h"

#include <math.h>

/* b->row = pre(x), as the products see it: float32, and bf16 where the weights are. */
static void load_row(struct mill_backend *b, const float *x, const struct mill_weight *w,
                     const float *alpha, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        double v = x[i];
        if (alpha) {
            double wave = sin(alpha[i] * v);
            v += wave * wave / (alpha[i] + 1e-9);
        }
        float f = (float)v;
        b->row[i] = w->shape.dtype == MILL_BF16 ? mill_bf16_to_f32(mill_bf16_from_f32(f)) : f;
    }
}

static void add_tap(struct mill_backend *b, const struct mill_weight *w, bool depthwise,
                    int32_t tap) {
    for (int32_t o = 0; o < w->shape.n_out; o++)
        b->sum[o] += mill_reference_weight_dot(w, o, tap, b->row + (depthwise ? o : 0));
}

static void clear_sums(struct mill_backend *b, const struct mill_weight *w) {
    for (int32_t o = 0; o < w->shape.n_out; o++)
        b->sum[o] = w->bias ? w->bias[o] : 0;
}

static mill_status check_codec_weight(const struct mill_weight *w) {
    MILL_TRY(mill_reference_check_weight(w));
    if (w->shape.dtype == MILL_I8 || w->shape.n_out > MILL_REFERENCE_MAX_INPUT)
        return MILL_E_UNSUPPORTED;
    return MILL_OK;
}

static mill_status check_conv1d(const struct mill_conv1d_args *a) {
    const struct mill_weight_shape *shape = &a->w.shape;
    MILL_TRY(check_codec_weight(&a->w));
    MILL_TRY(mill_reference_check_matrix(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->y, a->y.rows, shape->n_out));
    MILL_TRY(mill_reference_check_residual(&a->residual, &a->y));
    MILL_TRY(mill_reference_check_activation(a->act));
    if (a->depthwise && shape->n_in != 1)
        return MILL_E_INPUT;
    if (a->x.columns != (a->depthwise ? shape->n_out : shape->n_in))
        return MILL_E_INPUT;
    if (a->dilation < 1 || a->padding < 0)
        return MILL_E_INPUT;
    return mill_reference_check_spans(a->spans, a->n_spans, &a->x, &a->y);
}

/* The sums of output row j of a span. */
static void conv1d_sums(struct mill_backend *b, const struct mill_conv1d_args *a,
                        const struct mill_span *span, int32_t j) {
    int64_t time = (int64_t)span->y_place + j;
    clear_sums(b, &a->w);
    for (int32_t tap = 0; tap < a->w.shape.n_taps; tap++) {
        int64_t i = time + (int64_t)tap * a->dilation - a->padding - span->x_place;
        if (i < 0 || i >= span->n_x)
            continue;
        load_row(b, mill_reference_row(&a->x, span->x_first + i), &a->w, a->alpha, a->x.columns);
        add_tap(b, &a->w, a->depthwise, tap);
    }
}

/* Output row j of a span. */
static void conv1d_row(struct mill_backend *b, const struct mill_conv1d_args *a,
                       const struct mill_span *span, int32_t j) {
    int64_t row = (int64_t)span->y_first + j;
    conv1d_sums(b, a, span, j);
    float *y = mill_reference_row(&a->y, row);
    for (int32_t o = 0; o < a->y.columns; o++) {
        double v = mill_reference_activate(a->act, b->sum[o]);
        y[o] = (float)(a->residual.data ? v + mill_reference_row(&a->residual, row)[o] : v);
    }
}

mill_status mill_reference_conv1d(struct mill_backend *b, const struct mill_conv1d_args *a) {
    MILL_TRY(check_conv1d(a));
    for (int32_t s = 0; s < a->n_spans; s++)
        for (int32_t j = 0; j < a->spans[s].n_y; j++)
            conv1d_row(b, a, &a->spans[s], j);
    return MILL_OK;
}

static mill_status check_residual_unit(const struct mill_residual_unit_args *a) {
    const struct mill_weight_shape *shape = &a->pointwise.shape;
    MILL_TRY(check_codec_weight(&a->pointwise));
    if (shape->n_out != a->x.columns || shape->n_in != a->x.columns || shape->n_taps != 1)
        return MILL_E_INPUT;
    if (!a->alpha1 || !a->alpha2 || a->y.data == a->x.data)
        return MILL_E_INPUT;
    for (int32_t s = 0; s < a->n_spans; s++) {
        const struct mill_span *span = &a->spans[s];
        int64_t first = (int64_t)span->y_place - span->x_place;
        if (span->n_y > 0 && (first < 0 || first + span->n_y > span->n_x))
            return MILL_E_INPUT;
    }
    return MILL_OK;
}

/* As two calls of conv1d would: the row between them is rounded to float32. */
mill_status mill_reference_residual_unit(struct mill_backend *b,
                                         const struct mill_residual_unit_args *a) {
    const struct mill_conv1d_args dilated = {.y = a->y,
                                             .x = a->x,
                                             .w = a->dilated,
                                             .dilation = a->dilation,
                                             .padding = a->padding,
                                             .alpha = a->alpha1,
                                             .spans = a->spans,
                                             .n_spans = a->n_spans};
    MILL_TRY(check_conv1d(&dilated));
    MILL_TRY(check_residual_unit(a));
    for (int32_t s = 0; s < a->n_spans; s++)
        for (int32_t j = 0; j < a->spans[s].n_y; j++) {
            const struct mill_span *span = &a->spans[s];
            conv1d_sums(b, &dilated, span, j);
            for (int32_t o = 0; o < a->x.columns; o++)
                b->middle[o] = (float)b->sum[o];
            load_row(b, b->middle, &a->pointwise, a->alpha2, a->x.columns);
            clear_sums(b, &a->pointwise);
            add_tap(b, &a->pointwise, false, 0);
            int64_t time = (int64_t)span->y_place + j;
            const float *x = mill_reference_row(&a->x, span->x_first + time - span->x_place);
            float *y = mill_reference_row(&a->y, (int64_t)span->y_first + j);
            for (int32_t o = 0; o < a->x.columns; o++)
                y[o] = (float)(b->sum[o] + x[o]);
        }
    return MILL_OK;
}

static void conv_transpose1d_row(struct mill_backend *b, const struct mill_conv_transpose1d_args *a,
                                 const struct mill_span *span, int32_t j) {
    int64_t time = (int64_t)span->y_place + j;
    clear_sums(b, &a->w);
    for (int32_t tap = 0; tap < a->w.shape.n_taps; tap++) {
        int64_t at = time + a->padding - tap;
        if (at % a->stride)
            continue;
        int64_t i = at / a->stride - span->x_place;
        if (i < 0 || i >= span->n_x)
            continue;
        load_row(b, mill_reference_row(&a->x, span->x_first + i), &a->w, a->alpha, a->x.columns);
        add_tap(b, &a->w, false, tap);
    }
    float *y = mill_reference_row(&a->y, (int64_t)span->y_first + j);
    for (int32_t o = 0; o < a->y.columns; o++)
        y[o] = (float)b->sum[o];
}

mill_status mill_reference_conv_transpose1d(struct mill_backend *b,
                                            const struct mill_conv_transpose1d_args *a) {
    MILL_TRY(check_codec_weight(&a->w));
    MILL_TRY(mill_reference_check_matrix(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->y, a->y.rows, a->w.shape.n_out));
    if (a->x.columns != a->w.shape.n_in || a->stride < 1 || a->padding < 0)
        return MILL_E_INPUT;
    MILL_TRY(mill_reference_check_spans(a->spans, a->n_spans, &a->x, &a->y));
    for (int32_t s = 0; s < a->n_spans; s++)
        for (int32_t j = 0; j < a->spans[s].n_y; j++)
            conv_transpose1d_row(b, a, &a->spans[s], j);
    return MILL_OK;
}
