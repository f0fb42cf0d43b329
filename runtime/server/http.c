/* http.c - see http.h: libmicrohttpd's callbacks.
 *
 * A call is made when the request's line is there, since only then the target can be seen whole.
 * The access handler is called when the headers are there, for each piece of the body, when the
 * body is whole, and after that each time a suspended connection was resumed. An answer may be
 * queued at the first of these or from the end of the body on, not between. */
#include "runtime/server/http.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"
#include "runtime/server/call_state.h"
#include "runtime/server/origin.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* A body behind a problem is read this far, so that its sender can hear of the problem. */
enum { DROPPED_BYTES = 1 << 20, LOOK_US = 5000 };
/* What the kernel keeps for a client that does not read: seconds of sound, not minutes. */
enum { SEND_BYTES = 1 << 16 };
/* libmicrohttpd keeps a row for each header and parameter; ANSWER_BYTES are for our own headers. */
enum { MAX_HEADERS = 100, MAX_PARAMETERS = 32, ANSWER_BYTES = 8192 };

/* ------------------------------------------------------------------ headers */

struct framing {
    int n_headers, n_hosts, n_lengths, n_transfers;
    size_t bytes; /* of names and values, each with its ": " and line break */
    const char *length, *transfer;
    bool is_plain; /* every name a token, every value printable */
};

static bool is_token(const char *name, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("!#$%&'*+-.^_`|~", name[i]))
            return false;
    return size > 0 && strlen(name) == size;
}

/* libmicrohttpd puts a folded line behind the header's name: of those that say where a request
 * ends, nothing that merely begins alike is let pass. */
static bool is_like(const char *name, const char *known) {
    return strncasecmp(name, known, strlen(known)) == 0 && name[strlen(known)] != '\0';
}

static bool is_printable(const char *value, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
            return false;
    return true;
}

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind, const char *name,
                                      size_t name_size, const char *value, size_t value_size) {
    struct framing *framing = context;
    (void)kind;
    framing->n_headers++;
    framing->bytes += name_size + value_size + 4;
    framing->is_plain = framing->is_plain && is_token(name, name_size) &&
                        (!value || is_printable(value, value_size)) && !is_like(name, "Host") &&
                        !is_like(name, "Content-Length") && !is_like(name, "Transfer-Encoding");
    if (strcasecmp(name, "Host") == 0)
        framing->n_hosts++;
    if (strcasecmp(name, "Content-Length") == 0) {
        framing->n_lengths++;
        framing->length = value;
    }
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->n_transfers++;
        framing->transfer = value;
    }
    return MHD_YES;
}

static bool is_number(const char *text) {
    return text && *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 19;
}

/* Nothing that two readers could take for two different requests. */
static void check_framing(struct mill_call *call, const char *version, const char *path,
                          struct framing *framing) {
    *framing = (struct framing){.is_plain = true};
    MHD_get_connection_values_n(call->mhd, MHD_HEADER_KIND, look_at_header, framing);
    const char *fault = NULL;
    if (!framing->is_plain)
        fault = "a header is malformed";
    else if (path[0] != '/')
        fault = "the request's target is no path";
    else if (framing->n_hosts > 1 || (framing->n_hosts == 0 && strcmp(version, "HTTP/1.1") == 0))
        fault = "one Host header is wanted";
    else if (framing->n_lengths > 1 || framing->n_transfers > 1 ||
             (framing->n_lengths > 0 && framing->n_transfers > 0))
        fault = "the body's length is said twice";
    else if (framing->n_lengths > 0 && !is_number(framing->length))
        fault = "Content-Length is no number";
    else if (framing->n_transfers > 0 &&
             (!framing->transfer || strcasecmp(framing->transfer, "chunked") != 0 ||
              strcmp(version, "HTTP/1.1") != 0))
        fault = "Transfer-Encoding: only chunked is understood";
    if (!fault)
        return;
    call->closes = true;
    mill_problem_set(&call->problem, 400, "bad_request", NULL, "%s", fault);
}

/* What is a little too much hears so from us; of what does not even fit into twice the room
 * libmicrohttpd says it, in words of its own. */
