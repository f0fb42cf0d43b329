/* bicodec_encode.h - a recording to semantic tokens, 50 a second: wav2vec2's features through
 * BiCodec's encoder to the nearest codeword.
 *
 * Memory is taken for a call and given back behind it: about 2.5 MB a second of sound at the
 * published sizes, and 12 MB. */
#ifndef MILL_MODEL_BICODEC_ENCODE_H
#define MILL_MODEL_BICODEC_ENCODE_H

#include "runtime/model/encoder_input.h"
#include "runtime/model/encoder_weights.h"

/* Where the answers go, host memory of the caller's; what is NULL is not wanted. */
struct mill_semantic_result {
    int32_t *semantic; /* [n] */
    float *features;   /* [n][wav2vec2.hidden] */
};

/* Tokens of a recording: (n_samples - 80) / 320 rounded down at the published sizes. */
int32_t mill_semantic_n_tokens(const struct mill_shape *shape, int64_t n_samples);

/* `wave` is the whole recording. The weights are of MILL_USE_TRANSCRIPT. MILL_E_INPUT for a wave
 * that is shorter than a frame or longer than MILL_ENCODE_MAX_SECONDS, MILL_E_NUMERIC where a token
 * has no number behind it. */
mill_status mill_semantic_encode(const struct mill_encoder_weights *weights, const float *wave,
                                 int64_t n_samples, const struct mill_semantic_result *result,
                                 struct mill_error *err);

#endif
