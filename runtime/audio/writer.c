/* writer.c - see writer.h: an encoder whose sink is a mill_output or a borrowed descriptor. */
#include "runtime/audio/writer.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct mill_audio_writer {
    struct mill_audio_encoder *encoder; /* owned */
    struct mill_output file;            /* fd -1 for streams */
    int fd;                             /* borrowed; streams only */
};

static mill_status write_file(void *context, uint64_t offset, const void *data, size_t size,
                              struct mill_error *err) {
    struct mill_audio_writer *w = context;
    return mill_output_write_at(&w->file, offset, data, size, err);
}

/* Offsets only go up here. */
static mill_status write_stream(void *context, uint64_t offset, const void *data, size_t size,
                                struct mill_error *err) {
    struct mill_audio_writer *w = context;
    (void)offset;
    int cause = mill_write_all(w->fd, data, size);
    if (cause == EPIPE)
        return mill_fail(err, MILL_E_CANCELLED, "the reader of the audio has gone");
    return cause ? mill_fail(err, mill_write_failure(cause), "writing audio failed: %s",
                             strerror(cause))
                 : MILL_OK;
}

/* `path` NULL = into fd. */
static mill_status open_writer(struct mill_audio_writer **out, const char *path, int fd,
                               const struct mill_audio_encoding *encoding, struct mill_error *err) {
    *out = NULL;
    struct mill_audio_writer *w = mill_alloc_array(1, sizeof *w);
    if (!w)
        return mill_fail(err, MILL_E_MEMORY, "audio writer: no memory");
    w->file.fd = -1;
    w->fd = fd;
    const struct mill_audio_sink sink = {
        .write = path ? write_file : write_stream, .context = w, .can_seek = path != NULL};
    mill_status status = path ? mill_output_open(&w->file, path, err) : MILL_OK;
    if (status == MILL_OK)
        status = mill_audio_encoder_open(&w->encoder, encoding, &sink, err);
    if (status < 0)
        mill_audio_writer_close(w);
    else
        *out = w;
    return status;
}

mill_status mill_audio_writer_open(struct mill_audio_writer **out, const char *path,
                                   const struct mill_audio_encoding *encoding,
                                   struct mill_error *err) {
    return open_writer(out, path, -1, encoding, err);
}

mill_status mill_audio_writer_open_stream(struct mill_audio_writer **out, int fd,
                                          const struct mill_audio_encoding *encoding,
                                          struct mill_error *err) {
    return open_writer(out, NULL, fd, encoding, err);
}

mill_status mill_audio_writer_write(struct mill_audio_writer *writer, const float *samples,
                                    size_t n_samples, struct mill_error *err) {
    return mill_audio_encoder_write(writer->encoder, samples, n_samples, err);
}

mill_status mill_audio_writer_finish(struct mill_audio_writer *writer, struct mill_error *err) {
    MILL_TRY(mill_audio_encoder_finish(writer->encoder, err));
    return writer->file.fd < 0 ? MILL_OK : mill_output_commit(&writer->file, err);
}

void mill_audio_writer_close(struct mill_audio_writer *writer) {
    if (!writer)
        return;
    mill_audio_encoder_close(writer->encoder);
    mill_output_close(&writer->file);
    free(writer);
}
