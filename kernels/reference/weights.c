/* weights.c - the layout "rows": [n_out][n_taps][n_in] in the weight's type, and behind an I8
 * image, on the next multiple of 64 bytes, [n_out] f32 scales. No state; any thread. */
#include "kernels/code_scale.h"
#include "kernels/reference/internal.h"
#include "runtime/base/memory.h"

#include <string.h>

static size_t row_elements(const struct mill_weight_shape *shape) {
    return (size_t)shape->n_taps * (size_t)shape->n_in;
}

static size_t codes_bytes(const struct mill_weight_shape *shape) {
    return mill_align_size((size_t)shape->n_out * row_elements(shape));
}

size_t mill_reference_weight_bytes(const struct mill_weight_shape *shape) {
    size_t elements = (size_t)shape->n_out * row_elements(shape);
    if (shape->dtype == MILL_I8)
        return codes_bytes(shape) + (size_t)shape->n_out * sizeof(float);
    return elements * mill_dtype_bytes(shape->dtype);
}

float mill_reference_quantise_i8(const float *x, size_t n, int8_t *codes) {
    float inverse, scale = mill_code_scale(x, n, 127.0f, &inverse);
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)(inverse > 0 ? nearbyintf(x[i] * inverse) : 0);
    return scale;
}

void mill_reference_weight_pack(const struct mill_weight_shape *shape, int32_t first_out,
                                int32_t n_rows, const float *rows, void *image) {
    size_t n = row_elements(shape), first = (size_t)first_out * n, count = (size_t)n_rows * n;
    if (shape->dtype == MILL_F32) {
        memcpy((float *)image + first, rows, count * sizeof(float));
    } else if (shape->dtype == MILL_BF16) {
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)image)[first + i] = mill_bf16_from_f32(rows[i]);
    } else {
        float *scales = (float *)((char *)image + codes_bytes(shape)) + first_out;
        for (size_t o = 0; o < (size_t)n_rows; o++)
            scales[o] =
                mill_reference_quantise_i8(rows + o * n, n, (int8_t *)image + first + o * n);
    }
}

const float *mill_reference_weight_scales(const struct mill_weight *w) {
    return (const float *)((const char *)w->image + codes_bytes(&w->shape));
}

const int8_t *mill_reference_weight_codes(const struct mill_weight *w, int32_t o) {
    return (const int8_t *)w->image + (size_t)o * row_elements(&w->shape);
}

double mill_reference_weight_dot(const struct mill_weight *w, int32_t o, int32_t tap,
                                 const float *x) {
    int32_t n = w->shape.n_in;
    size_t first = ((size_t)o * (size_t)w->shape.n_taps + (size_t)tap) * (size_t)n;
    double sum = 0;
    if (w->shape.dtype == MILL_F32) {
        const float *row = (const float *)w->image + first;
        for (int32_t i = 0; i < n; i++)
            sum += (double)row[i] * x[i];
    } else {
        const uint16_t *row = (const uint16_t *)w->image + first;
        for (int32_t i = 0; i < n; i++)
            sum += (double)mill_bf16_to_f32(row[i]) * x[i];
    }
    return sum;
}
