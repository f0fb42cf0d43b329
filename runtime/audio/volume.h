/* volume.h - how loud a reference recording is made, and which part of it the speaker encoder
 * hears. Both are the model's definition, not taste: the published model was trained so. */
#ifndef MILL_AUDIO_VOLUME_H
#define MILL_AUDIO_VOLUME_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Bring the loud samples of x to a mean magnitude of 0.2, in place, in float64:
 *
 *     m = the magnitudes, sorted;  a peak max(m) below 0.1 is first raised:  x := x / max(max(m),
 *         0.001) * 0.1
 *     L = those of m above 0.01 (still the magnitudes from before the raising); ten or fewer: done
 *     x := x * clamp(0.2 / mean(L[int(0.9 |L|)] .. L[int(0.99 |L|) - 1]), 0.1, 10)
 *     x := x / max(1, max|x|)
 *
 * (The published audio_volume_normalize.) Samples are finite. MILL_E_MEMORY only. */
mill_status mill_volume_normalise(double *x, size_t n, struct mill_error *err);

/* The reference clip: the first n_clip samples of x; a shorter x is repeated end to end. Empty x
 * gives silence. */
void mill_reference_clip(const float *x, size_t n, float *clip, size_t n_clip);

/* Its length: int(sample_rate * seconds) samples, rounded down to a whole number of hops. */
size_t mill_reference_clip_samples(int32_t sample_rate, double seconds, int32_t hop);

#endif
