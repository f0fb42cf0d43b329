/* passage_read.c - see passage_state.h: the sound of pieces, one behind the other, as one.
 *
 *       tail of a piece          rest           head of the next
 *     ~~~~~~~~~........|....... zeros ........|......~~~~~~~~~~~
 *             kept ^    ^ left out   left out ^      ^ kept
 *
 * A piece's sound is looked at in windows of 10 ms: from its first loud one to its last it is given
 * as it is. Of the silence that the model made before and behind, so much is kept as the rest asks
 * for, and zeros fill what is missing; before the first piece and behind the last all of it, where
 * no rest was asked for. A silent end is known only when something loud or nothing more follows, so
 * it is held back until then. The cuts do not depend on how the samples arrive. */
#include "runtime/passage/passage_state.h"

#include <math.h>
#include <string.h>

enum { PIECE_SAMPLES = 2048 };
/* A window is silent below that, some -50 dB; a head keeps so much of a rest, since words begin
 * softer than that. */
#define SILENT_RMS 0.003
#define HEAD_S 0.05

/* ------------------------------------------------------------------ a piece's edges */

static bool is_loud(const float *wave, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)wave[i] * (double)wave[i];
    return sum > SILENT_RMS * SILENT_RMS * (double)n;
}

/* Under the lock: the windows that are whole, and when it has ended the rest. */
static void look(const struct mill_passage *p, struct mill_passage_flight *flight) {
    size_t window = (size_t)p->sample_rate / 100;
    while (flight->n - flight->n_looked >= window ||
           (flight->ended && flight->n_looked < flight->n)) {
        size_t left = flight->n - flight->n_looked, n = left < window ? left : window;
        if (is_loud(flight->wave + flight->n_looked, n)) {
            if (flight->first_loud == SIZE_MAX)
                flight->first_loud = flight->n_looked;
            flight->loud_end = flight->n_looked + n;
        }
        flight->n_looked += n;
    }
}

/* Seconds of the passage as samples of a piece, and the other way round. */
static size_t to_samples(const struct mill_passage *p, double s) {
    return (size_t)llrint(fmax(0, s) * p->sample_rate * p->pieces[p->current].speed);
}
static double to_seconds(const struct mill_passage *p, size_t n) {
    return (double)n / p->sample_rate / p->pieces[p->current].speed;
}

static bool is_last(const struct mill_passage *p) {
    return p->current == p->n_pieces - 1;
}

/* The rest behind the current piece; < 0 = all that the model made. */
static double pause_behind_s(const struct mill_passage *p) {
    return is_last(p) ? p->last_pause_s : p->pieces[p->current].pause_s;
}

/* ------------------------------------------------------------------ from piece to piece */

static mill_status open_stretch(struct mill_passage *p, struct mill_error *err) {
    const struct mill_passage_piece *piece = &p->pieces[p->current];
    p->flushed = false;
    return piece->speed == 1 && piece->pitch == 1
               ? MILL_OK
               : mill_time_stretch_open(&p->stretch, p->sample_rate, piece->speed, piece->pitch,
                                        err);
}

/* Under the lock. Where the sound begins, once that is known: MILL_AGAIN before. */
static mill_status find_head(struct mill_passage *p, struct mill_passage_flight *flight) {
    p->position = 0;
    if (p->pause_s < 0)
        return MILL_OK;
    if (flight->first_loud == SIZE_MAX && !flight->ended)
        return MILL_AGAIN;
    if (flight->first_loud == SIZE_MAX) /* nothing to hear: it is left out */
        flight->first_loud = flight->loud_end = flight->n;
    size_t silent = flight->first_loud, kept = to_samples(p, p->pause_s);
    kept = flight->loud_end == silent ? 0 : kept < silent ? kept : silent;
    p->n_zeros = (uint64_t)llrint(fmax(0, p->pause_s - to_seconds(p, kept)) * p->sample_rate);
    p->position = silent - kept;
    return MILL_OK;
}

static mill_status begin(struct mill_passage *p, struct mill_error *err) {
    struct mill_passage_flight *flight = mill_passage_flight(p, p->current);
    if (p->current == p->next)
        return MILL_AGAIN; /* the engine had no room for it */
    pthread_mutex_lock(&p->lock);
    look(p, flight);
    mill_status status = find_head(p, flight);
    pthread_mutex_unlock(&p->lock);
    if (status == MILL_OK)
        status = open_stretch(p, err);
    if (status == MILL_OK)
        p->phase = MILL_PASSAGE_SOUND;
    return status;
}

/* Under the lock: where the samples end that can be given now. */
static size_t find_limit(struct mill_passage *p, const struct mill_passage_flight *flight) {
    double pause_s = pause_behind_s(p);
    if (pause_s < 0)
        return flight->n;
    if (!flight->ended)
        return flight->loud_end;
    size_t kept = to_samples(p, pause_s - fmin(HEAD_S, pause_s / 2));
    size_t silent = flight->n - flight->loud_end;
    return flight->loud_end + (kept < silent ? kept : silent);
}

