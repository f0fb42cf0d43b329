/* replica_step.c - see replica_state.h: one turn of a replica, a step of the language model and a
 * batch of the vocoder.
 *
 *     plan step t, launch it | collect step t - 1 and its windows | plan windows, launch them
 *
 * So while the host looks at tokens, delivers sound and plans, the device has step t to do. Where
 * the backend computes before it returns, step and windows are collected in the turn that launched
 * them. The vocoder's work stands behind step t in the same order of work, or is done beside step t
 * by a backend of its own: its state is that of the tokens seen, so it needs nothing of the step,
 * and it never waits for the host. Neither gets ahead of the other by more than a turn. Arrays of a
 * step are the replica's; nothing is allocated here. */
#include "runtime/engine/replica_state.h"

#include "runtime/base/clock.h"

#include <math.h>
#include <string.h>

/* Averages forget at that rate. */
#define FORGET 0.9
#define FORGET_RATE 0.99

/* ------------------------------------------------------------------ computing, observed */

static void begin_computing(struct mill_replica *r, enum mill_watchdog_call call, int32_t n) {
    pthread_mutex_lock(&r->lock);
    mill_watchdog_begin(&r->watchdog, call, n, mill_replica_clock(r));
    r->since_s = mill_clock_seconds();
    pthread_mutex_unlock(&r->lock);
}

/* The status of what was computed, or MILL_E_CANCELLED when it is well but the replica was given up
 * meanwhile. */
static mill_status end_computing(struct mill_replica *r, mill_status status) {
    pthread_mutex_lock(&r->lock);
    mill_watchdog_end(&r->watchdog, mill_replica_clock(r));
    r->since_s = mill_clock_seconds();
    if (status >= 0 && r->state != MILL_REPLICA_READY)
        status = MILL_E_CANCELLED;
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* Seconds that the device took for what was launched at since_s and is here now: its work runs in
 * order, so not before what was collected before it. Of two things done side by side the one that
 * comes later counts for what it lasted longer, so that all together is the time it was busy. */
static double take_time(struct mill_replica *r, double since_s) {
    double now_s = mill_clock_seconds();
    double start_s = since_s > r->collected_s ? since_s : r->collected_s;
    r->collected_s = now_s;
    return now_s - start_s;
}

static void count(struct mill_replica *r, int32_t n_rows, int32_t n_frames, double seconds) {
    pthread_mutex_lock(&r->lock);
    r->stats.busy_s += seconds;
    r->rate_s += seconds;
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
        struct mill_utterance *u = &job->utterance;
        int32_t first = plan->row_first[s];
        memcpy(r->ids + first, u->ids + sequence->n_cached,
               (size_t)sequence->n_rows * sizeof *r->ids);
        if (sequence->draws) {
            r->draws[n_draws] = mill_utterance_draw(u, first + sequence->n_rows - 1);
            if (r->ahead)
                mill_scheduler_expect(r->scheduler, sequence, mill_utterance_expect(u, n_draws));
            n_draws++;
        }
        if (!job->started)
            job->result.queued_s = mill_clock_seconds() - job->request->submitted_s;
        job->started = true;
    }
}

static mill_status launch_step(struct mill_replica *r, const struct mill_step_plan *plan,
                               struct mill_error *err) {
    const struct mill_qwen2_step step = {.n_sequences = plan->n_sequences,
                                         .n_rows = plan->n_rows,
                                         .n_draws = plan->n_draws,
                                         .apart = plan->apart,
                                         .ids = r->ids,
                                         .row_first = plan->row_first,
                                         .n_cached = plan->n_cached,
                                         .pages = plan->pages,
                                         .draws = r->draws};
    struct mill_replica_flight *flight = &r->flights[r->n_launched++ % MILL_QWEN2_SLOTS];
    flight->n_sequences = plan->n_sequences;
    flight->n_rows = plan->n_rows;
    flight->since_s = mill_clock_seconds();
    memcpy(flight->sequences, plan->sequences,
           (size_t)plan->n_sequences * sizeof *flight->sequences);
    begin_computing(r, MILL_WATCHDOG_LAUNCH_STEP, plan->n_rows);
    prepare(r, plan);
    return end_computing(r, mill_qwen2_launch(r->lm, &step, err));
}

