/* passage_submit.c - see passage_state.h: pieces into the engine, and what comes back. The engine's
 * threads only copy samples and wake the reader. */
#include "runtime/passage/passage_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ on the engine's threads */

/* Under the lock, which is given up: tells a reader that waits. */
static void wake_and_unlock(struct mill_passage *p) {
    bool tell = p->waiting && p->options.readable;
    p->waiting = false;
    p->n_events++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (tell)
        p->options.readable(p->options.context);
}

mill_status mill_passage_hold(struct mill_passage_flight *flight, const float *samples, size_t n,
                              struct mill_error *err) {
    if (flight->capacity - flight->n < n) {
        size_t capacity = 2 * flight->capacity + n; /* bounded by the request's max_frames */
        float *wave = realloc(flight->wave, capacity * sizeof *wave);
        if (!wave)
            return mill_fail(err, MILL_E_MEMORY, "no memory for the sound");
        flight->wave = wave;
        flight->capacity = capacity;
    }
    memcpy(flight->wave + flight->n, samples, n * sizeof *samples);
    flight->n += n;
    return MILL_OK;
}

static mill_status deliver(void *context, const float *samples, size_t n, struct mill_error *err) {
    struct mill_passage_flight *flight = context;
    struct mill_passage *p = flight->passage;
    pthread_mutex_lock(&p->lock);
    mill_status status = mill_passage_hold(flight, samples, n, err);
    if (status == MILL_OK)
        wake_and_unlock(p);
    else
        pthread_mutex_unlock(&p->lock);
    return status;
}

static void ended(void *context, const struct mill_request_result *result) {
    struct mill_passage_flight *flight = context;
    struct mill_passage *p = flight->passage;
    pthread_mutex_lock(&p->lock);
    flight->ended = true;
    flight->result = *result;
    p->n_done++;
    wake_and_unlock(p);
}

void mill_passage_cancel(struct mill_passage *passage) {
    pthread_mutex_lock(&passage->lock);
    passage->cancelled = true;
    for (int32_t i = 0; i < passage->n_flights; i++)
        if (passage->flights[i].request)
            mill_request_cancel(passage->flights[i].request);
    wake_and_unlock(passage);
}

/* ------------------------------------------------------------------ on the reader's */

static bool is_flying(struct mill_passage *p) {
    bool flying = false;
    pthread_mutex_lock(&p->lock);
    for (int32_t i = 0; i < p->n_flights; i++)
        flying |= p->flights[i].piece >= 0 && !p->flights[i].ended;
    pthread_mutex_unlock(&p->lock);
    return flying;
}

void mill_passage_learn_voice(struct mill_passage *p, struct mill_passage_flight *flight) {
    struct mill_passage_speaker *speaker = &p->speakers[p->pieces[flight->piece].speaker];
    pthread_mutex_lock(&p->lock);
    if (speaker->inventor == flight->piece &&
        mill_request_get_voice(flight->request, speaker->global) == MILL_OK) {
        speaker->wish.global = speaker->global;
        speaker->wish.n_global = p->n_voice_tokens;
        speaker->inventor = -1;
    }
    pthread_mutex_unlock(&p->lock);
}

/* Whether the voice of a piece is known, or to be created by it. Its inventor has not landed, or
 * its voice would be known. */
static bool has_voice(struct mill_passage *p, int32_t piece) {
    const struct mill_passage_speaker *speaker = &p->speakers[p->pieces[piece].speaker];
    if (speaker->inventor >= 0 && speaker->inventor < piece)
        mill_passage_learn_voice(p, mill_passage_flight(p, speaker->inventor));
    return speaker->inventor < 0 || speaker->inventor == piece;
}

mill_status mill_passage_wish(struct mill_passage *p, int32_t number,
                              struct mill_engine_request *wish, struct mill_buffer *spoken,
                              struct mill_error *err) {
    const struct mill_passage_piece *piece = &p->pieces[number];
    spoken->size = 0;
    MILL_TRY(mill_segment_spoken(spoken, p->text.data + piece->at, piece->bytes, err));
    *wish = p->speakers[piece->speaker].wish;
    wish->text = spoken->data;
    wish->text_bytes = spoken->size;
    wish->seed =
        mill_philox_derive(wish->seed, (uint64_t)number, 0x7365676d656e7400u); /* "segment" */
    return MILL_OK;
}

