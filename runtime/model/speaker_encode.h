/* speaker_encode.h - a reference clip to the global tokens of its speaker.
 *
 *     clip -> mel spectrogram -> ECAPA-TDNN -> perceiver -> finite scalar quantisation
 *
 * Memory is taken for a call and given back behind it: about 1.5 MB a second of sound. */
#ifndef MILL_MODEL_SPEAKER_ENCODE_H
#define MILL_MODEL_SPEAKER_ENCODE_H

#include "runtime/model/encoder_input.h"
#include "runtime/model/encoder_weights.h"

/* Where the answers go, host memory of the caller's; what is NULL is not wanted. */
struct mill_speaker_result {
    int32_t *global; /* [speaker.n_tokens] */
    float *mel;      /* [mill_speaker_n_frames][mel.n_mels] */
    float *z;        /* [speaker.n_tokens][speaker.n_levels], before they are rounded */
};

/* Frames of the spectrogram: 1 + n_samples / mel.hop. */
int32_t mill_speaker_n_frames(const struct mill_bicodec_shape *shape, int64_t n_samples);

/* `wave` is the clip (see mill_reference_clip), but any length of more than mel.n_fft / 2 samples
 * and up to MILL_ENCODE_MAX_SECONDS will do. The weights are of MILL_USE_VOICE. MILL_E_INPUT for a
 * wave that cannot be encoded, MILL_E_NUMERIC where the weights make a voice of no numbers. */
mill_status mill_speaker_encode(const struct mill_encoder_weights *weights, const float *wave,
                                int64_t n_samples, const struct mill_speaker_result *result,
                                struct mill_error *err);

/* Values before rounding to tokens: [n_tokens][n_levels] to [n_tokens]; digit k of a token, the
 * lowest first, counts in base levels[k]. Halves round to even. MILL_E_NUMERIC for a value that is
 * not a number. */
mill_status mill_speaker_quantise(const struct mill_bicodec_shape *shape, const float *z,
                                  int32_t *global, struct mill_error *err);

#endif
