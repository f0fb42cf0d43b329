/* speech.c - POST /v1/audio/speech: from a checked wish to a passage, and its samples into the
 * answer while they are made.
 *
 * The engine keeps samples until they are read and says when there are some; they are encoded on
 * the HTTP thread that sends them, when the client has taken what went before. So a slow client
 * fills the engine's store for it, which pauses its own request, and connections.h ends it when it
 * lags too far behind. Nothing is answered before the first sound: what fails until then gets a
 * status that says so. */
#include "runtime/server/speech.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/passage/passage.h"
#include "runtime/server/speech_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SAMPLES = 2048, ENOUGH_BYTES = 8192, REDRAWS = 2 };

/* Used by one HTTP thread at a time; the engine's threads and the watcher only wake and cancel. */
struct speech {
    struct mill_server *server;
    struct mill_call *call;
    struct mill_client *client;
    struct mill_speech_wish wish;
    struct mill_shelf_voice *voice, *marked; /* held: the wish's; the markup's last */
    struct mill_dictionary *dictionary;      /* owned; NULL = none */
    struct mill_passage *passage;
    struct mill_speech_stream stream;
    bool over, waited;
    mill_status status; /* how it ended, when it is over */
    int32_t sample_rate;
    double started_s, sounded_s; /* the first sound; 0 = none yet */
    double audio_s;              /* read from the engine */
};

/* ------------------------------------------------------------------ on the engine's threads */

static void readable(void *context) {
    mill_call_wake(((struct speech *)context)->call);
}

/* ------------------------------------------------------------------ the wish */

/* Voice, with labels where the client changed those of a created one: MILL_E_INPUT for another's.
 */
static mill_status settle_voice(const struct mill_shelf_voice *voice,
                                const struct mill_labels *said, struct mill_engine_request *request,
                                struct mill_error *err) {
    request->global = NULL;
    request->n_global = request->n_semantic = 0;
    request->transcript = NULL;
    request->transcript_bytes = 0;
    if (said->gender < 0 && said->pitch < 0 && said->rate < 0) {
        const struct mill_voice *tokens = &voice->voice;
        request->global = tokens->global;
        request->n_global = tokens->n_global;
        request->transcript = tokens->transcript;
        request->transcript_bytes = tokens->transcript ? strlen(tokens->transcript) : 0;
        request->semantic = tokens->semantic;
        request->n_semantic = tokens->n_semantic;
        return MILL_OK;
    }
    if (!voice->is_created)
        return mill_fail(err, MILL_E_INPUT,
                         "voice '%s' is a recording's: gender, pitch and rate are for created "
                         "voices, such as 'female' and 'male'; speed is for all",
                         voice->name);
    request->gender = said->gender >= 0 ? said->gender : voice->labels.gender;
    request->pitch = said->pitch >= 0 ? said->pitch : voice->labels.pitch;
    request->speed = said->rate >= 0 ? said->rate : voice->labels.rate;
    request->seed = voice->seed;
    return MILL_OK;
}

/* A voice that markup names: "NAME" or "NAME,pitch:high,speed:low". */
static mill_status find_voice(void *context, const char *name, struct mill_engine_request *request,
                              struct mill_error *err) {
    struct speech *s = context;
    struct mill_labels labels;
    char text[MILL_VOICE_REFERENCE_BYTES];
    MILL_TRY(mill_voice_reference_read(name, text, &labels, err));
    struct mill_shelf_voice *voice = mill_shelf_find(s->server->shelf, text);
    if (!voice)
        return mill_fail(err, MILL_E_INPUT, "there is no voice '%s'", text);
    mill_shelf_release(s->marked);
    s->marked = voice;
    return settle_voice(voice, &labels, request, err);
}

/* What the client leaves open, the voice says, and else the published settings do. */
static void settle_sampling(const struct mill_speech_wish *wish,
                            const struct mill_voice_sampling *own,
                            struct mill_engine_request *request) {
    if (own->given) {
        request->temperature = (float)own->temperature;
        request->top_p = (float)own->top_p;
        request->top_k = own->top_k;
        request->seed = (uint64_t)own->seed;
    }
    if (wish->temperature >= 0)
        request->temperature = (float)wish->temperature;
    if (wish->top_p >= 0)
        request->top_p = (float)wish->top_p;
    if (wish->top_k >= 0)
        request->top_k = (int32_t)wish->top_k;
    if (wish->seed >= 0)
        request->seed = (uint64_t)wish->seed;
    /* What is to be judged cannot leave before; what nobody has heard may always be drawn again. */
    request->stream = wish->redraws <= 0;
    request->max_redraws = wish->redraws >= 0 ? (int32_t)wish->redraws : REDRAWS;
}

