/* replica_job.c - see replica_state.h: a request becomes a job of the scheduler, draws tokens, is
 * judged, perhaps drawn again, becomes sound and ends. */
#include "runtime/engine/replica_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Frames of sound at a time that are enough on any device: half a second. */
enum { FIRST_WINDOW = 25 };

/* ------------------------------------------------------------------ begin, and begin again */

static void init_quality(const struct mill_replica *r, struct mill_replica_job *job) {
    job->n_judged = 0;
    const struct mill_quality_limits limits = mill_quality_limits_default();
    mill_quality_init(&job->quality, &limits, &job->request->text,
                      r->options.model->shape.bicodec.sample_rate,
                      r->options.model->shape.bicodec.hop);
}

static mill_status init_utterance(const struct mill_replica *r, struct mill_utterance *utterance,
                                  struct mill_request *request, struct mill_error *err) {
    const struct mill_engine_request *wish = &request->wish;
    const struct mill_utterance_options options = {
        .prompt = request->prompt,
        .n_prompt = request->n_prompt,
        .start = request->start,
        .unrestricted = wish->unrestricted,
        .global = request->start == MILL_GRAMMAR_SPEAK ? request->global : NULL,
        .temperature = wish->temperature,
        .top_p = wish->top_p,
        .top_k = wish->top_k,
        .seed = wish->seed,
        .max_frames = wish->max_frames};
    return mill_utterance_init(utterance, &options, &r->options.model->tokens, err);
}

static struct mill_job make_job(const struct mill_replica *r, struct mill_request *request,
                                const struct mill_utterance *utterance, bool judged) {
    const struct mill_engine_request *wish = &request->wish;
    bool exact = wish->lookahead < 0;
    int32_t hop = request->hop;
    return (struct mill_job){
        .n_ids = utterance->n_ids,
        .max_ids = utterance->max_ids,
        .estimate_frames = request->estimate_frames,
        .first_window = wish->stream ? FIRST_WINDOW : 0,
        .streamed = wish->stream,
        .later = atomic_load(&request->later),
        .lookahead = exact ? mill_bicodec_streams_context(r->streams) : wish->lookahead,
        .first_frame =
            judged || !exact ? 0 : (int32_t)(mill_request_n_taken(request) / (uint64_t)hop),
        .priority = wish->priority,
        .fair_key = wish->fair_key,
        .deadline_s = request->deadline_s,
        .prompt = request->prompt,
        .n_prompt = request->n_prompt};
}

/* Ends a request that never became a job. */
static void refuse(struct mill_replica *r, struct mill_request *request, mill_status status,
                   const struct mill_error *err) {
    struct mill_request_result result;
    mill_request_end_unmade(request, MILL_REQUEST_FAILED, status, err, &result);
    mill_replica_forget(r, request);
    r->options.host.ended(r->options.host.context, &result);
}

void mill_replica_job_start(struct mill_replica *r, struct mill_request *request) {
    struct mill_error err = {""};
    struct mill_utterance utterance;
    /* Only what is not heard yet can be said again. */
    bool judged = !request->wish.stream && request->wish.max_redraws > 0;
    mill_status status = init_utterance(r, &utterance, request, &err);
    int32_t slot = -1;
    if (status == MILL_OK) {
        const struct mill_job job = make_job(r, request, &utterance, judged);
        status = mill_scheduler_add(r->scheduler, &job, &slot, &err);
        if (status != MILL_OK)
            mill_utterance_deinit(&utterance);
    }
    if (status != MILL_OK) {
        refuse(r, request, status < 0 ? status : MILL_E_MEMORY, &err);
        return;
    }
    struct mill_replica_job *job = &r->jobs[slot];
    *job = (struct mill_replica_job){
        .request = request, .slot = slot, .utterance = utterance, .judged = judged};
    mill_request_hold(request);
    job->result.seed = request->wish.seed;
    init_quality(r, job);
    if (request->start == MILL_GRAMMAR_SPEAK)
        mill_request_set_voice(request, request->global);
    r->n_jobs++;
}

