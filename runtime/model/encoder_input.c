/* encoder_input.c - see encoder_input.h. */
#include "runtime/model/encoder_input.h"

#include <math.h>

mill_status mill_encoder_check_wave(const struct mill_shape *shape, const float *wave,
                                    int64_t n_samples, int64_t least, struct mill_error *err) {
    double rate = shape->bicodec.sample_rate;
    if (n_samples < least)
        return mill_fail(err, MILL_E_INPUT,
                         "the recording is too short: %.3f s, and at least %.3f s are needed",
                         (double)n_samples / rate, (double)least / rate);
    if ((double)n_samples > MILL_ENCODE_MAX_SECONDS * rate)
        return mill_fail(err, MILL_E_INPUT,
                         "the recording is too long: %.1f s, and at most %d s can be encoded in "
                         "one piece: cut it at a pause",
                         (double)n_samples / rate, MILL_ENCODE_MAX_SECONDS);
    for (int64_t i = 0; i < n_samples; i++)
        if (!isfinite(wave[i]))
            return mill_fail(err, MILL_E_INPUT, "the recording: sample %lld is not a finite number",
                             (long long)i);
    return MILL_OK;
}
