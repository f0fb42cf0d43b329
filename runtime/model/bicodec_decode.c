/* bicodec_decode.c - windows: one piece that takes over nothing and leaves nothing behind, on the
 * layers of bicodec_run.c. A voice owns its row of device memory; the decoder owns the rest and
 * borrows weights and backend. One thread. */
#include "runtime/model/bicodec_decode.h"

#include "runtime/base/memory.h"
#include "runtime/model/bicodec_run.h"

#include <math.h>
#include <stdlib.h>

struct mill_bicodec_decoder {
    struct mill_bicodec_machine machine;
    int32_t context;
    struct mill_bicodec_rows *rows; /* [n_layers + 1]: the plan of the window being decoded */
};

struct mill_bicodec_voice {
    struct mill_bicodec_decoder *decoder; /* borrowed */
    float *row;                           /* device: see mill_decoder_weights.voice */
    float *d_vector;                      /* host */
};

int32_t mill_bicodec_context(const struct mill_bicodec_shape *shape) {
    /* Far from both ends every frame reaches equally far; 64 bits keep the walk exact. */
    const int64_t frame = INT32_MAX;
    struct mill_range range = {frame * shape->hop, (frame + 1) * shape->hop};
    for (int32_t k = mill_bicodec_n_layers(shape); k-- > 0;) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        range = mill_bicodec_layer_input(&layer, range);
    }
    int64_t left = frame - range.first, right = range.end - (frame + 1);
    return (int32_t)(left > right ? left : right);
}

mill_status mill_bicodec_decoder_open(struct mill_bicodec_decoder **out,
                                      const struct mill_backend_ops *ops,
                                      struct mill_backend *backend,
                                      const struct mill_decoder_weights *weights,
                                      int32_t max_window, struct mill_error *err) {
    *out = NULL;
    struct mill_bicodec_decoder *decoder = mill_alloc_array(1, sizeof *decoder);
    if (!decoder)
        return mill_fail(err, MILL_E_MEMORY, "decoder: no memory");
    const struct mill_bicodec_run_sizes sizes = {.max_pieces = 1, .max_frames = max_window};
    decoder->context = mill_bicodec_context(&weights->shape);
    mill_status status =
        mill_bicodec_machine_open(&decoder->machine, ops, backend, weights, &sizes, err);
    if (status == MILL_OK) {
        decoder->rows =
            mill_alloc_array((size_t)decoder->machine.n_layers + 1, sizeof *decoder->rows);
        if (!decoder->rows)
            status = mill_fail(err, MILL_E_MEMORY, "decoder: no memory for its plan");
    }
    if (status < 0) {
        mill_bicodec_decoder_close(decoder);
        return status;
    }
    *out = decoder;
    return MILL_OK;
}

void mill_bicodec_decoder_close(struct mill_bicodec_decoder *decoder) {
    if (!decoder)
        return;
    mill_bicodec_machine_close(&decoder->machine);
    free(decoder->rows);
    free(decoder);
}

/* ------------------------------------------------------------------ voices */

mill_status mill_bicodec_voice_open(struct mill_bicodec_voice **out,
                                    struct mill_bicodec_decoder *decoder, const int32_t *global,
                                    struct mill_error *err) {
    const struct mill_backend_ops *ops = decoder->machine.ops;
    struct mill_backend *backend = decoder->machine.backend;
    const struct mill_decoder_weights *weights = decoder->machine.weights;
    size_t n_code = (size_t)weights->voice.shape.n_in, d = (size_t)weights->shape.speaker.output;
    mill_status status = MILL_E_MEMORY;
    *out = NULL;
    float *code = mill_alloc_array(n_code, sizeof *code);
    float *device_code = ops->alloc(backend, n_code * sizeof(float));
    struct mill_bicodec_voice *voice = mill_alloc_array(1, sizeof *voice);
    if (!code || !device_code || !voice)
        goto cleanup;
    voice->decoder = decoder;
    voice->row = ops->alloc(backend, (size_t)weights->voice.shape.n_out * sizeof(float));
    voice->d_vector = mill_alloc_array(d, sizeof(float));
    if (!voice->row || !voice->d_vector)
        goto cleanup;
    status =
        mill_bicodec_voice_row(ops, backend, weights, global, code, device_code, voice->row, err);
    if (status == MILL_OK)
        status = ops->copy_out(backend, voice->d_vector, voice->row, d * sizeof(float));
    if (status == MILL_OK)
        status = ops->synchronize(backend);
    if (status < 0)
        goto cleanup;
    *out = voice;
    voice = NULL;
cleanup:
    if (status == MILL_E_MEMORY)
        mill_fail(err, status, "voice: no memory");
    mill_bicodec_voice_close(voice);
    if (device_code)
        ops->free(backend, device_code);
    free(code);
    return status;
}

