/* engine_submit.c - see engine.h: from a wish to a request in a queue, or to the reason why not. */
#include "runtime/engine/engine_state.h"

#include "runtime/text/prompt.h"

#include <math.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 20, MAX_REDRAWS = 100, MAX_LABEL = 4, MAX_PITCH = 1000 };
#define LEAST_TEMPERATURE 0.01f
#define LEAST_RETRY_S 0.1

/* ------------------------------------------------------------------ is it possible? */

static mill_status check_numbers(const struct mill_engine_request *w, struct mill_error *err) {
    if (!(w->temperature == 0 || (w->temperature >= LEAST_TEMPERATURE && w->temperature <= 100)))
        return mill_fail(err, MILL_E_INPUT, "temperature: 0, or 0.01 to 100");
    if (!(w->top_p > 0 && w->top_p <= 1))
        return mill_fail(err, MILL_E_INPUT, "top_p: more than 0, at most 1");
    if (w->top_k < 0)
        return mill_fail(err, MILL_E_INPUT, "top_k: 0 or more");
    if (w->max_frames < 1)
        return mill_fail(err, MILL_E_INPUT, "max_frames: 1 or more");
    if (w->max_redraws < 0 || w->max_redraws > MAX_REDRAWS)
        return mill_fail(err, MILL_E_INPUT, "max_redraws: 0 to %d", MAX_REDRAWS);
    if (w->lookahead < -1)
        return mill_fail(err, MILL_E_INPUT, "lookahead: frames, or -1");
    if (!(w->deadline_s >= 0 && w->deadline_s < INFINITY))
        return mill_fail(err, MILL_E_INPUT, "deadline_s: seconds, or 0");
    return MILL_OK;
}

static mill_status check_labels(const struct mill_engine_request *w, struct mill_error *err) {
    if (w->gender < 0 || w->gender > 1)
        return mill_fail(err, MILL_E_INPUT, "gender: 0 or 1");
    if (w->pitch < 0 || w->pitch > MAX_LABEL || w->speed < 0 || w->speed > MAX_LABEL)
        return mill_fail(err, MILL_E_INPUT, "pitch and speed: 0 to %d", MAX_LABEL);
    if ((w->pitch_value < 0) != (w->speed_value < 0))
        return mill_fail(err, MILL_E_INPUT, "pitch_value and speed_value: both or neither");
    if (w->pitch_value > MAX_PITCH)
        return mill_fail(err, MILL_E_INPUT, "pitch_value: at most %d", MAX_PITCH);
    if (w->n_semantic > 0 || w->transcript_bytes > 0)
        return mill_fail(err, MILL_E_INPUT, "a recording's transcript needs its voice");
    return MILL_OK;
}

static mill_status check_codes(const char *what, const int32_t *codes, int32_t n, int32_t n_codes,
                               struct mill_error *err) {
    for (int32_t i = 0; i < n; i++)
        if (codes[i] < 0 || codes[i] >= n_codes)
            return mill_fail(err, MILL_E_INPUT, "%s token %d: %d is not in 0 .. %d", what, i,
                             codes[i], n_codes - 1);
    return MILL_OK;
}

static mill_status check_voice(const struct mill_engine *engine,
                               const struct mill_engine_request *w, struct mill_error *err) {
    const struct mill_engine_info *info = &engine->info;
    if (w->n_global != info->n_voice_tokens)
        return mill_fail(err, MILL_E_INPUT, "a voice has %d global tokens, not %d",
                         info->n_voice_tokens, w->n_global);
    if (w->n_semantic < 0 || (w->n_semantic > 0 && (!w->semantic || !w->transcript)) ||
        (w->n_semantic > 0) != (w->transcript_bytes > 0))
        return mill_fail(err, MILL_E_INPUT,
                         "a transcript and the semantic tokens of its recording: both or neither");
    MILL_TRY(check_codes("global", w->global, w->n_global, info->n_voice_codes, err));
    return check_codes("semantic", w->semantic, w->n_semantic, info->n_semantic_codes, err);
}

static mill_status check(const struct mill_engine *engine, const struct mill_engine_request *w,
                         struct mill_error *err) {
    if (!w->text || w->text_bytes == 0)
        return mill_fail(err, MILL_E_INPUT, "the text is empty");
    if (w->text_bytes > MAX_TEXT_BYTES || w->transcript_bytes > MAX_TEXT_BYTES)
        return mill_fail(err, MILL_E_INPUT, "the text is longer than %d bytes: shorten it",
                         MAX_TEXT_BYTES);
    MILL_TRY(check_numbers(w, err));
    if (w->unrestricted && !engine->options.full_head)
        return mill_fail(err, MILL_E_INPUT, "unrestricted drawing needs an engine with full_head");
    return w->global ? check_voice(engine, w, err) : check_labels(w, err);
}

/* ------------------------------------------------------------------ the prompt */

