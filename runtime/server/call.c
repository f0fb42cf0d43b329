/* call.c - see call.h and call_state.h.
 *
 * A wake may come between a look at the job and the suspension that follows it: it is remembered,
 * and then there is no suspension. */
#include "runtime/server/call_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"
#include "runtime/io/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16384 };

/* ------------------------------------------------------------------ its life */

struct mill_call *mill_call_new(struct mill_http *http, struct MHD_Connection *mhd) {
    struct mill_call *call = mill_alloc_array(1, sizeof *call);
    if (!call)
        return NULL;
    uint64_t number = atomic_fetch_add(&http->n_calls, 1);
    struct mill_philox r = mill_philox_words(http->id_key, number, 0);
    call->http = http;
    call->mhd = mhd;
    call->started_s = mill_clock_seconds();
    snprintf(call->id, sizeof call->id, "req_%08" PRIx32 "%08" PRIx32 "%08" PRIx32, r.word[0],
             r.word[1], r.word[2]);
    mill_body_init(&call->body, 0, http->options.body_folder);
    pthread_mutex_init(&call->lock, NULL);
    return call;
}

void mill_call_end_job(struct mill_call *call) {
    if (call->kind)
        call->kind->free(call->job);
    call->kind = NULL;
}

void mill_call_free(struct mill_call *call) {
    if (call->reply)
        MHD_destroy_response(call->reply);
    for (int i = 0; i < call->n_headers; i++) {
        free(call->headers[i].name);
        free(call->headers[i].value);
    }
    mill_body_deinit(&call->body);
    pthread_mutex_destroy(&call->lock);
    atomic_fetch_add(&call->http->n_ended, 1);
    free(call);
}

/* ------------------------------------------------------------------ the request */

struct mill_server *mill_call_server(const struct mill_call *call) {
    return call->http->options.server;
}

struct mill_client *mill_call_client(const struct mill_call *call) {
    return call->client;
}

const char *mill_call_id(const struct mill_call *call) {
    return call->id;
}

const char *mill_call_param(const struct mill_call *call) {
    return call->param;
}

const char *mill_call_query(const struct mill_call *call, const char *name) {
    return MHD_lookup_connection_value(call->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *mill_call_header(const struct mill_call *call, const char *name) {
    return MHD_lookup_connection_value(call->mhd, MHD_HEADER_KIND, name);
}

int mill_call_read_limit(const struct mill_call *call, int usual, int most,
                         struct mill_problem *problem) {
    const char *text = mill_call_query(call, "limit");
    char *end = NULL;
    long number = text ? strtol(text, &end, 10) : usual;
    if (number < 1 || number > most || (end && *end))
        mill_problem_set(problem, 400, "invalid_value", "limit",
                         "limit: a whole number from 1 to %d is wanted", most);
    return (int)number;
}

bool mill_call_read_order(const struct mill_call *call, struct mill_problem *problem) {
    const char *text = mill_call_query(call, "order");
    bool oldest_first = text && strcmp(text, "asc") == 0;
    if (text && !oldest_first && strcmp(text, "desc") != 0)
        mill_problem_set(problem, 400, "invalid_value", "order", "order: asc or desc is wanted");
    return oldest_first;
}

const struct mill_body *mill_call_body(const struct mill_call *call) {
    return &call->body;
}

void mill_call_take_body(struct mill_call *call, struct mill_body *out) {
    *out = call->body;
    mill_body_init(&call->body, 0, NULL);
}

/* ------------------------------------------------------------------ the answer */

void mill_call_add_header(struct mill_call *call, const char *name, const char *value) {
    if (call->n_headers == MILL_CALL_MAX_HEADERS)
        return;
    char *n = strdup(name), *v = strdup(value);
    call->headers[call->n_headers].name = n;
    call->headers[call->n_headers].value = v;
    call->n_headers++;
}

/* Takes the response; NULL = memory was short, and the connection will be closed. */
static void answer(struct mill_call *call, int status, const char *type,
                   struct MHD_Response *reply) {
    if (!reply || call->reply) {
        call->unanswered = !call->reply;
        if (reply)
            MHD_destroy_response(reply);
        return;
    }
    call->reply = reply;
    call->status = status;
    MHD_add_response_header(reply, "Content-Type", type);
    MHD_add_response_header(reply, "X-Request-Id", call->id);
    MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff");
    for (int i = 0; i < call->n_headers; i++)
        if (call->headers[i].name && call->headers[i].value)
            MHD_add_response_header(reply, call->headers[i].name, call->headers[i].value);
    if (call->closes)
        MHD_add_response_header(reply, "Connection", "close");
}

void mill_call_reply(struct mill_call *call, int status, const char *type, const void *data,
                     size_t size) {
    answer(call, status, type,
           MHD_create_response_from_buffer(size, (void *)(uintptr_t)data, MHD_RESPMEM_MUST_COPY));
}

json_t *mill_call_list(json_t *taken, bool more) {
    size_t n = json_array_size(taken);
    const json_t *first = json_array_get(taken, 0),
                 *last = n > 0 ? json_array_get(taken, n - 1) : NULL;
    return json_pack("{s:s, s:o, s:s?, s:s?, s:b}", "object", "list", "data", taken, "first_id",
                     json_string_value(json_object_get(first, "id")), "last_id",
                     json_string_value(json_object_get(last, "id")), "has_more", more);
}

void mill_call_reply_json(struct mill_call *call, int status, json_t *taken) {
    char *text = taken ? json_dumps(taken, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(taken);
    if (mill_json_ran_short()) { /* something may be missing */
        free(text);
        text = NULL;
    }
    struct MHD_Response *reply =
        text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!reply)
        free(text);
    answer(call, status, "application/json", reply);
}

void mill_call_refuse(struct mill_call *call, const struct mill_problem *problem) {
    char seconds[24];
    if (problem->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%.0f",
                 fmax(1, ceil(fmin(problem->retry_after_s, 3600))));
        mill_call_add_header(call, "Retry-After", seconds);
    }
    if (problem->status == 401)
        mill_call_add_header(call, "WWW-Authenticate", "Bearer");
    mill_call_note(call, "code=%s", problem->code);
    mill_call_reply_json(call, problem->status, mill_problem_envelope(problem));
}

/* What libmicrohttpd asks when the last block has left. The place in the stream is the job's to
 * know. */
static ssize_t read_block(void *context, uint64_t position, char *bytes, size_t capacity) {
    (void)position;
    struct mill_call *call = context;
    mill_connection_client_turn(call->connection, false);
    if (mill_call_is_gone(call))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    ssize_t n;
    do
        n = call->kind->read(call->job, bytes, capacity);
    while (n == 0 && !mill_call_suspend(call));
    if (n > 0)
        mill_connection_client_turn(call->connection, true);
    return n == MILL_CALL_END     ? MHD_CONTENT_READER_END_OF_STREAM
           : n == MILL_CALL_BREAK ? MHD_CONTENT_READER_END_WITH_ERROR
                                  : n;
}

/* Of a size that is not known libmicrohttpd sends the end, an empty chunk, behind the head that
 * HEAD asked for too: nobody may read on there. */
void mill_call_stream(struct mill_call *call, int status, const char *type, int64_t size) {
    call->closes = call->closes || (size < 0 && call->is_head);
    answer(call, status, type,
           MHD_create_response_from_callback(size < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)size,
                                             BLOCK_BYTES, read_block, call, NULL));
}