void mill_bicodec_voice_close(struct mill_bicodec_voice *voice) {
    if (!voice)
        return;
    struct mill_bicodec_machine *machine = &voice->decoder->machine;
    if (voice->row)
        machine->ops->free(machine->backend, voice->row);
    free(voice->d_vector);
    free(voice);
}

/* ------------------------------------------------------------------ a window */

static mill_status check_window(const struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err) {
    const struct mill_bicodec_shape *shape = &decoder->machine.weights->shape;
    int32_t max_window = decoder->machine.sizes.max_frames;
    if (window->n_semantic > INT32_MAX / shape->hop)
        return mill_fail(err, MILL_E_INPUT, "decoder: %d frames are too long an utterance",
                         window->n_semantic);
    int64_t needed = window->finished ? window->end : (int64_t)window->end + decoder->context;
    if (window->first < 0 || window->first >= window->end || needed > window->n_semantic ||
        window->end - window->first > max_window)
        return mill_fail(err, MILL_E_INPUT,
                         "decoder: frames %d to %d are not a window of %d frames (at most %d a "
                         "window%s)",
                         window->first, window->end, window->n_semantic, max_window,
                         window->finished ? "" : ", with context behind it");
    return MILL_OK;
}

mill_status mill_bicodec_decode(struct mill_bicodec_decoder *decoder,
                                const struct mill_bicodec_window *window, struct mill_error *err) {
    struct mill_bicodec_machine *machine = &decoder->machine;
    const struct mill_bicodec_shape *shape = &machine->weights->shape;
    MILL_TRY(check_window(decoder, window, err));
    mill_bicodec_plan_begin(shape, window->first, decoder->rows);
    mill_bicodec_plan_advance(shape, window->end, window->finished ? window->n_semantic : INT64_MAX,
                              machine->scratch, decoder->rows);
    MILL_TRY(mill_bicodec_check_tokens(shape, window->semantic, decoder->rows, err));
    const struct mill_bicodec_run_piece piece = {
        .rows = decoder->rows, .semantic = window->semantic, .state = -1, .wave = window->wave};
    const struct mill_bicodec_run_request request = {.pieces = &piece,
                                                     .n_pieces = 1,
                                                     .voices = window->voice->row,
                                                     .z_q = window->z_q,
                                                     .prenet = window->prenet};
    mill_status status = mill_bicodec_run(machine, &request);
    if (status == MILL_OK)
        status = machine->ops->synchronize(machine->backend);
    if (status < 0)
        return mill_fail(err, status, "decoder: frames %d to %d: the %s backend: %s", window->first,
                         window->end, machine->ops->name,
                         mill_backend_failure(machine->ops, machine->backend, status));
    int64_t n_frames = window->end - window->first, d = shape->speaker.output;
    for (int64_t i = 0; i < n_frames * shape->hop; i++)
        if (!isfinite(window->wave[i]))
            return mill_fail(err, MILL_E_NUMERIC, "decoder: frame %lld: a sample is not finite",
                             (long long)(window->first + i / shape->hop));
    for (int64_t i = 0; window->prenet && i < n_frames * d; i++)
        window->prenet[i] -= window->voice->d_vector[i % d];
    for (int64_t i = 0; window->d_vector && i < d; i++)
        window->d_vector[i] = window->voice->d_vector[i];
    return MILL_OK;
}
