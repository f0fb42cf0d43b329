/* replica_step.c - see replica_state.h: one turn of a replica, first a step of the language model,
 * then a batch of the vocoder. Arrays of a step are the replica's; nothing is allocated here. */
#include "runtime/engine/replica_state.h"

#include "runtime/base/clock.h"

#include <string.h>

/* A step that takes so many times what was estimated is no longer believed in; averages forget at
 * that rate. */
#define PATIENCE 20.0
#define FORGET 0.9
#define FORGET_RATE 0.99

/* ------------------------------------------------------------------ computing, observed */

static void begin_computing(struct mill_replica *r, double estimate_s) {
    pthread_mutex_lock(&r->lock);
    r->computing = true;
    r->since_s = mill_clock_seconds();
    r->limit_s = PATIENCE * estimate_s;
    if (r->limit_s < r->options.stuck_s)
        r->limit_s = r->options.stuck_s;
    pthread_mutex_unlock(&r->lock);
}

/* Seconds since it began; false when the replica was given up meanwhile. */
static bool end_computing(struct mill_replica *r, double *seconds) {
    pthread_mutex_lock(&r->lock);
    double now_s = mill_clock_seconds();
    *seconds = now_s - r->since_s;
    r->computing = false;
    r->since_s = now_s;
    r->stats.busy_s += *seconds;
    r->rate_s += *seconds;
    bool alive = r->state == MILL_REPLICA_READY;
    pthread_mutex_unlock(&r->lock);
    return alive;
}

static void count(struct mill_replica *r, int32_t n_rows, int32_t n_frames) {
    pthread_mutex_lock(&r->lock);
    r->stats.n_steps += n_rows > 0;
    r->stats.n_tokens += (uint64_t)n_rows;
    r->stats.n_frames += (uint64_t)n_frames;
    r->rate_frames = r->rate_frames * FORGET_RATE + n_frames;
    r->rate_s *= FORGET_RATE;
    pthread_mutex_unlock(&r->lock);
}

static void average(double *average_s, double seconds) {
    *average_s = *average_s > 0 ? FORGET * *average_s + (1 - FORGET) * seconds : seconds;
}

/* ------------------------------------------------------------------ the language model */

/* Ids and draws of the plan. */
static void prepare(struct mill_replica *r, const struct mill_step_plan *plan) {
    int32_t n_draws = 0;
    for (int32_t s = 0; s < plan->n_sequences; s++) {
        const struct mill_plan_sequence *sequence = &plan->sequences[s];
        struct mill_replica_job *job = &r->jobs[sequence->slot];
        int32_t first = plan->row_first[s];
        memcpy(r->ids + first, job->utterance.ids + sequence->n_cached,
               (size_t)sequence->n_rows * sizeof *r->ids);
        if (sequence->draws)
            r->draws[n_draws++] =
                mill_utterance_draw(&job->utterance, first + sequence->n_rows - 1);
        if (!job->started)
            job->result.queued_s = mill_clock_seconds() - job->request->submitted_s;
        job->started = true;
    }
}

/* Look at the tokens in the order of the plan. */
static void accept_tokens(struct mill_replica *r, const struct mill_step_plan *plan,
                          double seconds) {
    int32_t n_draws = 0;
    for (int32_t s = 0; s < plan->n_sequences; s++) {
        const struct mill_plan_sequence *sequence = &plan->sequences[s];
        struct mill_replica_job *job = &r->jobs[sequence->slot];
        struct mill_utterance *u = &job->utterance;
        *(u->n_draws == 0 ? &job->result.prefill_s : &job->result.decode_s) += seconds;
        if (sequence->draws)
            mill_replica_job_draw(r, sequence, r->tokens[n_draws++]);
        else
            mill_scheduler_accept(r->scheduler, sequence, u->n_ids, u->n_semantic, false);
    }
}

static mill_status run_language_model(struct mill_replica *r, const struct mill_step_plan *plan,
                                      struct mill_error *err) {
    const struct mill_qwen2_step step = {.n_sequences = plan->n_sequences,
                                         .n_rows = plan->n_rows,
                                         .n_draws = plan->n_draws,
                                         .ids = r->ids,
                                         .row_first = plan->row_first,
                                         .n_cached = plan->n_cached,
                                         .pages = plan->pages,
                                         .draws = r->draws,
                                         .tokens = r->tokens};
    double seconds;
    begin_computing(r, plan->n_rows * r->row_s);
    prepare(r, plan);
    mill_status status = mill_qwen2_run(r->lm, &step, err);
    if (!end_computing(r, &seconds))
        return MILL_E_CANCELLED;
    MILL_TRY(status);
    average(&r->row_s, seconds / plan->n_rows);
    count(r, plan->n_rows, 0);
    accept_tokens(r, plan, seconds);
    return MILL_OK;
}

/* ------------------------------------------------------------------ the vocoder */

