/* metrics.h - what an operator watches, as Prometheus reads it: GET /metrics.
 *
 * What the engine counts comes from its statistics; here stands what only the server sees. Names
 * are sparkmill_*; where vLLM has the same, its name follows. Counters are atomic: no lock. */
#ifndef MILL_SERVER_METRICS_H
#define MILL_SERVER_METRICS_H

#include "runtime/base/buffer.h"
#include "runtime/engine/engine.h"
#include "runtime/jobs/store.h"
#include "runtime/server/route.h"

#include <stdatomic.h>

enum { MILL_METRICS_STATUSES = 600, MILL_METRICS_ROUTES = 64, MILL_METRICS_BUCKETS = 14 };

struct mill_histogram {
    _Atomic uint64_t counts[MILL_METRICS_BUCKETS + 1]; /* the last: more than the last bound */
    _Atomic uint64_t sum_us;
};
void mill_histogram_add(struct mill_histogram *histogram, double seconds);

/* How speech ended, and the word for it, of the page and of the log. */
enum mill_speech_end {
    MILL_SPEECH_STOP,
    MILL_SPEECH_LENGTH,
    MILL_SPEECH_ABORT,
    MILL_SPEECH_DEADLINE,
    MILL_SPEECH_ERROR,
    MILL_SPEECH_REFUSED,
    MILL_SPEECH_ENDS
};
extern const char *const mill_speech_end_names[MILL_SPEECH_ENDS];

/* Zeroed by its owner. */
struct mill_metrics {
    /* HTTP answers by route, status; the last row is for what has no route. */
    _Atomic uint32_t answers[MILL_METRICS_ROUTES + 1][MILL_METRICS_STATUSES];
    struct mill_histogram answer_s; /* to the end of the answer */
    struct mill_histogram first_sound_s, speech_s;
    _Atomic uint64_t n_speeches[MILL_SPEECH_ENDS]; /* by their end */
    _Atomic uint64_t n_underruns; /* streams whose listener had to wait for sound */
    _Atomic uint64_t audio_ms, n_cloned;
    _Atomic uint64_t n_batch_done, n_batch_failed, batch_audio_ms; /* requests of batches */
    _Atomic uint64_t n_retired_files, n_retired_batches;
    _Atomic int64_t n_streams;
};

struct mill_metrics_page {
    struct mill_metrics *metrics;
    const char *model;                  /* a label without quotes or backslashes */
    struct mill_engine_stats *engine;   /* NULL = there is none yet */
    const struct mill_job_totals *jobs; /* NULL = there are no batches */
    size_t n_connections;
    uint64_t n_evicted;
    const struct mill_route *routes;
};
mill_status mill_metrics_print(const struct mill_metrics_page *page, struct mill_buffer *out,
                               struct mill_error *err);

#endif
