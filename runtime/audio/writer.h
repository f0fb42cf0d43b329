/* writer.h - audio to a file or a pipe, piece by piece, one channel.
 *
 * A file is written under a temporary name and becomes visible, whole and durable, at finish; a
 * writer that is closed before leaves nothing behind. A pipe gets the bytes as they are made: wav
 * with unknown length (both sizes 0xFFFFFFFF, which readers take as "until the end"), flac with
 * unknown length in its header, raw samples as they are. Whole numbers are made from samples x in
 * [-1, 1] as clamp(x) * (2^(bits - 1) - 1), rounded to nearest, ties to even, as upstream's files
 * are; what is not a number becomes silence. One owner, any thread. */
#ifndef MILL_AUDIO_WRITER_H
#define MILL_AUDIO_WRITER_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, name in options, bytes a sample before compression */
#define MILL_AUDIO_FORMAT_MAP(X)                                                                   \
    X(WAV16, "wav", 2)                                                                             \
    X(WAV24, "wav24", 3)                                                                           \
    X(WAV_FLOAT, "wavfloat", 4)                                                                    \
    X(FLAC, "flac", 2)                                                                             \
    X(PCM, "pcm", 2)

enum mill_audio_format {
#define X(name, text, bytes) MILL_AUDIO_##name,
    MILL_AUDIO_FORMAT_MAP(X)
#undef X
        MILL_AUDIO_FORMAT_COUNT
};

/* The format of that option's name ("wav", "wav24", "wavfloat", "flac", "pcm"), or the one that a
 * path's ending means (.wav, .flac, .pcm, .raw); false when there is none. */
bool mill_audio_format_find(const char *name, enum mill_audio_format *out);
bool mill_audio_format_of_path(const char *path, enum mill_audio_format *out);

struct mill_audio_writer;

/* A comment with its final zero; and the comment that tells a listener's program what it plays. */
enum { MILL_AUDIO_COMMENT_BYTES = 256 };
#define MILL_DISCLOSURE "synthetic speech"

/* sample_rate in 1 .. 655350 (flac's bound). `comment`, ASCII or NULL, becomes metadata: INFO's
 * ICMT in wav, COMMENT in flac; raw samples have no place for it. On failure *out is NULL. */
mill_status mill_audio_writer_open(struct mill_audio_writer **out, const char *path,
                                   enum mill_audio_format format, int32_t sample_rate,
                                   const char *comment, struct mill_error *err);
/* The same into a descriptor that cannot seek; it is borrowed and stays open. */
mill_status mill_audio_writer_open_stream(struct mill_audio_writer **out, int fd,
                                          enum mill_audio_format format, int32_t sample_rate,
                                          const char *comment, struct mill_error *err);

/* MILL_E_CANCELLED when the reader of a pipe has gone (the process must ignore SIGPIPE). */
mill_status mill_audio_writer_write(struct mill_audio_writer *writer, const float *samples,
                                    size_t n_samples, struct mill_error *err);
/* Complete the audio and make a file visible. Only close may follow. */
mill_status mill_audio_writer_finish(struct mill_audio_writer *writer, struct mill_error *err);
/* Free it; a file that was not finished is removed. NULL is fine. */
void mill_audio_writer_close(struct mill_audio_writer *writer);

#endif
