/* cloning.c - see cloning.h. */
#include "runtime/voice/cloning.h"

#include "runtime/audio/volume.h"
#include "runtime/base/memory.h"
#include "runtime/model/bicodec_encode.h"
#include "runtime/model/speaker_encode.h"

#include <stdlib.h>

static mill_status open_weights(const struct mill_cloning *c, unsigned uses,
                                struct mill_encoder_weights **weights, struct mill_error *err) {
    return mill_encoder_weights_open(weights, c->folder, c->shape, uses, c->ops, c->backend,
                                     c->weights, err);
}

static mill_status encode_clip(const struct mill_cloning *c, const float *clip, int64_t n_clip,
                               struct mill_voice *voice, struct mill_error *err) {
    struct mill_encoder_weights *weights;
    MILL_TRY(open_weights(c, MILL_USE_VOICE, &weights, err));
    const struct mill_speaker_result result = {.global = voice->global};
    mill_status status = mill_speaker_encode(weights, clip, n_clip, &result, err);
    mill_encoder_weights_close(weights);
    return status;
}

static mill_status encode_speaker(const struct mill_cloning *c, const float *wave, size_t n_samples,
                                  struct mill_voice *voice, struct mill_error *err) {
    if (c->shape->reference_seconds > MILL_ENCODE_MAX_SECONDS)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "'%s/config.yaml': ref_segment_duration %g: at most %d s can be encoded",
                         c->folder, c->shape->reference_seconds, MILL_ENCODE_MAX_SECONDS);
    size_t n_clip = mill_reference_clip_samples(c->shape->bicodec.sample_rate,
                                                c->shape->reference_seconds, c->shape->bicodec.hop);
    float *clip = mill_alloc_array(n_clip, sizeof *clip);
    voice->n_global = c->shape->bicodec.speaker.n_tokens;
    voice->global = mill_alloc_array((size_t)voice->n_global, sizeof *voice->global);
    mill_status status = MILL_OK;
    if (!clip || !voice->global)
        status = mill_fail(err, MILL_E_MEMORY, "no memory for the reference clip");
    if (status == MILL_OK) {
        mill_reference_clip(wave, n_samples, clip, n_clip);
        status = encode_clip(c, clip, (int64_t)n_clip, voice, err);
    }
    free(clip);
    return status;
}

static mill_status encode_speech(const struct mill_cloning *c, const float *wave, size_t n_samples,
                                 struct mill_voice *voice, struct mill_error *err) {
    struct mill_encoder_weights *weights;
    int32_t n = mill_semantic_n_tokens(c->shape, (int64_t)n_samples);
    voice->semantic = n > 0 ? mill_alloc_array((size_t)n, sizeof *voice->semantic) : NULL;
    if (!voice->semantic)
        return n > 0 ? mill_fail(err, MILL_E_MEMORY, "no memory for semantic tokens")
                     : mill_fail(err, MILL_E_INPUT, "the recording is shorter than one token");
    voice->n_semantic = n;
    MILL_TRY(open_weights(c, MILL_USE_TRANSCRIPT, &weights, err));
    const struct mill_semantic_result result = {.semantic = voice->semantic};
    mill_status status = mill_semantic_encode(weights, wave, (int64_t)n_samples, &result, err);
    mill_encoder_weights_close(weights);
    return status;
}

mill_status mill_cloning_run(const struct mill_cloning *cloning, const float *wave,
                             size_t n_samples, bool with_semantic, struct mill_voice *voice,
                             struct mill_error *err) {
    MILL_TRY(encode_speaker(cloning, wave, n_samples, voice, err));
    return with_semantic ? encode_speech(cloning, wave, n_samples, voice, err) : MILL_OK;
}
