/* resample.c - see resample.h. Everything on the calling thread: the signal, then the rest that
 * libsoxr's filter still holds. A resampler is a soxr_t, nothing more. */
#include "runtime/audio/resample.h"

#include "runtime/base/memory.h"

#include <soxr.h>
#include <stdlib.h>
#include <string.h>

enum { RATE_MAX = 384000 };

static mill_status run(soxr_t resampler, const double *samples, size_t n, double *out,
                       size_t capacity, size_t *n_out, struct mill_error *err) {
    size_t used = 0, made = 0;
    soxr_error_t cause = NULL;
    *n_out = 0;
    while (!cause && used < n && *n_out < capacity) {
        size_t taken = 0;
        cause = soxr_process(resampler, samples + used, n - used, &taken, out + *n_out,
                             capacity - *n_out, &made);
        used += taken;
        *n_out += made;
    }
    do {
        if (!cause)
            cause = soxr_process(resampler, NULL, 0, NULL, out + *n_out, capacity - *n_out, &made);
        *n_out += made;
    } while (!cause && made > 0 && *n_out < capacity);
    return cause ? mill_fail(err, MILL_E_MEMORY, "resampling failed: %s", soxr_strerror(cause))
                 : MILL_OK;
}

mill_status mill_resample(double **out, size_t *n_out, const double *samples, size_t n,
                          int32_t from_hz, int32_t to_hz, struct mill_error *err) {
    *out = NULL;
    *n_out = 0;
    if (from_hz < 1 || to_hz < 1 || from_hz > RATE_MAX || to_hz > RATE_MAX || n > UINT32_MAX)
        return mill_fail(err, MILL_E_INPUT, "%zu samples cannot be resampled from %d to %d Hz", n,
                         from_hz, to_hz);
    /* One more than the exact length, for rounding. The product stays below 2^51. */
    size_t capacity = n * (size_t)to_hz / (size_t)from_hz + 2;
    double *result = mill_alloc_array(from_hz == to_hz ? n : capacity, sizeof *result);
    if (!result)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu samples", capacity);
    if (from_hz == to_hz) {
        if (n > 0)
            memcpy(result, samples, n * sizeof *result);
        *out = result;
        *n_out = n;
        return MILL_OK;
    }
    soxr_error_t cause = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT64_I, SOXR_FLOAT64_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
    soxr_t resampler = soxr_create(from_hz, to_hz, 1, &cause, &io, &quality, NULL);
    mill_status status =
        cause ? mill_fail(err, MILL_E_MEMORY, "resampling failed: %s", soxr_strerror(cause))
              : run(resampler, samples, n, result, capacity, n_out, err);
    soxr_delete(resampler);
    if (status < 0) {
        free(result);
        *n_out = 0;
        return status;
    }
    *out = result;
    return MILL_OK;
}

/* ------------------------------------------------------------------ a stream */

mill_status mill_resampler_open(struct mill_resampler **out, int32_t from_hz, int32_t to_hz,
                                struct mill_error *err) {
    *out = NULL;
    if (from_hz < 1 || to_hz < 1 || from_hz > RATE_MAX || to_hz > RATE_MAX)
        return mill_fail(err, MILL_E_INPUT, "sound cannot be resampled from %d to %d Hz", from_hz,
                         to_hz);
    soxr_error_t cause = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
    soxr_t resampler = soxr_create(from_hz, to_hz, 1, &cause, &io, &quality, NULL);
    if (cause)
        return mill_fail(err, MILL_E_MEMORY, "resampling failed: %s", soxr_strerror(cause));
    *out = (struct mill_resampler *)resampler;
    return MILL_OK;
}

mill_status mill_resampler_run(struct mill_resampler *resampler, const float *samples, size_t n,
                               size_t *n_used, float *out, size_t capacity, size_t *n_made,
                               struct mill_error *err) {
    *n_used = *n_made = 0;
    soxr_error_t cause = soxr_process((soxr_t)resampler, samples, n, n_used, out, capacity, n_made);
    return cause ? mill_fail(err, MILL_E_MEMORY, "resampling failed: %s", soxr_strerror(cause))
                 : MILL_OK;
}

void mill_resampler_close(struct mill_resampler *resampler) {
    soxr_delete((soxr_t)resampler);
}
