/* weights.c - packs weights into bricks (weights.h). Host only, no state; any thread. */
#include "kernels/cuda/weights.h"

#include "kernels/code_scale.h"

#include <string.h>

size_t mill_cuda_weight_bytes(const struct mill_weight_shape *shape) {
    size_t scales = shape->dtype == MILL_I8 ? (size_t)shape->n_out * sizeof(float) : 0;
    return (size_t)weight_scales_at(shape) + scales;
}

/* A tap's inputs of one output into its part of each brick. */
static void pack_tap(enum mill_dtype dtype, const float *w, int32_t n, float inverse, char *part) {
    int32_t bytes = weight_input_bytes(dtype), a_brick = BRICK_ROW_BYTES / bytes;
    for (int32_t i = 0; i < n; i++) {
        char *to = part + (size_t)(i / a_brick) * BRICK_BYTES + (size_t)(i % a_brick * bytes);
        if (dtype == MILL_F32)
            memcpy(to, &w[i], sizeof w[i]);
        else if (dtype == MILL_BF16)
            memcpy(to, &(uint16_t){mill_bf16_from_f32(w[i])}, sizeof(uint16_t));
        else
            *(int8_t *)to = (int8_t)(inverse > 0 ? nearbyintf(w[i] * inverse) : 0);
    }
}

void mill_cuda_weight_pack(const struct mill_weight_shape *shape, int32_t first_out, int32_t n_rows,
                           const float *rows, void *image) {
    size_t n = (size_t)shape->n_taps * (size_t)shape->n_in;
    size_t eight_outs = (size_t)weight_brick_at(shape, BRICK_OUTS, 0, 0) * BRICK_BYTES;
    for (int32_t o = first_out; o < first_out + n_rows; o++) {
        char *bricks = (char *)image + (size_t)weight_brick_at(shape, o, 0, 0) * BRICK_BYTES;
        if (o % BRICK_OUTS == 0) /* with the padding, which stays zero */
            memset(bricks, 0, eight_outs);
        const float *row = rows + (size_t)(o - first_out) * n;
        float inverse = 0;
        if (shape->dtype == MILL_I8) {
            float scale = mill_code_scale(row, n, 127.0f, &inverse);
            memcpy((char *)image + weight_scales_at(shape) + (size_t)o * sizeof scale, &scale,
                   sizeof scale);
        }
        for (int32_t tap = 0; tap < shape->n_taps; tap++)
            pack_tap(shape->dtype, row + (size_t)tap * (size_t)shape->n_in, shape->n_in, inverse,
                     bricks + (size_t)(tap * weight_groups(shape)) * BRICK_BYTES +
                         (size_t)(o % BRICK_OUTS) * BRICK_ROW_BYTES);
    }
}
