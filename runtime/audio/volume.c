/* volume.c - see volume.h. */
#include "runtime/audio/volume.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The mean of the upper tenth, its top hundredth left out, of n sorted magnitudes. */
static double level_of(const double *sorted, size_t n) {
    size_t first = (size_t)(0.9 * (double)n), end = (size_t)(0.99 * (double)n);
    double sum = 0;
    for (size_t i = first; i < end; i++)
        sum += sorted[i];
    return sum / (double)(end - first);
}

mill_status mill_volume_normalise(double *x, size_t n, struct mill_error *err) {
    if (n == 0)
        return MILL_OK;
    double *sorted = mill_alloc_array(n, sizeof *sorted);
    if (!sorted)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu samples", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = fabs(x[i]);
    qsort(sorted, n, sizeof *sorted, by_size);
    double peak = sorted[n - 1];
    for (size_t i = 0; peak < 0.1 && i < n; i++)
        x[i] = x[i] / fmax(peak, 1e-3) * 0.1;
    size_t quiet = 0;
    while (quiet < n && sorted[quiet] <= 0.01)
        quiet++;
    if (n - quiet > 10) {
        double gain = fmin(fmax(0.2 / level_of(sorted + quiet, n - quiet), 0.1), 10);
        peak = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] *= gain;
            peak = fmax(peak, fabs(x[i]));
        }
        for (size_t i = 0; peak > 1 && i < n; i++)
            x[i] /= peak;
    }
    free(sorted);
    return MILL_OK;
}

void mill_reference_clip(const float *x, size_t n, float *clip, size_t n_clip) {
    for (size_t i = 0; i < n_clip; i++)
        clip[i] = n > 0 ? x[i % n] : 0;
}

size_t mill_reference_clip_samples(int32_t sample_rate, double seconds, int32_t hop) {
    return (size_t)((double)sample_rate * seconds) / (size_t)hop * (size_t)hop;
}
