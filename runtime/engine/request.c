/* request.c - see request.h; and the functions of engine.h that concern one request. */
#include "runtime/engine/request.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/wait.h"

#include <stdlib.h>
#include <string.h>

void mill_engine_request_init(struct mill_engine_request *request) {
    *request = (struct mill_engine_request){.pitch = 2,
                                            .speed = 2,
                                            .pitch_value = -1,
                                            .speed_value = -1,
                                            .temperature = 0.8f,
                                            .top_p = 0.95f,
                                            .top_k = 50,
                                            .max_frames = 3000,
                                            .max_redraws = 2,
                                            .lookahead = -1};
}

mill_status mill_request_new(struct mill_request **out, const struct mill_engine_request *wish,
                             const struct mill_request_sizes *sizes, struct mill_error *err) {
    *out = NULL;
    struct mill_request *request = mill_alloc_array(1, sizeof *request);
    if (!request || mill_wait_init(&request->changed) < 0) {
        free(request);
        return mill_fail(err, MILL_E_MEMORY, "no memory for a request");
    }
    pthread_mutex_init(&request->lock, NULL);
    atomic_init(&request->n_references, 1);
    atomic_init(&request->later, wish->later && wish->stream);
    request->wish = *wish;
    request->wish.text = request->wish.transcript = NULL;
    request->wish.global = request->wish.semantic = NULL;
    request->n_voice_tokens = sizes->n_voice_tokens;
    request->hop = sizes->hop;
    request->submitted_s = mill_clock_seconds();
    request->deadline_s = wish->deadline_s > 0 ? request->submitted_s + wish->deadline_s : 0;
    request->result.seed = wish->seed;
    request->global = mill_alloc_array((size_t)sizes->n_voice_tokens, sizeof *request->global);
    if (!wish->deliver) {
        request->capacity = sizes->unread_samples;
        request->unread = mill_alloc_array(request->capacity, sizeof *request->unread);
    }
    if (!request->global || (!wish->deliver && !request->unread)) {
        mill_request_release(request);
        return mill_fail(err, MILL_E_MEMORY, "no memory for a request");
    }
    *out = request;
    return MILL_OK;
}

void mill_request_hold(struct mill_request *request) {
    atomic_fetch_add(&request->n_references, 1);
}

void mill_request_release(struct mill_request *request) {
    if (!request || atomic_fetch_sub(&request->n_references, 1) > 1)
        return;
    pthread_cond_destroy(&request->changed);
    pthread_mutex_destroy(&request->lock);
    free(request->prompt);
    free(request->global);
    free(request->unread);
    free(request);
}

/* ------------------------------------------------------------------ the engine's side */

bool mill_request_has_room(struct mill_request *request, size_t n_samples) {
    if (!request->unread)
        return true;
    pthread_mutex_lock(&request->lock);
    bool room = request->capacity - request->n_unread >= n_samples;
    pthread_mutex_unlock(&request->lock);
    return room;
}

uint64_t mill_request_n_taken(struct mill_request *request) {
    pthread_mutex_lock(&request->lock);
    uint64_t n = request->n_taken;
    pthread_mutex_unlock(&request->lock);
    return n;
}

/* Under the lock. */
static mill_status keep(struct mill_request *request, const float *samples, size_t n,
                        struct mill_error *err) {
    if (request->capacity - request->n_unread < n)
        return mill_fail(err, MILL_E_DEVICE, "no room is left for unread samples");
    for (size_t i = 0; i < n;) {
        size_t at = (request->first_unread + request->n_unread) % request->capacity;
        size_t run = request->capacity - at < n - i ? request->capacity - at : n - i;
        memcpy(request->unread + at, samples + i, run * sizeof *samples);
        request->n_unread += run;
        i += run;
    }
    return MILL_OK;
}

/* Under the lock, which is given up during the owner's callback. */
static mill_status hand_over(struct mill_request *request, const float *samples, size_t n,
                             struct mill_error *err) {
    const struct mill_engine_request *wish = &request->wish;
    mill_status status = request->unread ? keep(request, samples, n, err) : MILL_OK;
    if (status < 0 || (request->unread && !wish->readable))
        return status;
    request->calling = true;
    pthread_mutex_unlock(&request->lock);
    if (request->unread)
        wish->readable(wish->context);
    else
        status = wish->deliver(wish->context, samples, n, err);
    pthread_mutex_lock(&request->lock);
    request->calling = false;
    return status;
}

mill_status mill_request_deliver(struct mill_request *request, uint64_t first, const float *samples,
                                 size_t n_samples, struct mill_error *err) {
    pthread_mutex_lock(&request->lock);
    mill_status status = MILL_OK;
    uint64_t end = first + n_samples;
    if (request->freed || atomic_load(&request->cancelled)) {
        status = mill_fail(err, MILL_E_CANCELLED, "cancelled");
    } else if (end > request->n_taken) {
        size_t n_new = (size_t)(end - request->n_taken);
        const float *fresh = samples + (n_samples - n_new);
        if (request->n_taken == 0)
            request->result.first_audio_s = mill_clock_seconds() - request->submitted_s;
        request->n_taken = end;
        status = hand_over(request, fresh, n_new, err);
    }
    pthread_cond_broadcast(&request->changed);
    pthread_mutex_unlock(&request->lock);
    return status;
}

