/* recording_decode.c - see recording_decode.h. libsndfile reads through callbacks that use nothing
 * but read and lseek. A file's first bytes must be those of a format that is wanted before
 * libsndfile, which knows two dozen more, sees any of it. What a file declares about its length is
 * never believed: samples are decoded until there are no more, or too many. */
#include "runtime/audio/recording_decode.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_FRAMES = 1024 };

struct source {
    int fd;
    int64_t bytes, at;
};

static sf_count_t source_length(void *context) {
    return ((struct source *)context)->bytes;
}

static sf_count_t source_tell(void *context) {
    return ((struct source *)context)->at;
}

/* Positions past the end are cut to it: what libsndfile adds up from hostile numbers may be any. */
static sf_count_t source_seek(sf_count_t offset, int whence, void *context) {
    struct source *source = context;
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? source->at : source->bytes, to;
    if (__builtin_add_overflow(base, (int64_t)offset, &to) || to < 0)
        return -1;
    if (to > source->bytes)
        to = source->bytes;
    if (lseek(source->fd, to, SEEK_SET) != to)
        return -1;
    source->at = to;
    return to;
}

static sf_count_t source_read(void *data, sf_count_t size, void *context) {
    struct source *source = context;
    sf_count_t done = 0;
    while (done < size) {
        ssize_t n = read(source->fd, (char *)data + done, (size_t)(size - done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += n;
    }
    source->at += done;
    return done;
}

static sf_count_t source_write(const void *data, sf_count_t size, void *context) {
    (void)data, (void)size, (void)context; /* opened for reading only */
    return 0;
}

static int write_all(int fd, const void *data, size_t size) {
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_tail(int fd, enum mill_wire_verdict verdict, int64_t number, uint64_t n_samples,
                      const char *detail) {
    struct mill_wire_tail tail = {
        .magic = MILL_WIRE_TAIL, .verdict = verdict, .number = number, .n_samples = n_samples};
    snprintf(tail.detail, sizeof tail.detail, "%s", detail);
    return write_all(fd, &tail, sizeof tail);
}

int mill_recording_decode_refuse(int out_fd, enum mill_wire_verdict verdict, int64_t number,
                                 const char *detail) {
    return write_tail(out_fd, verdict, number, 0, detail);
}

/* Whether the first bytes are those of a format that is read. "riff" in small letters opens w64;
 * a frame of mp3 opens with eleven bits that are set and a layer that is not 0. */
static bool first_bytes_are_right(struct source *source) {
    static const char tags[][5] = {"RIFF", "RIFX", "RF64", "riff", "fLaC", "OggS"};
    unsigned char first[4];
    bool whole = source_read(first, sizeof first, source) == sizeof first;
    if (source_seek(0, SEEK_SET, source) != 0 || !whole)
        return false;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (memcmp(first, tags[i], 4) == 0)
            return true;
    return memcmp(first, "ID3", 3) == 0 ||
           (first[0] == 0xff && (first[1] & 0xe0) == 0xe0 && (first[1] & 0x06) != 0);
}

static bool find_format(int sf_format, enum mill_recording_format *out) {
    switch (sf_format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_WAV:
    case SF_FORMAT_WAVEX:
    case SF_FORMAT_W64:
    case SF_FORMAT_RF64:
        *out = MILL_RECORDING_WAV;
        return true;
    case SF_FORMAT_FLAC:
        *out = MILL_RECORDING_FLAC;
        return true;
    case SF_FORMAT_OGG:
        *out = (sf_format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS ? MILL_RECORDING_OPUS
                                                                 : MILL_RECORDING_OGG;
        return true;
    case SF_FORMAT_MPEG:
        *out = MILL_RECORDING_MP3;
        return true;
    default:
        return false;
    }
}

/* Decode and write until the end. Fewer samples than the file declares is damage too, except for
 * mp3, which only estimates, and for files that declare nothing. */
static int write_samples(SNDFILE *file, const SF_INFO *info, bool is_estimate, int out_fd,
                         size_t max_samples) {
    float piece[PIECE_FRAMES * MILL_WIRE_CHANNELS_MAX], first[PIECE_FRAMES];
    uint64_t done = 0;
    for (;;) {
        sf_count_t n = sf_readf_float(file, piece, PIECE_FRAMES);
        if (n <= 0 || n > PIECE_FRAMES)
            break;
        if (done + (uint64_t)n > max_samples)
            return write_tail(out_fd, MILL_WIRE_TOO_LONG, 0, done, "");
        for (sf_count_t i = 0; i < n; i++) {
            first[i] = piece[i * info->channels];
            if (!isfinite(first[i]))
                return write_tail(out_fd, MILL_WIRE_NOT_FINITE, (int64_t)done + i, done, "");
        }
        if (write_all(out_fd, first, (size_t)n * sizeof *first) != 0)
            return -1;
        done += (uint64_t)n;
    }
    if (sf_error(file) != SF_ERR_NO_ERROR)
        return write_tail(out_fd, MILL_WIRE_DAMAGED, (int64_t)done, done, sf_strerror(file));
    if (!is_estimate && info->frames < SF_COUNT_MAX && (sf_count_t)done < info->frames)
        return write_tail(out_fd, MILL_WIRE_DAMAGED, (int64_t)done, done, "it ends too early");
    return write_tail(out_fd, done > 0 ? MILL_WIRE_COMPLETE : MILL_WIRE_EMPTY, 0, done, "");
}

int mill_recording_decode(int in_fd, int64_t in_bytes, int out_fd, double max_seconds) {
    struct source source = {.fd = in_fd, .bytes = in_bytes};
    if (!first_bytes_are_right(&source))
        return write_tail(out_fd, MILL_WIRE_NOT_AUDIO, 0, 0, "its first bytes are of none");
    SF_VIRTUAL_IO io = {.get_filelen = source_length,
                        .seek = source_seek,
                        .read = source_read,
                        .write = source_write,
                        .tell = source_tell};
    SF_INFO info = {0};
    SNDFILE *file = sf_open_virtual(&io, SFM_READ, &info, &source);
    if (!file)
        return write_tail(out_fd, MILL_WIRE_NOT_AUDIO, 0, 0, sf_strerror(NULL));
    enum mill_recording_format format;
    int result;
    if (!find_format(info.format, &format))
        result = write_tail(out_fd, MILL_WIRE_NOT_AUDIO, 0, 0, "it is of another format");
    else if (info.samplerate < MILL_WIRE_RATE_MIN || info.samplerate > MILL_WIRE_RATE_MAX)
        result = write_tail(out_fd, MILL_WIRE_BAD_RATE, info.samplerate, 0, "");
    else if (info.channels < 1 || info.channels > MILL_WIRE_CHANNELS_MAX)
        result = write_tail(out_fd, MILL_WIRE_BAD_CHANNELS, info.channels, 0, "");
    else {
        struct mill_wire_head head = {.magic = MILL_WIRE_HEAD,
                                      .format = format,
                                      .sample_rate = info.samplerate,
                                      .n_channels = info.channels};
        result = write_all(out_fd, &head, sizeof head);
        if (result == 0)
            result = write_samples(file, &info, format == MILL_RECORDING_MP3, out_fd,
                                   mill_wire_samples_max(info.samplerate, max_seconds));
    }
    sf_close(file);
    return result;
}
