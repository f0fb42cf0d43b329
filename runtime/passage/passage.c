/* passage.c - see passage.h and passage_state.h. */
#include "runtime/passage/passage_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/wait.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_AHEAD = 64 };

void mill_passage_options_init(struct mill_passage_options *options) {
    *options = (struct mill_passage_options){.speed = 1,
                                             .limits = mill_segment_limits_default(),
                                             .clause_ms = 150,
                                             .sentence_ms = 300,
                                             .paragraph_ms = 700,
                                             .max_rests_s = 86400,
                                             .max_spoken_bytes = MILL_SCRIPT_TEXT_BYTES,
                                             .n_ahead = 2};
    mill_engine_request_init(&options->wish);
}

/* ------------------------------------------------------------------ open, close */

static mill_status check(const struct mill_passage_options *o, struct mill_error *err) {
    enum { MAX_PAUSE_MS = 60000 };
    if (!(o->speed >= MILL_SPEED_MIN && o->speed <= MILL_SPEED_MAX))
        return mill_fail(err, MILL_E_INPUT, "a speed of %g: %g to %g are possible", o->speed,
                         MILL_SPEED_MIN, MILL_SPEED_MAX);
    if (o->n_ahead < 0 || o->n_ahead > MAX_AHEAD)
        return mill_fail(err, MILL_E_INPUT, "%d segments ahead: 0 to %d are possible", o->n_ahead,
                         MAX_AHEAD);
    const int32_t pauses[] = {o->clause_ms, o->sentence_ms, o->paragraph_ms};
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++)
        if (pauses[i] < 0 || pauses[i] > MAX_PAUSE_MS)
            return mill_fail(err, MILL_E_INPUT, "a rest of %d ms: 0 to %d are possible", pauses[i],
                             MAX_PAUSE_MS);
    return MILL_OK;
}

static mill_status open_flights(struct mill_passage *p, struct mill_error *err) {
    int32_t wanted = p->options.n_ahead + 1, n = wanted < p->n_pieces ? wanted : p->n_pieces;
    p->flights = mill_alloc_array((size_t)n, sizeof *p->flights);
    if (!p->flights)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a passage");
    p->n_flights = n;
    for (int32_t i = 0; i < n; i++)
        p->flights[i] = (struct mill_passage_flight){.passage = p, .piece = -1};
    return MILL_OK;
}

/* One segment alone is not worth a folder; one that is there, of a longer text or of a run that was
 * killed when its output was whole, is used and goes. */
static bool wants_kept(const struct mill_passage *p, const char *folder) {
    struct stat info;
    return folder && (p->n_pieces > 1 || (stat(folder, &info) == 0 && S_ISDIR(info.st_mode)));
}

static mill_status open_kept(struct mill_passage *p, struct mill_error *err) {
    p->kept_model = strdup(p->options.kept_model ? p->options.kept_model : "");
    return p->kept_model ? mill_kept_open(&p->kept, p->options.kept, err)
                         : mill_fail(err, MILL_E_MEMORY, "no memory for a passage");
}

mill_status mill_passage_open(struct mill_passage **out, struct mill_engine *engine,
                              const struct mill_passage_options *options, double *retry_after_s,
                              struct mill_error *err) {
    *out = NULL;
    MILL_TRY(check(options, err));
    struct mill_passage *p = mill_alloc_array(1, sizeof *p);
    if (!p || mill_wait_init(&p->changed) < 0) {
        free(p);
        return mill_fail(err, MILL_E_MEMORY, "no memory for a passage");
    }
    pthread_mutex_init(&p->lock, NULL);
    const struct mill_engine_info *info = mill_engine_get_info(engine);
    p->engine = engine;
    p->options = *options;
    p->sample_rate = info->sample_rate;
    p->n_voice_tokens = info->n_voice_tokens;
    p->opened_s = mill_clock_seconds();
    p->total = (struct mill_request_result){.seed = options->wish.seed, .exact = true};
    mill_status status = mill_passage_plan(p, err);
    if (status == MILL_OK)
        status = open_flights(p, err);
    if (status == MILL_OK)
        p->pause_s = p->first_pause_s;
    if (status == MILL_OK && wants_kept(p, options->kept))
        status = open_kept(p, err);
    if (status == MILL_OK)
        status = mill_passage_submit(p, retry_after_s, err);
    if (status == MILL_OK)
        status = mill_passage_count_kept(p, err);
    if (status == MILL_OK)
        *out = p;
    else
        mill_passage_close(p);
    return status;
}

