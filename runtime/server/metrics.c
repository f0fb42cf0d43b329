/* metrics.c - see metrics.h. */
#include "runtime/server/metrics.h"

#include <inttypes.h>
#include <math.h>

/* Prometheus' usual ladder, from a cached answer to a long text. */
static const double bounds_s[MILL_METRICS_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                      1,     2.5,  5,     10,   30,  60,   300};

void mill_histogram_add(struct mill_histogram *histogram, double seconds) {
    int i = 0;
    while (i < MILL_METRICS_BUCKETS && seconds > bounds_s[i])
        i++;
    atomic_fetch_add(&histogram->counts[i], 1);
    atomic_fetch_add(&histogram->sum_us, (uint64_t)(1e6 * fmax(seconds, 0)));
}

/* What is being printed. */
struct printer {
    const struct mill_metrics_page *page;
    struct mill_buffer *out;
    struct mill_error *err;
    mill_status status; /* the first failure */
};

#define PRINT(p, ...)                                                                              \
    do {                                                                                           \
        if ((p)->status == MILL_OK)                                                                \
            (p)->status = mill_buffer_printf((p)->out, (p)->err, __VA_ARGS__);                     \
    } while (0)

static void print_head(struct printer *p, const char *name, const char *type, const char *help) {
    PRINT(p, "# HELP sparkmill_%s %s\n# TYPE sparkmill_%s %s\n", name, help, name, type);
}

static void print_value(struct printer *p, const char *name, const char *type, const char *help,
                        double value) {
    print_head(p, name, type, help);
    PRINT(p, "sparkmill_%s{model_name=\"%s\"} %.15g\n", name, p->page->model, value);
}

static void print_histogram(struct printer *p, const char *name, const char *help,
                            const struct mill_histogram *histogram) {
    uint64_t n = 0;
    print_head(p, name, "histogram", help);
    for (int i = 0; i <= MILL_METRICS_BUCKETS; i++) {
        n += atomic_load(&histogram->counts[i]);
        if (i < MILL_METRICS_BUCKETS)
            PRINT(p, "sparkmill_%s_bucket{model_name=\"%s\",le=\"%g\"} %" PRIu64 "\n", name,
                  p->page->model, bounds_s[i], n);
    }
    PRINT(p,
          "sparkmill_%s_bucket{model_name=\"%s\",le=\"+Inf\"} %" PRIu64
          "\nsparkmill_%s_sum{model_name=\"%s\"} %.6f\nsparkmill_%s_count{model_name=\"%s\"} "
          "%" PRIu64 "\n",
          name, p->page->model, n, name, p->page->model,
          1e-6 * (double)atomic_load(&histogram->sum_us), name, p->page->model, n);
}

/* ------------------------------------------------------------------ the parts of the page */

static void print_answers(struct printer *p) {
    const struct mill_route *routes = p->page->routes;
    print_head(p, "http_requests_total", "counter", "Answered requests.");
    int n_routes = 0;
    while (routes[n_routes].method)
        n_routes++;
    for (int i = 0; i <= MILL_METRICS_ROUTES; i++)
        for (int status = 0; status < MILL_METRICS_STATUSES; status++) {
            uint32_t n = atomic_load(&p->page->metrics->answers[i][status]);
            bool known = i < n_routes;
            if (n > 0)
                PRINT(p,
                      "sparkmill_http_requests_total{handler=\"%s\",method=\"%s\",status=\"%d\"} "
                      "%" PRIu32 "\n",
                      known ? routes[i].path : "none", known ? routes[i].method : "none", status,
                      n);
        }
}

const char *const mill_speech_end_names[MILL_SPEECH_ENDS] = {
    [MILL_SPEECH_STOP] = "stop",   [MILL_SPEECH_LENGTH] = "length",
    [MILL_SPEECH_ABORT] = "abort", [MILL_SPEECH_DEADLINE] = "deadline",
    [MILL_SPEECH_ERROR] = "error", [MILL_SPEECH_REFUSED] = "refused"};

static void print_speech(struct printer *p) {
    struct mill_metrics *m = p->page->metrics;
    print_head(p, "request_success_total", "counter", "Speech requests by how they ended.");
    for (int end = 0; end < MILL_SPEECH_ENDS; end++)
        PRINT(p,
              "sparkmill_request_success_total{model_name=\"%s\",finished_reason=\"%s\"} %" PRIu64
              "\n",
              p->page->model, mill_speech_end_names[end], atomic_load(&m->n_speeches[end]));
    print_value(p, "audio_seconds_total", "counter", "Seconds of sound handed to clients.",
                1e-3 * (double)atomic_load(&m->audio_ms));
    print_value(p, "underruns_total", "counter", "Streams whose listener had to wait for sound.",
                (double)atomic_load(&m->n_underruns));
    print_value(p, "streams", "gauge", "Speech requests that are not over.",
                (double)atomic_load(&m->n_streams));
    print_value(p, "voices_cloned_total", "counter", "Voices made from recordings.",
                (double)atomic_load(&m->n_cloned));
    print_histogram(p, "time_to_first_audio_seconds", "From the request to its first sound.",
                    &m->first_sound_s);
    print_histogram(p, "e2e_request_latency_seconds", "From a speech request to its last sound.",
                    &m->speech_s);
    print_histogram(p, "http_request_duration_seconds", "From headers to the end of the answer.",
                    &m->answer_s);
    print_value(p, "connections", "gauge", "Open connections.", (double)p->page->n_connections);
    print_value(p, "slow_clients_total", "counter", "Connections shut down for being too slow.",
                (double)p->page->n_evicted);
}

