/* golden_encoder.c - group "encode": a recording's global and semantic tokens, and what they are
 * made from.
 *
 * Of the spectrogram every 25th frame is stored, of the features the first four. The speaker
 * encoder is float32 in every precision, so the limits of an exact implementation always apply to
 * it. A token may differ only where its stored margin (distance to a rounding edge, best cosine
 * less the second) is at most GOLDEN_EXACT_MARGIN. In lower precision, semantic tokens that differ
 * are counted, and the largest margin among them is shown: there is no limit, as the error of the
 * cosines themselves is not known. */
#include "tools/golden_check.h"

#include "runtime/audio/volume.h"
#include "runtime/base/memory.h"
#include "runtime/model/bicodec_encode.h"
#include "runtime/model/speaker_encode.h"

#include <stdio.h>
#include <stdlib.h>

enum { MEL_STEP = 25 };

struct encoders {
    struct golden_run *run;
    struct mill_encoder_weights *weights;
};

/* Signal to noise with the limit given; `n` is how many numbers of ours there are. */
static mill_status compare_signal(const struct encoders *e, const char *item, const char *leaf,
                                  const float *ours, size_t rows, size_t columns, double limit,
                                  struct mill_error *err) {
    char name[GOLDEN_NAME + 32];
    struct golden_array golden;
    struct golden_run *run = e->run;
    MILL_TRY(golden_folder_read(&run->folder, item, leaf, MILL_F32, 2, &golden, err));
    mill_status status = MILL_OK;
    if (golden.shape[0] > (int64_t)rows || golden.shape[1] != (int64_t)columns) {
        status =
            mill_fail(err, MILL_E_INPUT, "%s.%s: [%lld, %lld] does not fit ours, [%zu, %zu]", item,
                      leaf, (long long)golden.shape[0], (long long)golden.shape[1], rows, columns);
    } else {
        snprintf(name, sizeof name, "%s.%s", item, leaf);
        golden_table_figure(&run->table, name, "signal to noise, dB",
                            golden_snr_db(golden.data, ours, golden.n), GOLDEN_AT_LEAST, limit);
        run->table.n_compared++;
        status = golden_folder_dump(&run->folder, item, leaf, MILL_F32, &golden, ours, err);
    }
    free(golden.data);
    return status;
}

/* Tokens against golden ones, in the light of "<leaf>_margin". */
static mill_status compare_tokens(const struct encoders *e, const char *item, const char *leaf,
                                  const int32_t *ours, size_t n, bool exact,
                                  struct mill_error *err) {
    char name[GOLDEN_NAME + 32], margin_leaf[32];
    struct golden_array golden, margin = {0};
    struct golden_run *run = e->run;
    int n_differing = 0, n_clear = 0;
    double widest = 0;
    snprintf(margin_leaf, sizeof margin_leaf, "%s_margin", leaf);
    MILL_TRY(golden_folder_read(&run->folder, item, leaf, MILL_I32, 1, &golden, err));
    mill_status status =
        golden_folder_read(&run->folder, item, margin_leaf, MILL_F32, 1, &margin, err);
    if (status >= 0 && (golden.n != n || margin.n != n))
        status = mill_fail(err, MILL_E_INPUT, "%s.%s: %zu tokens and %zu margins; ours are %zu",
                           item, leaf, golden.n, margin.n, n);
    for (size_t i = 0; status >= 0 && i < n; i++) {
        double by = ((const float *)margin.data)[i];
        if (((const int32_t *)golden.data)[i] == ours[i])
            continue;
        n_differing++;
        n_clear += by > GOLDEN_EXACT_MARGIN;
        widest = by > widest ? by : widest;
    }
    if (status >= 0) {
        snprintf(name, sizeof name, "%s.%s", item, leaf);
        golden_table_figure(&run->table, name, "tokens that differ", n_differing, GOLDEN_RECORDED,
                            0);
        if (exact)
            golden_table_figure(&run->table, name, "tokens that differ, clear choices", n_clear,
                                GOLDEN_AT_MOST, 0);
        else
            golden_table_figure(&run->table, name, "largest margin of one that differs", widest,
                                GOLDEN_RECORDED, 0);
        run->table.n_compared++;
        status = golden_folder_dump(&run->folder, item, leaf, MILL_I32, &golden, ours, err);
    }
    free(golden.data);
    free(margin.data);
    return status;
}

/* Every MEL_STEP-th frame of [frames][mels] as [mels][frames]. */
static void thin_out(const float *mel, size_t n_frames, size_t n_mels, float *out) {
    for (size_t m = 0; m < n_mels; m++)
        for (size_t f = 0; f < n_frames; f += MEL_STEP)
            *out++ = mel[f * n_mels + m];
}

struct speaker_answer {
    float *clip, *mel, *thin, *z;
    int32_t *global;
};

static size_t clip_samples(const struct mill_shape *shape) {
    return mill_reference_clip_samples(shape->bicodec.sample_rate, shape->reference_seconds,
                                       shape->bicodec.hop);
}

