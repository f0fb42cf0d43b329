/* recording_prepare.h - from a recording to the samples that the encoders take: a part of it, at
 * the model's rate, at the model's volume. */
#ifndef MILL_AUDIO_RECORDING_PREPARE_H
#define MILL_AUDIO_RECORDING_PREPARE_H

#include "runtime/audio/recording.h"

#include <stdbool.h>

struct mill_prepare_options {
    int32_t sample_rate; /* the model's */
    bool trim;           /* leave out silence at both ends but for 50 ms */
    double max_seconds;  /* what is longer is cut at a pause; 0 = no limit */
    bool keep_volume;    /* for a model that takes recordings as loud as they are */
};

struct mill_prepared {
    float *samples; /* owned */
    size_t n_samples;
    int32_t sample_rate;
};

/* The range of mill_speech_activity_range, resampled (resample.h) and made as loud as the model
 * wants it (volume.h), in float64 until the end. With trim off and no limit this is upstream's
 * processing, bit for bit. MILL_E_INPUT when nothing is left. On failure there is nothing to close,
 * but closing is harmless. */
mill_status mill_recording_prepare(struct mill_prepared *out,
                                   const struct mill_recording *recording,
                                   const struct mill_prepare_options *options,
                                   struct mill_error *err);
void mill_prepared_close(struct mill_prepared *prepared);

#endif
