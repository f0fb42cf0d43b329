/* encoder_rows.c - see encoder_rows.h. */
#include "runtime/model/encoder_rows.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>

mill_status mill_rows_flat_taps(const struct mill_row_source *source, int32_t first, int32_t n,
                                float *rows, const struct mill_row_scratch *scratch,
                                struct mill_error *err) {
    size_t elements = (size_t)source->n_in, taps = (size_t)source->tensor_rows[1];
    size_t n_in = elements / taps;
    for (int32_t r = 0; r < n; r++, rows += elements) {
        MILL_TRY(mill_tensor_ref_read(&source->tensor[0], (size_t)(first + r) * elements, elements,
                                      scratch->values, err));
        for (size_t k = 0; k < elements; k++)
            rows[k % taps * n_in + k / taps] = scratch->values[k];
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ batch norm */

static mill_status batch_gain(const struct mill_row_source *source, size_t channel, double *out,
                              struct mill_error *err) {
    float weight, variance;
    MILL_TRY(mill_tensor_ref_read(&source->tensor[0], channel, 1, &weight, err));
    MILL_TRY(mill_tensor_ref_read(&source->tensor[1], channel, 1, &variance, err));
    if (variance < 0.0f)
        return mill_fail(err, MILL_E_INPUT, "'%s': tensor '%s': element %zu is negative",
                         source->file->path, source->tensor[1].entry->name, channel);
    *out = (double)weight / sqrt((double)variance + 1e-5);
    return MILL_OK;
}

mill_status mill_rows_batch_gain(const struct mill_row_source *source, int32_t first, int32_t n,
                                 float *rows, const struct mill_row_scratch *scratch,
                                 struct mill_error *err) {
    (void)scratch;
    for (int32_t r = 0; r < n; r++) {
        double gain;
        MILL_TRY(batch_gain(source, (size_t)(first + r), &gain, err));
        rows[r] = (float)gain;
    }
    return MILL_OK;
}

mill_status mill_rows_batch_shift(const struct mill_row_source *source, int32_t first, int32_t n,
                                  float *rows, const struct mill_row_scratch *scratch,
                                  struct mill_error *err) {
    (void)scratch;
    for (int32_t r = 0; r < n; r++) {
        size_t channel = (size_t)(first + r);
        double gain;
        float mean, bias;
        MILL_TRY(batch_gain(source, channel, &gain, err));
        MILL_TRY(mill_tensor_ref_read(&source->tensor[2], channel, 1, &mean, err));
        MILL_TRY(mill_tensor_ref_read(&source->gain, channel, 1, &bias, err));
        rows[r] = (float)((double)bias - (double)mean * gain);
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ weight norm over taps */

/* prepared: g / |v| of every tap. */
mill_status mill_rows_prepare_tap_norm(struct mill_row_source *source, struct mill_error *err) {
    size_t taps = (size_t)source->n_taps, elements = taps * (size_t)source->n_in;
    float *row = mill_alloc_array(elements, sizeof *row);
    double *factors = mill_alloc_array(taps, sizeof *factors);
    mill_status status = MILL_OK;
    if (!row || !factors)
        status = mill_fail(err, MILL_E_MEMORY, "no memory to fold a convolution");
    for (size_t r = 0; status == MILL_OK && r < (size_t)source->tensor_rows[1]; r++) {
        status = mill_tensor_ref_read(&source->tensor[0], r * elements, elements, row, err);
        for (size_t k = 0; status == MILL_OK && k < elements; k++)
            factors[k % taps] += (double)row[k] * (double)row[k];
    }
    if (status == MILL_OK)
        status = mill_tensor_ref_read(&source->tensor[1], 0, taps, row, err);
    for (size_t tap = 0; status == MILL_OK && tap < taps; tap++) {
        if (factors[tap] > 0.0)
            factors[tap] = (double)row[tap] / sqrt(factors[tap]);
        else
            status = mill_fail(err, MILL_E_INPUT,
                               "'%s': tensor '%s': tap %zu is all zeros and cannot be normalised",
                               source->file->path, source->tensor[0].entry->name, tap);
    }
    free(row);
    source->prepared = factors;
    return status;
}

mill_status mill_rows_tap_norm(const struct mill_row_source *source, int32_t first, int32_t n,
                               float *rows, const struct mill_row_scratch *scratch,
                               struct mill_error *err) {
    size_t taps = (size_t)source->n_taps, n_in = (size_t)source->n_in, elements = taps * n_in;
    const double *factors = source->prepared;
    for (int32_t r = 0; r < n; r++, rows += elements) {
        size_t row = (size_t)source->tensor_rows[0] + (size_t)(first + r);
        MILL_TRY(mill_tensor_ref_read(&source->tensor[0], row * elements, elements, scratch->values,
                                      err));
        for (size_t k = 0; k < elements; k++)
            rows[k % taps * n_in + k / taps] =
                (float)(factors[k % taps] * (double)scratch->values[k]);
    }
    return MILL_OK;
}

mill_status mill_rows_offset(const struct mill_row_source *source, int32_t first, int32_t n,
                             float *rows, const struct mill_row_scratch *scratch,
                             struct mill_error *err) {
    (void)scratch;
    return mill_tensor_ref_read(&source->tensor[0], (size_t)(source->tensor_rows[0] + first),
                                (size_t)n, rows, err);
}

mill_status mill_rows_unit(const struct mill_row_source *source, int32_t first, int32_t n,
                           float *rows, const struct mill_row_scratch *scratch,
                           struct mill_error *err) {
    (void)scratch;
    size_t n_in = (size_t)source->n_in;
    for (int32_t r = 0; r < n; r++, rows += n_in) {
        double squares = 0.0;
        MILL_TRY(
            mill_tensor_ref_read(&source->tensor[0], (size_t)(first + r) * n_in, n_in, rows, err));
        for (size_t i = 0; i < n_in; i++)
            squares += (double)rows[i] * (double)rows[i];
        double factor = 1.0 / fmax(sqrt(squares), 1e-12);
        for (size_t i = 0; i < n_in; i++)
            rows[i] = (float)(factor * (double)rows[i]);
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ spectrogram */

mill_status mill_rows_fourier(const struct mill_row_source *source, int32_t first, int32_t n,
                              float *rows, const struct mill_row_scratch *scratch,
                              struct mill_error *err) {
    int32_t n_fft = source->shape->mel.n_fft, window = source->n_in;
    int32_t offset = (n_fft - window) / 2;
    (void)scratch;
    (void)err;
    for (int32_t r = first; r < first + n; r++) {
        int64_t bin = r / 2;
        for (int32_t i = 0; i < window; i++) {
            double hann = 0.5 - 0.5 * cos(2.0 * M_PI * (double)i / (double)window);
            double angle = 2.0 * M_PI * (double)(bin * (offset + i) % n_fft) / (double)n_fft;
            *rows++ = (float)(hann * (r % 2 ? sin(angle) : cos(angle)));
        }
    }
    return MILL_OK;
}

/* Slaney's scale: linear below 1000 Hz, which is 15 mel, and logarithmic above. */
static double mel_from_hz(double hz) {
    return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + 27.0 * log(hz / 1000.0) / log(6.4);
}

static double hz_from_mel(double mel) {
    return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * exp((mel - 15.0) * log(6.4) / 27.0);
}

mill_status mill_rows_mel(const struct mill_row_source *source, int32_t first, int32_t n,
                          float *rows, const struct mill_row_scratch *scratch,
                          struct mill_error *err) {
    const struct mill_bicodec_shape *shape = source->shape;
    double top = shape->sample_rate / 2; /* a whole number, as published */
    double low = mel_from_hz(shape->mel.f_min);
    double high = mel_from_hz(shape->mel.f_max > 0.0 ? shape->mel.f_max : shape->sample_rate / 2.0);
    double step = (high - low) / (double)(source->n_rows + 1);
    (void)scratch;
    (void)err;
    for (int32_t r = first; r < first + n; r++) {
        double left = hz_from_mel(low + r * step), middle = hz_from_mel(low + (r + 1) * step);
        double right = hz_from_mel(low + (r + 2) * step);
        for (int32_t bin = 0; bin < source->n_in; bin++) {
            double hz = top * (double)bin / (double)(source->n_in - 1);
            double side = fmin((hz - left) / (middle - left), (right - hz) / (right - middle));
            *rows++ = (float)(fmax(side, 0.0) * 2.0 / (right - left));
        }
    }
    return MILL_OK;
}
