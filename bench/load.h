/* load.h - the load generator: sends requests to something that speaks, notes when sound comes, and
 * sums up what its clients would have seen.
 *
 * Closed loop: a number of clients, each sends its next request when the last has ended. Open loop:
 * requests are due at random moments (Poisson) whether or not the earlier ones are done, and every
 * latency counts from the moment a request was due, so a server that falls behind cannot hide it.
 *
 * What is measured stands behind a bench_target: the engine in this process, or a server. One
 * thread runs the load; heard and ended may be called on any thread. */
#ifndef MILL_BENCH_LOAD_H
#define MILL_BENCH_LOAD_H

#include "bench/passages.h"
#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_run; /* one run of a load, private */

/* A request on its way: what the target reads, its handle, and what its client has seen. */
struct bench_request {
    struct bench_passage text;
    uint64_t seed;
    void *handle; /* the target's */

    struct bench_run *run;
    double due_s, first_s, last_s, end_s; /* since the run's start; 0 = not yet */
    double audio_s, longest_gap_s, stalled_s;
    int32_t n_stalls;
    bool ended, failed;
};

struct bench_target {
    void *context;
    int32_t sample_rate, samples_per_frame;
    /* Begin; sound and the end are told through the two calls below. On failure neither follows. */
    mill_status (*start)(void *context, struct bench_request *request, struct mill_error *err);
    /* After its end, on the thread of the load: free the handle. */
    void (*finish)(void *context, struct bench_request *request);
    /* Joules since some moment in the past; negative = the machine does not tell. */
    double (*joules)(void *context);
};
/* n more samples have come; and: nothing more will come. */
void bench_request_heard(struct bench_request *request, size_t n_samples);
void bench_request_ended(struct bench_request *request, bool failed);

struct bench_load {
    int32_t concurrency; /* clients of a closed loop; 0 = open loop */
    double rate;         /* requests a second of an open loop */
    int32_t n_requests;  /* that count */
    int32_t n_warmup;    /* sent before them, not counted */
    uint64_t seed;       /* of texts, moments and voices */
};

/* What came of it. Times in seconds; percentiles over requests (gaps: over each one's longest). */
struct bench_outcome {
    int32_t n_done, n_failed;
    double wall_s, audio_s, frames_per_s, audio_per_s;
    double first_p50, first_p90, first_p99;       /* until the first sound */
    double latency_p50, latency_p90, latency_p99; /* until the end */
    double gap_p50, gap_p99;                      /* longest pause between two pieces of sound */
    double underrun_share; /* requests whose player fell silent at least once */
    double stalled_s;      /* silence of all players together */
    double joules;         /* negative = not known */
};

/* Runs the load to its end. Requests that fail are counted; a target that cannot start any ends
 * the run. */
mill_status bench_load_run(const struct bench_load *load, const struct bench_target *target,
                           const struct bench_passages *passages, struct bench_outcome *out,
                           struct mill_error *err);

#endif