static mill_status start_stream(struct mill_replica *r, const struct mill_plan_window *window,
                                struct mill_error *err) {
    const struct mill_replica_job *job = &r->jobs[window->slot];
    const struct mill_bicodec_stream_start start = {.global = job->utterance.global,
                                                    .first_frame = window->first,
                                                    .exact = job->request->wish.lookahead < 0,
                                                    .lookahead = job->request->wish.lookahead,
                                                    .step = MILL_REPLICA_STREAM_STEP};
    return mill_bicodec_stream_start(r->streams, window->stream, &start, err);
}

/* The pieces of a plan's windows; a stream that is not exact may want to wait, or end earlier. */
static mill_status make_pieces(struct mill_replica *r, const struct mill_window_plan *plan,
                               int32_t *n_pieces, struct mill_error *err) {
    float *wave = r->wave;
    *n_pieces = 0;
    for (int32_t i = 0; i < plan->n_windows; i++) {
        struct mill_plan_window window = plan->windows[i];
        struct mill_replica_job *job = &r->jobs[window.slot];
        const struct mill_utterance *u = &job->utterance;
        bool finished = u->end != MILL_UTTERANCE_RUNNING;
        if (window.fresh)
            MILL_TRY(start_stream(r, &window, err));
        int32_t n_frames = mill_bicodec_stream_ready(r->streams, window.stream, u->n_semantic,
                                                     finished, window.end - window.first);
        if (n_frames == 0)
            continue;
        window.end = window.first + n_frames;
        job->result.exact = mill_bicodec_stream_is_exact(r->streams, window.stream);
        r->pieces[*n_pieces] = (struct mill_bicodec_piece){.stream = window.stream,
                                                           .semantic = u->semantic,
                                                           .n_semantic = u->n_semantic,
                                                           .finished = finished,
                                                           .n_frames = n_frames,
                                                           .wave = wave};
        r->windows[(*n_pieces)++] = window;
        wave += (size_t)n_frames * (size_t)job->request->hop;
    }
    return MILL_OK;
}

static mill_status run_vocoder(struct mill_replica *r, const struct mill_window_plan *plan,
                               bool *worked, struct mill_error *err) {
    int32_t n_pieces = 0, n_frames = 0;
    double seconds;
    begin_computing(r, plan->n_frames * r->voice_s);
    mill_status status = make_pieces(r, plan, &n_pieces, err);
    if (status >= 0 && n_pieces > 0)
        status = mill_bicodec_streams_decode(r->streams, r->pieces, n_pieces, err);
    if (!end_computing(r, &seconds))
        return MILL_E_CANCELLED;
    MILL_TRY(status);
    for (int32_t i = 0; i < n_pieces; i++) {
        n_frames += r->pieces[i].n_frames;
        r->jobs[r->windows[i].slot].result.vocoder_s += seconds;
        mill_replica_job_voice(r, &r->windows[i], &r->pieces[i]);
    }
    *worked |= n_pieces > 0;
    if (n_frames > 0)
        average(&r->voice_s, seconds / n_frames);
    count(r, 0, n_frames);
    return MILL_OK;
}

/* ------------------------------------------------------------------ a turn */

/* Those that nobody wants go; those whose reader is slow stand still. */
static void sweep(struct mill_replica *r) {
    size_t window = (size_t)r->options.max_window * (size_t)r->options.model->shape.bicodec.hop;
    for (int32_t slot = 0, n = r->n_jobs; n > 0; slot++) {
        struct mill_replica_job *job = &r->jobs[slot];
        if (!job->request)
            continue;
        n--;
        if (atomic_load(&job->request->cancelled)) {
            const struct mill_error err = {"cancelled"};
            mill_replica_job_end(r, job, MILL_REQUEST_CANCELLED, MILL_E_CANCELLED, &err, true);
            continue;
        }
        bool held = !job->judged && !mill_request_has_room(job->request, window);
        if (held != job->held)
            mill_scheduler_hold(r->scheduler, slot, held);
        job->held = held;
    }
}

mill_status mill_replica_turn(struct mill_replica *r, bool *worked, struct mill_error *err) {
    struct mill_step_plan step;
    sweep(r);
    MILL_TRY(mill_scheduler_plan_step(r->scheduler, mill_clock_seconds(), &step, err));
    for (int32_t i = 0; i < step.n_expired; i++) {
        const struct mill_error late = {"not done by its deadline"};
        mill_replica_job_end(r, &r->jobs[step.expired[i]], MILL_REQUEST_DEADLINE, MILL_E_CANCELLED,
                             &late, false);
    }
    *worked = step.n_sequences > 0 || step.n_expired > 0;
    if (step.n_sequences > 0)
        MILL_TRY(run_language_model(r, &step, err));
    struct mill_window_plan windows;
    mill_scheduler_plan_windows(r->scheduler, mill_clock_seconds(), &windows);
    return windows.n_windows > 0 ? run_vocoder(r, &windows, worked, err) : MILL_OK;
}