/* Look at the tokens in the order of the plan. */
static void accept_tokens(struct mill_replica *r, const struct mill_replica_flight *flight,
                          double seconds) {
    int32_t n_draws = 0;
    for (int32_t s = 0; s < flight->n_sequences; s++) {
        const struct mill_plan_sequence *sequence = &flight->sequences[s];
        struct mill_replica_job *job = &r->jobs[sequence->slot];
        int32_t draw = n_draws;
        n_draws += sequence->draws;
        if (!mill_scheduler_wants_draw(r->scheduler, sequence))
            continue;
        *(job->utterance.n_draws == 0 ? &job->result.prefill_s : &job->result.decode_s) += seconds;
        if (sequence->draws)
            mill_replica_job_draw(r, sequence, r->tokens[draw]);
    }
}

/* What the scheduler is told of them: see mill_scheduler_costs. A row of a prompt takes no longer
 * than the step's rows do on average, which counts where hardly a step is without prompts. */
static void learn_step(struct mill_replica *r, const struct mill_replica_flight *flight,
                       double seconds) {
    int32_t n = flight->n_sequences, n_more = flight->n_rows - n;
    struct mill_scheduler_costs *costs = &r->costs;
    if (n_more == 0)
        average(&r->decode_s, seconds);
    else if (seconds > r->decode_s)
        average(&costs->row_s, fmin((seconds - r->decode_s) / n_more, seconds / flight->n_rows));
    average(&r->step_s, fmax(seconds - n_more * costs->row_s, 0));
    costs->turn_s = r->step_s + n * costs->voice_s;
    mill_scheduler_set_costs(r->scheduler, costs);
}

/* The step launched first of those on their way. */
static mill_status wait_for_step(struct mill_replica *r, const struct mill_replica_flight **flight,
                                 struct mill_error *err) {
    *flight = &r->flights[r->n_collected++ % MILL_QWEN2_SLOTS];
    begin_computing(r, MILL_WATCHDOG_COLLECT_STEP, (*flight)->n_rows);
    return end_computing(r, mill_qwen2_collect(r->lm, r->tokens, err));
}

