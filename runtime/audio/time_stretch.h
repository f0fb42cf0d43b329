/* time_stretch.h - speech faster or slower at its pitch, or higher or lower at its speed, as a
 * stream. By libsonic, which drops, repeats and blends whole periods of the voice (16 bits inside).
 *
 *     open --> write, read, write, read, ... --> finish --> read --> close
 *
 * The result does not depend on how the samples are cut. One owner, any thread. */
#ifndef MILL_AUDIO_TIME_STRETCH_H
#define MILL_AUDIO_TIME_STRETCH_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define MILL_SPEED_MIN 0.25
#define MILL_SPEED_MAX 4.0
#define MILL_PITCH_MIN 0.5
#define MILL_PITCH_MAX 2.0

struct mill_time_stretch;

/* speed 2 = twice as fast, pitch 2 = an octave up. MILL_E_INPUT out of the ranges above. */
mill_status mill_time_stretch_open(struct mill_time_stretch **out, int32_t sample_rate,
                                   double speed, double pitch, struct mill_error *err);
mill_status mill_time_stretch_write(struct mill_time_stretch *stretch, const float *samples,
                                    size_t n_samples, struct mill_error *err);
/* No more will be written: what is still held can be read. */
mill_status mill_time_stretch_finish(struct mill_time_stretch *stretch, struct mill_error *err);
/* Samples that are there, at most `capacity`; their number. */
size_t mill_time_stretch_read(struct mill_time_stretch *stretch, float *samples, size_t capacity);
void mill_time_stretch_close(struct mill_time_stretch *stretch); /* NULL is fine */

#endif