static mill_status fly(struct mill_passage *p, struct mill_passage_flight *flight,
                       struct mill_engine_request *wish, double *retry_after_s,
                       struct mill_error *err) {
    struct mill_request *request;
    wish->in_place = p->has_place && !is_flying(p);
    wish->later = wish->stream && flight->piece > p->current;
    wish->deliver = deliver;
    wish->ended = ended;
    wish->context = flight;
    if (wish->deadline_s > 0)
        wish->deadline_s = fmax(1e-6, wish->deadline_s + p->opened_s - mill_clock_seconds());
    pthread_mutex_lock(&p->lock);
    flight->ended = false;
    pthread_mutex_unlock(&p->lock);
    mill_status status = mill_engine_submit(p->engine, wish, &request, retry_after_s, err);
    pthread_mutex_lock(&p->lock);
    flight->request = status == MILL_OK ? request : NULL;
    if (status == MILL_OK && p->cancelled)
        mill_request_cancel(request);
    pthread_mutex_unlock(&p->lock);
    return status;
}

static mill_status submit_piece(struct mill_passage *p, int32_t number, double *retry_after_s,
                                struct mill_error *err) {
    struct mill_passage_flight *flight = mill_passage_flight(p, number);
    struct mill_engine_request wish;
    struct mill_buffer spoken;
    mill_buffer_init(&spoken, p->pieces[number].bytes);
    mill_status status = mill_passage_wish(p, number, &wish, &spoken, err);
    pthread_mutex_lock(&p->lock);
    flight->piece = number;
    flight->n = flight->n_looked = flight->loud_end = 0;
    flight->first_loud = SIZE_MAX;
    flight->ended = true; /* it is nowhere yet */
    pthread_mutex_unlock(&p->lock);
    if (status == MILL_OK)
        status = mill_passage_take_kept(p, flight, &wish, err);
    if (status == MILL_AGAIN)
        status = fly(p, flight, &wish, retry_after_s, err);
    mill_buffer_deinit(&spoken);
    if (status != MILL_OK) {
        pthread_mutex_lock(&p->lock);
        flight->piece = -1;
        pthread_mutex_unlock(&p->lock);
    }
    return status;
}

/* The engine keeps a place between segments, so the rest of a text that was let in is let in too.
 */
static mill_status take_place(struct mill_passage *p, double *retry_after_s,
                              struct mill_error *err) {
    if (p->next > 0 || p->n_pieces == 1 || p->has_place)
        return MILL_OK;
    mill_status status = mill_engine_take_place(p->engine, retry_after_s, err);
    p->has_place = status == MILL_OK;
    return status;
}

mill_status mill_passage_submit(struct mill_passage *p, double *retry_after_s,
                                struct mill_error *err) {
    MILL_TRY(mill_passage_keep(p, err));
    mill_status status = take_place(p, retry_after_s, err);
    while (status == MILL_OK && p->next < p->n_pieces && p->next < p->current + p->n_flights &&
           has_voice(p, p->next)) {
        status = submit_piece(p, p->next, retry_after_s, err);
        p->next += status == MILL_OK;
    }
    if (p->has_place && p->next == p->n_pieces) {
        mill_engine_put_place(p->engine);
        p->has_place = false;
    }
    return status == MILL_AGAIN && p->next > p->current ? MILL_OK : status;
}

static void add_result(struct mill_request_result *total, const struct mill_request_result *r) {
    total->n_prompt += r->n_prompt;
    total->n_draws += r->n_draws;
    total->n_frames += r->n_frames;
    total->n_redraws += r->n_redraws;
    total->findings |= r->findings;
    total->n_retries += r->n_retries;
    total->n_preemptions += r->n_preemptions;
    total->exact &= r->exact;
    total->prefill_s += r->prefill_s;
    total->decode_s += r->decode_s;
    total->vocoder_s += r->vocoder_s;
}

void mill_passage_land(struct mill_passage *p, struct mill_passage_flight *flight) {
    mill_passage_learn_voice(p, flight);
    pthread_mutex_lock(&p->lock);
    const struct mill_request_result *r = &flight->result;
    p->n_limited += r->end == MILL_REQUEST_LIMIT;
    if (flight->piece == 0) {
        p->total.seed = r->seed;
        p->total.queued_s = r->queued_s;
        p->total.first_audio_s = r->first_audio_s;
    }
    add_result(&p->total, r);
    p->n_found_frames += flight->request ? 0 : r->n_frames;
    struct mill_request *request = flight->request;
    flight->request = NULL;
    flight->piece = -1;
    pthread_mutex_unlock(&p->lock);
    mill_request_free(request);
}
