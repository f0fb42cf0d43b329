/* wav2vec2.h - a recording to features: what is said, 50 rows a second.
 *
 *     samples -> strided convolutions -> projection -> positional convolution -> 16 pre-norm layers
 *
 * Features are the mean of hidden states 11, 14 and 16 (state k is what layer k reads). The
 * convolutions run over pieces of the recording, which gives the same numbers in bounded memory.
 * Borrows everything; the memory is a piece of the caller's. */
#ifndef MILL_MODEL_WAV2VEC2_H
#define MILL_MODEL_WAV2VEC2_H

#include "runtime/base/memory.h"
#include "runtime/model/encoder_weights.h"
#include "runtime/model/matrix.h"

/* Frames of n samples: what the strided convolutions leave, a last partial frame dropped. */
int64_t mill_wav2vec2_n_frames(const struct mill_wav2vec2_shape *shape, int64_t n_samples);
/* Samples that n frames need, n at least 1. */
int64_t mill_wav2vec2_n_samples(const struct mill_wav2vec2_shape *shape, int64_t n_frames);

struct mill_wav2vec2 {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_wav2vec2_weights *weights;
    const struct mill_wav2vec2_shape *shape;
    int64_t n_samples;
    int32_t n_frames;
    float *wave;                       /* device: [n_samples] */
    float *slabs[2];                   /* device: a piece's rows between the convolutions */
    struct mill_matrix convolved;      /* device: [n_frames, last conv_dim] */
    struct mill_matrix stream, normed; /* device: [n_frames, hidden] */
    struct mill_matrix wide;           /* device: [n_frames, 3 hidden or intermediate] */
    struct mill_matrix features;       /* device: [n_frames, hidden]; the answer */
};

/* Take the memory from an arena, which may only be counting; ops to n_frames are set. */
void mill_wav2vec2_carve(struct mill_wav2vec2 *run, struct mill_arena *arena);

/* `wave`: host [n_samples], normalised here: (x - mean) / sqrt(variance + 1e-7). */
mill_status mill_wav2vec2_run(const struct mill_wav2vec2 *run, const float *wave);

#endif
