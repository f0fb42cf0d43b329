/* bicodec_voice.c - what a voice's global tokens decide, as one row: the d-vector and every norm's
 * gain and shift. One thread a backend. */
#include "runtime/model/bicodec_run.h"

#include "runtime/model/matrix.h"

/* Digit k of a token, in base levels[k], counted from the middle: (digit - L/2) / (L/2). */
static mill_status voice_code(const struct mill_bicodec_shape *shape, const int32_t *global,
                              float *code, struct mill_error *err) {
    for (int32_t i = 0; i < shape->speaker.n_tokens; i++) {
        int32_t rest = global[i];
        for (int32_t k = 0; k < shape->speaker.n_levels; k++) {
            int32_t level = shape->speaker.levels[k], half = level / 2;
            *code++ = (float)(rest % level - half) / (float)half;
            rest /= level;
        }
        if (global[i] < 0 || rest != 0)
            return mill_fail(err, MILL_E_INPUT, "voice: global token %d of %d is %d, out of range",
                             i + 1, shape->speaker.n_tokens, global[i]);
    }
    return MILL_OK;
}

mill_status mill_bicodec_voice_row(const struct mill_backend_ops *ops, struct mill_backend *backend,
                                   const struct mill_decoder_weights *weights,
                                   const int32_t *global, float *host_code, float *device_code,
                                   float *row, struct mill_error *err) {
    const struct mill_weight *weight = &weights->voice;
    struct mill_linear_args linear = {.y = mill_matrix_f32(row, 1, weight->shape.n_out),
                                      .x = mill_matrix_f32(device_code, 1, weight->shape.n_in),
                                      .w = *weight};
    MILL_TRY(voice_code(&weights->shape, global, host_code, err));
    mill_status status = ops->copy_in(backend, device_code, host_code,
                                      (size_t)weight->shape.n_in * sizeof *host_code);
    if (status == MILL_OK)
        status = ops->linear(backend, &linear);
    if (status < 0)
        return mill_fail(err, status, "voice: the %s backend: %s", ops->name,
                         mill_backend_failure(ops, backend, status));
    return MILL_OK;
}
