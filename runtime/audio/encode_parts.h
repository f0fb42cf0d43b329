/* encode_parts.h - what the files behind encode.h share: where the bytes go, and the two kinds of
 * formats. Private to runtime/audio. */
#ifndef MILL_AUDIO_ENCODE_PARTS_H
#define MILL_AUDIO_ENCODE_PARTS_H

#include "runtime/audio/encode.h"
#include "runtime/audio/resample.h"

enum { MILL_ENCODE_PIECE = 4096 }; /* samples; what is taken at a time */

struct mill_libav_encoder;

struct mill_audio_encoder {
    enum mill_audio_format format;
    int32_t rate;                           /* of the sound */
    char comment[MILL_AUDIO_COMMENT_BYTES]; /* empty = none */
    struct mill_audio_sink sink;
    uint64_t end;                     /* bytes in the sink */
    mill_status status;               /* the first failure of the sink: libraries cannot carry it */
    struct mill_error failure;        /* what it said */
    struct mill_resampler *resampler; /* owned; NULL = the samples come at the sound's rate */
    struct mill_libav_encoder *libav; /* owned; NULL = wav or pcm */
    uint64_t data_bytes;              /* wav: bytes of samples so far */
};

/* Bytes into the sink, which is where its failure is kept. */
mill_status mill_encode_put(struct mill_audio_encoder *e, uint64_t offset, const void *data,
                            size_t size);

/* x in [-1, 1]; NaN becomes 0. */
static inline float mill_encode_clamp(float x) {
    return x > 1 ? 1 : x < -1 ? -1 : x == x ? x : 0;
}
/* As a whole number of that many bits. */
int32_t mill_encode_integer(float x, int bits);

/* n <= MILL_ENCODE_PIECE. Failures of the sink are in e->status. */
mill_status mill_wav_start(struct mill_audio_encoder *e);
mill_status mill_wav_write(struct mill_audio_encoder *e, const float *samples, size_t n);
mill_status mill_wav_finish(struct mill_audio_encoder *e);

/* The rate at which a format has sound of `wanted` samples a second: the next higher one, or its
 * highest. */
int32_t mill_libav_rate(enum mill_audio_format format, int32_t wanted);
mill_status mill_libav_start(struct mill_audio_encoder *e, struct mill_error *err);
mill_status mill_libav_write(struct mill_audio_encoder *e, const float *samples, size_t n,
                             struct mill_error *err);
mill_status mill_libav_finish(struct mill_audio_encoder *e, struct mill_error *err);
void mill_libav_close(struct mill_libav_encoder *libav);

#endif