static mill_status speak_init(struct speaker_answer *a, const struct mill_shape *shape,
                              const char *item, struct mill_error *err) {
    size_t n_clip = clip_samples(shape);
    size_t n_frames = (size_t)mill_speaker_n_frames(&shape->bicodec, (int64_t)n_clip);
    size_t n_mel = n_frames * (size_t)shape->bicodec.mel.n_mels;
    size_t n_tokens = (size_t)shape->bicodec.speaker.n_tokens;
    a->clip = mill_alloc_array(n_clip, sizeof(float));
    a->mel = mill_alloc_array(n_mel, sizeof(float));
    a->thin = mill_alloc_array(n_mel, sizeof(float));
    a->z = mill_alloc_array(n_tokens * (size_t)shape->bicodec.speaker.n_levels, sizeof(float));
    a->global = mill_alloc_array(n_tokens, sizeof(int32_t));
    if (!a->clip || !a->mel || !a->thin || !a->z || !a->global)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", item);
    return MILL_OK;
}

static mill_status speaker_steps(const struct encoders *e, const char *item,
                                 const struct golden_array *wave, struct speaker_answer *a,
                                 struct mill_error *err) {
    const struct mill_shape *shape = &e->run->model.shape;
    const struct mill_bicodec_shape *s = &shape->bicodec;
    size_t n_clip = clip_samples(shape);
    size_t n_frames = (size_t)mill_speaker_n_frames(s, (int64_t)n_clip),
           n_mels = (size_t)s->mel.n_mels;
    MILL_TRY(speak_init(a, shape, item, err));
    mill_reference_clip(wave->data, wave->n, a->clip, n_clip);
    const struct mill_speaker_result result = {.global = a->global, .mel = a->mel, .z = a->z};
    MILL_TRY(mill_speaker_encode(e->weights, a->clip, (int64_t)n_clip, &result, err));
    thin_out(a->mel, n_frames, n_mels, a->thin);
    MILL_TRY(compare_signal(e, item, "mel", a->thin, n_mels, (n_frames + MEL_STEP - 1) / MEL_STEP,
                            GOLDEN_EXACT_SNR_DB, err));
    MILL_TRY(compare_signal(e, item, "z", a->z, (size_t)s->speaker.n_tokens,
                            (size_t)s->speaker.n_levels, GOLDEN_EXACT_SNR_DB, err));
    return compare_tokens(e, item, "global", a->global, (size_t)s->speaker.n_tokens, true, err);
}

static mill_status check_speaker(const struct encoders *e, const char *item,
                                 const struct golden_array *wave, struct mill_error *err) {
    struct speaker_answer answer = {0};
    mill_status status = speaker_steps(e, item, wave, &answer, err);
    free(answer.clip);
    free(answer.mel);
    free(answer.thin);
    free(answer.z);
    free(answer.global);
    return status;
}

static mill_status check_semantic(const struct encoders *e, const char *item,
                                  const struct golden_array *wave, struct mill_error *err) {
    const struct mill_shape *shape = &e->run->model.shape;
    size_t n = (size_t)mill_semantic_n_tokens(shape, (int64_t)wave->n);
    size_t width = (size_t)shape->wav2vec2.hidden;
    int32_t *semantic = mill_alloc_array(n, sizeof *semantic);
    float *features = mill_alloc_array(n * width, sizeof *features);
    const struct mill_semantic_result result = {.semantic = semantic, .features = features};
    mill_status status = MILL_OK;
    if (!semantic || !features)
        status = mill_fail(err, MILL_E_MEMORY, "%s: no memory", item);
    if (status >= 0)
        status = mill_semantic_encode(e->weights, wave->data, (int64_t)wave->n, &result, err);
    if (status >= 0)
        status = compare_signal(e, item, "features", features, n, width,
                                e->run->exact ? GOLDEN_EXACT_SNR_DB : GOLDEN_BROKEN_SNR_DB, err);
    if (status >= 0)
        status = compare_tokens(e, item, "semantic", semantic, n, e->run->exact, err);
    free(semantic);
    free(features);
    return status;
}

static mill_status check_item(const struct encoders *e, const char *item, struct mill_error *err) {
    struct golden_array wave;
    MILL_TRY(golden_folder_read(&e->run->folder, item, "wave", MILL_F32, 1, &wave, err));
    mill_status status = check_speaker(e, item, &wave, err);
    if (status >= 0 && e->weights->uses & MILL_USE_TRANSCRIPT)
        status = check_semantic(e, item, &wave, err);
    free(wave.data);
    return status;
}

mill_status golden_check_encoder(struct golden_run *run, struct mill_error *err) {
    const struct mill_shape *shape = &run->model.shape;
    const struct mill_device *device = &run->device;
    struct encoders e = {.run = run};
    char item[GOLDEN_NAME];
    int at = 0;
    if (!golden_folder_next(&run->folder, &at, "encode", "wave", item))
        return MILL_OK;
    unsigned uses = MILL_USE_VOICE | (shape->wav2vec2.n_convs ? MILL_USE_TRANSCRIPT : 0);
    const struct mill_weights_options options = {.precision = device->weights->precision};
    MILL_TRY(mill_encoder_weights_open(&e.weights, run->model_folder, shape, uses, device->ops,
                                       device->backend, &options, err));
    mill_status status = check_item(&e, item, err);
    while (status >= 0 && golden_folder_next(&run->folder, &at, "encode", "wave", item))
        status = check_item(&e, item, err);
    mill_encoder_weights_close(e.weights);
    return status;
}
