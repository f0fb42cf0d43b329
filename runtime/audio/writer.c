/* writer.c - see writer.h. Samples are converted here, once for every format; wav and raw audio
 * need no library then, and flac is libsndfile's, through its virtual input and output. All bytes
 * leave through sink_write, to a mill_output or to a borrowed descriptor. */
#include "runtime/audio/writer.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    PIECE_SAMPLES = 4096,
    WAV_LIST_MAX = 20 + MILL_AUDIO_COMMENT_BYTES, /* "LIST", "INFO", "ICMT" and the text */
    WAV_HEADER_MAX = 58 + WAV_LIST_MAX
};

/* Where the bytes go. A stream cannot go back: what libFLAC wants to write again over bytes that
 * have left (the header with the final length) is dropped, which the format allows. */
struct sink {
    bool is_stream;
    int fd;                  /* borrowed; streams only */
    struct mill_output file; /* files only */
    uint64_t position, end;  /* bytes: where the next write goes; what has been written */
    mill_status status;      /* the first failure: libsndfile cannot carry it */
    struct mill_error failure;
};

struct mill_audio_writer {
    enum mill_audio_format format;
    int32_t sample_rate;
    char comment[MILL_AUDIO_COMMENT_BYTES]; /* empty = none */
    struct sink sink;
    SNDFILE *flac;
    uint64_t data_bytes; /* wav: bytes of samples so far */
};

static const struct {
    const char *name;
    int32_t bytes;
} formats[] = {
#define X(name, text, bytes) {text, bytes},
    MILL_AUDIO_FORMAT_MAP(X)
#undef X
};

bool mill_audio_format_find(const char *name, enum mill_audio_format *out) {
    for (int i = 0; i < MILL_AUDIO_FORMAT_COUNT; i++)
        if (strcmp(name, formats[i].name) == 0) {
            *out = (enum mill_audio_format)i;
            return true;
        }
    return false;
}

bool mill_audio_format_of_path(const char *path, enum mill_audio_format *out) {
    static const struct {
        const char *ending;
        enum mill_audio_format format;
    } endings[] = {{".wav", MILL_AUDIO_WAV16},
                   {".flac", MILL_AUDIO_FLAC},
                   {".pcm", MILL_AUDIO_PCM},
                   {".raw", MILL_AUDIO_PCM}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i].ending) == 0) {
            *out = endings[i].format;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------ bytes out */

static mill_status stream_write(int fd, const char *data, size_t size, struct mill_error *err) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EPIPE)
            return mill_fail(err, MILL_E_CANCELLED, "the reader of the audio has gone");
        if (n < 0)
            return mill_fail(err, MILL_E_IO, "writing audio failed: %s", strerror(errno));
        data += n;
        size -= (size_t)n;
    }
    return MILL_OK;
}

static mill_status sink_write(struct sink *sink, const void *data, size_t size) {
    if (sink->status < 0)
        return sink->status;
    uint64_t back = sink->end - sink->position; /* bytes that lie before the end */
    if (!sink->is_stream) {
        sink->status =
            mill_output_write_at(&sink->file, sink->position, data, size, &sink->failure);
    } else if (size > back) {
        sink->status =
            stream_write(sink->fd, (const char *)data + back, size - back, &sink->failure);
    }
    if (sink->status < 0)
        return sink->status;
    sink->position += size;
    if (sink->position > sink->end)
        sink->end = sink->position;
    return MILL_OK;
}

static mill_status sink_result(const struct sink *sink, struct mill_error *err) {
    if (sink->status < 0 && err)
        *err = sink->failure;
    return sink->status;
}

/* libsndfile's view of a sink. */
static sf_count_t virtual_length(void *context) {
    return (sf_count_t)((struct sink *)context)->end;
}

static sf_count_t virtual_tell(void *context) {
    return (sf_count_t)((struct sink *)context)->position;
}

static sf_count_t virtual_seek(sf_count_t offset, int whence, void *context) {
    struct sink *sink = context;
    sf_count_t base = whence == SEEK_SET   ? 0
                      : whence == SEEK_CUR ? (sf_count_t)sink->position
                                           : (sf_count_t)sink->end;
    if (offset < -base || base + offset > (sf_count_t)sink->end)
        return -1;
    sink->position = (uint64_t)(base + offset);
    return base + offset;
}

static sf_count_t virtual_write(const void *data, sf_count_t size, void *context) {
    return sink_write(context, data, (size_t)size) < 0 ? 0 : size;
}

static sf_count_t virtual_read(void *data, sf_count_t size, void *context) {
    (void)data, (void)size, (void)context; /* nothing is read back while writing */
    return 0;
}

static SF_VIRTUAL_IO virtual_io(void) {
    return (SF_VIRTUAL_IO){.get_filelen = virtual_length,
                           .seek = virtual_seek,
                           .read = virtual_read,
                           .write = virtual_write,
                           .tell = virtual_tell};
}

/* ------------------------------------------------------------------ wav header */