static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Words of languages with spaces would run together. */
static bool wants_space(const struct mill_engine_request *w) {
    if (w->transcript_bytes == 0 || w->text_bytes == 0 || !is_letter_or_digit(w->text[0]))
        return false;
    char last = w->transcript[w->transcript_bytes - 1];
    return is_letter_or_digit(last) || (last && strchr(".,;:!?", last));
}

/* Transcript and text are one string to the tokenizer, as upstream joins them. */
static mill_status make_clone(struct mill_engine *engine, const struct mill_engine_request *w,
                              struct mill_prompt *prompt, struct mill_error *err) {
    struct mill_buffer text;
    mill_buffer_init(&text, 2 * MAX_TEXT_BYTES + 1);
    mill_status status = mill_buffer_append(&text, w->transcript, w->transcript_bytes, err);
    if (status == MILL_OK && wants_space(w))
        status = mill_buffer_append(&text, " ", 1, err);
    if (status == MILL_OK)
        status = mill_buffer_append(&text, w->text, w->text_bytes, err);
    if (status == MILL_OK) {
        const struct mill_clone_prompt clone = {.text = text.data,
                                                .text_bytes = text.size,
                                                .global = w->global,
                                                .n_global = w->n_global,
                                                .semantic = w->semantic,
                                                .n_semantic = w->n_semantic};
        status =
            mill_prompt_clone(prompt, engine->model.encoder, engine->model.control, &clone, err);
    }
    mill_buffer_deinit(&text);
    return status;
}

static mill_status make_create(struct mill_engine *engine, const struct mill_engine_request *w,
                               struct mill_prompt *prompt, struct mill_error *err) {
    const struct mill_create_prompt create = {.text = w->text,
                                              .text_bytes = w->text_bytes,
                                              .gender = w->gender,
                                              .pitch = w->pitch,
                                              .speed = w->speed,
                                              .pitch_value = w->pitch_value,
                                              .speed_value = w->speed_value};
    return mill_prompt_create(prompt, engine->model.encoder, engine->model.control, &create, err);
}

/* Between the least and the most that the text can take. */
static int32_t estimate(const struct mill_engine *engine, const struct mill_request *request,
                        int32_t *least) {
    const struct mill_quality_limits limits = mill_quality_limits_default();
    double rate = (double)engine->info.sample_rate / engine->info.samples_per_frame;
    int32_t most;
    mill_quality_frames(&limits, &request->text, rate, least, &most);
    most = most < request->wish.max_frames ? most : request->wish.max_frames;
    return *least < most ? *least + (most - *least) / 2 : most;
}

/* Lowers the limit of frames to the room that the prompt leaves, unless that cannot be enough. */
static mill_status fit(const struct mill_engine *engine, struct mill_request *request,
                       struct mill_error *err) {
    struct mill_utterance_options utterance = {.n_prompt = request->n_prompt};
    int64_t prompt = mill_utterance_max_tokens(&utterance, &engine->model.tokens);
    int64_t room = engine->options.max_tokens - prompt;
    int32_t least, *limit = &request->wish.max_frames;
    request->estimate_frames = estimate(engine, request, &least);
    if (room < 1 || (room < *limit && room < least))
        return mill_fail(err, MILL_E_INPUT,
                         "text and voice come to %lld tokens, speech to %d and more, and there is "
                         "room for %d: shorten the text, or the recording that it continues",
                         (long long)prompt, least, engine->options.max_tokens);
    *limit = room < *limit ? (int32_t)room : *limit;
    request->max_tokens = (int32_t)prompt + *limit;
    return MILL_OK;
}

static mill_status make_prompt(struct mill_engine *engine, const struct mill_engine_request *w,
                               struct mill_request *request, struct mill_error *err) {
    struct mill_prompt prompt = {0};
    pthread_mutex_lock(&engine->encoder_lock);
    mill_status status =
        w->global ? make_clone(engine, w, &prompt, err) : make_create(engine, w, &prompt, err);
    pthread_mutex_unlock(&engine->encoder_lock);
    MILL_TRY(status);
    request->prompt = prompt.ids;
    request->n_prompt = prompt.n_ids;
    request->start = w->global             ? MILL_GRAMMAR_SPEAK
                     : w->pitch_value >= 0 ? MILL_GRAMMAR_CREATE_VALUES
                                           : MILL_GRAMMAR_CREATE;
    return fit(engine, request, err);
}

/* ------------------------------------------------------------------ the request */

/* What is withheld until it is judged must fit as a whole; else two windows, or what is wanted. */
static size_t unread_samples(const struct mill_engine *engine,
                             const struct mill_engine_request *w) {
    size_t hop = (size_t)engine->info.samples_per_frame;
    int32_t most = engine->options.max_tokens;
    if (!w->stream && w->max_redraws > 0)
        return (size_t)(w->max_frames < most ? w->max_frames : most) * hop;
    size_t least = 2 * (size_t)engine->options.max_window * hop;
    double wanted = engine->options.max_unread_s * engine->info.sample_rate;
    return wanted > (double)least ? (size_t)wanted : least;
}