static void check_size(struct mill_call *call, const struct framing *framing) {
    size_t most = (size_t)call->http->options.max_header_bytes;
    if (call->target_bytes > most)
        mill_problem_set(&call->problem, 414, "uri_too_long", NULL,
                         "the request's target has %zu bytes, at most %zu are taken",
                         call->target_bytes, most);
    else if (call->n_parameters > MAX_PARAMETERS)
        mill_problem_set(&call->problem, 400, "bad_request", NULL,
                         "the request's target has %zu parameters, at most %d are taken",
                         call->n_parameters, MAX_PARAMETERS);
    else if (framing->n_headers > MAX_HEADERS || call->target_bytes + framing->bytes > most)
        mill_problem_set(&call->problem, 431, "headers_too_large", NULL,
                         "the request has %d headers, %zu bytes with its target: at most %d and "
                         "%zu are taken",
                         framing->n_headers, call->target_bytes + framing->bytes, MAX_HEADERS,
                         most);
}

static void find_route(struct mill_call *call, const char *method, const char *path) {
    const struct mill_http_options *o = &call->http->options;
    char allowed[64];
    int row = mill_route_find(o->routes, method, path, call->param, allowed);
    if (row >= 0) {
        call->route = &o->routes[row];
    } else if (row == MILL_ROUTE_OTHER_METHOD) {
        mill_problem_set(&call->problem, 405, "method_not_allowed", NULL, "this path takes %s",
                         allowed);
        mill_call_add_header(call, "Allow", allowed);
    } else {
        mill_problem_set(&call->problem, 404, "unknown_url", NULL, "there is nothing at this path");
    }
}

static void check_origin(struct mill_call *call) {
    if (call->route->scope == MILL_SCOPE_PUBLIC || !call->http->options.refuses_pages ||
        mill_origin_is_local(mill_call_header(call, "Host"), mill_call_header(call, "Origin")))
        return;
    mill_problem_set(&call->problem, 403, "origin_not_allowed", NULL,
                     "Host or Origin is not this machine, and without keys a page from elsewhere "
                     "may not ask: use localhost, or give the server keys");
}

static void check_body(struct mill_call *call, const struct framing *framing) {
    size_t most = call->http->options.max_body[call->route->body];
    mill_body_init(&call->body, most, call->http->options.body_folder);
    if (mill_call_header(call, "Content-Encoding"))
        mill_problem_set(&call->problem, 415, "unsupported_encoding", NULL,
                         "Content-Encoding: send the body as it is");
    else if (call->route->body == MILL_BODY_NONE && framing->n_lengths > 0 &&
             strtoull(framing->length, NULL, 10) > 0)
        mill_problem_set(&call->problem, 413, "request_too_large", NULL, "this path takes no body");
    else if (framing->n_lengths > 0 && strtoull(framing->length, NULL, 10) > most)
        mill_problem_set(&call->problem, 413, "request_too_large", NULL,
                         "the body may have %zu bytes", most);
}

/* The headers are there: may this go on? */
static void begin(struct mill_call *call, const char *method, const char *path,
                  const char *version) {
    const struct mill_http_options *o = &call->http->options;
    struct framing framing;
    call->begun = true;
    call->is_head = strcmp(method, "HEAD") == 0;
    check_framing(call, version, path, &framing);
    if (!call->problem.status)
        check_size(call, &framing);
    if (!call->problem.status)
        find_route(call, method, path);
    if (!call->problem.status)
        check_origin(call);
    if (!call->problem.status)
        o->admit(o->server, call->route, mill_call_header(call, "Authorization"), &call->client,
                 &call->problem);
    if (!call->problem.status)
        check_body(call, &framing);
    mill_connection_begin_body(call->connection);
    /* A small body is read all the same: who still sends when the connection closes may never see
     * the answer. Who asks first can be told at once. */
    bool is_small = framing.n_transfers > 0 || framing.n_lengths == 0 ||
                    strtoull(framing.length, NULL, 10) <= DROPPED_BYTES;
    if (call->problem.status && (!is_small || mill_call_header(call, "Expect")))
        call->closes = true;
}

/* ------------------------------------------------------------------ body and answer */