static void redraw(struct mill_replica *r, struct mill_replica_job *job) {
    struct mill_error err;
    job->result.seed = mill_quality_seed(job->request->wish.seed, ++job->result.n_redraws);
    free(job->withheld);
    job->withheld = NULL;
    init_quality(r, job);
    mill_status status = mill_utterance_restart(&job->utterance, job->result.seed, &err);
    if (status < 0)
        mill_replica_job_end(r, job, MILL_REQUEST_FAILED, status, &err, true);
    else
        mill_scheduler_restart(r->scheduler, job->slot, job->utterance.n_ids);
}

/* ------------------------------------------------------------------ the end */

void mill_replica_job_drop(struct mill_replica *r, struct mill_replica_job *job) {
    mill_utterance_deinit(&job->utterance);
    free(job->withheld);
    mill_request_release(job->request);
    *job = (struct mill_replica_job){0};
    r->n_jobs--;
}

void mill_replica_job_end(struct mill_replica *r, struct mill_replica_job *job,
                          enum mill_request_end end, mill_status status,
                          const struct mill_error *err, bool in_scheduler) {
    struct mill_request_result *result = &job->result;
    result->end = end;
    result->status = status;
    if (err)
        result->error = *err;
    result->findings |= job->quality.findings;
    if (in_scheduler) {
        result->n_preemptions = mill_scheduler_n_preemptions(r->scheduler, job->slot);
        mill_scheduler_remove(r->scheduler, job->slot);
    }
    struct mill_request_result whole;
    mill_request_end(job->request, result, &whole);
    mill_replica_forget(r, job->request);
    mill_replica_job_drop(r, job);
    r->options.host.ended(r->options.host.context, &whole);
}

static void fail(struct mill_replica *r, struct mill_replica_job *job, mill_status status,
                 const struct mill_error *err) {
    enum mill_request_end end =
        status == MILL_E_CANCELLED ? MILL_REQUEST_CANCELLED : MILL_REQUEST_FAILED;
    mill_replica_job_end(r, job, end, status, err, true);
}

/* ------------------------------------------------------------------ tokens */

static enum mill_quality_ending ending_of(const struct mill_utterance *u, mill_status status) {
    if (status == MILL_E_NUMERIC)
        return MILL_QUALITY_NUMERIC;
    if (u->end == MILL_UTTERANCE_RUNNING)
        return MILL_QUALITY_STOPPED;
    return u->end == MILL_UTTERANCE_LIMIT ? MILL_QUALITY_LIMIT : MILL_QUALITY_ENDED;
}

/* Whether to draw again, by what the tokens alone show. An utterance that ended before its first
 * frame was heard by nobody, so it may be drawn again even where audio is not withheld. */
static bool wants_redraw(const struct mill_replica_job *job, mill_status status) {
    const struct mill_utterance *u = &job->utterance;
    if (!job->judged && u->n_semantic > 0)
        return false;
    if (u->end == MILL_UTTERANCE_RUNNING && status == MILL_OK && job->quality.findings == 0)
        return false;
    struct mill_quality probe = job->quality;
    uint32_t findings = mill_quality_end(&probe, ending_of(u, status), false);
    return mill_quality_judge(findings, job->result.n_redraws, job->request->wish.max_redraws) ==
           MILL_QUALITY_REDRAW;
}

static mill_status withhold(struct mill_replica_job *job, struct mill_error *err) {
    job->withheld = mill_alloc_array((size_t)job->utterance.n_semantic * (size_t)job->request->hop,
                                     sizeof *job->withheld);
    return job->withheld ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory for the sound");
}

