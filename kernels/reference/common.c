/* common.c - embed, copy_rows, norm and linear in plain C; formulas in kernels/README.md. Sums are
 * double and rounded once, but for I8 weights, where every step is defined to the bit. One thread.
 */
#include "kernels/code_scale.h"
#include "kernels/reference/internal.h"

#include <math.h>
#include <string.h>

mill_status mill_reference_embed(struct mill_backend *b, const struct mill_embed_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_matrix(&a->y));
    if (a->table_dtype != MILL_F32 && a->table_dtype != MILL_BF16)
        return MILL_E_UNSUPPORTED;
    if (a->y.rows > 0 && (!a->table || !a->ids))
        return MILL_E_INPUT;
    size_t n = (size_t)a->y.columns, row_bytes = n * mill_dtype_bytes(a->table_dtype);
    for (int32_t r = 0; r < a->y.rows; r++)
        if (a->ids[r] < 0 && !a->drawn)
            return MILL_E_INPUT;
    for (int32_t r = 0; r < a->y.rows; r++) {
        int32_t id = a->ids[r] < 0 ? a->drawn[-1 - a->ids[r]] : a->ids[r];
        size_t row =
            id < 0 ? 0 : (size_t)id; /* drawn from what was not a number: any row will do */
        mill_dtype_to_f32(a->table_dtype, (const char *)a->table + row * row_bytes,
                          mill_reference_row(&a->y, r), n);
    }
    return MILL_OK;
}

mill_status mill_reference_copy_rows(struct mill_backend *b, const struct mill_copy_rows_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_matrix(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->y, a->y.rows, a->x.columns));
    if (a->n_spans < 0 || (a->n_spans > 0 && !a->spans))
        return MILL_E_INPUT;
    for (int32_t s = 0; s < a->n_spans; s++) {
        struct mill_span copied = a->spans[s];
        copied.n_x = copied.n_y;
        MILL_TRY(mill_reference_check_spans(&copied, 1, &a->x, &a->y));
    }
    for (int32_t s = 0; s < a->n_spans; s++)
        for (int32_t i = 0; i < a->spans[s].n_y; i++)
            memcpy(mill_reference_row(&a->y, (int64_t)a->spans[s].y_first + i),
                   mill_reference_row(&a->x, (int64_t)a->spans[s].x_first + i),
                   (size_t)a->y.columns * sizeof(float));
    return MILL_OK;
}

