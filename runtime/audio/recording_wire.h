/* recording_wire.h - what the decoding process (recording_decode.c) tells its parent (recording.c)
 * through a pipe.
 *
 *     head | float32 samples of the first channel ... | tail          the file was understood
 *                                                       tail          it was not
 *
 * Both ends are built together and run on one machine, so the structs travel as they lie in memory.
 * The parent trusts none of it: the decoder has read hostile bytes and may be in a stranger's hands
 * by then. */
#ifndef MILL_AUDIO_RECORDING_WIRE_H
#define MILL_AUDIO_RECORDING_WIRE_H

#include "runtime/audio/recording.h"

#include <stdint.h>

enum {
    MILL_WIRE_HEAD = 0x4845414d,
    MILL_WIRE_TAIL = 0x5441494d,
    MILL_WIRE_RATE_MIN = 4000,
    MILL_WIRE_RATE_MAX = 384000,
    MILL_WIRE_CHANNELS_MAX = 16,
    MILL_WIRE_SAMPLES_MAX = 1 << 26,    /* 256 MiB: 600 s up to 111 kHz */
    MILL_WIRE_MEMORY_BYTES = 256 << 20, /* the decoder's address space */
    MILL_WIRE_PROCESSOR_SECONDS = 20,
};

/* How decoding ended. */
enum mill_wire_verdict {
    MILL_WIRE_COMPLETE,
    MILL_WIRE_NOT_AUDIO,    /* none of the formats that are read */
    MILL_WIRE_BAD_RATE,     /* number = the rate that the file gives */
    MILL_WIRE_BAD_CHANNELS, /* number = the channels that the file gives */
    MILL_WIRE_EMPTY,        /* no samples */
    MILL_WIRE_TOO_LONG,
    MILL_WIRE_DAMAGED,    /* number = whole frames before the damage */
    MILL_WIRE_NOT_FINITE, /* number = the frame whose sample is infinite or not a number */
    MILL_WIRE_NOT_LOCKED, /* the process could not be locked, so nothing was read */
    MILL_WIRE_VERDICTS
};

struct mill_wire_head {
    uint32_t magic;
    uint32_t format; /* enum mill_recording_format */
    int32_t sample_rate;
    int32_t n_channels;
};

struct mill_wire_tail {
    uint32_t magic;
    uint32_t verdict;
    int64_t number;
    uint64_t n_samples;
    char detail[104]; /* the library's words, perhaps; zero-terminated if honest */
};

_Static_assert(sizeof(struct mill_wire_head) == 16, "the samples behind it stay aligned");
_Static_assert(sizeof(struct mill_wire_tail) == 128, "no padding");

/* Samples that a recording of that rate may have. */
size_t mill_wire_samples_max(int32_t sample_rate, double max_seconds);

/* How many bytes may come, given the first `size` of them: SIZE_MAX while that cannot be told; 0
 * when they are no head and no tail that could be right. */
size_t mill_wire_bytes_max(const uint8_t *data, size_t size, double max_seconds);

/* Everything that came, checked: on MILL_OK, `out`'s numbers are set and out->samples points into
 * `data`, which must be 4-byte aligned. Messages say cause and remedy and go behind the path. */
mill_status mill_wire_parse(struct mill_recording *out, uint8_t *data, size_t size,
                            double max_seconds, struct mill_error *err);

#endif
