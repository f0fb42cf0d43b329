/* request.h - one request as the engine's threads share it with its owner: what is wanted, the
 * samples on their way, how it ended. The owner's side is in engine.h.
 *
 * What is wanted is fixed when it is made. The rest is guarded by its own lock, under which nobody
 * takes another one or calls back. Whoever keeps a pointer holds a reference. Of several replicas
 * one at a time works for a request; it delivers samples by their place in the audio, so what a
 * failed one delivered already is skipped and nothing comes twice. */
#ifndef MILL_ENGINE_REQUEST_H
#define MILL_ENGINE_REQUEST_H

#include "runtime/engine/engine.h"
#include "runtime/engine/quality.h"
#include "runtime/engine/utterance.h"

#include <pthread.h>
#include <stdatomic.h>

struct mill_request {
    /* Fixed. */
    struct mill_engine_request wish; /* pointers to text and tokens cleared */
    int32_t *prompt;                 /* owned: [n_prompt] */
    int32_t n_prompt;
    enum mill_grammar_start start;
    int32_t *global; /* owned: [n_voice_tokens], given or, once known, created */
    int32_t n_voice_tokens, hop;
    struct mill_text_size text;
    int32_t estimate_frames;
    int32_t max_tokens;             /* that it may come to, prompt included */
    double submitted_s, deadline_s; /* monotonic; 0 = none */

    atomic_int n_references;
    atomic_bool cancelled;
    atomic_bool later;     /* as wished, until its listener has come */
    atomic_int n_semantic; /* progress */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct mill_request_result result; /* end is RUNNING until it has ended */
    int32_t n_failures;                /* of devices under it */
    bool voice_known, calling, freed;  /* freed: its owner wants no more calls */
    uint64_t n_taken;                  /* samples delivered or kept, from the first */
    float *unread;                     /* owned ring of `capacity` samples; NULL with `deliver` */
    size_t capacity, first_unread, n_unread;
};

struct mill_request_sizes {
    int32_t n_voice_tokens, hop;
    size_t unread_samples; /* kept for a reader */
};
/* With one reference. The caller fills prompt, start, global, text, estimate_frames, max_tokens. */
mill_status mill_request_new(struct mill_request **out, const struct mill_engine_request *wish,
                             const struct mill_request_sizes *sizes, struct mill_error *err);
void mill_request_hold(struct mill_request *request);
void mill_request_release(struct mill_request *request);

/* Whether so many samples can be delivered now: always where they go to a callback. */
bool mill_request_has_room(struct mill_request *request, size_t n_samples);
/* Samples that were delivered so far. */
uint64_t mill_request_n_taken(struct mill_request *request);
/* Samples from number `first` on, of which some may have been delivered before, but none left out.
 * What the callback said, or MILL_E_CANCELLED. */
mill_status mill_request_deliver(struct mill_request *request, uint64_t first, const float *samples,
                                 size_t n_samples, struct mill_error *err);
void mill_request_set_voice(struct mill_request *request, const int32_t *global);
/* It has ended: `result` as far as the caller knows it; times, samples and retries are filled in
 * here, and the whole is copied to *out. */
void mill_request_end(struct mill_request *request, const struct mill_request_result *result,
                      struct mill_request_result *out);
/* The same where there is nothing to tell but why. */
void mill_request_end_unmade(struct mill_request *request, enum mill_request_end end,
                             mill_status status, const struct mill_error *err,
                             struct mill_request_result *out);
/* It is begun again, as its device failed, or is slow; how often one has failed under it. */
int32_t mill_request_count_retry(struct mill_request *request, bool failed);

#endif
