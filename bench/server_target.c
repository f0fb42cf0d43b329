/* server_target.c - see server_target.h: one thread of ours drives all transfers with libcurl's
 * multi interface, so that a thousand requests under way cost no thousand threads and the load's
 * thread never waits for a server. A transfer is made by start, belongs to the thread until its
 * end, and is freed by finish. Connections are kept and used again, as clients do. */
#include "bench/server_target.h"

#include "runtime/base/memory.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_RATE = 24000, FRAMES_PER_SECOND = 50, SAID_BYTES = 240 };
/* A server that says nothing for so long is given up: a bench must end. */
enum { CONNECT_S = 30, SILENT_S = 300, POLL_MS = 1000, READ_BYTES = 16384 };

struct transfer {
    struct bench_request *request; /* NULL: the first sentence, which nobody counts */
    CURL *curl;                    /* owned, until its end */
    char *body;                    /* owned */
    size_t n_bytes, n_samples;     /* of sound */
    char said[SAID_BYTES];         /* the beginning of what came, for people */
    struct transfer *next;
};

struct bench_server {
    const struct bench_server_options *options;
    char *url;
    json_t *fields;
    struct curl_slist *headers;
    CURLM *multi;
    int32_t sample_rate;
    pthread_t thread;
    bool runs;

    pthread_mutex_t lock;
    struct transfer *first, **last; /* guarded: made, not yet sent */
    bool ends;                      /* guarded */
};

/* ------------------------------------------------------------------ one transfer */

static void free_transfer(struct transfer *transfer) {
    if (!transfer)
        return;
    curl_easy_cleanup(transfer->curl);
    free(transfer->body);
    free(transfer);
}

static size_t hear(char *data, size_t one, size_t n, void *context) {
    struct transfer *transfer = context;
    long status = 0;
    (void)one;
    size_t said = strlen(transfer->said);
    if (said + 1 < SAID_BYTES) { /* NUL bytes end it: it is for people */
        size_t more = n < SAID_BYTES - 1 - said ? n : SAID_BYTES - 1 - said;
        memcpy(transfer->said + said, data, more);
        transfer->said[said + more] = '\0';
    }
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return n;
    transfer->n_bytes += n;
    size_t samples = transfer->n_bytes / 2 - transfer->n_samples;
    transfer->n_samples += samples;
    if (transfer->request && samples > 0)
        bench_request_heard(transfer->request, samples);
    return n;
}

static char *compose(const struct bench_server *server, const char *text, size_t bytes) {
    const struct bench_server_options *o = server->options;
    json_t *root = json_pack("{s:s, s:s%, s:s, s:s}", "model", o->model, "input", text, bytes,
                             "voice", o->voice, "response_format", "pcm");
    char *body = NULL;
    if (root && (!server->fields || json_object_update(root, server->fields) == 0))
        body = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return body;
}

static struct transfer *new_transfer(const struct bench_server *server, const char *text,
                                     size_t bytes) {
    struct transfer *transfer = mill_alloc_array(1, sizeof *transfer);
    if (!transfer)
        return NULL;
    transfer->body = compose(server, text, bytes);
    CURL *curl = transfer->curl = curl_easy_init();
    if (!transfer->body || !curl) {
        free_transfer(transfer);
        return NULL;
    }
    curl_easy_setopt(curl, CURLOPT_URL, server->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* it would be measured too */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, server->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)READ_BYTES);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, hear);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
    return transfer;
}

/* NULL when it is whole, else why not, in a word. */
static const char *failure_of(const struct transfer *transfer, CURLcode code, char word[16]) {
    long status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 0 && status != 200) {
        snprintf(word, 16, "%ld", status);
        return word;
    }
    switch (code) {
    case CURLE_OK:
        return transfer->n_samples > 0 ? NULL : "no sound";
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return "no connection";
    case CURLE_OPERATION_TIMEDOUT:
        return "timeout";
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
        return "broken off";
    default:
        snprintf(word, 16, "curl %d", (int)code);
        return word;
    }
}

/* ------------------------------------------------------------------ the thread */

static void send_new(struct bench_server *server) {
    pthread_mutex_lock(&server->lock);
    struct transfer *transfer = server->first;
    server->first = NULL;
    server->last = &server->first;
    pthread_mutex_unlock(&server->lock);
    while (transfer) {
        struct transfer *next = transfer->next; /* whose end may be told below */
        bench_request_sent(transfer->request);
        if (curl_multi_add_handle(server->multi, transfer->curl) != CURLM_OK)
            bench_request_ended(transfer->request, "no memory");
        transfer = next;
    }
}

static void end_done(struct bench_server *server) {
    int n_left;
    for (CURLMsg *message; (message = curl_multi_info_read(server->multi, &n_left));) {
        struct transfer *transfer = NULL;
        char word[16];
        CURLcode code = message->data.result;
        CURL *curl = message->easy_handle;
        curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&transfer);
        const char *failure = failure_of(transfer, code, word);
        curl_multi_remove_handle(server->multi, curl);
        curl_easy_cleanup(curl);
        transfer->curl = NULL;
        bench_request_ended(transfer->request, failure); /* and is not ours any more */
    }
}

static void *drive(void *context) {
    struct bench_server *server = context;
    for (;;) {
        int n_running;
        pthread_mutex_lock(&server->lock);
        bool ends = server->ends;
        pthread_mutex_unlock(&server->lock);
        if (ends)
            return NULL;
        send_new(server);
        curl_multi_perform(server->multi, &n_running);
        end_done(server);
        curl_multi_poll(server->multi, NULL, 0, POLL_MS, NULL);
    }
}

/* ------------------------------------------------------------------ the target */

