/* resample.h - sound at another sample rate by libsoxr's "very high quality" (28-bit passband
 * precision, linear phase): a whole signal in float64, as the model's definition has it, or a
 * stream in float32, piece by piece. Either way the result lies on the time line where the input
 * lies: the filter's delay is taken out. The rates are 1 .. 384000. */
#ifndef MILL_AUDIO_RESAMPLE_H
#define MILL_AUDIO_RESAMPLE_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* *out, the caller's to free, gets *n_out = about n * to_hz / from_hz samples. With equal rates it
 * is a copy. n is up to 2^32. On failure *out is NULL. */
mill_status mill_resample(double **out, size_t *n_out, const double *samples, size_t n,
                          int32_t from_hz, int32_t to_hz, struct mill_error *err);

struct mill_resampler;
mill_status mill_resampler_open(struct mill_resampler **out, int32_t from_hz, int32_t to_hz,
                                struct mill_error *err);
/* Takes *n_used of n samples and makes *n_made <= capacity. `samples` NULL says that no more come;
 * call it then until nothing is made. The result does not depend on how the samples are cut. */
mill_status mill_resampler_run(struct mill_resampler *resampler, const float *samples, size_t n,
                               size_t *n_used, float *out, size_t capacity, size_t *n_made,
                               struct mill_error *err);
void mill_resampler_close(struct mill_resampler *resampler); /* NULL is fine */

#endif
