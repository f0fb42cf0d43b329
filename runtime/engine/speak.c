/* speak.c - see speak.h. */
#include "runtime/engine/speak.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct speaking {
    const struct mill_speak_parts *parts;
    const struct mill_speak_listener *listener;
    struct mill_speak_result *result;
    struct mill_utterance utterance;
    struct mill_bicodec_voice *voice; /* NULL until the first window */
    float *wave;                      /* [max_window * hop] */
    double start_s;
};

static bool is_cancelled(const struct mill_speak_listener *listener) {
    return listener->cancel && atomic_load_explicit(listener->cancel, memory_order_relaxed);
}

/* One step of the language model. */
static mill_status step(struct speaking *s, struct mill_error *err) {
    struct mill_utterance *u = &s->utterance;
    const struct mill_qwen2_options *lm = &s->parts->lm_options;
    struct mill_utterance_rows rows = mill_utterance_plan(u, lm->max_rows);
    int32_t n_pages = (rows.n_cached + rows.n_rows + lm->page_tokens - 1) / lm->page_tokens;
    if (mill_kv_table_grow(&u->pages, s->parts->pool, n_pages) != MILL_OK)
        return mill_fail(err, MILL_E_MEMORY, "no page is left for token %d", rows.n_cached);
    const int32_t row_first[2] = {0, rows.n_rows};
    int32_t token = -1;
    const struct mill_qwen2_step request = {.n_sequences = 1,
                                            .n_rows = rows.n_rows,
                                            .n_draws = rows.draws,
                                            .ids = rows.ids,
                                            .row_first = row_first,
                                            .n_cached = &rows.n_cached,
                                            .page_table = u->pages.pages,
                                            .draws = &rows.draw,
                                            .tokens = &token};
    double start_s = mill_clock_seconds();
    bool prefilling = u->n_draws == 0;
    MILL_TRY(mill_qwen2_run(s->parts->lm, &request, err));
    *(prefilling ? &s->result->prefill_s : &s->result->decode_s) += mill_clock_seconds() - start_s;
    return mill_utterance_accept(u, &rows, token, err);
}

static mill_status check_finite(const float *wave, size_t n, int32_t first,
                                struct mill_error *err) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(wave[i]))
            return mill_fail(err, MILL_E_NUMERIC,
                             "the decoder's sound is not finite behind frame %d", first);
    return MILL_OK;
}

static mill_status voice_window(struct speaking *s, int32_t first, int32_t end,
                                struct mill_error *err) {
    struct mill_utterance *u = &s->utterance;
    double start_s = mill_clock_seconds();
    if (!s->voice)
        MILL_TRY(mill_bicodec_voice_open(&s->voice, s->parts->decoder, u->global, err));
    const struct mill_bicodec_window window = {.voice = s->voice,
                                               .semantic = u->semantic,
                                               .n_semantic = u->n_semantic,
                                               .finished = u->end != MILL_UTTERANCE_RUNNING,
                                               .first = first,
                                               .end = end,
                                               .wave = s->wave};
    MILL_TRY(mill_bicodec_decode(s->parts->decoder, &window, err));
    size_t n_samples = (size_t)(end - first) * (size_t)s->parts->hop;
    MILL_TRY(check_finite(s->wave, n_samples, first, err));
    mill_utterance_voiced(u, end, s->parts->max_window);
    double now_s = mill_clock_seconds();
    s->result->vocoder_s += now_s - start_s;
    s->result->n_frames = end;
    if (first == 0)
        s->result->first_audio_s = now_s - s->start_s;
    return s->listener->deliver(s->listener->context, s->wave, n_samples, err);
}

static mill_status voice_what_can_be(struct speaking *s, struct mill_error *err) {
    int32_t first, end;
    while (mill_utterance_window(&s->utterance, s->parts->context, s->parts->max_window, &first,
                                 &end)) {
        if (is_cancelled(s->listener))
            break;
        MILL_TRY(voice_window(s, first, end, err));
    }
    return MILL_OK;
}

static mill_status run(struct speaking *s, struct mill_error *err) {
    struct mill_utterance *u = &s->utterance;
    while (u->end == MILL_UTTERANCE_RUNNING) {
        if (is_cancelled(s->listener))
            break;
        MILL_TRY(step(s, err));
        s->result->n_draws = u->n_draws;
        if (s->listener->progress)
            s->listener->progress(s->listener->context, u->n_semantic);
        MILL_TRY(voice_what_can_be(s, err));
    }
    if (!is_cancelled(s->listener))
        return MILL_OK;
    u->end = MILL_UTTERANCE_CANCELLED;
    return mill_fail(err, MILL_E_CANCELLED, "cancelled");
}

static mill_status check_room(const struct mill_speak_parts *parts,
                              const struct mill_utterance_options *options,
                              struct mill_error *err) {
    int64_t room = (int64_t)parts->lm_options.max_pages * parts->lm_options.page_tokens;
    if (room > parts->max_positions)
        room = parts->max_positions;
    int64_t need = mill_utterance_max_tokens(options, parts->tokens);
    if (need > room)
        return mill_fail(err, MILL_E_INPUT,
                         "a prompt of %d tokens and %d frames need room for %lld tokens, and there "
                         "is room for %lld: shorten the text or the limit",
                         options->n_prompt, options->max_frames, (long long)need, (long long)room);
    return MILL_OK;
}

mill_status mill_speak(const struct mill_speak_parts *parts,
                       const struct mill_utterance_options *options,
                       const struct mill_speak_listener *listener, struct mill_speak_result *result,
                       int32_t *voice, struct mill_error *err) {
    *result = (struct mill_speak_result){.n_prompt = options->n_prompt};
    MILL_TRY(check_room(parts, options, err));
    struct speaking s = {
        .parts = parts, .listener = listener, .result = result, .start_s = mill_clock_seconds()};
    MILL_TRY(mill_utterance_init(&s.utterance, options, parts->tokens, parts->lm_options.max_pages,
                                 err));
    mill_status status = MILL_OK;
    s.wave = mill_alloc_array((size_t)parts->max_window * (size_t)parts->hop, sizeof *s.wave);
    if (!s.wave)
        status = mill_fail(err, MILL_E_MEMORY, "no memory for a window of sound");
    else
        status = run(&s, err);
    result->end = s.utterance.end;
    if (voice)
        memcpy(voice, s.utterance.global, (size_t)parts->tokens->n_voice_tokens * sizeof *voice);
    mill_bicodec_voice_close(s.voice);
    free(s.wave);
    mill_kv_table_clear(&s.utterance.pages, parts->pool);
    mill_utterance_deinit(&s.utterance);
    return status;
}
