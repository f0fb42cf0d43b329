/* recording_decode.h - the part that reads hostile bytes: a sound file from a descriptor, decoded
 * with libsndfile, written to another as recording_wire.h says. Runs in a process of its own that
 * has locked itself in (sandbox.h); nothing else calls it, tests apart. */
#ifndef MILL_AUDIO_RECORDING_DECODE_H
#define MILL_AUDIO_RECORDING_DECODE_H

#include "runtime/audio/recording_wire.h"

#include <stdint.h>

/* Decode `in_fd` (a regular file of `in_bytes` bytes) to `out_fd`. 0, or -1 when out_fd cannot be
 * written. */
int mill_recording_decode(int in_fd, int64_t in_bytes, int out_fd, double max_seconds);

/* Write a tail that says only this. */
int mill_recording_decode_refuse(int out_fd, enum mill_wire_verdict verdict, int64_t number,
                                 const char *detail);

#endif
