/* schedule_driver.c - see schedule_driver.h. */
#include "tests/engine/schedule_driver.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = (a + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (b + 1) * UINT64_C(0xbf58476d1ce4e5b9);
    return (x ^ (x >> 31)) * UINT64_C(0x94d049bb133111eb);
}

/* What stands for a token behind all tokens in front of it: in a prompt by what they are; behind it
 * everybody is different. */
static uint64_t content_of(const struct drive *d, const struct drive_job *job, int32_t position) {
    size_t first = (size_t)(job - d->jobs) * (size_t)d->max_ids;
    return position < job->job.n_prompt ? d->chains[first + (size_t)position]
                                        : mix(job->id << 32, (uint64_t)position);
}

static void chain_prompt(struct drive *d, int32_t slot) {
    const struct mill_job *job = &d->jobs[slot].job;
    uint64_t chain = 0;
    for (int32_t i = 0; d->chains && i < job->n_prompt; i++) {
        chain = mix(chain, (uint32_t)job->prompt[i]);
        d->chains[(size_t)slot * (size_t)d->max_ids + (size_t)i] = chain;
    }
}

mill_status drive_open(struct drive *d, const struct mill_scheduler_options *options,
                       bool with_contents) {
    *d = (struct drive){.options = *options};
    size_t n_pages = (size_t)options->n_pages, n_jobs = (size_t)options->max_jobs;
    MILL_TRY(mill_kv_pool_open(&d->pool, options->n_pages, options->page_tokens, &d->error));
    d->memory = mill_alloc_aligned(mill_scheduler_bytes(options));
    d->jobs = calloc(n_jobs, sizeof *d->jobs);
    d->finished = calloc(n_jobs, sizeof *d->finished);
    d->written = calloc(n_pages, sizeof *d->written);
    d->flight = calloc((size_t)options->max_sequences, sizeof *d->flight);
    d->max_ids = options->max_pages * options->page_tokens;
    if (with_contents) {
        d->contents = calloc(n_pages * (size_t)options->page_tokens, sizeof *d->contents);
        d->chains = calloc(n_jobs * (size_t)d->max_ids, sizeof *d->chains);
    }
    if (!d->memory || !d->jobs || !d->finished || !d->written || !d->flight ||
        (with_contents && (!d->contents || !d->chains)))
        return mill_fail(&d->error, MILL_E_MEMORY, "no memory");
    return mill_scheduler_init(&d->scheduler, options, d->pool, d->memory, &d->error);
}

void drive_close(struct drive *d) {
    free(d->memory);
    free(d->jobs);
    free(d->finished);
    free(d->written);
    free(d->flight);
    free(d->contents);
    free(d->chains);
    mill_kv_pool_close(d->pool);
}

mill_status drive_add(struct drive *d, const struct mill_job *job, int32_t total_frames,
                      int32_t *slot) {
    mill_status status = mill_scheduler_add(d->scheduler, job, slot, &d->error);
    if (status != MILL_OK)
        return status;
    d->jobs[*slot] = (struct drive_job){.job = *job,
                                        .id = ++d->n_ids,
                                        .total_frames = total_frames,
                                        .active = true,
                                        .n_ids = job->n_ids,
                                        .n_ahead = job->n_ids,
                                        .n_voiced = job->first_frame,
                                        .stream = -1};
    chain_prompt(d, *slot);
    return MILL_OK;
}

void drive_remove(struct drive *d, int32_t slot) {
    mill_scheduler_remove(d->scheduler, slot);
    d->jobs[slot].active = false;
}

void drive_restart(struct drive *d, int32_t slot) {
    struct drive_job *job = &d->jobs[slot];
    mill_scheduler_restart(d->scheduler, slot, job->job.n_ids);
    job->id = ++d->n_ids;
    job->n_ids = job->n_ahead = job->job.n_ids;
    job->n_drawn = job->n_frames = 0;
    job->n_voiced = job->job.first_frame;
    job->ended = false;
    job->stream = -1;
}

static void finish(struct drive *d, int32_t slot) {
    drive_remove(d, slot);
    d->finished[d->n_finished++] = slot;
}

/* ------------------------------------------------------------------ the language model */

static int32_t page_of(const struct drive *d, int32_t index, int32_t position) {
    return d->step.pages[index][position / d->options.page_tokens];
}

static uint64_t *content_at(const struct drive *d, int32_t page, int32_t position) {
    int32_t page_tokens = d->options.page_tokens;
    return &d->contents[(int64_t)page * page_tokens + position % page_tokens];
}

