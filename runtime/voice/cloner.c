/* cloner.c - see cloner.h. No state. */
#include "runtime/voice/cloner.h"

#include "runtime/engine/model.h"
#include "runtime/model/encoder_input.h"
#include "runtime/voice/cloning.h"

/* ------------------------------------------------------------------ the recording */

static mill_status judge(const struct mill_clone_source *source,
                         const struct mill_recording *recording,
                         struct mill_clone_findings *findings, struct mill_error *err) {
    struct mill_recording_report *report = &findings->report;
    MILL_TRY(mill_recording_check(recording, MILL_ENCODE_MAX_SECONDS, report, err));
    findings->judged = true;
    findings->format = recording->format;
    for (int i = 0; i < MILL_CHECK_COUNT; i++)
        if (report->rows[i].verdict == MILL_CHECK_REFUSE)
            return mill_fail(err, MILL_E_INPUT, "it will not make a voice: %s: %s",
                             report->rows[i].name, report->rows[i].advice);
    if (source->transcript && report->is_cut)
        return mill_fail(err, MILL_E_INPUT,
                         "with its transcript at most %d s can be used: cut the recording and its "
                         "transcript",
                         MILL_ENCODE_MAX_SECONDS);
    return MILL_OK;
}

static mill_status name_recording(const struct mill_clone_source *source, mill_status status,
                                  struct mill_error *err) {
    return source->path ? mill_context(err, status, "recording '%s'", source->path)
                        : mill_context(err, status, "recording");
}

mill_status mill_clone_prepare(const struct mill_clone_source *source,
                               const struct mill_shape *shape, struct mill_prepared *out,
                               struct mill_clone_findings *findings, struct mill_error *err) {
    struct mill_recording recording;
    const struct mill_prepare_options options = {.sample_rate = shape->bicodec.sample_rate,
                                                 .trim = !source->keep_silence,
                                                 .max_seconds = MILL_ENCODE_MAX_SECONDS,
                                                 .keep_volume = !shape->volume_normalize};
    *findings = (struct mill_clone_findings){0};
    MILL_TRY(source->path
                 ? mill_recording_read(&recording, source->path, NULL, err)
                 : mill_recording_read_bytes(&recording, source->bytes, source->size, NULL, err));
    mill_status status = judge(source, &recording, findings, err);
    if (status < 0)
        name_recording(source, status, err);
    else
        status = mill_recording_prepare(out, &recording, &options, err);
    mill_recording_close(&recording);
    return status;
}

/* ------------------------------------------------------------------ the tokens */

mill_status mill_clone_encode(const struct mill_cloner *cloner, const struct mill_shape *shape,
                              const struct mill_prepared *wave, struct mill_voice *voice,
                              struct mill_error *err) {
    const char *name = cloner->backend ? cloner->backend : "cpu";
    const struct mill_backend_ops *ops = mill_backend_find(name, err);
    const struct mill_backend_options options = {.n_threads = cloner->n_threads};
    struct mill_weights_options weights = {.cache = cloner->cache};
    struct mill_backend *backend = NULL;
    if (!ops)
        return MILL_E_INPUT;
    if (!mill_precision_find(cloner->precision, name, &weights.precision))
        return mill_fail(err, MILL_E_INPUT, "precision '%s': there are auto, fp32 and bf16",
                         cloner->precision);
    mill_status status = ops->open(&backend, &options, err);
    const struct mill_cloning cloning = {.folder = cloner->folder,
                                         .shape = shape,
                                         .ops = ops,
                                         .backend = backend,
                                         .weights = &weights};
    if (status == MILL_OK)
        status = mill_cloning_run(&cloning, wave->samples, wave->n_samples,
                                  voice->transcript != NULL, voice, err);
    ops->close(backend);
    return status;
}
