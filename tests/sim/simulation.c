/* simulation.c - see simulation.h. */
#include "tests/sim/simulation.h"

#include "bench/passages.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"

#include <math.h>
#include <stdlib.h>

/* What the world knows of a job beside what the driver does. */
struct sim_job {
    double arrival_s, cancel_s, hold_s, release_s; /* 0 = never */
    double play_until_s;
    uint64_t added_step;
    int32_t n_older; /* jobs in the world when it came */
    bool held, ran, fell_silent;
};

enum { N_TOKENS = 1 << 16 };

struct world {
    const struct sim_options *options;
    struct sim_result *result;
    struct drive drive;
    struct sim_job *jobs; /* [max_jobs] */
    uint64_t position;    /* of the random numbers */
    double now_s, next_arrival_s, arrivals_per_s;
    struct mill_scheduler_costs costs;
    int32_t n_left; /* to arrive */
    int32_t n_active;
    struct bench_passages passages; /* of a closed loop */
    double full_since_s;
    int64_t frames_before_full;
    int32_t n_groups;
    int32_t tokens[N_TOKENS]; /* prompts are stretches of it, so each group has its own */
};

enum {
    PROMPT_MIN = 40,
    PROMPT_MAX = 200,
    FRAMES_MIN = 50,
    FRAMES_MAX = 450,
    FIRST_WINDOW = 10,
    N_BEST = 4
};

struct sim_options sim_options_default(void) {
    return (struct sim_options){.scheduler = {.max_jobs = 1024,
                                              .max_running = 320,
                                              .max_sequences = 256,
                                              .max_rows = 768,
                                              .max_prefill_rows = 512,
                                              .n_pages = 6000,
                                              .page_tokens = 16,
                                              .max_pages = 48,
                                              .max_windows = 64,
                                              .max_batch_frames = 2048,
                                              .max_window = 128,
                                              .max_streams = 400,
                                              .lookahead = 67,
                                              .max_idle_steps = 64,
                                              .patience_steps = 20000,
                                              .urgent_s = 2,
                                              .frame_s = 0.02},
                                .costs = {.step = {2, {{0, 1.2e-3}, {1000, 5.2e-3}}},
                                          .batch = {2, {{0, 0.8e-3}, {1000, 4.8e-3}}}},
                                .knows_costs = true,
                                .n_arrivals = 100000,
                                .load = 0.5,
                                .seed = 1};
}

/* As runtime/engine/replica.c and memory_plan.c size it; frames and prompts as tools/bench_engine.c
 * and bench/load.c send them. */
struct sim_options sim_options_bench(int32_t n_clients, double rate) {
    struct sim_options o = sim_options_default();
    o.n_clients = n_clients;
    o.rate = rate;
    o.n_arrivals = n_clients > 0 ? 2 * n_clients : (int32_t)ceil(10 * rate);
    o.n_arrivals = o.n_arrivals > 8 ? o.n_arrivals : 8;
    n_clients = n_clients > 0 ? n_clients : 512;
    o.scheduler.max_running = o.scheduler.max_sequences = o.scheduler.max_windows = n_clients;
    o.scheduler.max_rows = n_clients + 256;
    o.scheduler.max_prefill_rows = 256;
    o.scheduler.n_pages = 128 * n_clients;
    o.scheduler.max_pages = 128;
    o.scheduler.max_window = 512;
    o.scheduler.max_batch_frames = n_clients > 256 ? 2 * n_clients : 512;
    o.scheduler.max_streams = 2 * n_clients;
    o.scheduler.max_idle_steps = 32;
    o.scheduler.patience_steps = 5000;
    return o;
}

double sim_cost_s(const struct sim_curve *curve, double size) {
    const struct sim_point *a = curve->points, *last = a + curve->n - 2;
    if (size <= a->size)
        return a->seconds;
    while (a < last && size > a[1].size)
        a++;
    return a->seconds + (a[1].seconds - a->seconds) * (size - a->size) / (a[1].size - a->size);
}

double sim_capacity(const struct sim_options *options) {
    const struct sim_costs *costs = &options->costs;
    double n = options->scheduler.max_sequences;
    double mean_prompt = (PROMPT_MIN + PROMPT_MAX) / 2.0,
           mean_frames = (FRAMES_MIN + FRAMES_MAX) / 2.0;
    double rows = n * (1 + mean_prompt / mean_frames);
    double turn_s = sim_cost_s(&costs->step, rows) + sim_cost_s(&costs->batch, n);
    return n * options->scheduler.frame_s / turn_s;
}

