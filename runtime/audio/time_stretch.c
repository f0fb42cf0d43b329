/* time_stretch.c - see time_stretch.h. A stretch is a sonicStream, nothing more. */
#include "runtime/audio/time_stretch.h"

#include <sonic.h>

enum { PIECE = 1024, MIN_RATE = 2000, MAX_RATE = 192000 };

static sonicStream stream_of(struct mill_time_stretch *stretch) {
    return (sonicStream)(void *)stretch;
}

mill_status mill_time_stretch_open(struct mill_time_stretch **out, int32_t sample_rate,
                                   double speed, double pitch, struct mill_error *err) {
    *out = NULL;
    if (!(speed >= MILL_SPEED_MIN && speed <= MILL_SPEED_MAX))
        return mill_fail(err, MILL_E_INPUT, "a speed of %g: %g to %g are possible", speed,
                         MILL_SPEED_MIN, MILL_SPEED_MAX);
    if (!(pitch >= MILL_PITCH_MIN && pitch <= MILL_PITCH_MAX))
        return mill_fail(err, MILL_E_INPUT, "a pitch of %g: %g to %g are possible", pitch,
                         MILL_PITCH_MIN, MILL_PITCH_MAX);
    if (sample_rate < MIN_RATE || sample_rate > MAX_RATE)
        return mill_fail(err, MILL_E_INPUT, "speech of %d samples a second cannot be stretched",
                         sample_rate);
    sonicStream stream = sonicCreateStream(sample_rate, 1);
    if (!stream)
        return mill_fail(err, MILL_E_MEMORY, "no memory for stretching speech");
    sonicSetSpeed(stream, (float)speed);
    sonicSetPitch(stream, (float)pitch);
    *out = (struct mill_time_stretch *)(void *)stream;
    return MILL_OK;
}

mill_status mill_time_stretch_write(struct mill_time_stretch *stretch, const float *samples,
                                    size_t n_samples, struct mill_error *err) {
    float piece[PIECE];
    while (n_samples > 0) {
        size_t n = n_samples < PIECE ? n_samples : PIECE;
        for (size_t i = 0; i < n; i++) { /* what it makes whole numbers of; NaN is silence */
            float x = samples[i];
            piece[i] = x > 1 ? 1 : x < -1 ? -1 : x == x ? x : 0;
        }
        if (!sonicWriteFloatToStream(stream_of(stretch), piece, (int)n))
            return mill_fail(err, MILL_E_MEMORY, "no memory for stretching speech");
        samples += n;
        n_samples -= n;
    }
    return MILL_OK;
}

mill_status mill_time_stretch_finish(struct mill_time_stretch *stretch, struct mill_error *err) {
    return sonicFlushStream(stream_of(stretch))
               ? MILL_OK
               : mill_fail(err, MILL_E_MEMORY, "no memory for stretching speech");
}

size_t mill_time_stretch_read(struct mill_time_stretch *stretch, float *samples, size_t capacity) {
    int wanted = capacity < INT32_MAX ? (int)capacity : INT32_MAX;
    return (size_t)sonicReadFloatFromStream(stream_of(stretch), samples, wanted);
}

void mill_time_stretch_close(struct mill_time_stretch *stretch) {
    if (stretch)
        sonicDestroyStream(stream_of(stretch));
}