static uint8_t *put_bytes(uint8_t *at, uint32_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint8_t *put_tag(uint8_t *at, const char *tag) {
    memcpy(at, tag, 4);
    return at + 4;
}

/* Bytes of the comment's text in its chunk: its final zero belongs to it, and lengths are even. */
static uint32_t comment_bytes(const struct mill_audio_writer *w) {
    return w->comment[0] ? (uint32_t)(strlen(w->comment) + 2) & ~1u : 0;
}

/* A LIST chunk of type INFO that holds the comment. It stands before the samples, since a pipe
 * cannot say where these will end. */
static uint8_t *put_comment(uint8_t *at, const struct mill_audio_writer *w) {
    uint32_t bytes = comment_bytes(w);
    if (bytes == 0)
        return at;
    at = put_bytes(put_tag(at, "LIST"), 12 + bytes, 4);
    at = put_bytes(put_tag(put_tag(at, "INFO"), "ICMT"), bytes, 4);
    memset(at, 0, bytes);
    memcpy(at, w->comment, strlen(w->comment));
    return at + bytes;
}

/* RIFF, WAVE, "fmt " and, for float samples, the "fact" chunk that the format asks for, then the
 * comment and the head of "data". data_bytes UINT64_MAX, or more than 32 bits can say, gives
 * unknown sizes. */
static size_t wav_header(const struct mill_audio_writer *w, uint64_t data_bytes,
                         uint8_t header[WAV_HEADER_MAX]) {
    bool is_float = w->format == MILL_AUDIO_WAV_FLOAT;
    uint32_t bytes = (uint32_t)formats[w->format].bytes, rate = (uint32_t)w->sample_rate;
    uint32_t list = comment_bytes(w) ? 20 + comment_bytes(w) : 0;
    uint32_t before = (is_float ? 50 : 36) + list; /* bytes between the RIFF size and the samples */
    bool known = data_bytes < UINT32_MAX - before - 1;
    uint8_t *at = put_tag(header, "RIFF");
    at = put_bytes(at, known ? (uint32_t)(before + data_bytes + (data_bytes & 1)) : UINT32_MAX, 4);
    at = put_tag(put_tag(at, "WAVE"), "fmt ");
    at = put_bytes(at, is_float ? 18 : 16, 4);
    at = put_bytes(at, is_float ? 3 : 1, 2); /* IEEE float or PCM */
    at = put_bytes(at, 1, 2);                /* channels */
    at = put_bytes(at, rate, 4);
    at = put_bytes(at, rate * bytes, 4);
    at = put_bytes(at, bytes, 2);
    at = put_bytes(at, 8 * bytes, 2);
    if (is_float) {
        at = put_bytes(at, 0, 2); /* no extension */
        at = put_bytes(put_tag(at, "fact"), 4, 4);
        at = put_bytes(at, known ? (uint32_t)(data_bytes / bytes) : UINT32_MAX, 4);
    }
    at = put_comment(at, w);
    at = put_bytes(put_tag(at, "data"), known ? (uint32_t)data_bytes : UINT32_MAX, 4);
    return (size_t)(at - header);
}

static bool is_wav(enum mill_audio_format format) {
    return format == MILL_AUDIO_WAV16 || format == MILL_AUDIO_WAV24 ||
           format == MILL_AUDIO_WAV_FLOAT;
}

/* ------------------------------------------------------------------ samples */

/* NaN fails every comparison and ends as 0. */
static float clamped(float x) {
    return x > 1 ? 1 : x < -1 ? -1 : x == x ? x : 0;
}

static int32_t as_integer(float x, int bits) {
    return (int32_t)lrint((double)clamped(x) * (double)((1 << (bits - 1)) - 1));
}

/* n samples as the bytes of the format; returns their number. */
static size_t convert(enum mill_audio_format format, const float *samples, size_t n,
                      uint8_t *bytes) {
    uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++) {
        if (format == MILL_AUDIO_WAV24) {
            at = put_bytes(at, (uint32_t)as_integer(samples[i], 24), 3);
        } else if (format == MILL_AUDIO_WAV_FLOAT) {
            float x = clamped(samples[i]);
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            at = put_bytes(at, bits, 4);
        } else {
            at = put_bytes(at, (uint32_t)as_integer(samples[i], 16), 2);
        }
    }
    return (size_t)(at - bytes);
}

static mill_status write_flac(struct mill_audio_writer *w, const float *samples, size_t n) {
    short piece[PIECE_SAMPLES];
    for (size_t i = 0; i < n; i++)
        piece[i] = (short)as_integer(samples[i], 16);
    if (sf_write_short(w->flac, piece, (sf_count_t)n) == (sf_count_t)n && w->sink.status == MILL_OK)
        return MILL_OK;
    if (w->sink.status == MILL_OK)
        w->sink.status =
            mill_fail(&w->sink.failure, MILL_E_IO, "flac encoder: %s", sf_strerror(w->flac));
    return w->sink.status;
}