static bool is_bench(const struct sim_options *options) {
    return options->n_clients > 0 || options->rate > 0;
}

/* ------------------------------------------------------------------ chance */

static double uniform(struct world *w) {
    return mill_philox_uniform(w->options->seed, w->position++);
}

static int32_t between(struct world *w, int32_t low, int32_t high) {
    return low + (int32_t)(uniform(w) * (high - low + 1));
}

static void keep(struct sim_samples *samples, double value) {
    if (samples->n == samples->capacity) {
        int32_t capacity = samples->capacity ? 2 * samples->capacity : 1024;
        double *values = realloc(samples->values, (size_t)capacity * sizeof *values);
        if (!values)
            return;
        samples->values = values;
        samples->capacity = capacity;
    }
    samples->values[samples->n++] = value;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sim_quantile(struct sim_samples *samples, double part) {
    if (samples->n == 0)
        return 0;
    qsort(samples->values, (size_t)samples->n, sizeof *samples->values, compare);
    int32_t at = (int32_t)(part * samples->n);
    return samples->values[at < samples->n ? at : samples->n - 1];
}

void sim_result_deinit(struct sim_result *result) {
    for (int i = 0; i < SIM_N_PRIORITIES; i++) {
        free(result->first_audio_s[i].values);
        free(result->wait_s[i].values);
    }
    free(result->total_s.values);
}

/* ------------------------------------------------------------------ arrivals */

static struct mill_job make_job(struct world *w) {
    int32_t n_ids = between(w, PROMPT_MIN, PROMPT_MAX);
    return (struct mill_job){.n_ids = n_ids,
                             .max_ids = n_ids + FRAMES_MAX,
                             .estimate_frames = (FRAMES_MIN + FRAMES_MAX) / 2,
                             .lookahead = w->options->scheduler.lookahead};
}

static mill_status add(struct world *w, const struct mill_job *job) {
    int32_t slot, n_frames = between(w, FRAMES_MIN, FRAMES_MAX);
    struct mill_scheduler_counts counts;
    mill_scheduler_get_counts(w->drive.scheduler, &counts);
    mill_status status = drive_add(&w->drive, job, n_frames, &slot);
    if (status == MILL_AGAIN)
        w->result->n_refused++;
    if (status != MILL_OK)
        return status;
    w->jobs[slot] =
        (struct sim_job){.arrival_s = w->now_s,
                         .added_step = w->drive.n_steps,
                         .n_older = counts.n_waiting + counts.n_running + counts.n_voicing};
    w->result->n_streamed += job->streamed;
    double disturbed = uniform(w);
    if (w->options->load > 0 && disturbed < 0.03)
        w->jobs[slot].cancel_s = w->now_s + 3 * uniform(w);
    else if (w->options->load > 0 && disturbed < 0.05) {
        w->jobs[slot].hold_s = w->now_s + uniform(w);
        w->jobs[slot].release_s = w->jobs[slot].hold_s + 3 * uniform(w);
    }
    return MILL_OK;
}

/* One caller's wish: mostly one job, sometimes several of one prompt. */
static mill_status arrive(struct world *w) {
    struct mill_job job = make_job(w);
    double kind = uniform(w), priority = uniform(w);
    job.fair_key = (uint64_t)between(w, 0, SIM_N_KEYS - 1);
    job.priority = priority < 0.1 ? 1 : priority < 0.8 ? 0 : -1;
    job.streamed = kind < 0.6;
    job.first_window = job.streamed ? FIRST_WINDOW : 0;
    if (kind > 0.95)
        job.deadline_s = w->now_s + 5 + 20 * uniform(w);
    int32_t n_jobs = kind > 0.6 && kind < 0.62 ? N_BEST : 1;
    if (n_jobs > 1) {
        job.prompt = w->tokens + w->n_groups++ % (N_TOKENS - PROMPT_MAX);
        job.n_prompt = job.n_ids;
    }
    for (int32_t i = 0; i < n_jobs && w->n_left > 0; i++, w->n_left--)
        MILL_TRY(add(w, &job));
    w->next_arrival_s += -log(1 - uniform(w)) / w->arrivals_per_s;
    return MILL_OK;
}

/* The next request of `bench engine`, of whose 60 s none lasts longer; a token is about four bytes
 * of text. */
static mill_status send_next(struct world *w, double due_s) {
    const struct sim_options *o = w->options;
    uint64_t number = o->seed + (uint64_t)(o->n_arrivals - w->n_left);
    int32_t bytes = (int32_t)bench_passage_at(&w->passages, number).bytes, slot;
    int32_t n_frames = (int32_t)(50.0 / 15 * bytes) + 1, n_before = o->given_voices ? 0 : 34;
    int32_t n_ids = 12 + bytes / 4 + (o->given_voices ? 32 : 0);
    const struct mill_job job = {.n_ids = n_ids,
                                 .max_ids = n_ids + n_before + n_frames,
                                 .estimate_frames = n_frames,
                                 .streamed = true,
                                 .first_window = 25,
                                 .lookahead = o->scheduler.lookahead};
    MILL_TRY(drive_add(&w->drive, &job, n_frames, &slot));
    w->drive.jobs[slot].limited = true;
    w->drive.jobs[slot].n_before = n_before;
    w->jobs[slot] = (struct sim_job){.arrival_s = due_s, .added_step = w->drive.n_steps};
    w->result->n_streamed++;
    w->n_active++;
    if (--w->n_left > 0)
        return MILL_OK;
    w->result->full_s = w->now_s - w->full_since_s;
    w->result->full_frames = w->result->n_frames - w->frames_before_full;
    return MILL_OK;
}

static mill_status top_up(struct world *w) {
    int32_t n_waiting[SIM_N_KEYS] = {0};
    for (int32_t i = 0; i < w->options->scheduler.max_jobs; i++)
        if (w->drive.jobs[i].active && !w->jobs[i].ran)
            n_waiting[w->drive.jobs[i].job.fair_key]++;
    for (int32_t key = 0; key < SIM_N_KEYS; key++)
        for (int32_t i = n_waiting[key]; i < w->options->backlog[key]; i++) {
            struct mill_job job = make_job(w);
            job.fair_key = (uint64_t)key;
            MILL_TRY(add(w, &job));
        }
    return MILL_OK;
}

/* Callers hang up; readers stop and come back. */
static void disturb(struct world *w) {
    for (int32_t i = 0; i < w->options->scheduler.max_jobs; i++) {
        struct sim_job *job = &w->jobs[i];
        if (!w->drive.jobs[i].active)
            continue;
        if (job->cancel_s > 0 && job->cancel_s <= w->now_s) {
            drive_remove(&w->drive, i);
            w->result->n_cancelled++;
            continue;
        }
        bool held = job->hold_s > 0 && job->hold_s <= w->now_s && job->release_s > w->now_s;
        if (held != job->held)
            mill_scheduler_hold(w->drive.scheduler, i, held);
        if (held)
            w->drive.jobs[i].n_steps_idle = 0;
        job->held = held;
    }
}

/* ------------------------------------------------------------------ a turn */

static void mix(struct world *w, int32_t a, int32_t b) {
    uint64_t h = w->result->hash ^ ((uint64_t)(uint32_t)a << 32 | (uint32_t)b);
    h *= UINT64_C(0x9e3779b97f4a7c15);
    w->result->hash = h ^ (h >> 29);
}

static void note_finished(struct world *w) {
    for (int32_t i = 0; i < w->drive.n_finished; i++) {
        const struct drive_job *job = &w->drive.jobs[w->drive.finished[i]];
        keep(&w->result->total_s, w->now_s - w->jobs[w->drive.finished[i]].arrival_s);
        w->n_active--;
        if (w->result->n_completed++ == 0) {
            w->full_since_s = w->now_s;
            w->frames_before_full = w->result->n_frames;
        }
        w->result->key_frames[job->job.fair_key] += job->n_frames;
    }
}

/* What ran for the first time, and what must not be. */
static mill_status note_sequence(struct world *w, const struct mill_plan_sequence *sequence) {
    const struct drive_job *driven = &w->drive.jobs[sequence->slot];
    const struct mill_scheduler_options *o = &w->options->scheduler;
    struct sim_job *job = &w->jobs[sequence->slot];
    mix(w, sequence->slot, sequence->n_rows);
    if (driven->job.deadline_s > 0 && driven->job.deadline_s <= w->now_s)
        return mill_fail(&w->drive.error, MILL_E_DEVICE, "slot %d runs after its deadline",
                         sequence->slot);
    if (job->ran)
        return MILL_OK;
    job->ran = true;
    int32_t n_steps = (int32_t)(w->drive.n_steps - job->added_step);
    int64_t bound = o->patience_steps + (int64_t)(job->n_older + 1) * (FRAMES_MAX + PROMPT_MAX);
    if (n_steps > w->result->longest_wait_steps)
        w->result->longest_wait_steps = n_steps;
    if (n_steps > bound)
        return mill_fail(&w->drive.error, MILL_E_DEVICE, "slot %d waited %d steps", sequence->slot,
                         n_steps);
    keep(&w->result->wait_s[driven->job.priority + 1], w->now_s - job->arrival_s);
    return MILL_OK;
}

/* A job that has pages and is not held runs every so often. */
static mill_status note_idle(struct world *w) {
    const struct mill_scheduler_options *o = &w->options->scheduler;
    struct mill_scheduler_counts counts;
    mill_scheduler_get_counts(w->drive.scheduler, &counts);
    int32_t bound = o->max_idle_steps + o->max_running;
    for (int32_t i = 0; i < o->max_jobs; i++) {
        const struct drive_job *job = &w->drive.jobs[i];
        bool begun = job->active && w->jobs[i].ran && !job->ended && !w->jobs[i].held;
        if (!begun || mill_scheduler_n_preemptions(w->drive.scheduler, i) > 0)
            continue;
        if (job->n_steps_idle > w->result->longest_idle_steps)
            w->result->longest_idle_steps = job->n_steps_idle;
        if (job->n_steps_idle > bound)
            return mill_fail(&w->drive.error, MILL_E_DEVICE, "slot %d idles for %d steps", i,
                             job->n_steps_idle);
    }
    return MILL_OK;
}

/* What a replica finds out: calls of the vocoder are launched behind a step. */
static void learn_costs(struct world *w, double step_s, double batch_s) {
    const struct sim_costs *costs = &w->options->costs;
    const struct mill_step_plan *step = &w->drive.step;
    const struct mill_window_plan *batch = &w->drive.batch;
    double n = step->n_sequences, decode_s = sim_cost_s(&costs->step, n);
    if (step->n_sequences == 0 || !w->options->knows_costs)
        return;
    w->costs.row_s = (sim_cost_s(&costs->step, n + PROMPT_MIN) - decode_s) / PROMPT_MIN;
    w->costs.voice_s = sim_cost_s(&costs->batch, n + 1) - sim_cost_s(&costs->batch, n);
    w->costs.turn_s = decode_s + n * w->costs.voice_s;
    if (batch->n_windows > 0)
        w->costs.call_s =
            fmax(0.99 * w->costs.call_s,
                 step_s + batch_s - w->costs.voice_s * batch->n_frames / batch->n_windows);
    mill_scheduler_set_costs(w->drive.scheduler, &w->costs);
}

static mill_status plan_step(struct world *w) {
    MILL_TRY(drive_step(&w->drive, w->now_s));
    const struct mill_step_plan *plan = &w->drive.step;
    w->result->n_expired += plan->n_expired;
    for (int32_t i = 0; i < plan->n_sequences; i++)
        MILL_TRY(note_sequence(w, &plan->sequences[i]));
    note_finished(w);
    return MILL_OK;
}

static void note_window(struct world *w, const struct mill_plan_window *window) {
    const struct drive_job *driven = &w->drive.jobs[window->slot];
    struct sim_job *job = &w->jobs[window->slot];
    mix(w, window->slot, window->end);
    w->result->n_frames += window->end - window->first;
    if (!driven->job.streamed)
        return;
    if (window->first == 0)
        keep(&w->result->first_audio_s[driven->job.priority + 1], w->now_s - job->arrival_s);
    else if (w->now_s > job->play_until_s && job->hold_s == 0) {
        w->result->n_underruns += !job->fell_silent;
        job->fell_silent = true;
    }
    if (w->now_s > job->play_until_s)
        job->play_until_s = w->now_s;
    job->play_until_s += (window->end - window->first) * w->options->scheduler.frame_s;
}

static void note_batch(struct world *w) {
    const struct mill_window_plan *plan = &w->drive.batch;
    w->result->n_batches += plan->n_windows > 0;
    w->result->n_windows += plan->n_windows;
    for (int32_t i = 0; i < plan->n_windows; i++)
        note_window(w, &plan->windows[i]);
    note_finished(w);
}

/* A step and a batch, one behind the other or both at once. */
static mill_status compute(struct world *w) {
    const struct sim_costs *costs = &w->options->costs;
    const struct mill_step_plan *step = &w->drive.step;
    const struct mill_window_plan *batch = &w->drive.batch;
    double start_s = w->now_s, step_s = 0, batch_s = 0;
    MILL_TRY(plan_step(w));
    if (step->n_sequences > 0)
        step_s = sim_cost_s(&costs->step, step->n_rows);
    if (costs->together == 0)
        w->now_s += step_s;
    MILL_TRY(drive_windows(&w->drive, w->now_s));
    if (batch->n_windows > 0)
        batch_s = sim_cost_s(&costs->batch, batch->n_frames);
    double both_s = step_s + batch_s, end_s = start_s + both_s;
    if (costs->together > 0) {
        double shorter_s = step_s < batch_s ? step_s : batch_s;
        double shared_s = 2 * shorter_s / costs->together;
        end_s = start_s + shared_s + both_s - 2 * shorter_s;
        w->now_s = batch_s < step_s ? start_s + shared_s : end_s;
    } else {
        w->now_s = end_s;
    }
    note_batch(w);
    w->now_s = end_s;
    w->result->busy_s += end_s - start_s;
    w->result->batch_s += batch_s;
    learn_costs(w, step_s, batch_s);
    return MILL_OK;
}

static bool has_jobs(const struct world *w) {
    struct mill_scheduler_counts counts;
    mill_scheduler_get_counts(w->drive.scheduler, &counts);
    return counts.n_waiting + counts.n_running + counts.n_voicing > 0;
}

/* Who comes now, and who hangs up. */
static mill_status change_jobs(struct world *w) {
    if (is_bench(w->options)) {
        while (w->n_left > 0 && w->n_active < w->options->n_clients)
            MILL_TRY(send_next(w, w->now_s));
        while (w->n_left > 0 && w->options->rate > 0 && w->next_arrival_s <= w->now_s) {
            MILL_TRY(send_next(w, w->next_arrival_s));
            w->next_arrival_s += -log(1 - uniform(w)) / w->options->rate;
        }
        return MILL_OK;
    }
    if (w->options->load <= 0)
        return top_up(w);
    while (w->n_left > 0 && w->next_arrival_s <= w->now_s)
        MILL_TRY(arrive(w));
    disturb(w);
    return MILL_OK;
}

static mill_status run_turn(struct world *w) {
    MILL_TRY(change_jobs(w));
    MILL_TRY(compute(w));
    if (w->drive.n_steps % 64 == 0) {
        MILL_TRY(drive_audit(&w->drive));
        MILL_TRY(note_idle(w));
    }
    if (w->drive.step.n_sequences > 0 || w->drive.batch.n_windows > 0)
        return MILL_OK;
    double soon_s = w->now_s + 1e-3; /* only held ones are left, or nobody */
    bool skips = !has_jobs(w) && w->n_left > 0 && w->next_arrival_s > soon_s;
    w->now_s = skips ? w->next_arrival_s : soon_s;
    return MILL_OK;
}

static mill_status run_world(struct world *w) {
    const struct sim_options *o = w->options;
    double mean_s = (FRAMES_MIN + FRAMES_MAX) / 2.0 * o->scheduler.frame_s;
    w->arrivals_per_s = o->load * sim_capacity(o) / mean_s / 1.05; /* some come in groups */
    w->n_left = o->load > 0 ? o->n_arrivals : 0;
    while (o->load > 0 ? w->n_left > 0 || has_jobs(w) : w->now_s < o->duration_s) {
        mill_status status = run_turn(w);
        if (status < 0)
            return status;
    }
    for (int32_t i = 0; i < o->scheduler.max_jobs; i++)
        if (w->drive.jobs[i].active)
            drive_remove(&w->drive, i);
    w->result->duration_s = w->now_s;
    mill_scheduler_get_counts(w->drive.scheduler, &w->result->counts);
    return drive_audit(&w->drive);
}

mill_status sim_run(const struct sim_options *options, struct sim_result *result,
                    struct mill_error *err) {
    *result = (struct sim_result){0};
    struct world *w = mill_alloc_array(1, sizeof *w);
    if (!w)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    w->options = options;
    w->result = result;
    for (int32_t i = 0; i < N_TOKENS; i++)
        w->tokens[i] = (int32_t)(uniform(w) * INT32_MAX);
    mill_status status = drive_open(&w->drive, &options->scheduler, false);
    if (status == MILL_OK)
        status = bench_passages_open(&w->passages, NULL, &w->drive.error);
    w->drive.ahead = is_bench(options);
    w->jobs = mill_alloc_array((size_t)options->scheduler.max_jobs, sizeof *w->jobs);
    if (!w->jobs)
        status = MILL_E_MEMORY;
    if (status == MILL_OK)
        status = run_world(w);
    if (status < 0)
        mill_fail(err, status, "step %llu: %s", (unsigned long long)w->drive.n_steps,
                  w->drive.error.text);
    free(w->jobs);
    bench_passages_close(&w->passages);
    drive_close(&w->drive);
    free(w);
    return status;
}