void mill_call_wait(struct mill_call *call, const struct mill_call_job *kind, void *job) {
    pthread_mutex_lock(&call->lock);
    const struct mill_call_job *old_kind = call->kind;
    void *old_job = call->job;
    call->kind = kind;
    call->job = job;
    bool gone = call->gone;
    pthread_mutex_unlock(&call->lock);
    if (gone)
        kind->gone(job);
    if (old_kind)
        old_kind->free(old_job);
}

void mill_call_count_audio(struct mill_call *call, double seconds) {
    mill_connection_count_audio(call->connection, seconds);
}

void mill_call_note(struct mill_call *call, const char *format, ...) {
    size_t n = strlen(call->note);
    if (n + 2 >= sizeof call->note)
        return;
    call->note[n++] = ' ';
    va_list args;
    va_start(args, format);
    vsnprintf(call->note + n, sizeof call->note - n, format, args);
    va_end(args);
}

/* ------------------------------------------------------------------ waiting */

void mill_call_wake(struct mill_call *call) {
    pthread_mutex_lock(&call->lock);
    call->woken = true;
    bool suspended = call->suspended;
    call->suspended = false;
    if (suspended)
        MHD_resume_connection(call->mhd);
    pthread_mutex_unlock(&call->lock);
}

bool mill_call_suspend(struct mill_call *call) {
    pthread_mutex_lock(&call->lock);
    bool suspends = !call->woken;
    call->woken = false;
    call->suspended = suspends;
    if (suspends)
        MHD_suspend_connection(call->mhd);
    pthread_mutex_unlock(&call->lock);
    return suspends;
}

bool mill_call_is_gone(struct mill_call *call) {
    pthread_mutex_lock(&call->lock);
    bool gone = call->gone;
    pthread_mutex_unlock(&call->lock);
    return gone;
}

void mill_call_leave(void *context) {
    struct mill_call *call = context;
    pthread_mutex_lock(&call->lock);
    call->gone = true;
    const struct mill_call_job *kind = call->kind;
    void *job = call->job;
    pthread_mutex_unlock(&call->lock);
    if (kind)
        kind->gone(job);
    mill_call_wake(call);
}
