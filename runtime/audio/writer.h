/* writer.h - encoded audio to a file or a pipe, piece by piece.
 *
 * A file is written under a temporary name and becomes visible, whole and durable, at finish; a
 * writer that is closed before leaves nothing behind. A pipe gets the bytes as they are made. What
 * the bytes are, encode.h says. One owner, any thread. */
#ifndef MILL_AUDIO_WRITER_H
#define MILL_AUDIO_WRITER_H

#include "runtime/audio/encode.h"

struct mill_audio_writer;

/* On failure *out is NULL. */
mill_status mill_audio_writer_open(struct mill_audio_writer **out, const char *path,
                                   const struct mill_audio_encoding *encoding,
                                   struct mill_error *err);
/* The same into a descriptor that cannot seek; it is borrowed and stays open. */
mill_status mill_audio_writer_open_stream(struct mill_audio_writer **out, int fd,
                                          const struct mill_audio_encoding *encoding,
                                          struct mill_error *err);

/* MILL_E_CANCELLED when the reader of a pipe has gone (the process must ignore SIGPIPE). */
mill_status mill_audio_writer_write(struct mill_audio_writer *writer, const float *samples,
                                    size_t n_samples, struct mill_error *err);
/* Complete the audio and make a file visible. Only close may follow. */
mill_status mill_audio_writer_finish(struct mill_audio_writer *writer, struct mill_error *err);
/* Free it; a file that was not finished is removed. NULL is fine. */
void mill_audio_writer_close(struct mill_audio_writer *writer);

#endif
