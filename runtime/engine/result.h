/* result.h - what became of a request: how it ended, what was made, how long it took. Plain values;
 * part of the public interface. */
#ifndef MILL_ENGINE_RESULT_H
#define MILL_ENGINE_RESULT_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum mill_request_end {
    MILL_REQUEST_RUNNING,
    MILL_REQUEST_COMPLETE,  /* the model ended the utterance */
    MILL_REQUEST_LIMIT,     /* max_frames reached */
    MILL_REQUEST_CANCELLED, /* by the caller, by its audio callback, or by close */
    MILL_REQUEST_DEADLINE,  /* not done in time */
    MILL_REQUEST_FAILED     /* status and message say why */
};

/* Times in seconds of a monotonic clock. */
struct mill_request_result {
    enum mill_request_end end;
    mill_status status; /* MILL_OK for COMPLETE and LIMIT */
    struct mill_error error;
    int32_t n_prompt; /* tokens */
    int32_t n_draws;  /* tokens drawn, of the attempt that became sound */
    int32_t n_frames; /* frames that became sound */
    uint64_t n_samples;
    uint64_t seed;     /* of the attempt that became sound; differs after a redraw */
    int32_t n_redraws; /* attempts that the quality gate threw away */
    uint32_t findings; /* what it still found in the last: see mill_engine_finding_name */
    int32_t n_retries; /* times that it was begun again, as its device had failed or was slow */
    int32_t n_preemptions;
    bool exact;           /* the sound is the model's; false where lookahead was cut */
    double queued_s;      /* from submit until it first ran */
    double first_audio_s; /* from submit until its first samples; 0 = none */
    /* Time in steps that it was part of: until its first draw; from then on; of the vocoder. */
    double prefill_s, decode_s, vocoder_s;
    double total_s; /* from submit to end */
};

#endif