static void norm_row(const struct mill_norm_args *a, const float *x, float *y, const float *gain,
                     const float *shift) {
    int32_t n = a->x.columns;
    double mean = 0, square = 0, inverse = 1;
    for (int32_t i = 0; i < n && a->kind == MILL_NORM_LAYER; i++)
        mean += (double)x[i] / n;
    for (int32_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    if (a->kind != MILL_NORM_AFFINE)
        inverse = 1 / sqrt(square / n + a->eps);
    for (int32_t i = 0; i < n; i++) {
        double v = (x[i] - mean) * inverse * gain[i] + (shift ? shift[i] : 0.0f);
        y[i] = (float)mill_reference_activate(a->act, v);
    }
}

mill_status mill_reference_norm(struct mill_backend *b, const struct mill_norm_args *a) {
    (void)b;
    MILL_TRY(mill_reference_check_matrix(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->y, a->x.rows, a->x.columns));
    MILL_TRY(mill_reference_check_activation(a->act));
    MILL_TRY(mill_reference_check_group(a->group, a->group_stride, &a->x));
    bool shifts = a->kind == MILL_NORM_LAYER || a->kind == MILL_NORM_AFFINE;
    if ((!shifts && a->kind != MILL_NORM_RMS) || !a->gain || shifts != (a->shift != NULL))
        return MILL_E_INPUT;
    if (!(a->eps >= 0))
        return MILL_E_INPUT;
    for (int32_t r = 0; r < a->x.rows; r++) {
        int64_t first = a->group ? a->group[r] * a->group_stride : 0;
        norm_row(a, mill_reference_row(&a->x, r), mill_reference_row(&a->y, r), a->gain + first,
                 shifts ? a->shift + first : NULL);
    }
    return MILL_OK;
}

double mill_reference_activate(enum mill_activation act, double v) {
    switch (act) {
    case MILL_ACT_GELU:
        return 0.5 * v * (1 + erf(v / sqrt(2.0)));
    case MILL_ACT_TANH:
        return tanh(v);
    case MILL_ACT_RELU:
        return v < 0 ? 0 : v; /* keeps NaN */
    case MILL_ACT_SIGMOID:
        return 1 / (1 + exp(-v));
    case MILL_ACT_SILU:
        return v / (1 + exp(-v));
    case MILL_ACT_NONE:
        break;
    }
    return v;
}

/* x as signed 16-bit codes; returns their scale. */
static float quantise_row(const float *x, int32_t n, int16_t *codes) {
    float inverse, scale = mill_code_scale(x, (size_t)n, 32767.0f, &inverse);
    for (int32_t i = 0; i < n; i++)
        codes[i] = (int16_t)(inverse > 0 ? nearbyintf(x[i] * inverse) : 0);
    return scale;
}

/* A row of x as the products take it; returns the codes' scale. */
static float prepare_row(struct mill_backend *b, const struct mill_linear_args *a, const float *x) {
    if (a->gain) {
        const struct mill_norm_args norm = {.x = a->x, .kind = MILL_NORM_RMS, .eps = a->eps};
        norm_row(&norm, x, b->middle, a->gain, NULL);
        x = b->middle;
    }
    if (a->w.shape.dtype == MILL_I8)
        return quantise_row(x, a->x.columns, b->quantised);
    for (int32_t i = 0; i < a->x.columns; i++)
        b->row[i] =
            a->w.shape.dtype == MILL_BF16 ? mill_bf16_to_f32(mill_bf16_from_f32(x[i])) : x[i];
    return 1;
}

/* The products of output o. Those of I8 are whole numbers. */
static double product_of(struct mill_backend *b, const struct mill_linear_args *a, int32_t o,
                         float scale) {
    if (a->w.shape.dtype != MILL_I8)
        return mill_reference_weight_dot(&a->w, o, 0, b->row);
    const int8_t *codes = mill_reference_weight_codes(&a->w, o);
    int64_t sum = 0;
    for (int32_t i = 0; i < a->x.columns && scale > 0; i++)
        sum += (int64_t)codes[i] * b->quantised[i];
    return (float)sum * (scale * mill_reference_weight_scales(&a->w)[o]);
}

/* A step behind the products: of I8 weights each is rounded, in the order of this code, which is
 * the definition; of others only y. */
static double step(const struct mill_linear_args *a, double v) {
    return a->w.shape.dtype == MILL_I8 ? (float)v : v;
}

static double of_pair(const struct mill_linear_args *a, double u, double v) {
    if (a->pairs == MILL_PAIRS_GATE)
        return step(a, u * step(a, mill_reference_activate(a->act, v)));
    return step(a, sqrt(step(a, step(a, u * u) + step(a, v * v))));
}

static void linear_row(struct mill_backend *b, const struct mill_linear_args *a, int32_t r,
                       const float *bias) {
    float *y = mill_reference_row(&a->y, r);
    float scale = prepare_row(b, a, mill_reference_row(&a->x, r));
    for (int32_t j = 0, o = 0; j < a->y.columns; j++) {
        double v[2];
        for (int i = 0; i < (a->pairs ? 2 : 1); i++, o++) {
            v[i] = product_of(b, a, a->first_out + o, scale);
            v[i] = bias ? step(a, v[i] + bias[o]) : v[i];
        }
        v[0] = a->pairs ? of_pair(a, v[0], v[1]) : step(a, mill_reference_activate(a->act, v[0]));
        y[j] = (float)(a->residual.data ? v[0] + mill_reference_row(&a->residual, r)[j] : v[0]);
    }
}

static mill_status check_linear(const struct mill_linear_args *a, int32_t n_out) {
    const struct mill_weight_shape *shape = &a->w.shape;
    MILL_TRY(mill_reference_check_weight(&a->w));
    MILL_TRY(mill_reference_check_view(&a->x));
    MILL_TRY(mill_reference_check_shape(&a->y, a->x.rows, a->pairs ? n_out / 2 : n_out));
    MILL_TRY(mill_reference_check_residual(&a->residual, &a->y));
    MILL_TRY(mill_reference_check_activation(a->act));
    if (shape->n_taps != 1 || a->x.columns != shape->n_in || !(a->eps >= 0))
        return MILL_E_INPUT;
    if ((int)a->pairs < 0 || a->pairs > MILL_PAIRS_MAGNITUDE || (a->pairs && n_out % 2) ||
        (a->pairs == MILL_PAIRS_MAGNITUDE && a->act))
        return MILL_E_INPUT;
    if (a->first_out < 0 || a->first_out % MILL_PACK_ROWS || n_out < 1 ||
        a->first_out > shape->n_out - n_out)
        return MILL_E_INPUT;
    if (a->bias_group && (!a->w.bias || a->bias_stride < shape->n_out))
        return MILL_E_INPUT;
    for (int32_t r = 0; a->bias_group && r < a->x.rows; r++)
        if (a->bias_group[r] < 0)
            return MILL_E_INPUT;
    return MILL_OK;
}

mill_status mill_reference_linear(struct mill_backend *b, const struct mill_linear_args *a) {
    int32_t n_out = a->n_out ? a->n_out : a->w.shape.n_out;
    MILL_TRY(check_linear(a, n_out));
    for (int32_t r = 0; r < a->x.rows; r++) {
        const float *bias = a->w.bias ? a->w.bias + a->first_out : NULL;
        if (a->bias_group)
            bias += a->bias_group[r] * a->bias_stride;
        linear_row(b, a, r, bias);
    }
    return MILL_OK;
}