static bool take_body(struct mill_call *call, const char *data, size_t size) {
    struct mill_error err;
    mill_connection_count_body(call->connection, size);
    if (call->problem.status) {
        call->n_dropped += size;
        return call->n_dropped <= DROPPED_BYTES;
    }
    mill_status status = mill_body_append(&call->body, data, size, &err);
    if (status == MILL_OK) {
        call->bytes_in += size;
        return true;
    }
    call->closes = true;
    if (status == MILL_E_INPUT)
        mill_problem_set(&call->problem, 413, "request_too_large", NULL, "%s", err.text);
    else
        mill_problem_of_status(&call->problem, status, &err);
    if (call->problem.status == 500)
        mill_log_event(call->http->options.log, "event=failure request=%s error=\"%s\"", call->id,
                       err.text);
    return true;
}

static void run(struct mill_call *call) {
    struct mill_error err;
    call->ran = true;
    mill_connection_begin_work(call->connection, call);
    if (!call->problem.status) {
        mill_status status = mill_body_finish(&call->body, &err);
        if (status < 0)
            mill_problem_of_status(&call->problem, status, &err);
    }
    if (!call->problem.status)
        call->route->run(call);
}

static enum MHD_Result queue(struct mill_call *call) {
    struct MHD_Response *reply = call->reply;
    call->reply = NULL;
    call->queued = true;
    if (!call->kind)
        mill_connection_begin_reply(call->connection);
    enum MHD_Result result = MHD_queue_response(call->mhd, (unsigned)call->status, reply);
    MHD_destroy_response(reply);
    return result;
}

/* The request is whole: an answer, or wait for one. */
static enum MHD_Result go_on(struct mill_call *call) {
    mill_json_ran_short(); /* of another call's */
    if (!call->ran)
        run(call);
    else if (call->kind && !mill_call_is_gone(call))
        call->kind->woken(call, call->job);
    for (;;) {
        if (call->problem.status && !call->reply)
            mill_call_refuse(call, &call->problem);
        if (call->reply)
            return queue(call);
        if (!call->kind || call->unanswered || mill_call_is_gone(call))
            return MHD_NO; /* nobody waits, or nothing will come: out of memory */
        if (mill_call_suspend(call))
            return MHD_YES;
        if (!mill_call_is_gone(call))
            call->kind->woken(call, call->job);
    }
}

static struct mill_connection *connection_of(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The request's line is there: the call begins. Of more parameters than may be none is left, in
 * the library's own buffer: 0.9.75 would run out of room for them, and then wait for ever. */
static void *look_at_target(void *context, const char *target, struct MHD_Connection *mhd) {
    struct mill_connection *connection = connection_of(mhd);
    struct mill_call *call = connection ? mill_call_new(context, mhd) : NULL;
    char *query = strchr(target, '?');
    size_t n_parameters = query != NULL;
    for (const char *c = query; c && (c = strchr(c, '&')); c++)
        n_parameters++;
    if (call) {
        call->connection = connection;
        call->target_bytes = strlen(target);
        call->n_parameters = n_parameters;
    }
    if (n_parameters > MAX_PARAMETERS)
        query[1] = '\0';
    return call;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *mhd, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **slot) {
    struct mill_call *call = *slot;
    (void)context, (void)mhd;
    if (!call)
        return MHD_NO;
    if (!call->begun) {
        begin(call, method, path, version);
        if (!call->problem.status || !call->closes)
            return MHD_YES;
        mill_call_refuse(call, &call->problem);
        return call->reply ? queue(call) : MHD_NO;
    }
    if (*size > 0) {
        bool goes_on = take_body(call, data, *size);
        *size = 0;
        return goes_on ? MHD_YES : MHD_NO;
    }
    return go_on(call);
}

/* ------------------------------------------------------------------ the end */

static void log_end(const struct mill_call *call, enum MHD_RequestTerminationCode end,
                    double seconds) {
    const struct mill_route *route = call->route;
    mill_log_event(call->http->options.log,
                   "event=request request=%s route=\"%s %s\" status=%d whole=%d bytes_in=%zu "
                   "seconds=%.4f%s",
                   call->id, route ? route->method : "-", route ? route->path : "-", call->status,
                   end == MHD_REQUEST_TERMINATED_COMPLETED_OK, call->bytes_in, seconds, call->note);
}

static void completed(void *context, struct MHD_Connection *mhd, void **slot,
                      enum MHD_RequestTerminationCode end) {
    struct mill_http *http = context;
    struct mill_call *call = *slot;
    (void)mhd;
    if (!call)
        return;
    *slot = NULL;
    double seconds = mill_clock_seconds() - call->started_s;
    mill_connection_end(call->connection);
    mill_call_end_job(call);
    if (!call->queued) /* the library refused it, or nobody waits any more */
        call->status = !call->ran && end == MHD_REQUEST_TERMINATED_WITH_ERROR ? 400 : 499;
    log_end(call, end, seconds);
    http->options.ended(http->options.server, call->route, call->status, seconds);
    mill_call_free(call);
}

static void connected(void *context, struct MHD_Connection *mhd, void **slot,
                      enum MHD_ConnectionNotificationCode what) {
    struct mill_http *http = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!info)
            return;
        int bytes = SEND_BYTES;
        setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        *slot = mill_connection_new(http->connections, info->connect_fd);
    } else if (*slot) {
        mill_connection_free(*slot);
        *slot = NULL;
    }
}