/* The piece is told to its end: what of the rest behind it is still to come? */
static void end_piece(struct mill_passage *p) {
    struct mill_passage_flight *flight = mill_passage_flight(p, p->current);
    double pause_s = pause_behind_s(p);
    if (p->position > flight->loud_end)
        pause_s -= to_seconds(p, p->position - flight->loud_end);
    mill_time_stretch_close(p->stretch);
    p->stretch = NULL;
    mill_passage_land(p, flight);
    p->phase = MILL_PASSAGE_BEGIN;
    p->pause_s = fmax(0, pause_s);
    if (is_last(p))
        p->n_zeros = (uint64_t)llrint(p->pause_s * p->sample_rate);
    p->current++;
    struct mill_request *next =
        p->current < p->next ? mill_passage_flight(p, p->current)->request : NULL;
    if (next) /* else it is not submitted yet, or was kept */
        mill_request_listen(next);
}

/* ------------------------------------------------------------------ samples */

/* Copies what is there into `samples`; MILL_DONE when that was all of the piece, MILL_AGAIN when
 * there is nothing yet, or what it failed with. */
static mill_status take(struct mill_passage *p, float *samples, size_t capacity, size_t *n,
                        struct mill_error *err) {
    struct mill_passage_flight *flight = mill_passage_flight(p, p->current);
    *n = 0;
    pthread_mutex_lock(&p->lock);
    look(p, flight);
    size_t limit = find_limit(p, flight);
    if (limit > p->position) {
        *n = limit - p->position < capacity ? limit - p->position : capacity;
        memcpy(samples, flight->wave + p->position, *n * sizeof *samples);
        p->position += *n;
    }
    mill_status status = *n > 0                      ? MILL_OK
                         : !flight->ended            ? MILL_AGAIN
                         : flight->result.status < 0 ? mill_fail(err, flight->result.status, "%s",
                                                                 flight->result.error.text)
                                                     : MILL_DONE;
    if (status < 0)
        p->total.end = flight->result.end;
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* The same, with speed and pitch changed on the way. */
static mill_status take_stretched(struct mill_passage *p, float *samples, size_t capacity,
                                  size_t *n, struct mill_error *err) {
    for (;;) {
        *n = mill_time_stretch_read(p->stretch, samples, capacity);
        if (*n > 0 || p->flushed)
            return *n > 0 ? MILL_OK : MILL_DONE;
        float piece[PIECE_SAMPLES];
        size_t n_taken;
        mill_status status = take(p, piece, PIECE_SAMPLES, &n_taken, err);
        if (status == MILL_OK)
            status = mill_time_stretch_write(p->stretch, piece, n_taken, err);
        else if (status == MILL_DONE) {
            status = mill_time_stretch_finish(p->stretch, err);
            p->flushed = true;
        }
        if (status != MILL_OK)
            return status;
    }
}

static size_t take_zeros(struct mill_passage *p, float *samples, size_t capacity) {
    size_t n = p->n_zeros < capacity ? (size_t)p->n_zeros : capacity;
    memset(samples, 0, n * sizeof *samples);
    p->n_zeros -= n;
    return n;
}

/* One step: some samples, or from one phase to the next. */
static mill_status step(struct mill_passage *p, float *samples, size_t capacity, size_t *n,
                        struct mill_error *err) {
    *n = 0;
    if (p->n_zeros > 0) {
        *n = take_zeros(p, samples, capacity);
        return MILL_OK;
    }
    if (p->current == p->n_pieces)
        return MILL_DONE;
    if (p->phase == MILL_PASSAGE_BEGIN)
        return begin(p, err);
    mill_status status = p->stretch ? take_stretched(p, samples, capacity, n, err)
                                    : take(p, samples, capacity, n, err);
    if (status != MILL_DONE)
        return status;
    MILL_TRY(mill_passage_keep(p, err));
    end_piece(p);
    status = mill_passage_submit(p, NULL, err);
    return status < 0 ? status : MILL_OK;
}

mill_status mill_passage_join(struct mill_passage *p, float *samples, size_t capacity,
                              size_t *n_read, struct mill_error *err) {
    mill_status status = MILL_OK;
    *n_read = 0;
    while (*n_read < capacity && status == MILL_OK) {
        size_t n;
        status = step(p, samples + *n_read, capacity - *n_read, &n, err);
        *n_read += n;
        pthread_mutex_lock(&p->lock);
        p->n_read += n;
        pthread_mutex_unlock(&p->lock);
    }
    return *n_read > 0 && status > 0 ? MILL_OK : status;
}
