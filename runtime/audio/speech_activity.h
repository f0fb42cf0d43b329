/* speech_activity.h - where in a recording somebody speaks, by energy alone.
 *
 * The recording is cut into frames of 20 ms. A frame's level is 10 log10(v + 1e-10) dB, v = the
 * variance of its samples (so a constant offset does not count). floor = the 10th percentile of the
 * levels, what lies behind the voice; loud = the 95th, the voice itself. Then, with hysteresis:
 *
 *     on  = max(loud - 35, floor + 6) dB        off = on - 3 dB
 *
 * Speech begins with two frames in a row at `on` or above, dated back over the frames before it
 * that are at `off` or above; it ends with the first of ten frames (200 ms) in a row below `off`.
 * So a click is no speech, and a gap shorter than 200 ms belongs to it. Nothing is speech where
 * loud is below -60 dB, or less than 9 dB above floor: voices move more than that within a second,
 * hum and hiss do not. It cannot tell a voice from other sounds that come and go, nor two voices
 * apart. */
#ifndef MILL_AUDIO_SPEECH_ACTIVITY_H
#define MILL_AUDIO_SPEECH_ACTIVITY_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mill_speech_activity {
    float *level_db; /* owned, as is is_speech */
    bool *is_speech;
    size_t n_frames;      /* whole frames; what is left at the end belongs to none */
    size_t frame_samples; /* 20 ms */
    size_t n_samples;
    float floor_db, loud_db; /* -100 with no frame */
};

/* Finite samples, sample_rate >= 50. On failure there is nothing to deinit, but it is harmless. */
mill_status mill_speech_activity_init(struct mill_speech_activity *activity, const float *samples,
                                      size_t n_samples, int32_t sample_rate,
                                      struct mill_error *err);
void mill_speech_activity_deinit(struct mill_speech_activity *activity);

/* Samples first .. end - 1 of a recording. */
struct mill_speech_range {
    size_t first, end;
    bool is_cut;   /* speech was left out for the limit's sake */
    bool at_pause; /* ... from a pause on, not in the middle of a word, as far as can be told */
};

/* The part to use. trim: from 50 ms before the first speech to 50 ms behind the last (all of it
 * when there is none). max_samples, 0 = no limit: what is longer ends 50 ms into the last pause in
 * the second half of what may stay, else in the quietest frame of its last quarter. */
struct mill_speech_range mill_speech_activity_range(const struct mill_speech_activity *activity,
                                                    bool trim, size_t max_samples);

#endif
