/* speech_stream.h - samples to the bytes of an answer: an encoded sound as it is, or in events.
 *
 *     data: {"type":"speech.audio.delta","audio":"<base64>"}
 *     ...
 *     data: {"type":"speech.audio.done","usage":{...}}      or speech.audio.error with an envelope
 *
 * Bytes pile up until they are read; a writer looks at how many there are. One owner. */
#ifndef MILL_SERVER_SPEECH_STREAM_H
#define MILL_SERVER_SPEECH_STREAM_H

#include "runtime/audio/encode.h"
#include "runtime/base/buffer.h"
#include "runtime/server/problem.h"

#include <stdbool.h>

struct mill_speech_stream {
    struct mill_audio_encoder *encoder; /* owned */
    bool is_sse;
    struct mill_buffer sound; /* encoded, not an event yet; unused without events */
    struct mill_buffer bytes; /* ready to be read */
    size_t n_read;            /* of bytes */
};

mill_status mill_speech_stream_init(struct mill_speech_stream *stream,
                                    const struct mill_audio_encoding *encoding, bool is_sse,
                                    struct mill_error *err);
void mill_speech_stream_deinit(struct mill_speech_stream *stream);

mill_status mill_speech_stream_write(struct mill_speech_stream *stream, const float *samples,
                                     size_t n_samples, struct mill_error *err);
/* The sound is complete. */
mill_status mill_speech_stream_finish(struct mill_speech_stream *stream, int32_t n_input_tokens,
                                      int32_t n_output_tokens, struct mill_error *err);
/* It breaks off: an event says so, where there are events. */
mill_status mill_speech_stream_fail(struct mill_speech_stream *stream,
                                    const struct mill_problem *problem, struct mill_error *err);

/* Bytes that can be read now; and reading them. */
size_t mill_speech_stream_pending(const struct mill_speech_stream *stream);
size_t mill_speech_stream_read(struct mill_speech_stream *stream, char *bytes, size_t capacity);

#endif