static mill_status start(void *context, struct bench_request *request, struct mill_error *err) {
    struct bench_server *server = context;
    struct transfer *transfer = new_transfer(server, request->text.text, request->text.bytes);
    if (!transfer)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a request");
    transfer->request = request;
    request->handle = transfer;
    pthread_mutex_lock(&server->lock);
    *server->last = transfer;
    server->last = &transfer->next;
    pthread_mutex_unlock(&server->lock);
    curl_multi_wakeup(server->multi);
    return MILL_OK;
}

static void finish(void *context, struct bench_request *request) {
    (void)context;
    free_transfer(request->handle);
    request->handle = NULL;
}

struct bench_target bench_server_target_of(struct bench_server *server) {
    return (struct bench_target){.context = server,
                                 .sample_rate = server->sample_rate,
                                 .samples_per_frame = server->sample_rate / FRAMES_PER_SECOND,
                                 .start = start,
                                 .finish = finish};
}

/* ------------------------------------------------------------------ open, close */

static bool append_header(struct bench_server *server, const char *header) {
    struct curl_slist *longer = curl_slist_append(server->headers, header);
    if (longer)
        server->headers = longer;
    return longer != NULL;
}

static mill_status prepare(struct bench_server *server, struct mill_error *err) {
    const struct bench_server_options *o = server->options;
    size_t n = strlen(o->url);
    while (n > 0 && o->url[n - 1] == '/')
        n--;
    bool versioned = n >= 3 && memcmp(o->url + n - 3, "/v1", 3) == 0;
    char *authorization = NULL;
    bool fits = asprintf(&server->url, "%.*s%s/audio/speech", (int)n, o->url,
                         versioned ? "" : "/v1") >= 0 &&
                append_header(server, "Content-Type: application/json") &&
                append_header(server, "Expect:"); /* no round trip before the body */
    if (fits && o->key)
        fits = asprintf(&authorization, "Authorization: Bearer %s", o->key) >= 0 &&
               append_header(server, authorization);
    free(authorization);
    if (!fits || !(server->multi = curl_multi_init()))
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    json_error_t cause;
    if (o->fields && !(server->fields = json_loads(o->fields, 0, &cause)))
        return mill_fail(err, MILL_E_INPUT, "fields: %s", cause.text);
    if (o->fields && !json_is_object(server->fields))
        return mill_fail(err, MILL_E_INPUT, "fields: a JSON object is wanted");
    return MILL_OK;
}

/* Formats that cannot be timed by counting their bytes, by how they begin. */
static bool is_encoded(const char *said) {
    return strncmp(said, "RIFF", 4) == 0 || strncmp(said, "ID3", 3) == 0 ||
           strncmp(said, "OggS", 4) == 0 || strncmp(said, "fLaC", 4) == 0 ||
           strncmp(said, "data:", 5) == 0;
}

static void find_rate(struct bench_server *server, CURL *curl) {
    const char *type = NULL;
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    const char *rate = type ? strstr(type, "rate=") : NULL;
    long told = rate ? strtol(rate + 5, NULL, 10) : 0;
    server->sample_rate = server->options->sample_rate;
    if (server->sample_rate == 0)
        server->sample_rate = told >= 4000 && told <= 192000 ? (int32_t)told : USUAL_RATE;
}

/* One sentence, and what came of it. */
static mill_status try_it(struct bench_server *server, struct mill_error *err) {
    static const char text[] = "Good morning.";
    struct transfer *transfer = new_transfer(server, text, sizeof text - 1);
    if (!transfer)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a request");
    char word[16];
    mill_status status = MILL_OK;
    CURLcode code = curl_easy_perform(transfer->curl);
    const char *failure = failure_of(transfer, code, word);
    for (char *c = transfer->said; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    if (failure && code != CURLE_OK)
        status = mill_fail(err, MILL_E_IO, "%s: %s", server->url, curl_easy_strerror(code));
    else if (failure)
        status =
            mill_fail(err, MILL_E_IO, "%s answers %s: %s", server->url, failure, transfer->said);
    else if (is_encoded(transfer->said))
        status = mill_fail(err, MILL_E_UNSUPPORTED,
                           "%s does not send pcm when asked for it; another format's sound cannot "
                           "be timed",
                           server->url);
    find_rate(server, transfer->curl);
    free_transfer(transfer);
    return status;
}

mill_status bench_server_open(struct bench_server **out, const struct bench_server_options *options,
                              struct mill_error *err) {
    struct bench_server *server = mill_alloc_array(1, sizeof *server);
    if (!server || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        free(server);
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    }
    server->options = options;
    server->last = &server->first;
    pthread_mutex_init(&server->lock, NULL);
    mill_status status = prepare(server, err);
    if (status == MILL_OK)
        status = try_it(server, err);
    if (status == MILL_OK && pthread_create(&server->thread, NULL, drive, server) != 0)
        status = mill_fail(err, MILL_E_MEMORY, "no thread");
    server->runs = status == MILL_OK;
    if (status < 0)
        bench_server_close(server);
    else
        *out = server;
    return status;
}

void bench_server_close(struct bench_server *server) {
    if (!server)
        return;
    pthread_mutex_lock(&server->lock);
    server->ends = true;
    pthread_mutex_unlock(&server->lock);
    if (server->runs) {
        curl_multi_wakeup(server->multi);
        pthread_join(server->thread, NULL);
    }
    curl_multi_cleanup(server->multi);
    curl_slist_free_all(server->headers);
    json_decref(server->fields);
    free(server->url);
    pthread_mutex_destroy(&server->lock);
    curl_global_cleanup();
    free(server);
}
