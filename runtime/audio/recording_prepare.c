/* recording_prepare.c - see recording_prepare.h. */
#include "runtime/audio/recording_prepare.h"

#include "runtime/audio/resample.h"
#include "runtime/audio/speech_activity.h"
#include "runtime/audio/volume.h"
#include "runtime/base/memory.h"

#include <stdlib.h>

static mill_status find_range(struct mill_speech_range *range, const struct mill_recording *r,
                              const struct mill_prepare_options *options, struct mill_error *err) {
    *range = (struct mill_speech_range){.first = 0, .end = r->n_samples};
    if (!options->trim && options->max_seconds <= 0)
        return MILL_OK;
    struct mill_speech_activity activity;
    MILL_TRY(mill_speech_activity_init(&activity, r->samples, r->n_samples, r->sample_rate, err));
    *range = mill_speech_activity_range(&activity, options->trim,
                                        (size_t)(options->max_seconds * r->sample_rate));
    mill_speech_activity_deinit(&activity);
    return MILL_OK;
}

/* Float64 samples at the wanted rate; the caller frees. */
static mill_status resample_range(double **out, size_t *n_out, const struct mill_recording *r,
                                  struct mill_speech_range range, int32_t to_hz,
                                  struct mill_error *err) {
    size_t n = range.end - range.first;
    double *exact = mill_alloc_array(n, sizeof *exact);
    if (!exact)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu samples", n);
    for (size_t i = 0; i < n; i++)
        exact[i] = (double)r->samples[range.first + i];
    mill_status status = mill_resample(out, n_out, exact, n, r->sample_rate, to_hz, err);
    free(exact);
    return status;
}

mill_status mill_recording_prepare(struct mill_prepared *out,
                                   const struct mill_recording *recording,
                                   const struct mill_prepare_options *options,
                                   struct mill_error *err) {
    struct mill_speech_range range;
    double *exact = NULL;
    size_t n = 0;
    *out = (struct mill_prepared){0};
    MILL_TRY(find_range(&range, recording, options, err));
    MILL_TRY(resample_range(&exact, &n, recording, range, options->sample_rate, err));
    mill_status status = n == 0 ? mill_fail(err, MILL_E_INPUT, "the recording holds no sound")
                         : options->keep_volume ? MILL_OK
                                                : mill_volume_normalise(exact, n, err);
    float *samples = status == MILL_OK ? mill_alloc_array(n, sizeof *samples) : NULL;
    if (status == MILL_OK && !samples)
        status = mill_fail(err, MILL_E_MEMORY, "no memory for %zu samples", n);
    for (size_t i = 0; samples && i < n; i++)
        samples[i] = (float)exact[i];
    free(exact);
    if (samples)
        *out = (struct mill_prepared){
            .samples = samples, .n_samples = n, .sample_rate = options->sample_rate};
    return status;
}

void mill_prepared_close(struct mill_prepared *prepared) {
    free(prepared->samples);
    *prepared = (struct mill_prepared){0};
}