void mill_passage_close(struct mill_passage *p) {
    if (!p)
        return;
    for (int32_t i = 0; i < p->n_flights; i++) {
        mill_request_free(p->flights[i].request);
        free(p->flights[i].wave);
    }
    if (p->has_place)
        mill_engine_put_place(p->engine);
    for (int32_t i = 0; i < p->n_speakers; i++) {
        free(p->speakers[i].global);
        free((int32_t *)(uintptr_t)p->speakers[i].wish.semantic);
        free((char *)(uintptr_t)p->speakers[i].wish.transcript);
    }
    free(p->speakers);
    free(p->flights);
    free(p->pieces);
    mill_kept_close(p->kept);
    free(p->kept_model);
    mill_time_stretch_close(p->stretch);
    mill_buffer_deinit(&p->text);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ------------------------------------------------------------------ reading */

/* Whether it has ended; else what happens from now on is told. */
static bool prepare(struct mill_passage *p, uint64_t *n_events, mill_status *status,
                    struct mill_error *err) {
    pthread_mutex_lock(&p->lock);
    if (p->cancelled && p->total.end == MILL_REQUEST_RUNNING) {
        p->total.end = MILL_REQUEST_CANCELLED;
        p->total.status = mill_fail(&p->total.error, MILL_E_CANCELLED, "cancelled");
    }
    bool over = p->total.end != MILL_REQUEST_RUNNING;
    *status = p->total.status < 0 ? p->total.status : MILL_DONE;
    if (over && p->total.status < 0 && err)
        *err = p->total.error;
    *n_events = p->n_events;
    p->waiting = !over;
    pthread_mutex_unlock(&p->lock);
    return over;
}

/* A step of reading ended so; a failure ends the passage. */
static void settle(struct mill_passage *p, mill_status status, struct mill_error *cause) {
    if (status < 0 && p->n_pieces > 1 && p->current < p->n_pieces)
        mill_context(cause, status, "segment %d of %d", p->current + 1, p->n_pieces);
    pthread_mutex_lock(&p->lock);
    p->waiting &= status == MILL_AGAIN;
    if (status < 0) {
        p->total.status = status;
        p->total.error = *cause;
        if (p->total.end == MILL_REQUEST_RUNNING)
            p->total.end = MILL_REQUEST_FAILED;
    } else if (status == MILL_DONE) {
        p->total.end = p->n_limited > 0 ? MILL_REQUEST_LIMIT : MILL_REQUEST_COMPLETE;
    }
    if (status < 0 || status == MILL_DONE)
        p->total.total_s = mill_clock_seconds() - p->opened_s;
    pthread_mutex_unlock(&p->lock);
    if (status < 0)
        mill_passage_cancel(p); /* what is under way is for nothing */
}

/* Until something happens; false when the moment came before. */
static bool wait_for_event(struct mill_passage *p, uint64_t n_events, double until_s) {
    bool in_time = true;
    pthread_mutex_lock(&p->lock);
    while (p->n_events == n_events && in_time)
        in_time = mill_wait_until(&p->changed, &p->lock, until_s);
    pthread_mutex_unlock(&p->lock);
    return in_time;
}

mill_status mill_passage_read(struct mill_passage *passage, float *samples, size_t capacity,
                              double timeout_s, size_t *n_read, struct mill_error *err) {
    double until_s = mill_wait_deadline(timeout_s);
    for (;;) {
        uint64_t n_events;
        struct mill_error cause = {""};
        mill_status status;
        *n_read = 0;
        if (prepare(passage, &n_events, &status, err))
            return status;
        status = mill_passage_submit(passage, NULL, &cause);
        if (status >= 0)
            status = mill_passage_join(passage, samples, capacity, n_read, &cause);
        settle(passage, status, &cause);
        if (status < 0 && *n_read > 0)
            return MILL_OK; /* it is the next read that fails */
        if (status < 0 && err)
            *err = cause;
        if (status != MILL_AGAIN || timeout_s == 0 || !wait_for_event(passage, n_events, until_s))
            return status;
    }
}

/* ------------------------------------------------------------------ what became of it */

void mill_passage_get_progress(struct mill_passage *passage, struct mill_passage_progress *out) {
    pthread_mutex_lock(&passage->lock);
    *out = (struct mill_passage_progress){.n_segments = passage->n_pieces,
                                          .n_done = passage->n_done,
                                          .n_frames = passage->total.n_frames,
                                          .n_limited = passage->n_limited,
                                          .n_found = passage->n_found,
                                          .n_kept = passage->n_kept,
                                          .n_found_frames = passage->n_found_frames};
    for (int32_t i = 0; i < passage->n_flights; i++)
        if (passage->flights[i].request)
            out->n_frames += mill_request_get_progress(passage->flights[i].request);
    pthread_mutex_unlock(&passage->lock);
}

void mill_passage_get_result(struct mill_passage *passage, struct mill_request_result *result) {
    pthread_mutex_lock(&passage->lock);
    *result = passage->total;
    result->n_samples = passage->n_read;
    pthread_mutex_unlock(&passage->lock);
}

mill_status mill_passage_get_voice(struct mill_passage *passage, int32_t *global) {
    pthread_mutex_lock(&passage->lock);
    const struct mill_passage_speaker *speaker = &passage->speakers[0];
    mill_status status = speaker->wish.global ? MILL_OK : MILL_AGAIN;
    if (status == MILL_OK)
        memcpy(global, speaker->wish.global, (size_t)passage->n_voice_tokens * sizeof *global);
    pthread_mutex_unlock(&passage->lock);
    return status;
}