static mill_status make_request(struct mill_engine *engine, const struct mill_engine_request *w,
                                struct mill_request **out, struct mill_error *err) {
    const struct mill_request_sizes sizes = {.n_voice_tokens = engine->info.n_voice_tokens,
                                             .hop = engine->info.samples_per_frame,
                                             .unread_samples = unread_samples(engine, w)};
    struct mill_request *request;
    MILL_TRY(mill_request_new(&request, w, &sizes, err));
    request->text = mill_text_measure(w->text, w->text_bytes);
    if (w->global)
        memcpy(request->global, w->global, (size_t)w->n_global * sizeof *w->global);
    mill_status status = make_prompt(engine, w, request, err);
    if (status < 0)
        mill_request_release(request);
    else
        *out = request;
    return status;
}

/* ------------------------------------------------------------------ admission */

static mill_status refuse(struct mill_engine *engine, double wait_s, double *retry_after_s) {
    pthread_mutex_lock(&engine->lock);
    engine->totals.n_refused++;
    pthread_mutex_unlock(&engine->lock);
    if (retry_after_s)
        *retry_after_s = wait_s > LEAST_RETRY_S ? wait_s : LEAST_RETRY_S;
    return MILL_AGAIN;
}

static mill_status check_devices(struct mill_engine *engine, double *backlog_s,
                                 struct mill_error *err) {
    pthread_mutex_lock(&engine->lock);
    bool started = engine->started, any_ready = true;
    pthread_mutex_unlock(&engine->lock);
    *backlog_s = started ? mill_engine_backlog_s(engine, &any_ready) : 0;
    return any_ready ? MILL_OK : mill_fail(err, MILL_E_DEVICE, "no device is left that works");
}

/* Whether there is room for one more, and how long it may take until there is. */
static mill_status admit(struct mill_engine *engine, double *retry_after_s,
                         struct mill_error *err) {
    double backlog_s;
    MILL_TRY(check_devices(engine, &backlog_s, err));
    pthread_mutex_lock(&engine->lock);
    bool draining = engine->draining;
    int32_t n = engine->n_live + engine->n_places;
    pthread_mutex_unlock(&engine->lock);
    if (draining)
        return mill_fail(err, MILL_E_CANCELLED, "the engine takes no more requests");
    if (n >= mill_engine_capacity(engine))
        return refuse(engine, backlog_s / n, retry_after_s);
    if (engine->options.max_backlog_s > 0 && backlog_s > engine->options.max_backlog_s)
        return refuse(engine, backlog_s - engine->options.max_backlog_s, retry_after_s);
    return MILL_OK;
}

/* Under the lock: so that many threads that were admitted at once do not overfill the queue. */
static bool has_room(const struct mill_engine *engine, bool in_place) {
    if (in_place)
        return engine->n_places > 0 && engine->n_live < mill_engine_max_live(engine);
    return engine->n_live + engine->n_places < mill_engine_capacity(engine) && !engine->draining;
}

/* *waits says whether the request waits for start, or is the caller's to route. */
static mill_status enter(struct mill_engine *engine, struct mill_request *request, bool *waits) {
    pthread_mutex_lock(&engine->lock);
    bool room = has_room(engine, request->wish.in_place);
    *waits = !engine->started;
    if (room) {
        engine->n_live++;
        engine->totals.n_submitted++;
        mill_request_hold(request);
        if (*waits)
            engine->pending[engine->n_pending++] = request;
    }
    pthread_mutex_unlock(&engine->lock);
    return room ? MILL_OK : MILL_AGAIN;
}

mill_status mill_engine_take_place(struct mill_engine *engine, double *retry_after_s,
                                   struct mill_error *err) {
    mill_status status = admit(engine, retry_after_s, err);
    if (status != MILL_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    bool room = has_room(engine, false);
    engine->n_places += room;
    pthread_mutex_unlock(&engine->lock);
    return room ? MILL_OK : refuse(engine, 0, retry_after_s);
}

void mill_engine_put_place(struct mill_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->n_places--;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

mill_status mill_engine_submit(struct mill_engine *engine, const struct mill_engine_request *wish,
                               struct mill_request **out, double *retry_after_s,
                               struct mill_error *err) {
    double backlog_s;
    *out = NULL;
    mill_status status =
        wish->in_place ? check_devices(engine, &backlog_s, err) : admit(engine, retry_after_s, err);
    if (status != MILL_OK)
        return status;
    MILL_TRY(check(engine, wish, err));
    struct mill_request *request;
    MILL_TRY(make_request(engine, wish, &request, err));
    bool waits;
    if (enter(engine, request, &waits) != MILL_OK) {
        mill_request_release(request);
        return refuse(engine, 0, retry_after_s);
    }
    *out = request;
    if (!waits)
        mill_engine_route(engine, request);
    return MILL_OK;
}

const char *mill_engine_finding_name(int bit) {
    return bit >= 0 && bit < MILL_QUALITY_FINDINGS ? mill_quality_finding_name(bit) : NULL;
}