static bool settle_priority(struct speech *s, struct mill_engine_request *request,
                            struct mill_problem *problem) {
    int32_t most = mill_client_priority(s->client);
    request->priority = most < 0 ? most : 0;
    if (s->wish.priority != INT64_MIN)
        request->priority = (int32_t)s->wish.priority;
    request->fair_key = mill_client_number(s->client);
    request->deadline_s = s->wish.deadline_s;
    if (request->priority <= most)
        return true;
    mill_problem_set(problem, 403, "insufficient_permissions", "priority",
                     "this key's requests have at most priority %d", most);
    return false;
}

static bool settle(struct speech *s, struct mill_passage_options *options,
                   struct mill_problem *problem) {
    struct mill_engine_request *request = &options->wish;
    struct mill_error err;
    mill_passage_options_init(options);
    options->text = s->wish.input;
    options->text_bytes = s->wish.input_bytes;
    options->markup = s->wish.is_markup;
    options->dictionary = s->dictionary;
    options->language = s->wish.language;
    options->speed = s->wish.speed;
    if (s->wish.clause_ms >= 0)
        options->clause_ms = s->wish.clause_ms;
    if (s->wish.sentence_ms >= 0)
        options->sentence_ms = s->wish.sentence_ms;
    if (s->wish.paragraph_ms >= 0)
        options->paragraph_ms = s->wish.paragraph_ms;
    options->find_voice = find_voice;
    options->readable = readable;
    options->context = s;
    request->max_frames =
        (int32_t)fmax(1, s->server->options->max_utterance_s * s->server->frames_per_second);
    if (settle_voice(s->voice, &s->wish.labels, request, &err) < 0) {
        mill_problem_set(problem, 400, "invalid_value", "voice", "%s", err.text);
        return false;
    }
    settle_sampling(&s->wish, &s->voice->voice.sampling, request);
    return settle_priority(s, request, problem);
}

/* ------------------------------------------------------------------ its life */

static void count_end(struct speech *s) {
    struct mill_metrics *m = &s->server->metrics;
    struct mill_request_result result;
    mill_passage_get_result(s->passage, &result);
    _Atomic uint64_t *const counters[] = {
        [MILL_REQUEST_RUNNING] = &m->n_cancelled, [MILL_REQUEST_COMPLETE] = &m->n_complete,
        [MILL_REQUEST_LIMIT] = &m->n_limit,       [MILL_REQUEST_CANCELLED] = &m->n_cancelled,
        [MILL_REQUEST_DEADLINE] = &m->n_late,     [MILL_REQUEST_FAILED] = &m->n_failed};
    atomic_fetch_add(counters[s->over ? result.end : MILL_REQUEST_CANCELLED], 1);
    atomic_fetch_add(&m->audio_ms, (uint64_t)(1e3 * s->audio_s));
    atomic_fetch_add(&m->n_underruns, s->waited);
    if (s->over && s->status == MILL_OK)
        mill_histogram_add(&m->speech_s, mill_clock_seconds() - s->started_s);
    mill_call_note(s->call, "client=%s audio_s=%.2f first_s=%.3f end=%d findings=%#x",
                   mill_client_name(s->client), s->audio_s,
                   s->sounded_s > 0 ? s->sounded_s - s->started_s : 0, result.end, result.findings);
}

static void free_speech(void *job) {
    struct speech *s = job;
    if (s->passage) {
        count_end(s);
        mill_client_end(s->client, s->audio_s);
        atomic_fetch_sub(&s->server->metrics.n_streams, 1);
    }
    mill_passage_close(s->passage);
    mill_dictionary_close(s->dictionary);
    mill_shelf_release(s->marked);
    mill_shelf_release(s->voice);
    mill_speech_stream_deinit(&s->stream);
    mill_speech_wish_deinit(&s->wish);
    free(s);
}

static void gone(void *job) {
    mill_passage_cancel(((struct speech *)job)->passage);
}

/* ------------------------------------------------------------------ sound */

