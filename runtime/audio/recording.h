/* recording.h - a sound file of somebody else's making, as samples.
 *
 * Recordings are hostile until proven otherwise, and decoders of compressed audio have a long
 * history of holes. So the file is decoded by a separate program, sparkmill-decode, which gets the
 * open file and a pipe and nothing else: it may not open, connect or start anything (seccomp), has
 * little memory and time (limits), and what it says is checked like any other stranger's input
 * (recording_wire.h). wav (also w64, rf64), flac, ogg vorbis, opus and mp3 are read.
 *
 * The model hears the FIRST channel of a recording, so only that is kept. Any thread; the process
 * must leave children it did not start alone (no waitpid(-1), SIGCHLD not ignored). */
#ifndef MILL_AUDIO_RECORDING_H
#define MILL_AUDIO_RECORDING_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* name, text */
#define MILL_RECORDING_FORMAT_MAP(X)                                                               \
    X(WAV, "wav")                                                                                  \
    X(FLAC, "flac")                                                                                \
    X(OGG, "ogg")                                                                                  \
    X(OPUS, "opus")                                                                                \
    X(MP3, "mp3")

enum mill_recording_format {
#define X(name, text) MILL_RECORDING_##name,
    MILL_RECORDING_FORMAT_MAP(X)
#undef X
        MILL_RECORDING_FORMAT_COUNT
};

struct mill_recording {
    float *samples; /* the first channel, finite, full scale = 1 */
    size_t n_samples;
    int32_t sample_rate; /* 4000 .. 384000 */
    int32_t n_channels;  /* of the file, 1 .. 16 */
    enum mill_recording_format format;
    void *memory; /* owned: what the samples lie in */
};

/* Zero means the value in brackets. */
struct mill_recording_options {
    const char *decoder;    /* path of sparkmill-decode [beside the running program] */
    double max_seconds;     /* longer recordings are refused [600] */
    double timeout_seconds; /* wall-clock time for decoding [30] */
};

/* Decode a regular file. Messages read "recording 'path': cause; remedy". MILL_E_INPUT for what is
 * wrong with the file, MILL_E_NOT_FOUND, MILL_E_UNSUPPORTED when the decoder cannot be started or
 * locked here. On failure there is nothing to close, but closing is harmless. `options` may be
 * NULL. */
mill_status mill_recording_read(struct mill_recording *out, const char *path,
                                const struct mill_recording_options *options,
                                struct mill_error *err);
/* The same with a file's bytes, which touch no disk; "recording: cause; remedy". */
mill_status mill_recording_read_bytes(struct mill_recording *out, const void *bytes, size_t size,
                                      const struct mill_recording_options *options,
                                      struct mill_error *err);
void mill_recording_close(struct mill_recording *recording);

/* "wav", "flac", ...; never NULL. */
const char *mill_recording_format_name(enum mill_recording_format format);

#endif
