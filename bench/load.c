/* load.c - see load.h.
 *
 * Requests live in one array, made before the clock starts. What heard and ended note about a
 * request belongs to it alone, under the run's lock; the thread of the load sleeps until the next
 * request is due or one has ended. A player of each request is simulated: it starts with the first
 * sound and falls silent where the next piece comes later than what it has. */
#include "bench/load.h"

#include "bench/statistics.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench_run {
    const struct bench_load *load;
    const struct bench_target *target;
    double zero_s; /* the clock at the start */
    struct bench_request *requests;
    int32_t n_requests, n_started;
    double joules, busy_s; /* when the first request that counts was sent */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t n_ended; /* guarded, as every request's notes */
};

static double now_s(const struct bench_run *run) {
    return mill_clock_seconds() - run->zero_s;
}

/* ------------------------------------------------------------------ told by the target */

void bench_request_sent(struct bench_request *request) {
    pthread_mutex_lock(&request->run->lock);
    request->sent_s = now_s(request->run);
    pthread_mutex_unlock(&request->run->lock);
}

void bench_request_heard(struct bench_request *request, size_t n_samples) {
    struct bench_run *run = request->run;
    double piece_s = (double)n_samples / run->target->sample_rate;
    pthread_mutex_lock(&run->lock);
    double now = now_s(run);
    if (request->first_s == 0) {
        request->first_s = now;
    } else {
        double gap = now - request->last_s;
        double silent = now - (request->first_s + request->audio_s + request->stalled_s);
        if (gap > request->longest_gap_s)
            request->longest_gap_s = gap;
        if (silent > 0) {
            request->stalled_s += silent;
            request->n_stalls++;
        }
    }
    request->last_s = now;
    request->audio_s += piece_s;
    pthread_mutex_unlock(&run->lock);
}