/* It failed before or under way, as a client hears of it. */
static void explain(const struct speech *s, const struct mill_error *err,
                    struct mill_problem *problem) {
    struct mill_request_result result;
    mill_passage_get_result(s->passage, &result);
    if (result.end == MILL_REQUEST_DEADLINE)
        mill_problem_set(problem, 504, "deadline_exceeded", "deadline_ms",
                         "not done within the deadline");
    else
        mill_problem_of_status(problem, s->status, err);
    if (problem->status == 500)
        mill_log_event(s->server->log, "event=failure request=%s error=\"%s\"",
                       mill_call_id(s->call), err->text);
}

static mill_status finish(struct speech *s, struct mill_error *err) {
    struct mill_request_result result;
    mill_passage_get_result(s->passage, &result);
    MILL_TRY(mill_speech_stream_finish(&s->stream, result.n_prompt, result.n_draws, err));
    return MILL_DONE;
}

static mill_status take_samples(struct speech *s, const float *samples, size_t n,
                                struct mill_error *err) {
    MILL_TRY(mill_speech_stream_write(&s->stream, samples, n, err));
    if (s->sounded_s == 0) {
        s->sounded_s = mill_clock_seconds();
        mill_histogram_add(&s->server->metrics.first_sound_s, s->sounded_s - s->started_s);
    }
    s->audio_s += (double)n / s->sample_rate;
    mill_call_count_audio(s->call, (double)n / s->sample_rate);
    return MILL_OK;
}

/* Samples that the engine has, encoded, until there are enough bytes; a format's head does not
 * count. MILL_AGAIN when it has no more now, MILL_DONE when it will have no more; afterwards the
 * same. */
static mill_status fill(struct speech *s, struct mill_error *err) {
    float samples[READ_SAMPLES];
    size_t n;
    while (!s->over &&
           (s->sounded_s == 0 || mill_speech_stream_pending(&s->stream) < ENOUGH_BYTES)) {
        mill_status status = mill_passage_read(s->passage, samples, READ_SAMPLES, 0, &n, err);
        if (status == MILL_AGAIN)
            return status;
        if (status == MILL_OK)
            status = take_samples(s, samples, n, err);
        else if (status == MILL_DONE)
            status = finish(s, err);
        s->over = status != MILL_OK;
        s->status = status < 0 ? status : MILL_OK;
    }
    return s->over ? MILL_DONE : MILL_OK;
}

/* The answer's head, once there is sound; or why there is none. */
static void woken(struct mill_call *call, void *job) {
    struct speech *s = job;
    struct mill_error err = {""};
    struct mill_problem problem;
    fill(s, &err);
    if (s->over && s->status < 0 && s->sounded_s == 0) {
        explain(s, &err, &problem);
        mill_call_refuse(call, &problem);
        return;
    }
    if (s->sounded_s == 0 && !s->over)
        return;
    char type[64];
    const char *sound = mill_audio_format_media_type(s->wish.format);
    if (s->wish.is_sse)
        snprintf(type, sizeof type, "text/event-stream");
    else if (s->wish.format == MILL_AUDIO_PCM) /* which cannot say itself what it is */
        snprintf(type, sizeof type, "%s;rate=%d;channels=1", sound, s->wish.output_rate);
    else
        snprintf(type, sizeof type, "%s", sound);
    mill_call_add_header(call, "Cache-Control", "no-store");
    mill_call_stream(call, 200, type);
}

static ssize_t read_bytes(void *job, char *bytes, size_t capacity) {
    struct speech *s = job;
    struct mill_error err = {""};
    struct mill_problem problem;
    bool was_over = s->over;
    mill_status status = fill(s, &err);
    if (s->over && !was_over && s->status < 0) {
        explain(s, &err, &problem);
        mill_speech_stream_fail(&s->stream, &problem, NULL);
    }
    if (mill_speech_stream_pending(&s->stream) > 0)
        return (ssize_t)mill_speech_stream_read(&s->stream, bytes, capacity);
    if (status == MILL_DONE)
        return s->status < 0 && !s->wish.is_sse ? MILL_CALL_BREAK : MILL_CALL_END;
    if (mill_clock_seconds() - s->sounded_s > s->audio_s)
        s->waited = true;
    return 0;
}

static const struct mill_call_job kind = {
    .woken = woken, .read = read_bytes, .gone = gone, .free = free_speech};

