/* load.h - the load generator: sends requests to something that speaks, notes when sound comes, and
 * sums up what its clients would have seen.
 *
 * Closed loop: a number of clients, each sends its next request when the last has ended. Open loop:
 * requests are due at random moments (Poisson) whether or not the earlier ones are done, and every
 * latency counts from the moment a request was due, so a server that falls behind cannot hide it.
 *
 * What is measured stands behind a bench_target: the engine in this process, or a server. One
 * thread runs the load; sent, heard and ended may be called on any thread. */
#ifndef MILL_BENCH_LOAD_H
#define MILL_BENCH_LOAD_H

#include "bench/passages.h"
#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_run; /* one run of a load, private */

enum { BENCH_FAILURE_BYTES = 24, BENCH_MAX_FAILURES = 8 };

/* A request on its way: what the target reads, its handle, and what its client has seen. */
struct bench_request {
    struct bench_passage text;
    uint64_t seed;
    void *handle; /* the target's */

    struct bench_run *run;
    double due_s, sent_s, first_s, last_s, end_s; /* since the run's start; 0 = not yet */
    double audio_s, longest_gap_s, stalled_s;
    int32_t n_stalls;
    bool ended;
    char failure[BENCH_FAILURE_BYTES]; /* "429", "timeout"; empty = none */
};

struct bench_target {
    void *context;
    int32_t sample_rate, samples_per_frame;
    /* Begin; what becomes of it is told through the calls below. On failure none follows. It must
     * not wait for the other side: other requests are due. */
    mill_status (*start)(void *context, struct bench_request *request, struct mill_error *err);
    /* After its end, on the thread of the load: free the handle. */
    void (*finish)(void *context, struct bench_request *request);
    /* Joules since some moment in the past; negative = the machine does not tell. */
    double (*joules)(void *context);
    /* Seconds of work of its devices since some moment in the past, together over how many there
     * are; NULL = not known. */
    double (*busy_s)(void *context);
};
/* It is on its way; n more samples have come; nothing more will come (`failure` in a word or as a
 * status, NULL = it is whole). */
void bench_request_sent(struct bench_request *request);
void bench_request_heard(struct bench_request *request, size_t n_samples);
void bench_request_ended(struct bench_request *request, const char *failure);

struct bench_load {
    int32_t concurrency; /* clients of a closed loop; 0 = open loop */
    double rate;         /* requests a second of an open loop */
    int32_t n_requests;  /* that count */
    int32_t n_warmup;    /* sent before them, not counted; over before a closed loop begins */
    uint64_t seed;       /* of texts, moments and voices */
    double deadline_s;   /* until the first sound, for a request to be good */
};

/* How many failed alike; a list of them ends with the first that has none. */
struct bench_failure {
    char name[BENCH_FAILURE_BYTES];
    int32_t n;
};
/* n more; where the list is full they are "other". */
void bench_failures_add(struct bench_failure list[BENCH_MAX_FAILURES], const char *name, int32_t n);

/* What came of it. Times in seconds; percentiles over requests (gaps: over each one's longest). */
struct bench_outcome {
    int32_t n_done, n_failed;
    double wall_s, audio_s, frames_per_s, audio_per_s;
    double first_p50, first_p90, first_p99;       /* until the first sound */
    double latency_p50, latency_p90, latency_p99; /* until the end */
    double gap_p50, gap_p99;                      /* longest pause between two pieces of sound */
    double underrun_share; /* requests whose player fell silent at least once */
    double stalled_s;      /* silence of all players together */
    /* Good ones: whole, begun within the deadline, never silent; a second, and of all sent. */
    double good_per_s, good_share;
    double sent_late_p99; /* from due to sent: where it is more than a little, the bench is slow */
    double joules;        /* negative = not known */
    double busy_share;    /* of the time that devices worked; negative = not known */
    struct bench_failure failures[BENCH_MAX_FAILURES];
};

/* Runs the load to its end. Requests that fail are counted; a target that cannot start any ends
 * the run. */
mill_status bench_load_run(const struct bench_load *load, const struct bench_target *target,
                           const struct bench_passages *passages, struct bench_outcome *out,
                           struct mill_error *err);

#endif
