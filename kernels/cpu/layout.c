/* layout.c - weights as panels: the order in which the products read them, front to back.
 *
 * A panel holds PANEL outputs; within it the inputs follow one another, and for each the panel's
 * outputs side by side. One row of input then meets a vector of outputs at a time, both for a
 * single row (memory-bound decode reads a panel once, in order) and for many. Host only, no state.
 */
#include "kernels/cpu/cpu_backend.h"

#include "kernels/code_scale.h"
#include "runtime/base/memory.h"

#include <string.h>

struct panels mill_cpu_panels(const struct mill_weight_shape *shape) {
    struct panels p = {.group = shape->dtype == MILL_F32 ? 1 : 2,
                       .element_bytes = mill_dtype_bytes(shape->dtype)};
    p.n_groups = (shape->n_in + p.group - 1) / p.group;
    p.tap_bytes_a_column = (size_t)p.n_groups * (size_t)p.group * p.element_bytes;
    size_t columns = (size_t)((shape->n_out + LANES - 1) / LANES * LANES);
    p.scales_at = mill_align_size(columns * (size_t)shape->n_taps * p.tap_bytes_a_column);
    p.bytes =
        p.scales_at + (shape->dtype == MILL_I8 ? mill_align_size(columns * sizeof(float)) : 0);
    return p;
}

size_t mill_cpu_weight_bytes(const struct mill_weight_shape *shape) {
    return mill_cpu_panels(shape).bytes;
}

/* One output's inputs into its column; those of 8 bits as codes (code_scale.h). */
static void pack_column(const struct mill_weight_shape *shape, const struct panels *p,
                        const float *row, float inverse, int32_t columns, char *column) {
    for (int32_t tap = 0; tap < shape->n_taps; tap++)
        for (int32_t i = 0; i < shape->n_in; i++) {
            float w = row[(size_t)tap * (size_t)shape->n_in + (size_t)i];
            size_t group = (size_t)tap * (size_t)p->n_groups + (size_t)(i / p->group);
            size_t at = group * (size_t)columns * (size_t)p->group + (size_t)(i % p->group);
            if (shape->dtype == MILL_F32)
                ((float *)column)[at] = w;
            else if (shape->dtype == MILL_BF16)
                ((uint16_t *)column)[at] = mill_bf16_from_f32(w);
            else
                ((int8_t *)column)[at] = (int8_t)(inverse > 0 ? nearbyintf(w * inverse) : 0);
        }
}

void mill_cpu_weight_pack(const struct mill_weight_shape *shape, int32_t first_out, int32_t n_rows,
                          const float *rows, void *image) {
    struct panels p = mill_cpu_panels(shape);
    size_t k = (size_t)shape->n_taps * (size_t)shape->n_in;
    for (int32_t o = first_out; o < first_out + n_rows; o++) {
        int32_t first = o / PANEL * PANEL, columns = panel_columns(shape, first);
        char *panel = (char *)image + (size_t)first * (size_t)shape->n_taps * p.tap_bytes_a_column;
        if (o == first) /* padding inputs and outputs are zeros */
            memset(panel, 0, (size_t)columns * (size_t)shape->n_taps * p.tap_bytes_a_column);
        const float *row = rows + (size_t)(o - first_out) * k;
        float inverse = 0;
        if (shape->dtype == MILL_I8) {
            float scale = mill_code_scale(row, k, 127.0f, &inverse);
            memcpy((char *)image + p.scales_at + (size_t)o * sizeof scale, &scale, sizeof scale);
        }
        pack_column(shape, &p, row, inverse, columns,
                    panel + (size_t)(o - first) * (size_t)p.group * p.element_bytes);
    }
    if (shape->dtype == MILL_I8 && first_out + n_rows == shape->n_out) /* the scales' padding */
        memset((char *)image + p.scales_at + (size_t)shape->n_out * sizeof(float), 0,
               p.bytes - p.scales_at - (size_t)shape->n_out * sizeof(float));
}