void bench_request_ended(struct bench_request *request, const char *failure) {
    struct bench_run *run = request->run;
    pthread_mutex_lock(&run->lock);
    request->end_s = now_s(run);
    snprintf(request->failure, sizeof request->failure, "%s", failure ? failure : "");
    request->ended = true;
    run->n_ended++;
    pthread_cond_signal(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* ------------------------------------------------------------------ sending */

static double exponential(uint64_t seed, uint64_t number, double rate) {
    return -log(1 - mill_philox_uniform(seed, number)) / rate;
}

/* Texts, seeds and moments are functions of the load's seed: equal loads send equal requests. */
static mill_status make_requests(struct bench_run *run, const struct bench_passages *passages,
                                 struct mill_error *err) {
    const struct bench_load *load = run->load;
    run->n_requests = load->n_warmup + load->n_requests;
    run->requests = mill_alloc_array((size_t)run->n_requests, sizeof *run->requests);
    if (!run->requests)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %d requests", run->n_requests);
    double due_s = 0;
    for (int32_t i = 0; i < run->n_requests; i++) {
        struct bench_request *request = &run->requests[i];
        request->run = run;
        request->seed = load->seed + (uint64_t)i;
        request->text = bench_passage_at(passages, request->seed);
        if (load->concurrency == 0) {
            due_s += exponential(load->seed, (uint64_t)i, load->rate);
            request->due_s = due_s;
        }
    }
    return MILL_OK;
}

/* Wait until the next request may be sent: it is due, or a client is free. Clients begin when all
 * of the warm-up is over: its work is not counted, so it must not take time that is. */
static void wait_for_turn(struct bench_run *run) {
    const struct bench_load *load = run->load;
    double due_s = run->requests[run->n_started].due_s;
    if (load->concurrency == 0) {
        double left_s = due_s - now_s(run);
        struct timespec t = {(time_t)left_s, (long)((left_s - floor(left_s)) * 1e9)};
        if (left_s > 0)
            nanosleep(&t, NULL);
        return;
    }
    int32_t most = run->n_started == load->n_warmup ? 1 : load->concurrency;
    pthread_mutex_lock(&run->lock);
    while (run->n_started - run->n_ended >= most)
        pthread_cond_wait(&run->changed, &run->lock);
    pthread_mutex_unlock(&run->lock);
    run->requests[run->n_started].due_s = now_s(run);
}

static double joules_of(const struct bench_target *target) {
    return target->joules ? target->joules(target->context) : -1;
}

static double busy_of(const struct bench_target *target) {
    return target->busy_s ? target->busy_s(target->context) : -1;
}

/* One text that is refused, as too long for a small model, is counted; where none is taken, the
 * last refusal is the answer. */
static mill_status send_all(struct bench_run *run, struct mill_error *err) {
    mill_status status = MILL_OK;
    int32_t n_taken = 0;
    while (run->n_started < run->n_requests) {
        wait_for_turn(run);
        struct bench_request *request = &run->requests[run->n_started];
        if (run->n_started == run->load->n_warmup) {
            run->joules = joules_of(run->target);
            run->busy_s = busy_of(run->target);
        }
        run->n_started++;
        status = run->target->start(run->target->context, request, err);
        n_taken += status == MILL_OK;
        if (status != MILL_OK)
            bench_request_ended(request, "refused");
    }
    return n_taken == 0 && status < 0 ? status : MILL_OK;
}

static void wait_for_all(struct bench_run *run) {
    pthread_mutex_lock(&run->lock);
    while (run->n_ended < run->n_started)
        pthread_cond_wait(&run->changed, &run->lock);
    pthread_mutex_unlock(&run->lock);
}

/* ------------------------------------------------------------------ summing up */

/* Sorted values of one kind, of the requests that count and succeeded. */
struct column {
    double *values;
    size_t n;
};

static struct column column_of(const struct bench_run *run, double *memory,
                               double (*value)(const struct bench_request *)) {
    struct column column = {memory, 0};
    for (int32_t i = run->load->n_warmup; i < run->n_requests; i++)
        if (!run->requests[i].failure[0])
            column.values[column.n++] = value(&run->requests[i]);
    bench_sort(column.values, column.n);
    return column;
}

static double first_of(const struct bench_request *request) {
    return request->first_s - request->due_s;
}
static double latency_of(const struct bench_request *request) {
    return request->end_s - request->due_s;
}
static double gap_of(const struct bench_request *request) {
    return request->longest_gap_s;
}
static double sent_late_of(const struct bench_request *request) {
    return fmax(0, request->sent_s - request->due_s);
}

void bench_failures_add(struct bench_failure list[BENCH_MAX_FAILURES], const char *name,
                        int32_t n) {
    struct bench_failure *kind = list, *last = list + BENCH_MAX_FAILURES - 1;
    while (kind < last && kind->n > 0 && strcmp(kind->name, name) != 0)
        kind++;
    snprintf(kind->name, sizeof kind->name, "%s", kind == last ? "other" : name);
    kind->n += n;
}

static bool is_good(const struct bench_request *request, double deadline_s) {
    return request->n_stalls == 0 && first_of(request) <= deadline_s;
}

static void count(const struct bench_run *run, struct bench_outcome *out) {
    double start_s = INFINITY, end_s = 0;
    int32_t n_silent = 0, n_good = 0;
    for (int32_t i = run->load->n_warmup; i < run->n_requests; i++) {
        const struct bench_request *request = &run->requests[i];
        start_s = fmin(start_s, request->due_s);
        end_s = fmax(end_s, request->end_s);
        if (request->failure[0]) {
            out->n_failed++;
            bench_failures_add(out->failures, request->failure, 1);
            continue;
        }
        out->n_done++;
        n_good += is_good(request, run->load->deadline_s);
        out->audio_s += request->audio_s;
        out->stalled_s += request->stalled_s;
        n_silent += request->n_stalls > 0;
    }
    out->wall_s = end_s - start_s;
    if (out->wall_s > 0) {
        out->audio_per_s = out->audio_s / out->wall_s;
        out->good_per_s = n_good / out->wall_s;
    }
    out->good_share = (double)n_good / run->load->n_requests;
    out->frames_per_s =
        out->audio_per_s * run->target->sample_rate / run->target->samples_per_frame;
    if (out->n_done > 0)
        out->underrun_share = (double)n_silent / out->n_done;
}

static mill_status sum_up(const struct bench_run *run, struct bench_outcome *out,
                          struct mill_error *err) {
    double *memory = mill_alloc_array((size_t)run->load->n_requests, sizeof *memory);
    if (!memory)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %d results", run->load->n_requests);
    *out = (struct bench_outcome){0};
    count(run, out);
    struct column first = column_of(run, memory, first_of);
    out->first_p50 = bench_percentile(first.values, first.n, 50);
    out->first_p90 = bench_percentile(first.values, first.n, 90);
    out->first_p99 = bench_percentile(first.values, first.n, 99);
    struct column latency = column_of(run, memory, latency_of);
    out->latency_p50 = bench_percentile(latency.values, latency.n, 50);
    out->latency_p90 = bench_percentile(latency.values, latency.n, 90);
    out->latency_p99 = bench_percentile(latency.values, latency.n, 99);
    struct column gap = column_of(run, memory, gap_of);
    out->gap_p50 = bench_percentile(gap.values, gap.n, 50);
    out->gap_p99 = bench_percentile(gap.values, gap.n, 99);
    struct column late = column_of(run, memory, sent_late_of);
    out->sent_late_p99 = bench_percentile(late.values, late.n, 99);
    double joules = joules_of(run->target);
    out->joules = joules < 0 || run->joules < 0 ? -1 : joules - run->joules;
    double busy_s = busy_of(run->target) - run->busy_s;
    out->busy_share = run->target->busy_s && out->wall_s > 0 ? busy_s / out->wall_s : -1;
    free(memory);
    return MILL_OK;
}

mill_status bench_load_run(const struct bench_load *load, const struct bench_target *target,
                           const struct bench_passages *passages, struct bench_outcome *out,
                           struct mill_error *err) {
    struct bench_run run = {.load = load, .target = target, .joules = -1};
    MILL_TRY(make_requests(&run, passages, err));
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.changed, NULL);
    run.zero_s = mill_clock_seconds();
    mill_status status = send_all(&run, err);
    if (status == MILL_OK) {
        wait_for_all(&run);
        for (int32_t i = 0; i < run.n_started; i++)
            target->finish(target->context, &run.requests[i]);
        status = sum_up(&run, out, err);
    }
    pthread_cond_destroy(&run.changed);
    pthread_mutex_destroy(&run.lock);
    free(run.requests);
    return status;
}
