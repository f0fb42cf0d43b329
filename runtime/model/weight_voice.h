/* weight_voice.h - rows of the voice matrix: everything that a voice's global tokens decide, as one
 * affine map of their FSQ digits (see mill_decoder_weights.voice). */
#ifndef MILL_MODEL_WEIGHT_VOICE_H
#define MILL_MODEL_WEIGHT_VOICE_H

#include "runtime/model/weight_rows.h"

/* Rows of the matrix (n_in = digits of a voice) and elements of its bias (n_in = 1). Both need
 * `file` and `shape` of the source. */
mill_row_make mill_rows_voice, mill_rows_voice_bias;
mill_row_prepare mill_rows_prepare_voice;

int32_t mill_voice_n_rows(const struct mill_bicodec_shape *shape);
int32_t mill_voice_n_digits(const struct mill_bicodec_shape *shape);

#endif
