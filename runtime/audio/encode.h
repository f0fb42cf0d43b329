/* encode.h - samples to the bytes of a sound format, as they come, one channel.
 *
 *     open --> write, write, ... --> finish --> close
 *
 * Bytes leave through a sink as soon as the format allows: at once for wav and raw audio, after
 * some tens of milliseconds of sound for mp3 and aac, a tenth of a second for opus and flac. Into a
 * sink that cannot go back, wav has unknown length (both sizes 0xFFFFFFFF, which readers take as
 * "until the end"), mp3 no index, flac no length; m4a cannot be written there.
 *
 * Whole numbers are made from samples x in [-1, 1] as clamp(x) * (2^(bits - 1) - 1), rounded to
 * nearest, ties to even, as upstream's files are; what is not a number becomes silence. The same
 * samples give the same bytes, however they are cut. One owner, any thread. wav is written here;
 * flac, mp3, opus, aac and m4a by libavcodec and libavformat. */
#ifndef MILL_AUDIO_ENCODE_H
#define MILL_AUDIO_ENCODE_H

#include "runtime/audio/format.h"
#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A comment with its final zero; and the comment that tells a listener's program what it plays. */
enum { MILL_AUDIO_COMMENT_BYTES = 256 };
#define MILL_DISCLOSURE "synthetic speech"

struct mill_audio_encoding {
    enum mill_audio_format format;
    int32_t sample_rate; /* of the samples that come: 1 .. 384000 */
    /* Of the sound; 0 = the same where the format has it, else the next higher that it has. */
    int32_t output_rate;
    /* ASCII or NULL: becomes metadata in all formats but pcm, which has no place for it. */
    const char *comment;
};

struct mill_audio_sink {
    /* Bytes at an offset: the end of what was written, or, where can_seek, before it. */
    mill_status (*write)(void *context, uint64_t offset, const void *data, size_t size,
                         struct mill_error *err);
    void *context;
    bool can_seek;
};

struct mill_audio_encoder;

/* May write already. On failure *out is NULL. A failure of the sink is returned by whatever call
 * met it, and by all later ones. */
mill_status mill_audio_encoder_open(struct mill_audio_encoder **out,
                                    const struct mill_audio_encoding *encoding,
                                    const struct mill_audio_sink *sink, struct mill_error *err);
mill_status mill_audio_encoder_write(struct mill_audio_encoder *encoder, const float *samples,
                                     size_t n_samples, struct mill_error *err);
/* Complete the sound. Only close may follow. */
mill_status mill_audio_encoder_finish(struct mill_audio_encoder *encoder, struct mill_error *err);
void mill_audio_encoder_close(struct mill_audio_encoder *encoder); /* NULL is fine */

#endif
