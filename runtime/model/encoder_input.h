/* encoder_input.h - what the encoders may be given: samples at the model's rate, volume normalised.
 * Pure functions. */
#ifndef MILL_MODEL_ENCODER_INPUT_H
#define MILL_MODEL_ENCODER_INPUT_H

#include "runtime/model/shape.h"

/* Attention takes time in the square of the length, and the buffers grow with it: a longer
 * recording is the caller's to cut. */
enum { MILL_ENCODE_MAX_SECONDS = 30 };

/* MILL_E_INPUT for fewer samples than `least`, for more than MILL_ENCODE_MAX_SECONDS, and for a
 * sample that is not a finite number. */
mill_status mill_encoder_check_wave(const struct mill_shape *shape, const float *wave,
                                    int64_t n_samples, int64_t least, struct mill_error *err);

#endif
