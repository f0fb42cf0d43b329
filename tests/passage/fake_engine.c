/* fake_engine.c - see fake_engine.h. */
#include "tests/passage/fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void fake_engine_init(struct mill_engine *engine) {
    *engine = (struct mill_engine){.info = {.sample_rate = FAKE_RATE,
                                            .samples_per_frame = 320,
                                            .n_voice_tokens = FAKE_VOICE_TOKENS,
                                            .n_voice_codes = 4096,
                                            .max_tokens = 32768}};
}

mill_status fake_deliver(struct mill_engine *engine, int i, float value, size_t n) {
    struct mill_request *r = &engine->requests[i];
    assert_true(i < engine->n_requests && !r->ended && !r->freed);
    for (size_t at = 0; at < n;) {
        float samples[1000];
        size_t take = n - at < 1000 ? n - at : 1000;
        for (size_t k = 0; k < take; k++)
            samples[k] = value;
        MILL_TRY(r->wish.deliver(r->wish.context, samples, take, NULL));
        at += take;
        r->result.n_samples += take;
        r->result.n_frames = (int32_t)(r->result.n_samples / 320);
    }
    return MILL_OK;
}

void fake_invent(struct mill_engine *engine, int i) {
    struct mill_request *r = &engine->requests[i];
    for (int k = 0; k < FAKE_VOICE_TOKENS && !r->has_voice; k++)
        r->global[k] = 1 + i + k;
    r->voice_known = true;
}

void fake_end(struct mill_engine *engine, int i, mill_status status) {
    struct mill_request *r = &engine->requests[i];
    assert_true(i < engine->n_requests && !r->ended && !r->freed);
    if (status == MILL_OK)
        fake_invent(engine, i);
    r->ended = true;
    r->result.end = status == MILL_OK ? MILL_REQUEST_COMPLETE : MILL_REQUEST_FAILED;
    r->result.status = status;
    r->result.n_draws = 10 + i;
    r->result.exact = true;
    r->result.findings = 1u << i;
    r->result.seed = r->wish.seed;
    snprintf(r->result.error.text, sizeof r->result.error.text, "%s", status < 0 ? "broken" : "");
    r->wish.ended(r->wish.context, &r->result);
}

/* ------------------------------------------------------------------ engine.h */

void mill_engine_request_init(struct mill_engine_request *request) {
    *request =
        (struct mill_engine_request){.pitch_value = -1, .speed_value = -1, .speed = 2, .pitch = 2};
}

const struct mill_engine_info *mill_engine_get_info(const struct mill_engine *engine) {
    return &engine->info;
}

mill_status mill_engine_take_place(struct mill_engine *engine, double *retry_after_s,
                                   struct mill_error *err) {
    (void)err;
    if (engine->full && retry_after_s)
        *retry_after_s = 7;
    engine->n_places += !engine->full;
    return engine->full ? MILL_AGAIN : MILL_OK;
}

void mill_engine_put_place(struct mill_engine *engine) {
    engine->n_places--;
}

mill_status mill_engine_submit(struct mill_engine *engine, const struct mill_engine_request *wish,
                               struct mill_request **out, double *retry_after_s,
                               struct mill_error *err) {
    *out = NULL;
    if (engine->full && !wish->in_place) {
        if (retry_after_s)
            *retry_after_s = 7;
        return MILL_AGAIN;
    }
    if (wish->temperature < 0)
        return mill_fail(err, MILL_E_INPUT, "temperature");
    assert_true(!wish->in_place || engine->n_places > 0);
    assert_true(engine->n_requests < FAKE_REQUESTS);
    struct mill_request *r = *out = &engine->requests[engine->n_requests++];
    *r = (struct mill_request){.wish = *wish, .has_voice = wish->global != NULL};
    snprintf(r->text, sizeof r->text, "%.*s", (int)wish->text_bytes, wish->text);
    if (r->has_voice)
        memcpy(r->global, wish->global, sizeof r->global);
    r->voice_known = r->has_voice;
    return MILL_OK;
}

mill_status mill_request_get_voice(struct mill_request *request, int32_t *global) {
    if (!request->voice_known)
        return MILL_AGAIN;
    memcpy(global, request->global, sizeof request->global);
    return MILL_OK;
}

int32_t mill_request_get_progress(struct mill_request *request) {
    return request->result.n_frames;
}

void mill_request_listen(struct mill_request *request) {
    assert_false(request->freed);
    request->wish.later = false;
}

void mill_request_cancel(struct mill_request *request) {
    request->cancelled = true;
}

void mill_request_free(struct mill_request *request) {
    if (request)
        request->freed = true;
}