/* ------------------------------------------------------------------ the beginning */

static bool check_wish(struct speech *s, struct mill_problem *problem) {
    if (!mill_server_has_model(s->server, s->wish.model)) {
        mill_problem_set(problem, 404, "model_not_found", "model",
                         "there is no such model; it is '%s'", s->server->options->model_name);
        return false;
    }
    if (!s->voice)
        s->voice = mill_shelf_find(s->server->shelf, s->wish.voice);
    if (!s->voice)
        mill_problem_set(problem, 400, "voice_not_found", "voice",
                         "there is no such voice; GET /v1/audio/voices lists them");
    struct mill_error err;
    if (s->wish.dictionary &&
        mill_dictionary_parse(&s->dictionary, "dictionary", s->wish.dictionary,
                              strlen(s->wish.dictionary), &err) < 0)
        mill_problem_set(problem, 400, "invalid_value", "dictionary", "%s", err.text);
    return problem->status == 0;
}

static bool open_stream(struct speech *s, struct mill_problem *problem) {
    struct mill_error err;
    const struct mill_audio_encoding encoding = {
        .format = s->wish.format,
        .sample_rate = s->sample_rate,
        .output_rate = s->wish.output_rate,
        .comment = s->server->options->disclosure ? MILL_DISCLOSURE : NULL};
    mill_status status = mill_speech_stream_init(&s->stream, &encoding, s->wish.is_sse, &err);
    if (status < 0)
        mill_problem_of_status(problem, status, &err);
    return status == MILL_OK;
}

static void explain_refusal(struct speech *s, mill_status status, double retry_after_s,
                            const struct mill_error *err, struct mill_problem *problem) {
    if (status != MILL_AGAIN) {
        mill_problem_of_status(problem, status, err);
        return;
    }
    atomic_fetch_add(&s->server->metrics.n_refused, 1);
    mill_problem_set(problem, 429, "server_is_overloaded", NULL,
                     "as much work as may wait is waiting");
    problem->retry_after_s = retry_after_s;
}

/* Into the engine's queue: from here on it may call back. */
static bool submit(struct speech *s, const struct mill_passage_options *options,
                   struct mill_problem *problem) {
    struct mill_error err;
    double retry_after_s = 0;
    if (!mill_client_begin(s->client, problem))
        return false;
    mill_status status =
        mill_passage_open(&s->passage, s->server->engine, options, &retry_after_s, &err);
    if (status == MILL_OK) {
        atomic_fetch_add(&s->server->metrics.n_streams, 1);
        return true;
    }
    mill_client_end(s->client, 0);
    explain_refusal(s, status, retry_after_s, &err, problem);
    return false;
}

void mill_speech_begin(struct mill_call *call, struct mill_speech_wish *taken,
                       struct mill_shelf_voice *voice) {
    struct mill_problem problem = {0};
    struct mill_server *server = mill_call_server(call);
    struct mill_passage_options options;
    struct speech *s = mill_alloc_array(1, sizeof *s);
    if (!s) {
        mill_shelf_release(voice);
        mill_speech_wish_deinit(taken);
        mill_problem_of_status(&problem, MILL_E_MEMORY, NULL);
        mill_call_refuse(call, &problem);
        return;
    }
    *s = (struct speech){.server = server,
                         .call = call,
                         .client = mill_call_client(call),
                         .wish = *taken,
                         .voice = voice,
                         .sample_rate = mill_engine_get_info(server->engine)->sample_rate,
                         .started_s = mill_clock_seconds()};
    if (mill_server_takes_work(server, &problem) && check_wish(s, &problem) &&
        settle(s, &options, &problem) && open_stream(s, &problem) &&
        submit(s, &options, &problem)) {
        mill_call_wait(call, &kind, s);
        mill_call_wake(call); /* a passage tells of sound only behind a read that found none */
        return;
    }
    free_speech(s);
    mill_call_refuse(call, &problem);
}

void mill_route_speech(struct mill_call *call) {
    const struct mill_body *body = mill_call_body(call);
    struct mill_server *server = mill_call_server(call);
    struct mill_speech_wish wish;
    struct mill_problem problem;
    if (mill_wire_speech_read(body->data, body->size, (size_t)server->options->max_input_chars,
                              &wish, &problem) < 0)
        mill_call_refuse(call, &problem);
    else
        mill_speech_begin(call, &wish, NULL);
}
