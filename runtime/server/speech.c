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
#include "runtime/server/speech_plan.h"
#include "runtime/server/speech_stream.h"

#include <stdio.h>
#include <stdlib.h>

enum { READ_SAMPLES = 2048, ENOUGH_BYTES = 8192 };

/* Used by one HTTP thread at a time; the engine's threads and the watcher only wake and cancel. */
struct speech {
    struct mill_speech_plan plan; /* first */
    struct mill_server *server;
    struct mill_call *call;
    struct mill_client *client;
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

static bool settle(struct speech *s, struct mill_passage_options *options,
                   struct mill_problem *problem) {
    struct mill_engine_request *request = &options->wish;
    if (!mill_speech_plan_options(&s->plan, options, problem))
        return false;
    options->readable = readable;
    options->context = s;
    int32_t most = mill_client_priority(s->client);
    request->priority = most < 0 ? most : 0;
    if (s->plan.wish.priority != INT64_MIN)
        request->priority = (int32_t)s->plan.wish.priority;
    request->fair_key = mill_client_number(s->client);
    if (request->priority <= most)
        return true;
    mill_problem_set(problem, 403, "insufficient_permissions", "priority",
                     "this key's requests have at most priority %d", most);
    return false;
}

/* ------------------------------------------------------------------ its life */

static void count_end(struct speech *s) {
    struct mill_metrics *m = &s->server->metrics;
    struct mill_request_result result;
    mill_passage_get_result(s->passage, &result);
    static const enum mill_speech_end ends[] = {[MILL_REQUEST_RUNNING] = MILL_SPEECH_ABORT,
                                                [MILL_REQUEST_COMPLETE] = MILL_SPEECH_STOP,
                                                [MILL_REQUEST_LIMIT] = MILL_SPEECH_LENGTH,
                                                [MILL_REQUEST_CANCELLED] = MILL_SPEECH_ABORT,
                                                [MILL_REQUEST_DEADLINE] = MILL_SPEECH_DEADLINE,
                                                [MILL_REQUEST_FAILED] = MILL_SPEECH_ERROR};
    enum mill_speech_end end = s->over ? ends[result.end] : MILL_SPEECH_ABORT;
    atomic_fetch_add(&m->n_speeches[end], 1);
    atomic_fetch_add(&m->audio_ms, (uint64_t)(1e3 * s->audio_s));
    atomic_fetch_add(&m->n_underruns, s->waited);
    if (s->over && s->status == MILL_OK)
        mill_histogram_add(&m->speech_s, mill_clock_seconds() - s->started_s);
    mill_call_note(s->call, "client=%s audio_s=%.2f first_s=%.3f end=%s findings=%#x",
                   mill_client_name(s->client), s->audio_s,
                   s->sounded_s > 0 ? s->sounded_s - s->started_s : 0, mill_speech_end_names[end],
                   result.findings);
}

static void free_speech(void *job) {
    struct speech *s = job;
    if (s->passage) {
        count_end(s);
        mill_client_end(s->client, s->audio_s);
        atomic_fetch_sub(&s->server->metrics.n_streams, 1);
    }
    mill_passage_close(s->passage);
    mill_speech_stream_deinit(&s->stream);
    mill_speech_plan_deinit(&s->plan);
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
    const char *sound = mill_audio_format_media_type(s->plan.wish.format);
    if (s->plan.wish.is_sse)
        snprintf(type, sizeof type, "text/event-stream");
    else if (s->plan.wish.format == MILL_AUDIO_PCM) /* which cannot say itself what it is */
        snprintf(type, sizeof type, "%s;rate=%d;channels=1", sound, s->plan.wish.output_rate);
    else
        snprintf(type, sizeof type, "%s", sound);
    mill_call_add_header(call, "Cache-Control", "no-store");
    mill_call_stream(call, 200, type, -1);
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
        return s->status < 0 && !s->plan.wish.is_sse ? MILL_CALL_BREAK : MILL_CALL_END;
    if (mill_clock_seconds() - s->sounded_s > s->audio_s)
        s->waited = true;
    return 0;
}

static const struct mill_call_job kind = {
    .woken = woken, .read = read_bytes, .gone = gone, .free = free_speech};

/* ------------------------------------------------------------------ the beginning */

static bool open_stream(struct speech *s, struct mill_problem *problem) {
    struct mill_error err;
    struct mill_audio_encoding encoding;
    mill_speech_plan_encoding(&s->plan, &encoding);
    mill_status status = mill_speech_stream_init(&s->stream, &encoding, s->plan.wish.is_sse, &err);
    if (status < 0)
        mill_problem_of_field(problem, status, "sample_rate", &err);
    return status == MILL_OK;
}

static void explain_refusal(struct speech *s, mill_status status, double retry_after_s,
                            const struct mill_error *err, struct mill_problem *problem) {
    if (status != MILL_AGAIN) {
        mill_problem_of_field(problem, status, "input", err);
        return;
    }
    atomic_fetch_add(&s->server->metrics.n_speeches[MILL_SPEECH_REFUSED], 1);
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
                         .sample_rate = mill_engine_get_info(server->engine)->sample_rate,
                         .started_s = mill_clock_seconds()};
    if (mill_speech_plan_init(&s->plan, server, taken, voice, &problem) &&
        mill_server_takes_work(server, &problem) && settle(s, &options, &problem) &&
        open_stream(s, &problem) && submit(s, &options, &problem)) {
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
