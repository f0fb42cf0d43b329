/* cloning.h - a recording's samples to a voice's tokens.
 *
 * The encoders are large and needed for a second, so their weights are opened, used and closed
 * within a call, one encoder after the other: memory is that of the larger one. One thread. */
#ifndef MILL_VOICE_CLONING_H
#define MILL_VOICE_CLONING_H

#include "runtime/model/weights.h"
#include "runtime/voice/voice.h"

/* All borrowed. */
struct mill_cloning {
    const char *folder; /* the checkpoint */
    const struct mill_shape *shape;
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_weights_options *weights;
};

/* `wave`: [n_samples] at the model's rate and volume (runtime/audio/recording_prepare.h). The voice
 * gets its global tokens and, with_semantic, the semantic tokens of the whole recording, which may
 * then last MILL_ENCODE_MAX_SECONDS at most; it must have neither before. */
mill_status mill_cloning_run(const struct mill_cloning *cloning, const float *wave,
                             size_t n_samples, bool with_semantic, struct mill_voice *voice,
                             struct mill_error *err);

#endif