/* The last window is there: judge, deliver what was withheld, end. */
static void finish(struct mill_replica *r, struct mill_replica_job *job) {
    const struct mill_utterance *u = &job->utterance;
    struct mill_error err = {""};
    /* What a device that failed had made of it was heard by another. */
    bool all_heard = job->quality.n_frames == u->n_semantic;
    uint32_t findings = mill_quality_end(&job->quality, ending_of(u, MILL_OK), all_heard);
    if (job->judged) {
        enum mill_quality_verdict verdict =
            mill_quality_judge(findings, job->result.n_redraws, job->request->wish.max_redraws);
        if (verdict == MILL_QUALITY_REDRAW) {
            redraw(r, job);
            return;
        }
        mill_status status =
            verdict == MILL_QUALITY_FAIL
                ? mill_fail(&err, MILL_E_NUMERIC, "%d attempts gave no sound: try another text",
                            1 + job->result.n_redraws)
                : mill_request_deliver(job->request, 0, job->withheld,
                                       (size_t)u->n_semantic * (size_t)job->request->hop, &err);
        if (status < 0) {
            fail(r, job, status, &err);
            return;
        }
    }
    mill_replica_job_end(
        r, job, u->end == MILL_UTTERANCE_LIMIT ? MILL_REQUEST_LIMIT : MILL_REQUEST_COMPLETE,
        MILL_OK, NULL, true);
}

void mill_replica_job_draw(struct mill_replica *r, const struct mill_plan_sequence *sequence,
                           int32_t token) {
    struct mill_replica_job *job = &r->jobs[sequence->slot];
    struct mill_utterance *u = &job->utterance;
    struct mill_error err = {""};
    int32_t n_before = u->n_semantic;
    mill_status status = mill_utterance_accept(u, token, &err);
    job->result.n_draws = u->n_draws;
    for (int32_t i = n_before; i < u->n_semantic; i++)
        mill_quality_token(&job->quality, u->semantic[i]);
    atomic_store(&job->request->n_semantic, u->n_semantic);
    if (wants_redraw(job, status)) {
        redraw(r, job);
        return;
    }
    if (status < 0) {
        fail(r, job, status == MILL_E_NOT_FOUND ? MILL_E_INPUT : status, &err);
        return;
    }
    bool ended = u->end != MILL_UTTERANCE_RUNNING;
    /* What will be heard is not drawn again, so its voice is final. */
    bool heard = !job->judged && n_before == 0 && u->n_semantic > 0;
    if ((ended || heard) && job->request->start != MILL_GRAMMAR_SPEAK)
        mill_request_set_voice(job->request, u->global);
    if (ended && job->judged)
        status = withhold(job, &err);
    if (status < 0)
        fail(r, job, status, &err);
    else if (mill_scheduler_accept(r->scheduler, sequence, u->n_ids, u->n_semantic, ended))
        finish(r, job); /* a replica that failed had delivered all of it */
}

/* ------------------------------------------------------------------ sound */

void mill_replica_job_voice(struct mill_replica *r, const struct mill_plan_window *window,
                            const struct mill_bicodec_piece *piece) {
    struct mill_replica_job *job = &r->jobs[window->slot];
    struct mill_error err = {""};
    size_t hop = (size_t)job->request->hop, n = (size_t)piece->n_frames * hop;
    /* A stream that begins again makes sound that was judged before. */
    int32_t n_known = job->n_judged - window->first;
    n_known = n_known < 0 ? 0 : n_known < piece->n_frames ? n_known : piece->n_frames;
    mill_quality_audio(&job->quality, piece->wave + (size_t)n_known * hop,
                       n - (size_t)n_known * hop);
    if (job->n_judged < window->end)
        job->n_judged = window->end;
    mill_status status = MILL_OK;
    if (job->judged)
        memcpy(job->withheld + (size_t)window->first * hop, piece->wave, n * sizeof *piece->wave);
    else if (!piece->finite)
        status = mill_fail(&err, MILL_E_NUMERIC,
                           "the decoder's sound is not finite behind frame %d", window->first);
    else
        status =
            mill_request_deliver(job->request, (uint64_t)window->first * hop, piece->wave, n, &err);
    if (status < 0)
        fail(r, job, status, &err);
    else if (mill_scheduler_voiced(r->scheduler, window, mill_clock_seconds()))
        finish(r, job);
}