void mill_request_set_voice(struct mill_request *request, const int32_t *global) {
    pthread_mutex_lock(&request->lock);
    memcpy(request->global, global, (size_t)request->n_voice_tokens * sizeof *global);
    request->voice_known = true;
    pthread_mutex_unlock(&request->lock);
}

void mill_request_end(struct mill_request *request, const struct mill_request_result *result,
                      struct mill_request_result *out) {
    pthread_mutex_lock(&request->lock);
    struct mill_request_result whole = *result;
    whole.n_prompt = request->n_prompt;
    whole.n_retries = request->result.n_retries;
    whole.first_audio_s = request->result.first_audio_s;
    whole.n_samples = request->n_taken;
    whole.n_frames = (int32_t)(request->n_taken / (uint64_t)request->hop);
    whole.total_s = mill_clock_seconds() - request->submitted_s;
    request->result = whole;
    *out = whole;
    if (request->wish.ended && !request->freed) {
        request->calling = true;
        pthread_mutex_unlock(&request->lock);
        request->wish.ended(request->wish.context, &whole);
        pthread_mutex_lock(&request->lock);
        request->calling = false;
    }
    pthread_cond_broadcast(&request->changed);
    pthread_mutex_unlock(&request->lock);
}

void mill_request_end_unmade(struct mill_request *request, enum mill_request_end end,
                             mill_status status, const struct mill_error *err,
                             struct mill_request_result *out) {
    const struct mill_request_result result = {
        .end = end, .status = status, .error = *err, .seed = request->wish.seed};
    mill_request_end(request, &result, out);
}

int32_t mill_request_count_retry(struct mill_request *request, bool failed) {
    pthread_mutex_lock(&request->lock);
    request->result.n_retries++;
    int32_t n = request->n_failures += failed;
    pthread_mutex_unlock(&request->lock);
    return n;
}

/* ------------------------------------------------------------------ the owner's side */

/* Under the lock. */
static void take_unread(struct mill_request *request, float *samples, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t run = request->capacity - request->first_unread;
        run = run < n - i ? run : n - i;
        memcpy(samples + i, request->unread + request->first_unread, run * sizeof *samples);
        request->first_unread = (request->first_unread + run) % request->capacity;
        request->n_unread -= run;
        i += run;
    }
}

mill_status mill_request_read(struct mill_request *request, float *samples, size_t capacity,
                              double timeout_s, size_t *n_read, struct mill_error *err) {
    *n_read = 0;
    if (!request->unread)
        return mill_fail(err, MILL_E_INPUT, "this request delivers to a callback");
    double until_s = mill_wait_deadline(timeout_s);
    pthread_mutex_lock(&request->lock);
    while (request->n_unread == 0 && request->result.end == MILL_REQUEST_RUNNING)
        if (!mill_wait_until(&request->changed, &request->lock, until_s))
            break;
    mill_status status = MILL_OK;
    if (request->n_unread > 0) {
        *n_read = request->n_unread < capacity ? request->n_unread : capacity;
        take_unread(request, samples, *n_read);
    } else if (request->result.end == MILL_REQUEST_RUNNING) {
        status = MILL_AGAIN;
    } else if (request->result.status < 0) {
        status = mill_fail(err, request->result.status, "%s", request->result.error.text);
    } else {
        status = MILL_DONE;
    }
    pthread_mutex_unlock(&request->lock);
    return status;
}

mill_status mill_request_wait(struct mill_request *request, double timeout_s) {
    double until_s = mill_wait_deadline(timeout_s);
    pthread_mutex_lock(&request->lock);
    while (request->result.end == MILL_REQUEST_RUNNING)
        if (!mill_wait_until(&request->changed, &request->lock, until_s))
            break;
    mill_status status = request->result.end == MILL_REQUEST_RUNNING ? MILL_AGAIN : MILL_OK;
    pthread_mutex_unlock(&request->lock);
    return status;
}

void mill_request_listen(struct mill_request *request) {
    atomic_store(&request->later, false);
}

void mill_request_cancel(struct mill_request *request) {
    atomic_store(&request->cancelled, true);
}

void mill_request_get_result(struct mill_request *request, struct mill_request_result *result) {
    pthread_mutex_lock(&request->lock);
    *result = request->result;
    pthread_mutex_unlock(&request->lock);
}

int32_t mill_request_get_progress(struct mill_request *request) {
    return atomic_load(&request->n_semantic);
}

mill_status mill_request_get_voice(struct mill_request *request, int32_t *global) {
    pthread_mutex_lock(&request->lock);
    mill_status status = request->voice_known ? MILL_OK : MILL_AGAIN;
    if (status == MILL_OK)
        memcpy(global, request->global, (size_t)request->n_voice_tokens * sizeof *global);
    pthread_mutex_unlock(&request->lock);
    return status;
}

void mill_request_free(struct mill_request *request) {
    if (!request)
        return;
    mill_request_cancel(request);
    pthread_mutex_lock(&request->lock);
    request->freed = true;
    while (request->calling)
        pthread_cond_wait(&request->changed, &request->lock);
    pthread_mutex_unlock(&request->lock);
    mill_request_release(request);
}