/* The keys and values of a sequence's rows. */
static mill_status append(struct drive *d, int32_t index) {
    const struct mill_plan_sequence *sequence = &d->step.sequences[index];
    const struct drive_job *job = &d->jobs[sequence->slot];
    int32_t end = sequence->n_cached + sequence->n_rows;
    if (!job->active || sequence->n_rows < 1 || end > job->n_ahead ||
        sequence->draws != (end == job->n_ahead) || d->step.n_cached[index] != sequence->n_cached ||
        d->step.row_first[index + 1] - d->step.row_first[index] != sequence->n_rows)
        return mill_fail(&d->error, MILL_E_DEVICE, "slot %d: rows %d to %d of %d known tokens",
                         sequence->slot, sequence->n_cached, end, job->n_ahead);
    for (int32_t t = sequence->n_cached; t < end; t++) {
        int32_t page = page_of(d, index, t);
        bool is_first = t == sequence->n_cached || t % d->options.page_tokens == 0;
        if (is_first && d->written[page] == d->n_steps)
            return mill_fail(&d->error, MILL_E_DEVICE, "page %d is written by two", page);
        d->written[page] = d->n_steps;
        if (d->contents)
            *content_at(d, page, t) = content_of(d, job, t);
    }
    return MILL_OK;
}

/* Its rows look back at everything in front of them, what others appended in this step too, unless
 * the plan has it otherwise. */
static mill_status attend(struct drive *d, int32_t index) {
    const struct mill_plan_sequence *sequence = &d->step.sequences[index];
    const struct drive_job *job = &d->jobs[sequence->slot];
    int32_t end = sequence->n_cached + sequence->n_rows, page_tokens = d->options.page_tokens;
    for (int32_t i = 0; d->step.apart && i < sequence->n_cached / page_tokens; i++)
        if (d->written[d->step.pages[index][i]] == d->n_steps)
            return mill_fail(&d->error, MILL_E_DEVICE, "slot %d reads page %d while it is filled",
                             sequence->slot, d->step.pages[index][i]);
    for (int32_t t = 0; d->contents && t < end; t++) {
        int32_t page = page_of(d, index, t);
        if (*content_at(d, page, t) != content_of(d, job, t))
            return mill_fail(&d->error, MILL_E_DEVICE, "slot %d: token %d is not in page %d",
                             sequence->slot, t, page);
    }
    return MILL_OK;
}

/* The draw is on its way, and the next plan made before it is seen. */
static void expect(struct drive *d, const struct mill_plan_sequence *sequence) {
    struct drive_job *job = &d->jobs[sequence->slot];
    bool last =
        job->limited && job->n_ahead - job->job.n_ids == job->n_before + job->total_frames - 1;
    job->n_ahead += !last;
    mill_scheduler_expect(d->scheduler, sequence, job->n_ahead);
}

static void accept(struct drive *d, const struct mill_plan_sequence *sequence) {
    struct drive_job *job = &d->jobs[sequence->slot];
    bool says_more = job->n_frames < job->total_frames;
    job->n_ids += says_more;
    job->n_drawn += says_more;
    job->n_frames += says_more && job->n_drawn > job->n_before;
    job->n_ahead = job->n_ahead > job->n_ids ? job->n_ahead : job->n_ids;
    job->ended = !says_more || (job->limited && job->n_frames == job->total_frames);
    if (mill_scheduler_accept(d->scheduler, sequence, job->n_ids, job->n_frames, job->ended))
        finish(d, sequence->slot);
}

/* Draws that are to be looked at now: of this step, or of the one before. */
static void accept_draws(struct drive *d) {
    const struct mill_step_plan *plan = &d->step;
    const struct mill_plan_sequence *sequences = d->ahead ? d->flight : plan->sequences;
    int32_t n = d->ahead ? d->n_flight : plan->n_sequences;
    for (int32_t i = 0; d->ahead && i < plan->n_sequences; i++)
        if (plan->sequences[i].draws)
            expect(d, &plan->sequences[i]);
    for (int32_t i = 0; i < n; i++)
        if (sequences[i].draws && mill_scheduler_wants_draw(d->scheduler, &sequences[i]))
            accept(d, &sequences[i]);
    d->n_flight = plan->n_sequences;
    memcpy(d->flight, plan->sequences, (size_t)plan->n_sequences * sizeof *d->flight);
}

static mill_status check_totals(struct drive *d) {
    const struct mill_step_plan *plan = &d->step;
    int32_t n_rows = 0, n_draws = 0;
    for (int32_t i = 0; i < plan->n_sequences; i++) {
        n_rows += plan->sequences[i].n_rows;
        n_draws += plan->sequences[i].draws;
    }
    if (plan->n_sequences > d->options.max_sequences || n_rows > d->options.max_rows ||
        n_rows != plan->n_rows || n_draws != plan->n_draws ||
        n_rows - plan->n_sequences > d->options.max_prefill_rows || plan->row_first[0] != 0)
        return mill_fail(&d->error, MILL_E_DEVICE, "a step of %d sequences, %d rows, %d draws",
                         plan->n_sequences, n_rows, n_draws);
    return MILL_OK;
}