/* ------------------------------------------------------------------ open, close */

/* What libmicrohttpd has to say is about a peer's bad request; the status tells it too. */
static void no_messages(void *context, const char *format, va_list args) {
    (void)context, (void)format, (void)args;
}

static mill_status start(struct mill_http *http, struct mill_error *err) {
    const struct mill_http_options *o = &http->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME |
                     (o->tls_cert ? MHD_USE_TLS : 0);
    struct MHD_OptionItem items[16] = {
        {MHD_OPTION_LISTEN_SOCKET, http->listener, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, o->max_connections, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->max_connections_per_address, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * o->max_header_bytes + ANSWER_BYTES, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL},
    };
    int n = 5;
    if (o->n_threads > 1)
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, o->n_threads, NULL};
    if (o->tls_cert) {
        items[n++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_cert};
        items[n++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key};
    }
    items[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    http->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER,
                         no_messages, NULL, MHD_OPTION_URI_LOG_CALLBACK, look_at_target, http,
                         MHD_OPTION_NOTIFY_COMPLETED, completed, http, MHD_OPTION_NOTIFY_CONNECTION,
                         connected, http, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
    if (http->daemon)
        return MILL_OK;
    return mill_fail(err, MILL_E_IO, "HTTP cannot be served%s",
                     o->tls_cert ? ": are certificate and key right?" : "");
}

mill_status mill_http_open(struct mill_http **out, const struct mill_http_options *options,
                           struct mill_error *err) {
    struct mill_http *http = mill_alloc_array(1, sizeof *http);
    if (!http)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    http->options = *options;
    http->listener = options->listener;
    struct mill_connection_limits limits = options->limits;
    limits.leave = mill_call_leave;
    mill_status status = mill_connections_open(&http->connections, &limits, err);
    if (status == MILL_OK &&
        getrandom(&http->id_key, sizeof http->id_key, 0) != sizeof http->id_key)
        status = mill_fail(err, MILL_E_IO, "no random numbers: %s", strerror(errno));
    *out = http; /* the first request may come before start returns, and want it */
    if (status == MILL_OK)
        status = start(http, err);
    if (status < 0) {
        *out = NULL;
        mill_http_close(http);
    }
    return status;
}

void mill_http_drain(struct mill_http *http) {
    int listener = MHD_quiesce_daemon(http->daemon);
    if (listener >= 0) {
        close(listener);
        http->listener = -1;
    }
    mill_connections_drain(http->connections);
}

size_t mill_http_count_calls(struct mill_http *http) {
    uint64_t n_ended = atomic_load(&http->n_ended);
    return (size_t)(atomic_load(&http->n_calls) - n_ended);
}

struct mill_connections *mill_http_connections(struct mill_http *http) {
    return http->connections;
}

void mill_http_close(struct mill_http *http) {
    if (!http)
        return;
    if (http->daemon) {
        mill_http_drain(http);
        mill_connections_hang_up(http->connections);
        /* A suspended connection would not survive the end; every call has been woken now. */
        while (mill_http_count_calls(http) > 0)
            usleep(LOOK_US);
        MHD_stop_daemon(http->daemon);
    }
    mill_connections_close(http->connections);
    if (http->listener >= 0)
        close(http->listener);
    free(http);
}