mill_status mill_audio_writer_write(struct mill_audio_writer *writer, const float *samples,
                                    size_t n_samples, struct mill_error *err) {
    while (n_samples > 0 && writer->sink.status == MILL_OK) {
        size_t n = n_samples < PIECE_SAMPLES ? n_samples : PIECE_SAMPLES;
        if (writer->flac) {
            write_flac(writer, samples, n);
        } else {
            uint8_t bytes[PIECE_SAMPLES * 4];
            size_t size = convert(writer->format, samples, n, bytes);
            if (sink_write(&writer->sink, bytes, size) == MILL_OK)
                writer->data_bytes += size;
        }
        samples += n;
        n_samples -= n;
    }
    return sink_result(&writer->sink, err);
}

/* ------------------------------------------------------------------ open, finish, close */

static mill_status start(struct mill_audio_writer *w, struct mill_error *err) {
    if (is_wav(w->format)) {
        uint8_t header[WAV_HEADER_MAX];
        sink_write(&w->sink, header, wav_header(w, UINT64_MAX, header));
    } else if (w->format == MILL_AUDIO_FLAC) {
        SF_VIRTUAL_IO io = virtual_io();
        SF_INFO info = {.samplerate = w->sample_rate,
                        .channels = 1,
                        .format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
        w->flac = sf_open_virtual(&io, SFM_WRITE, &info, &w->sink);
        if (!w->flac)
            return mill_fail(err, MILL_E_IO, "flac encoder: %s", sf_strerror(NULL));
        if (w->comment[0] && sf_set_string(w->flac, SF_STR_COMMENT, w->comment) != 0)
            return mill_fail(err, MILL_E_IO, "flac encoder: %s", sf_strerror(w->flac));
    }
    return sink_result(&w->sink, err);
}

static mill_status new_writer(struct mill_audio_writer **out, enum mill_audio_format format,
                              int32_t sample_rate, const char *comment, struct mill_error *err) {
    *out = NULL;
    if (comment && strlen(comment) >= MILL_AUDIO_COMMENT_BYTES)
        return mill_fail(err, MILL_E_INPUT, "a comment of %zu bytes: at most %d can be written",
                         strlen(comment), MILL_AUDIO_COMMENT_BYTES - 1);
    if (sample_rate < 1 || sample_rate > 655350)
        return mill_fail(err, MILL_E_INPUT, "a sample rate of %d cannot be written", sample_rate);
    struct mill_audio_writer *w = mill_alloc_array(1, sizeof *w);
    if (!w)
        return mill_fail(err, MILL_E_MEMORY, "audio writer: no memory");
    w->format = format;
    w->sample_rate = sample_rate;
    if (comment)
        memcpy(w->comment, comment, strlen(comment) + 1);
    w->sink.file.fd = -1;
    *out = w;
    return MILL_OK;
}

/* Begin the audio in a writer whose sink is ready; on failure it is gone. */
static mill_status start_or_close(struct mill_audio_writer **out, struct mill_error *err) {
    mill_status status = start(*out, err);
    if (status < 0) {
        mill_audio_writer_close(*out);
        *out = NULL;
    }
    return status;
}

mill_status mill_audio_writer_open(struct mill_audio_writer **out, const char *path,
                                   enum mill_audio_format format, int32_t sample_rate,
                                   const char *comment, struct mill_error *err) {
    MILL_TRY(new_writer(out, format, sample_rate, comment, err));
    mill_status status = mill_output_open(&(*out)->sink.file, path, err);
    if (status < 0) {
        mill_audio_writer_close(*out);
        *out = NULL;
        return status;
    }
    return start_or_close(out, err);
}

mill_status mill_audio_writer_open_stream(struct mill_audio_writer **out, int fd,
                                          enum mill_audio_format format, int32_t sample_rate,
                                          const char *comment, struct mill_error *err) {
    MILL_TRY(new_writer(out, format, sample_rate, comment, err));
    (*out)->sink.is_stream = true;
    (*out)->sink.fd = fd;
    return start_or_close(out, err);
}

/* RIFF chunks have even lengths. A pipe's header has left with unknown sizes: nothing to do there.
 */
static void finish_wav(struct mill_audio_writer *w) {
    if (w->sink.is_stream)
        return;
    if (w->data_bytes & 1)
        sink_write(&w->sink, "", 1);
    uint8_t header[WAV_HEADER_MAX];
    w->sink.position = 0;
    sink_write(&w->sink, header, wav_header(w, w->data_bytes, header));
}

mill_status mill_audio_writer_finish(struct mill_audio_writer *writer, struct mill_error *err) {
    if (writer->flac) {
        int failed = sf_close(writer->flac);
        writer->flac = NULL;
        if (failed && writer->sink.status == MILL_OK)
            writer->sink.status = mill_fail(&writer->sink.failure, MILL_E_IO, "flac encoder: %s",
                                            sf_error_number(failed));
    } else if (is_wav(writer->format)) {
        finish_wav(writer);
    }
    MILL_TRY(sink_result(&writer->sink, err));
    return writer->sink.is_stream ? MILL_OK : mill_output_commit(&writer->sink.file, err);
}

void mill_audio_writer_close(struct mill_audio_writer *writer) {
    if (!writer)
        return;
    if (writer->flac)
        sf_close(writer->flac);
    mill_output_close(&writer->sink.file);
    free(writer);
}