mill_status drive_step(struct drive *d, double now_s) {
    d->n_finished = 0;
    d->n_steps++;
    MILL_TRY(mill_scheduler_plan_step(d->scheduler, now_s, &d->step, &d->error));
    MILL_TRY(check_totals(d));
    for (int32_t i = 0; i < d->step.n_expired; i++)
        d->jobs[d->step.expired[i]].active = false;
    for (int32_t i = 0; i < d->options.max_jobs; i++)
        d->jobs[i].n_steps_idle++;
    for (int32_t i = 0; i < d->step.n_sequences; i++)
        MILL_TRY(append(d, i));
    for (int32_t i = 0; i < d->step.n_sequences; i++)
        MILL_TRY(attend(d, i));
    for (int32_t i = 0; i < d->step.n_sequences; i++) {
        d->jobs[d->step.sequences[i].slot].n_rows_run += d->step.sequences[i].n_rows;
        d->jobs[d->step.sequences[i].slot].n_steps_idle = 0;
    }
    accept_draws(d);
    return MILL_OK;
}

/* ------------------------------------------------------------------ the vocoder */

static mill_status check_window(struct drive *d, const struct mill_plan_window *window) {
    struct drive_job *job = &d->jobs[window->slot];
    int32_t known = job->n_frames - (job->ended ? 0 : job->job.lookahead);
    bool exact = job->job.lookahead >= d->options.lookahead;
    if (window->fresh && !exact) /* only exact sound can begin in the middle */
        job->n_voiced = job->job.first_frame;
    int32_t n = window->end - window->first;
    if (!job->active || window->first != job->n_voiced || n < 1 || n > d->options.max_window ||
        window->end > known || (!job->ended && !job->job.streamed) ||
        window->last != (job->ended && window->end == job->n_frames) || window->stream < 0 ||
        window->stream >= d->options.max_streams)
        return mill_fail(&d->error, MILL_E_DEVICE, "slot %d: a window of frames %d to %d, %d known",
                         window->slot, window->first, window->end, job->n_frames);
    if (window->fresh)
        for (int32_t i = 0; i < d->options.max_jobs; i++)
            if (d->jobs[i].stream == window->stream)
                d->jobs[i].stream = -1;
    if (!window->fresh && job->stream != window->stream)
        return mill_fail(&d->error, MILL_E_DEVICE, "slot %d: stream %d is another's", window->slot,
                         window->stream);
    job->stream = window->stream;
    return MILL_OK;
}

mill_status drive_windows(struct drive *d, double now_s) {
    d->n_finished = 0;
    mill_scheduler_plan_windows(d->scheduler, now_s, &d->batch);
    int32_t n_frames = 0;
    for (int32_t i = 0; i < d->batch.n_windows; i++) {
        MILL_TRY(check_window(d, &d->batch.windows[i]));
        n_frames += d->batch.windows[i].end - d->batch.windows[i].first;
    }
    if (n_frames != d->batch.n_frames || n_frames > d->options.max_batch_frames ||
        d->batch.n_windows > d->options.max_windows)
        return mill_fail(&d->error, MILL_E_DEVICE, "a batch of %d windows, %d frames",
                         d->batch.n_windows, n_frames);
    for (int32_t i = 0; i < d->batch.n_windows; i++) {
        const struct mill_plan_window *window = &d->batch.windows[i];
        struct drive_job *job = &d->jobs[window->slot];
        job->n_voiced = window->end;
        if (job->first_audio_s == 0)
            job->first_audio_s = now_s;
        if (mill_scheduler_voiced(d->scheduler, window, now_s) != window->last)
            return mill_fail(&d->error, MILL_E_DEVICE, "slot %d: is it the last window?",
                             window->slot);
        if (window->last)
            finish(d, window->slot);
    }
    return MILL_OK;
}

mill_status drive_audit(struct drive *d) {
    MILL_TRY(mill_scheduler_audit(d->scheduler, &d->error));
    int32_t n_active = 0;
    for (int32_t i = 0; i < d->options.max_jobs; i++)
        n_active += d->jobs[i].active;
    if (n_active == 0 && mill_kv_pool_n_free(d->pool) != d->options.n_pages)
        return mill_fail(&d->error, MILL_E_DEVICE, "%d pages leaked",
                         d->options.n_pages - mill_kv_pool_n_free(d->pool));
    return MILL_OK;
}
