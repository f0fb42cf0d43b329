/* resample.h - a whole signal at another sample rate, as the model's definition has it: libsoxr's
 * "very high quality" (28-bit passband precision, linear phase), samples in float64 throughout. */
#ifndef MILL_AUDIO_RESAMPLE_H
#define MILL_AUDIO_RESAMPLE_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* *out, the caller's to free, gets *n_out = about n * to_hz / from_hz samples; they lie on the time
 * line where the input's lie (the filter's delay is taken out). With equal rates it is a copy. The
 * rates are 1 .. 384000, n up to 2^32. On failure *out is NULL. */
mill_status mill_resample(double **out, size_t *n_out, const double *samples, size_t n,
                          int32_t from_hz, int32_t to_hz, struct mill_error *err);

#endif
