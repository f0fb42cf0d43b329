/* store_types.h - what the job store keeps, as plain values; store.h says how it is kept. */
#ifndef MILL_JOBS_STORE_TYPES_H
#define MILL_JOBS_STORE_TYPES_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MILL_JOB_ID_BYTES = 36, /* such as "file-" or "batch_", 24 hexadecimal digits, a final zero */
    MILL_JOB_OWNER_BYTES = 65,
    MILL_JOB_NAME_BYTES = 256,
    MILL_JOB_CUSTOM_ID_BYTES = 256,
    MILL_JOB_WINDOW_BYTES = 16
};

/* A new one, of random numbers. */
mill_status mill_job_make_id(const char *prefix, char id[MILL_JOB_ID_BYTES],
                             struct mill_error *err);

/* What a file is: name, OpenAI's word, or ours for the sound of one request */
#define MILL_JOB_PURPOSE_MAP(X)                                                                    \
    X(INPUT, "batch")                                                                              \
    X(RESULTS, "batch_output")                                                                     \
    X(SOUND, "batch_audio")

enum mill_job_purpose {
#define X(name, text) MILL_JOB_##name,
    MILL_JOB_PURPOSE_MAP(X)
#undef X
        MILL_JOB_PURPOSE_COUNT
};
const char *mill_job_purpose_text(enum mill_job_purpose purpose);

struct mill_job_file {
    int64_t number; /* in the order of their making */
    char id[MILL_JOB_ID_BYTES];
    char owner[MILL_JOB_OWNER_BYTES];
    char name[MILL_JOB_NAME_BYTES];
    enum mill_job_purpose purpose;
    int64_t bytes, created_s;
    int64_t batch;       /* whose results or sound it is; 0 = none */
    int64_t expires_s;   /* by its owner's wish; 0 = never */
    int64_t ages_from_s; /* its making, of what belongs to a batch its end; 0 = not yet */
};

/* Its words are OpenAI's. Those from COMPLETED on are the end. */
#define MILL_JOB_STATE_MAP(X)                                                                      \
    X(VALIDATING, "validating")                                                                    \
    X(IN_PROGRESS, "in_progress")                                                                  \
    X(CANCELLING, "cancelling")                                                                    \
    X(COMPLETED, "completed")                                                                      \
    X(FAILED, "failed")                                                                            \
    X(EXPIRED, "expired")                                                                          \
    X(CANCELLED, "cancelled")

enum mill_job_state {
#define X(name, text) MILL_JOB_##name,
    MILL_JOB_STATE_MAP(X)
#undef X
        MILL_JOB_STATE_COUNT
};
const char *mill_job_state_text(enum mill_job_state state);

struct mill_job_batch {
    int64_t number;
    char id[MILL_JOB_ID_BYTES];
    char owner[MILL_JOB_OWNER_BYTES];
    char input_file[MILL_JOB_ID_BYTES];
    char output_file[MILL_JOB_ID_BYTES], error_file[MILL_JOB_ID_BYTES]; /* empty = none yet */
    char window[MILL_JOB_WINDOW_BYTES];                                 /* as it was said */
    enum mill_job_state state;
    int64_t entered_s[MILL_JOB_STATE_COUNT]; /* when it came into a state; 0 = never */
    int64_t expires_s;
    int64_t output_lifetime_s;              /* of its results, from its end; 0 = as the store's */
    int64_t n_total, n_completed, n_failed; /* requests */
    char *metadata;                         /* owned: JSON of an object; NULL = none */
    char *errors;                           /* owned: JSON of a list; NULL = none */
};
void mill_job_batch_deinit(struct mill_job_batch *batch);

/* One request of a batch, taken. */
struct mill_job_item {
    int64_t batch, line; /* its batch's number; of the input, from 1 */
    int64_t n_attempts;  /* in vain: put back as failed, or the process ended under it */
    char owner[MILL_JOB_OWNER_BYTES];
    char custom_id[MILL_JOB_CUSTOM_ID_BYTES];
    char *text; /* owned: the line, JSON; of 0 bytes where it cannot be read any more */
    size_t text_bytes;
};
void mill_job_item_deinit(struct mill_job_item *item);

/* What became of a request. */
struct mill_job_answer {
    const char *line;   /* of the results file: JSON, without its end of line */
    const char *sound;  /* id of its sound, which is on the disk; NULL = it failed */
    const char *ending; /* of the sound's name, such as "wav" */
    int64_t sound_bytes;
};

/* A part of a list. */
struct mill_job_page {
    const char *owner;
    const char *after;  /* an id: the entries behind that one; empty = from the first */
    const char *filter; /* of files: a purpose's word; empty = all but sounds */
    bool oldest_first;
    int limit;
};

#endif