/* Wait for steps until no more than n are on their way. */
static mill_status collect_steps(struct mill_replica *r, uint64_t n, struct mill_error *err) {
    while (r->n_launched - r->n_collected > n) {
        const struct mill_replica_flight *flight;
        MILL_TRY(wait_for_step(r, &flight, err));
        double seconds = take_time(r, flight->since_s);
        learn_step(r, flight, seconds);
        count(r, flight->n_rows, 0, seconds);
        accept_tokens(r, flight, seconds);
    }
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

static mill_status launch_windows(struct mill_replica *r, const struct mill_window_plan *plan,
                                  struct mill_error *err) {
    r->pieces_since_s = mill_clock_seconds();
    begin_computing(r, MILL_WATCHDOG_LAUNCH_WINDOWS, plan->n_frames);
    mill_status status = make_pieces(r, plan, &r->n_pieces, err);
    if (status >= 0 && r->n_pieces > 0)
        status = mill_bicodec_streams_launch(r->streams, r->pieces, r->n_pieces, err);
    return end_computing(r, status);
}

/* How long a call takes before its first frame and for each, by the line that recent calls lie
 * nearest to; where they were all alike, all of it is the frames'. One's own window waits for what
 * it takes for others too: for the longest of late, as players are not to run dry by it. */
static void learn_call(struct mill_replica *r, int32_t n_frames, double seconds) {
    struct mill_replica_calls *c = &r->calls;
    double n = n_frames, own = n / r->n_pieces;
    c->weight = FORGET * c->weight + 1;
    c->n = FORGET * c->n + n;
    c->nn = FORGET * c->nn + n * n;
    c->s = FORGET * c->s + seconds;
    c->ns = FORGET * c->ns + n * seconds;
    double spread = c->weight * c->nn - c->n * c->n;
    double slope = (c->weight * c->ns - c->n * c->s) / spread, most = c->s / c->n;
    bool alike = spread < 0.01 * c->n * c->n;
    r->costs.voice_s = alike || slope > most ? most : fmax(slope, 0);
    r->costs.call_s = fmax(FORGET_RATE * r->costs.call_s, seconds - own * r->costs.voice_s);
}

static mill_status wait_for_windows(struct mill_replica *r, int32_t *n_frames,
                                    struct mill_error *err) {
    *n_frames = 0;
    for (int32_t i = 0; i < r->n_pieces; i++)
        *n_frames += r->pieces[i].n_frames;
    begin_computing(r, MILL_WATCHDOG_COLLECT_WINDOWS, *n_frames);
    return end_computing(r, mill_bicodec_streams_collect(r->streams, err));
}

static mill_status collect_windows(struct mill_replica *r, struct mill_error *err) {
    int32_t n_pieces = r->n_pieces, n_frames;
    if (n_pieces == 0)
        return MILL_OK;
    MILL_TRY(wait_for_windows(r, &n_frames, err));
    double seconds = take_time(r, r->pieces_since_s);
    count(r, 0, n_frames, seconds);
    learn_call(r, n_frames, r->collected_s - r->pieces_since_s);
    r->n_pieces = 0;
    for (int32_t i = 0; i < n_pieces; i++) {
        if (!mill_scheduler_wants_window(r->scheduler, &r->windows[i]))
            continue;
        r->jobs[r->windows[i].slot].result.vocoder_s += seconds;
        mill_replica_job_voice(r, &r->windows[i], &r->pieces[i]);
    }
    return MILL_OK;
}

mill_status mill_replica_collect_all(struct mill_replica *r, struct mill_error *err) {
    const struct mill_replica_flight *flight;
    int32_t n_frames;
    mill_status status = MILL_E_CANCELLED; /* it is given up, and goes on all the same */
    while (r->n_launched > r->n_collected && status == MILL_E_CANCELLED)
        status = wait_for_step(r, &flight, err);
    if (r->n_pieces > 0 && status == MILL_E_CANCELLED)
        status = wait_for_windows(r, &n_frames, err);
    r->n_pieces = 0;
    r->collected_s = mill_clock_seconds();
    return status == MILL_E_CANCELLED ? MILL_OK : status;
}

/* ------------------------------------------------------------------ a turn */

/* Those that nobody wants go; those whose listener has come are told; those whose reader has no
 * room for a window stand still. */
static void sweep(struct mill_replica *r) {
    size_t window = (size_t)r->options.max_window * (size_t)r->options.model->shape.bicodec.hop;
    double now_s = mill_clock_seconds();
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
        if (!atomic_load(&job->request->later))
            mill_scheduler_listen(r->scheduler, slot, now_s);
        bool held = !job->judged && !mill_request_has_room(job->request, window);
        if (held != job->held)
            mill_scheduler_hold(r->scheduler, slot, held);
        job->held = held;
    }
}

static mill_status run_step(struct mill_replica *r, bool *worked, struct mill_error *err) {
    struct mill_step_plan plan;
    MILL_TRY(mill_scheduler_plan_step(r->scheduler, mill_clock_seconds(), &plan, err));
    for (int32_t i = 0; i < plan.n_expired; i++) {
        const struct mill_error late = {"not done by its deadline"};
        mill_replica_job_end(r, &r->jobs[plan.expired[i]], MILL_REQUEST_DEADLINE, MILL_E_CANCELLED,
                             &late, false);
    }
    bool launched = plan.n_sequences > 0;
    *worked = launched || plan.n_expired > 0 || r->n_launched > r->n_collected;
    if (launched)
        MILL_TRY(launch_step(r, &plan, err));
    return collect_steps(r, launched && r->ahead, err);
}

mill_status mill_replica_turn(struct mill_replica *r, bool *worked, struct mill_error *err) {
    struct mill_window_plan plan;
    MILL_TRY(run_step(r, worked, err));
    *worked |= r->n_pieces > 0;
    MILL_TRY(collect_windows(r, err));
    sweep(r);
    mill_scheduler_plan_windows(r->scheduler, mill_clock_seconds(), &plan);
    if (plan.n_windows > 0)
        MILL_TRY(launch_windows(r, &plan, err));
    *worked |= r->n_pieces > 0;
    if (!r->ahead)
        MILL_TRY(collect_windows(r, err));
    return r->n_jobs > 0 ? MILL_OK : collect_steps(r, 0, err); /* nobody waits for it, but clocks */
}