static void print_jobs(struct printer *p) {
    struct mill_metrics *m = p->page->metrics;
    const struct mill_job_totals *jobs = p->page->jobs;
    print_value(p, "batches", "gauge", "Batches that are not over.", (double)jobs->n_open);
    print_value(p, "batch_requests_waiting", "gauge", "Their requests without an answer.",
                (double)jobs->n_waiting);
    print_value(p, "batch_store_bytes", "gauge", "Of files of batches.", (double)jobs->bytes);
    print_value(p, "files_retired_total", "counter", "Uploads and results removed for their age.",
                (double)atomic_load(&m->n_retired_files));
    print_value(p, "batches_retired_total", "counter", "Batches removed for their age.",
                (double)atomic_load(&m->n_retired_batches));
    print_head(p, "batch_requests_total", "counter", "Requests of batches by how they ended.");
    PRINT(p, "sparkmill_batch_requests_total{model_name=\"%s\",status=\"completed\"} %" PRIu64 "\n",
          p->page->model, atomic_load(&m->n_batch_done));
    PRINT(p, "sparkmill_batch_requests_total{model_name=\"%s\",status=\"failed\"} %" PRIu64 "\n",
          p->page->model, atomic_load(&m->n_batch_failed));
    print_value(p, "batch_audio_seconds_total", "counter", "Seconds of sound in files.",
                1e-3 * (double)atomic_load(&m->batch_audio_ms));
}

static void print_engine(struct printer *p) {
    const struct mill_engine_stats *e = p->page->engine;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"num_requests_running", "gauge", "Utterances on devices.", e->n_running},
        {"num_requests_waiting", "gauge", "Utterances that wait.", e->n_queued},
        {"backlog_seconds", "gauge", "Estimated work that waits.", e->backlog_s},
        {"prompt_tokens_total", "counter", "Tokens of prompts.", (double)e->n_prompt_tokens},
        {"generation_tokens_total", "counter", "Tokens drawn.", (double)e->n_tokens},
        {"frames_total", "counter", "Frames that became sound.", (double)e->n_frames},
        {"synthesised_seconds_total", "counter", "Seconds of sound that were made.", e->audio_s},
        {"num_preemptions_total", "counter", "Utterances that gave up their pages.",
         (double)e->n_preemptions},
        {"redraws_total", "counter", "Attempts that the quality gate threw away.",
         (double)e->n_redraws},
        {"retries_total", "counter", "Utterances begun again after a device failed.",
         (double)e->n_retries},
        {"utterances_total", "counter", "Utterances taken.", (double)e->n_submitted},
        {"utterances_refused_total", "counter", "Utterances refused for want of room.",
         (double)e->n_refused},
        {"uptime_seconds", "gauge", "Since the devices were opened.", e->uptime_s},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_value(p, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    int64_t n_pages = 0, n_free = 0;
    for (int32_t i = 0; i < e->n_replicas; i++) {
        n_pages += e->replicas[i].n_pages;
        n_free += e->replicas[i].n_free_pages;
    }
    print_value(p, "kv_pages", "gauge", "Pages of keys and values.", (double)n_pages);
    print_value(p, "kv_cache_usage_perc", "gauge", "Share of pages in use, 0 to 1.",
                n_pages > 0 ? (double)(n_pages - n_free) / (double)n_pages : 0);
    print_head(p, "replica_up", "gauge", "1 for a device that works.");
    for (int32_t i = 0; i < e->n_replicas; i++)
        PRINT(p, "sparkmill_replica_up{replica=\"%d\"} %d\n", i,
              e->replicas[i].state == MILL_REPLICA_READY);
    print_head(p, "replica_busy_seconds_total", "counter", "Time in steps.");
    for (int32_t i = 0; i < e->n_replicas; i++)
        PRINT(p, "sparkmill_replica_busy_seconds_total{replica=\"%d\"} %.6f\n", i,
              e->replicas[i].busy_s);
}

mill_status mill_metrics_print(const struct mill_metrics_page *page, struct mill_buffer *out,
                               struct mill_error *err) {
    struct printer p = {.page = page, .out = out, .err = err};
    print_answers(&p);
    print_speech(&p);
    if (page->jobs)
        print_jobs(&p);
    if (page->engine)
        print_engine(&p);
    return p.status;
}
