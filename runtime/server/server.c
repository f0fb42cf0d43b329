/* server.c - see server.h: what is opened in which order, and what the state of it all means. */
#include "runtime/server/server_state.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/server/tls.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PEM_BYTES = 1 << 20, MULTIPART_BYTES = 1 << 16 };

/* Speech of a created voice's making: a frame is enough, the voice comes before it. */
static const char sample_text[] =
    "The mill turned all night, and by morning every sack in the yard was full.";

/* ------------------------------------------------------------------ its state */

bool mill_server_takes_work(struct mill_server *server, struct mill_problem *problem) {
    int phase = atomic_load(&server->phase);
    if (phase == MILL_SERVER_READY)
        return true;
    mill_problem_set(problem, 503, "server_is_overloaded", NULL,
                     phase == MILL_SERVER_STARTING ? "the model is being loaded"
                                                   : "the server is about to stop");
    problem->retry_after_s = 2;
    return false;
}

bool mill_server_has_model(const struct mill_server *server, const char *name) {
    const struct mill_server_options *o = server->options;
    if (strcmp(name, o->model_name) == 0)
        return true;
    for (const char *at = o->model_aliases; *at;) {
        size_t n = strcspn(at, ",");
        if (n > 0 && strlen(name) == n && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* A device that has work and makes no step is stuck; without work there is nothing to see. */
enum mill_server_health mill_server_get_health(struct mill_server *server) {
    struct mill_engine_stats stats;
    mill_engine_get_stats(server->engine, &stats);
    int n_ready = 0;
    for (int32_t i = 0; i < stats.n_replicas; i++) {
        const struct mill_replica_stats *r = &stats.replicas[i];
        n_ready += r->state == MILL_REPLICA_READY;
        if (r->state == MILL_REPLICA_READY && r->n_running + r->n_waiting > 0 &&
            r->since_step_s > server->options->stuck_s)
            return MILL_SERVER_STUCK;
    }
    return n_ready > 0 ? MILL_SERVER_HEALTHY : MILL_SERVER_NO_DEVICE;
}

/* ------------------------------------------------------------------ what HTTP asks */

static void admit(struct mill_server *server, const struct mill_route *route,
                  const char *authorization, struct mill_client **client,
                  struct mill_problem *problem) {
    *client = mill_clients_admit(server->clients, authorization, route->scope, problem);
}

static void ended(struct mill_server *server, const struct mill_route *route, int status,
                  double seconds) {
    size_t row = route ? (size_t)(route - mill_routes) : MILL_METRICS_ROUTES;
    if (status >= 0 && status < MILL_METRICS_STATUSES)
        atomic_fetch_add(&server->metrics.answers[row][status], 1);
    mill_histogram_add(&server->metrics.answer_s, seconds);
}

/* ------------------------------------------------------------------ open */

static mill_status open_engine(struct mill_server *server, struct mill_error *err) {
    const struct mill_server_options *o = server->options;
    const struct mill_engine_options options = {.model = o->model,
                                                .devices = o->devices,
                                                .precision = o->precision,
                                                .cache = server->cache,
                                                .max_running = (int32_t)o->max_running,
                                                .max_queue = (int32_t)o->max_queue,
                                                .max_backlog_s = o->max_backlog_s,
                                                .max_unread_s = o->max_unread_s,
                                                .stuck_s = o->stuck_s};
    MILL_TRY(mill_engine_open(&server->engine, &options, err));
    const struct mill_engine_info *info = mill_engine_get_info(server->engine);
    server->frames_per_second = (double)info->sample_rate / info->samples_per_frame;
    return MILL_OK;
}

static mill_status read_pem(const char *path, struct mill_buffer *out, struct mill_error *err) {
    MILL_TRY(mill_file_read(path, out, err));
    MILL_TRY(mill_buffer_append(out, "", 1, err));
    out->size--; /* the zero is a terminator */
    return MILL_OK;
}

static mill_status read_certificate(struct mill_server *server, struct mill_error *err) {
    const struct mill_pem certificate = {server->options->tls_cert, &server->tls_cert};
    const struct mill_pem key = {server->options->tls_key, &server->tls_key};
    if (!certificate.path[0])
        return MILL_OK;
    MILL_TRY(read_pem(certificate.path, &server->tls_cert, err));
    MILL_TRY(read_pem(key.path, &server->tls_key, err));
    return mill_tls_check(&certificate, &key, err);
}

static mill_status open_http(struct mill_server *server, int listener, struct mill_error *err) {
    const struct mill_server_options *o = server->options;
    long n_processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t usual = n_processors < 1 ? 1 : n_processors > 4 ? 4 : n_processors;
    const struct mill_http_options options = {
        .listener = listener,
        .n_threads = o->http_threads > 0 ? o->http_threads : usual,
        .max_connections = o->max_connections,
        .max_connections_per_address = o->max_connections_per_address,
        .max_header_bytes = o->max_header_bytes,
        .tls_cert = server->tls_cert.data,
        .tls_key = server->tls_key.data,
        .limits = {.header_timeout_s = o->header_timeout_s,
                   .idle_timeout_s = o->idle_timeout_s,
                   .body_timeout_s = o->body_timeout_s,
                   .slow_client_s = o->slow_client_s,
                   .min_body_rate = (double)o->min_body_rate},
        .routes = mill_routes,
        .refuses_pages = !o->keys[0] && !o->anonymous && strncmp(o->host, "unix:", 5) != 0,
        /* A character may be written as 12 bytes of escapes; fields beside the text are small. */
        .max_body = {[MILL_BODY_JSON] = (size_t)o->max_input_chars * 12 + MULTIPART_BYTES,
                     [MILL_BODY_UPLOAD] = (size_t)o->max_upload_bytes + MULTIPART_BYTES,
                     [MILL_BODY_BATCH] = (size_t)o->max_batch_bytes + MULTIPART_BYTES},
        .body_folder = o->state,
        .log = server->log,
        .server = server,
        .admit = admit,
        .ended = ended};
    return mill_http_open(&server->http, &options, err);
}

/* MILL_AGAIN, with a message, while another process has the folder. */
static mill_status open_store(struct mill_server *server, struct mill_error *err) {
    const struct mill_server_options *o = server->options;
    struct mill_job_store *store = NULL;
    const struct mill_job_limits limits = {.max_bytes = o->max_jobs_bytes,
                                           .max_lines = o->max_batch_lines,
                                           .max_age_s = o->max_jobs_age_s,
                                           .max_line_bytes =
                                               o->max_input_chars * 12 + MULTIPART_BYTES};
    char *usual = mill_path_join(o->state, "jobs");
    if (!usual)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_job_store_open(&store, o->jobs[0] ? o->jobs : usual, &limits, err);
    free(usual);
    server->jobs = store;
    return status;
}

/* Where nobody said where, another process may have the usual folder: then it has the batches, as
 * long as it runs. */
static mill_status open_jobs(struct mill_server *server, struct mill_error *err) {
    const struct mill_server_options *o = server->options;
    server->no_jobs = "there are no batches: the server was started with jobs: none";
    if (strcmp(o->jobs, "none") == 0)
        return MILL_OK;
    MILL_TRY(mill_worker_open(&server->jobs_worker, err));
    mill_status status = open_store(server, err);
    if (status == MILL_AGAIN && o->jobs[0])
        return mill_context(err, MILL_E_IO, "jobs");
    server->waits_for_jobs = status == MILL_AGAIN;
    if (status != MILL_AGAIN)
        return status;
    mill_log_event(server->log, "event=no_batches cause=\"%s\"", err->text);
    server->no_jobs = "another server process here does the batches";
    return MILL_OK;
}

/* A file that cannot be understood costs a day's count, not the start. */
static mill_status open_usage(struct mill_server *server, struct mill_error *err) {
    if (!server->options->keys[0])
        return MILL_OK;
    mill_status status =
        mill_usage_open(&server->usage, server->clients, server->options->state, err);
    if (status != MILL_E_INPUT)
        return status;
    mill_log_event(server->log, "event=usage_lost error=\"%s\"", err->text);
    return MILL_OK;
}

static mill_status open_parts(struct mill_server *server, struct mill_error *err) {
    const struct mill_server_options *o = server->options;
    server->cache = o->cache[0] && strcmp(o->cache, "none") != 0 ? o->cache : NULL;
    server->consents = mill_path_join(o->state, "consents");
    if (!server->consents)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status made = mill_folder_make(o->state, err);
    if (made < 0)
        return mill_context(err, made, "the state folder (--state names another)");
    MILL_TRY(read_certificate(server, err));
    MILL_TRY(mill_clients_open(&server->clients, o->keys, err));
    MILL_TRY(open_usage(server, err));
    if (o->dictionary[0])
        MILL_TRY(mill_dictionary_open(&server->dictionary, o->dictionary, err));
    MILL_TRY(open_jobs(server, err));
    MILL_TRY(open_engine(server, err));
    MILL_TRY(mill_voice_model_open(&server->voice_model, &server->shape, o->model, err));
    MILL_TRY(mill_shelf_open(&server->shelf, o->voices, &server->voice_model, server->log, err));
    return mill_worker_open(&server->worker, err);
}

mill_status mill_server_open(struct mill_server **out, const struct mill_server_options *options,
                             int listener, const struct mill_log *log, struct mill_error *err) {
    struct mill_server *server = mill_alloc_array(1, sizeof *server);
    if (!server) {
        close(listener);
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    }
    server->options = options;
    server->log = log;
    server->started_s = (int64_t)time(NULL);
    mill_buffer_init(&server->tls_cert, PEM_BYTES);
    mill_buffer_init(&server->tls_key, PEM_BYTES);
    mill_status status = open_parts(server, err);
    if (status == MILL_OK)
        status = open_http(server, listener, err);
    else
        close(listener);
    if (status < 0)
        mill_server_close(server);
    else
        *out = server;
    return status;
}

/* ------------------------------------------------------------------ start */

/* The tokens of created voice `i`: drawn once, from its labels and seed, the same every time. */
static mill_status create_voice(struct mill_server *server, size_t i, struct mill_request **request,
                                struct mill_error *err) {
    struct mill_shelf_voice *voice = mill_shelf_get(server->shelf, i);
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    wish.text = sample_text;
    wish.text_bytes = sizeof sample_text - 1;
    wish.gender = voice->labels.gender;
    wish.pitch = voice->labels.pitch;
    wish.speed = voice->labels.rate;
    wish.seed = voice->seed;
    wish.max_frames = 1;
    wish.max_redraws = 0;
    mill_shelf_release(voice);
    return mill_engine_submit(server->engine, &wish, request, NULL, err);
}

static mill_status keep_voice(struct mill_server *server, size_t i, struct mill_request *request,
                              struct mill_error *err) {
    enum { MAX_TOKENS = MILL_VOICE_MAX_GLOBAL };
    int32_t global[MAX_TOKENS];
    struct mill_request_result result;
    mill_request_wait(request, -1);
    mill_request_get_result(request, &result);
    if (result.status < 0)
        return mill_fail(err, result.status, "making a voice: %s", result.error.text);
    if (mill_request_get_voice(request, global) != MILL_OK)
        return mill_fail(err, MILL_E_NUMERIC, "the model made no voice");
    return mill_shelf_put_created(server->shelf, i, global,
                                  mill_engine_get_info(server->engine)->n_voice_tokens, err);
}

/* As many at once as the engine takes; it runs them side by side. */
static mill_status create_voices(struct mill_server *server, struct mill_error *err) {
    enum { MOST = 32 };
    struct mill_request *requests[MOST];
    size_t n = mill_shelf_count_created(server->shelf),
           at_once = (size_t)server->options->max_queue;
    mill_status status = MILL_OK;
    at_once = at_once < MOST ? at_once : MOST;
    for (size_t first = 0, n_sent; first < n && status == MILL_OK; first += n_sent) {
        for (n_sent = 0; n_sent < at_once && first + n_sent < n && status == MILL_OK; n_sent++)
            status = create_voice(server, first + n_sent, &requests[n_sent], err);
        for (size_t i = 0; i < n_sent && status == MILL_OK; i++)
            status = keep_voice(server, first + i, requests[i], err);
        for (size_t i = 0; i < n_sent; i++)
            mill_request_free(requests[i]);
    }
    return status <= 0 ? status
                       : mill_fail(err, MILL_E_DEVICE, "making voices: the engine takes no work");
}

static void log_devices(struct mill_server *server) {
    const struct mill_engine_info *info = mill_engine_get_info(server->engine);
    struct mill_engine_stats stats;
    mill_engine_get_stats(server->engine, &stats);
    for (int32_t i = 0; i < stats.n_replicas; i++)
        mill_log_event(server->log, "event=device replica=%d name=\"%s\" precision=%s pages=%d", i,
                       stats.replicas[i].device, info->precision, stats.replicas[i].n_pages);
    if (info->no_gpu[0])
        mill_log_event(server->log, "event=no_gpu cause=\"%s\"", info->no_gpu);
    if (info->synthetic)
        mill_log_event(server->log, "event=synthetic_model note=\"noise, not speech\"");
}

static mill_status start_runner(struct mill_server *server, struct mill_error *err) {
    struct mill_batch_runner *runner = NULL;
    MILL_TRY(mill_batch_runner_open(&runner, server, err));
    atomic_store(&server->runner, runner);
    return MILL_OK;
}

mill_status mill_server_start(struct mill_server *server,
                              const struct mill_engine_progress *progress, struct mill_error *err) {
    MILL_TRY(mill_engine_start(server->engine, progress, err));
    log_devices(server);
    MILL_TRY(create_voices(server, err));
    if (server->jobs)
        MILL_TRY(start_runner(server, err));
    int starting = MILL_SERVER_STARTING; /* unless it was asked to stop meanwhile */
    atomic_compare_exchange_strong(&server->phase, &starting, MILL_SERVER_READY);
    return MILL_OK;
}

/* ------------------------------------------------------------------ later */

void mill_server_reload(struct mill_server *server) {
    struct mill_error err = {""};
    if (mill_clients_reload(server->clients, &err) < 0)
        mill_log_event(server->log, "event=reload part=keys error=\"%s\"", err.text);
    else if (mill_shelf_load(server->shelf, &err) < 0)
        mill_log_event(server->log, "event=reload part=voices error=\"%s\"", err.text);
    else
        mill_log_event(server->log, "event=reload");
}

static void keep_usage(struct mill_server *server) {
    struct mill_error err;
    if (mill_usage_keep(&server->usage, &err) < 0)
        mill_log_event(server->log, "event=failure part=usage error=\"%s\"", err.text);
}

/* Has the process that had the batches ended? Then they are ours. */
static void take_jobs(struct mill_server *server) {
    struct mill_error err = {""};
    mill_status status = server->waits_for_jobs ? open_store(server, &err) : MILL_AGAIN;
    if (status == MILL_AGAIN)
        return;
    server->waits_for_jobs = false;
    if (status == MILL_OK)
        status = start_runner(server, &err);
    if (status == MILL_OK)
        mill_log_event(server->log, "event=batches_taken");
    else
        mill_log_event(server->log, "event=failure part=jobs error=\"%s\"", err.text);
}

bool mill_server_tick(struct mill_server *server) {
    struct mill_error err;
    keep_usage(server);
    take_jobs(server);
    if (mill_shelf_refresh(server->shelf, &err) < 0)
        mill_log_event(server->log, "event=reload part=voices error=\"%s\"", err.text);
    return mill_server_get_health(server) == MILL_SERVER_HEALTHY;
}

bool mill_server_drain(struct mill_server *server) {
    if (atomic_exchange(&server->phase, MILL_SERVER_DRAINING) != MILL_SERVER_DRAINING)
        mill_http_drain(server->http);
    struct mill_batch_runner *runner = atomic_load(&server->runner);
    if (runner)
        mill_batch_runner_stop(runner);
    return mill_http_count_calls(server->http) == 0 &&
           (!runner || mill_batch_runner_is_over(runner));
}

void mill_server_close(struct mill_server *server) {
    if (!server)
        return;
    mill_http_close(server->http);
    mill_worker_close(server->worker);
    mill_worker_close(server->jobs_worker);
    mill_batch_runner_close(server->runner);
    mill_job_store_close(server->jobs);
    mill_engine_close(server->engine);
    mill_shelf_close(server->shelf);
    keep_usage(server);
    mill_usage_close(&server->usage);
    mill_clients_close(server->clients);
    mill_dictionary_close(server->dictionary);
    mill_buffer_deinit(&server->tls_cert);
    mill_buffer_deinit(&server->tls_key);
    free(server->consents);
    free(server);
}
