/* scheduler.c - see scheduler.h: memory, jobs that come and go, and the audit. */
#include "runtime/engine/scheduler_state.h"

#include <string.h>

/* ------------------------------------------------------------------ memory */

/* All of its arrays; *s is zeroed. With an arena that only counts nothing else is written. */
static void carve(struct mill_scheduler *s, struct mill_arena *arena,
                  const struct mill_scheduler_options *options) {
    size_t jobs = (size_t)options->max_jobs, sequences = (size_t)options->max_sequences;
    size_t pages = (size_t)options->max_pages;
    memset(s, 0, sizeof *s);
    s->entries = mill_arena_take(arena, jobs * sizeof *s->entries);
    s->tables = mill_arena_take(arena, jobs * sizeof *s->tables);
    int32_t *table_pages = mill_arena_take(arena, jobs * pages * sizeof *table_pages);
    s->free_slots = mill_arena_take(arena, jobs * sizeof *s->free_slots);
    s->free_streams =
        mill_arena_take(arena, (size_t)options->max_streams * sizeof *s->free_streams);
    s->stream_slots =
        mill_arena_take(arena, (size_t)options->max_streams * sizeof *s->stream_slots);
    s->live = mill_arena_take(arena, jobs * sizeof *s->live);
    s->ranks = mill_arena_take(arena, jobs * sizeof *s->ranks);
    s->other_ranks = mill_arena_take(arena, jobs * sizeof *s->other_ranks);
    s->expired = mill_arena_take(arena, jobs * sizeof *s->expired);
    s->sequences = mill_arena_take(arena, sequences * sizeof *s->sequences);
    s->row_first = mill_arena_take(arena, (sequences + 1) * sizeof *s->row_first);
    s->n_cached = mill_arena_take(arena, sequences * sizeof *s->n_cached);
    s->pages = mill_arena_take(arena, sequences * sizeof(const int32_t *));
    s->windows = mill_arena_take(arena, (size_t)options->max_windows * sizeof *s->windows);
    mill_queue_init(&s->queue, arena, options->max_jobs);
    mill_index_heap_init(&s->deadlines, arena, options->max_jobs);
    if (!arena->base)
        return;
    for (int32_t i = 0; i < options->max_jobs; i++) {
        s->entries[i] = (struct mill_entry){.state = MILL_JOB_FREE};
        s->tables[i] = (struct mill_kv_table){.pages = table_pages + (size_t)i * pages,
                                              .max_pages = options->max_pages};
        s->free_slots[i] = options->max_jobs - 1 - i;
    }
    for (int32_t i = 0; i < options->max_streams; i++)
        s->free_streams[i] = options->max_streams - 1 - i;
}

static bool are_possible(const struct mill_scheduler_options *o) {
    return o->max_jobs >= 1 && o->max_jobs <= 1 << 20 && o->max_running >= 1 &&
           o->max_sequences >= 1 && o->max_sequences <= 1 << 16 && o->max_rows >= 1 &&
           o->max_prefill_rows >= 1 && o->n_pages >= 1 && o->page_tokens >= 1 &&
           o->max_pages >= 1 && o->max_pages <= 1 << 16 &&
           o->max_pages <= INT32_MAX / o->page_tokens && o->n_pages <= INT32_MAX / 2 &&
           o->max_windows >= 1 && o->max_windows <= 1 << 16 && o->max_batch_frames >= 1 &&
           o->max_window >= 1 && o->max_streams >= 1 && o->max_streams <= 1 << 16 &&
           o->lookahead >= 0 && o->max_idle_steps >= 1 && o->patience_steps >= 1 &&
           o->urgent_s >= 0 && o->frame_s > 0;
}

size_t mill_scheduler_bytes(const struct mill_scheduler_options *options) {
    if (!are_possible(options))
        return 0;
    struct mill_arena arena = {0};
    struct mill_scheduler counting;
    mill_arena_take(&arena, sizeof counting);
    carve(&counting, &arena, options);
    return arena.peak;
}

mill_status mill_scheduler_init(struct mill_scheduler **out,
                                const struct mill_scheduler_options *options,
                                struct mill_kv_pool *pool, void *memory, struct mill_error *err) {
    *out = NULL;
    size_t bytes = mill_scheduler_bytes(options);
    if (bytes == 0 || options->n_pages != mill_kv_pool_n_free(pool))
        return mill_fail(err, MILL_E_INPUT,
                         "a scheduler of %d jobs, %d sequences, %d rows and %d pages cannot be",
                         options->max_jobs, options->max_sequences, options->max_rows,
                         options->n_pages);
    struct mill_arena arena = {.base = memory, .capacity = bytes};
    struct mill_scheduler *s = mill_arena_take(&arena, sizeof *s);
    carve(s, &arena, options);
    s->options = *options;
    s->pool = pool;
    s->n_free_slots = options->max_jobs;
    s->n_free_streams = options->max_streams;
    s->elder = -1;
    *out = s;
    return MILL_OK;
}

/* ------------------------------------------------------------------ jobs */

static mill_status check_job(const struct mill_scheduler *s, const struct mill_job *job,
                             struct mill_error *err) {
    const struct mill_scheduler_options *o = &s->options;
    int32_t pages = o->max_pages < o->n_pages ? o->max_pages : o->n_pages;
    if (job->n_ids < 1 || job->max_ids < job->n_ids || job->estimate_frames < 1 ||
        job->first_window < 0 || job->lookahead < 0 || job->first_frame < 0 || job->n_prompt < 0 ||
        job->n_prompt > job->n_ids)
        return mill_fail(err, MILL_E_INPUT,
                         "a job of %d tokens, at most %d, the first %d its prompt, and %d frames "
                         "cannot be",
                         job->n_ids, job->max_ids, job->n_prompt, job->estimate_frames);
    if ((int64_t)job->max_ids > (int64_t)pages * o->page_tokens)
        return mill_fail(err, MILL_E_INPUT,
                         "a job of up to %d tokens; there is room for %lld: shorten the text or "
                         "the limit",
                         job->max_ids, (long long)pages * o->page_tokens);
    return MILL_OK;
}

static int32_t level_of(int32_t priority) {
    if (priority > MILL_SCHEDULER_MAX_PRIORITY)
        priority = MILL_SCHEDULER_MAX_PRIORITY;
    if (priority < -MILL_SCHEDULER_MAX_PRIORITY)
        priority = -MILL_SCHEDULER_MAX_PRIORITY;
    return MILL_SCHEDULER_MAX_PRIORITY - priority;
}

mill_status mill_scheduler_add(struct mill_scheduler *scheduler, const struct mill_job *job,
                               int32_t *slot, struct mill_error *err) {
    MILL_TRY(check_job(scheduler, job, err));
    if (scheduler->n_free_slots == 0)
        return MILL_AGAIN;
    *slot = scheduler->free_slots[--scheduler->n_free_slots];
    uint32_t attempt = scheduler->entries[*slot].attempt;
    scheduler->entries[*slot] =
        (struct mill_entry){.state = MILL_JOB_WAITING,
                            .attempt = attempt,
                            .job = *job,
                            .level = (uint8_t)(2 * level_of(job->priority) + job->later),
                            .streamed = job->streamed,
                            .n_prompt = job->n_prompt,
                            .lookahead = job->lookahead,
                            .first_window = job->first_window,
                            .key = mill_queue_join_key(scheduler, job->fair_key),
                            .arrival = ++scheduler->n_arrivals,
                            .added_step = scheduler->n_steps,
                            .n_ids = job->n_ids,
                            .n_voiced = job->first_frame,
                            .stream = -1};
    if (job->deadline_s > 0)
        mill_index_heap_put(&scheduler->deadlines, *slot, job->deadline_s);
    mill_queue_put(scheduler, *slot);
    return MILL_OK;
}

static void give_up_stream(struct mill_scheduler *s, int32_t slot) {
    int32_t stream = s->entries[slot].stream;
    s->entries[slot].stream = -1;
    if (stream >= 0)
        s->free_streams[s->n_free_streams++] = stream;
}

static void join_live(struct mill_scheduler *s, int32_t slot) {
    s->entries[slot].live_place = s->n_live;
    s->live[s->n_live++] = slot;
}

static void leave_live(struct mill_scheduler *s, int32_t slot) {
    int32_t place = s->entries[slot].live_place, last = s->live[--s->n_live];
    s->live[place] = last;
    s->entries[last].live_place = place;
}

static void count_running(struct mill_scheduler *s, const struct mill_entry *entry, int32_t n) {
    s->n_running += n;
    s->n_running_of[entry->level] += n;
    s->n_held += entry->held ? n : 0;
}

/* No more pages are wanted: the job ends, is removed or starts again. */
static void give_up_pages(struct mill_scheduler *s, int32_t slot) {
    mill_kv_table_clear(&s->tables[slot], s->pool);
    s->entries[slot].n_cached = 0;
    count_running(s, &s->entries[slot], -1);
}

void mill_scheduler_start(struct mill_scheduler *s, int32_t slot) {
    struct mill_entry *entry = &s->entries[slot];
    mill_queue_take(s, slot);
    mill_queue_start(s, slot);
    entry->state = MILL_JOB_RUNNING;
    entry->started = true;
    entry->ran_step = s->n_steps - 1;
    join_live(s, slot);
    count_running(s, entry, 1);
}

/* Back in line, unless it is held. */
static void wait_again(struct mill_scheduler *s, int32_t slot) {
    give_up_pages(s, slot);
    leave_live(s, slot);
    s->entries[slot].state = MILL_JOB_WAITING;
    if (!s->entries[slot].held)
        mill_queue_put(s, slot);
}

void mill_scheduler_preempt(struct mill_scheduler *s, int32_t slot) {
    wait_again(s, slot);
    s->entries[slot].n_preemptions++;
    s->n_preemptions++;
}

void mill_scheduler_remove(struct mill_scheduler *scheduler, int32_t slot) {
    struct mill_entry *entry = &scheduler->entries[slot];
    if (entry->state == MILL_JOB_WAITING && !entry->held)
        mill_queue_take(scheduler, slot);
    if (entry->state == MILL_JOB_RUNNING)
        give_up_pages(scheduler, slot);
    if (entry->state != MILL_JOB_WAITING)
        leave_live(scheduler, slot);
    if (entry->charged && !entry->ended)
        mill_queue_charge(scheduler, slot, entry->n_frames - entry->job.estimate_frames);
    give_up_stream(scheduler, slot);
    mill_index_heap_remove(&scheduler->deadlines, slot);
    mill_queue_leave_key(scheduler, entry->key);
    if (scheduler->elder == slot)
        scheduler->elder = -1;
    entry->state = MILL_JOB_FREE;
    entry->attempt++;
    scheduler->free_slots[scheduler->n_free_slots++] = slot;
}

void mill_scheduler_hold(struct mill_scheduler *scheduler, int32_t slot, bool held) {
    struct mill_entry *entry = &scheduler->entries[slot];
    if (entry->held == held)
        return;
    entry->held = held;
    scheduler->n_held += entry->state != MILL_JOB_RUNNING ? 0 : held ? 1 : -1;
    entry->ran_step = scheduler->n_steps; /* its idle time was its own doing */
    entry->n_ready_turns = 0;
    if (held && scheduler->elder == slot)
        scheduler->elder = -1;
    if (entry->state != MILL_JOB_WAITING)
        return;
    if (held)
        mill_queue_take(scheduler, slot);
    else
        mill_queue_put(scheduler, slot);
}

void mill_scheduler_listen(struct mill_scheduler *scheduler, int32_t slot, double now_s) {
    struct mill_entry *entry = &scheduler->entries[slot];
    if (!mill_is_later(entry))
        return;
    bool queued = entry->state == MILL_JOB_WAITING && !entry->held;
    if (queued)
        mill_queue_take(scheduler, slot);
    if (entry->state == MILL_JOB_RUNNING)
        count_running(scheduler, entry, -1);
    entry->level--;
    if (entry->state == MILL_JOB_RUNNING)
        count_running(scheduler, entry, 1);
    if (queued)
        mill_queue_put(scheduler, slot);
    entry->heard = entry->streamed && entry->n_voiced > entry->job.first_frame;
    entry->play_start_s = now_s - entry->job.first_frame * scheduler->options.frame_s;
}

void mill_scheduler_restart(struct mill_scheduler *scheduler, int32_t slot, int32_t n_ids) {
    struct mill_entry *entry = &scheduler->entries[slot];
    if (entry->state == MILL_JOB_RUNNING) {
        wait_again(scheduler, slot);
    } else if (entry->state == MILL_JOB_VOICING) {
        leave_live(scheduler, slot);
        entry->state = MILL_JOB_WAITING;
        if (!entry->held)
            mill_queue_put(scheduler, slot);
    }
    /* What was said is paid for; what comes costs the estimate again. */
    if (entry->charged)
        mill_queue_charge(scheduler, slot,
                          entry->ended ? entry->job.estimate_frames : entry->n_frames);
    give_up_stream(scheduler, slot);
    entry->attempt++;
    entry->n_ids = n_ids;
    entry->n_frames = 0;
    entry->n_voiced = entry->job.first_frame;
    entry->heard = false;
    entry->ended = false;
}

/* ------------------------------------------------------------------ draws */

void mill_scheduler_expect(struct mill_scheduler *scheduler, const struct mill_plan_sequence *sent,
                           int32_t n_ids) {
    scheduler->entries[sent->slot].n_ids = n_ids;
}

bool mill_scheduler_wants_draw(const struct mill_scheduler *scheduler,
                               const struct mill_plan_sequence *sequence) {
    const struct mill_entry *entry = &scheduler->entries[sequence->slot];
    return entry->attempt == sequence->attempt && !entry->ended;
}

/* It may wait by now, forced out while its last token was on its way. */
static void stop_running(struct mill_scheduler *s, int32_t slot) {
    struct mill_entry *entry = &s->entries[slot];
    if (entry->state == MILL_JOB_RUNNING) {
        give_up_pages(s, slot);
    } else {
        if (!entry->held)
            mill_queue_take(s, slot);
        join_live(s, slot);
    }
    entry->state = MILL_JOB_VOICING;
    entry->ended = true;
    if (s->elder == slot)
        s->elder = -1;
}

bool mill_scheduler_accept(struct mill_scheduler *scheduler, const struct mill_plan_sequence *done,
                           int32_t n_ids, int32_t n_frames, bool ended) {
    struct mill_entry *entry = &scheduler->entries[done->slot];
    if (entry->n_ids < n_ids) /* else more is expected already */
        entry->n_ids = n_ids;
    entry->n_frames = n_frames;
    if (!ended)
        return false;
    stop_running(scheduler, done->slot);
    mill_queue_charge(scheduler, done->slot, n_frames - entry->job.estimate_frames);
    return entry->n_voiced >= n_frames;
}

void mill_scheduler_set_costs(struct mill_scheduler *s, const struct mill_scheduler_costs *costs) {
    s->costs = *costs;
}

/* ------------------------------------------------------------------ what is watched */

void mill_scheduler_get_counts(const struct mill_scheduler *s,
                               struct mill_scheduler_counts *counts) {
    *counts = (struct mill_scheduler_counts){.n_waiting =
                                                 s->options.max_jobs - s->n_free_slots - s->n_live,
                                             .n_running = s->n_running,
                                             .n_voicing = s->n_live - s->n_running,
                                             .n_free_pages = mill_kv_pool_n_free(s->pool),
                                             .n_steps = (uint64_t)s->n_steps,
                                             .n_preemptions = s->n_preemptions,
                                             .n_shared_pages = s->n_shared_pages};
}

int32_t mill_scheduler_n_preemptions(const struct mill_scheduler *scheduler, int32_t slot) {
    return scheduler->entries[slot].n_preemptions;
}

/* What an entry says of itself against what the lists say; counts what it is. */
static mill_status audit_entry(const struct mill_scheduler *s, int32_t slot, int32_t n_of[4],
                               int32_t *n_queued, int32_t *n_held, struct mill_error *err) {
    const struct mill_entry *entry = &s->entries[slot];
    const struct mill_kv_table *table = &s->tables[slot];
    n_of[entry->state]++;
    *n_held += entry->state == MILL_JOB_RUNNING && entry->held;
    bool queued = entry->state == MILL_JOB_WAITING && !entry->held;
    bool live = entry->state == MILL_JOB_RUNNING || entry->state == MILL_JOB_VOICING;
    *n_queued += queued;
    if (queued != (s->queue.arrivals.place[slot] >= 0))
        return mill_fail(err, MILL_E_DEVICE, "job %d is in line and should not, or not and should",
                         slot);
    if (live && (entry->live_place >= s->n_live || s->live[entry->live_place] != slot))
        return mill_fail(err, MILL_E_DEVICE, "job %d runs and is not in the list", slot);
    if (entry->state != MILL_JOB_RUNNING && table->n_pages > 0)
        return mill_fail(err, MILL_E_DEVICE, "job %d does not run and holds %d pages", slot,
                         table->n_pages);
    if (entry->state == MILL_JOB_RUNNING &&
        (entry->n_cached > entry->n_ids || mill_pages_of(s, entry->n_cached) > table->n_pages))
        return mill_fail(err, MILL_E_DEVICE, "job %d: %d tokens cached of %d, in %d pages", slot,
                         entry->n_cached, entry->n_ids, table->n_pages);
    return MILL_OK;
}

mill_status mill_scheduler_audit(struct mill_scheduler *scheduler, struct mill_error *err) {
    struct mill_scheduler *s = scheduler;
    int32_t n_of[4] = {0}, n_queued = 0, n_held = 0, n_running = 0;
    for (int32_t slot = 0; slot < s->options.max_jobs; slot++)
        MILL_TRY(audit_entry(s, slot, n_of, &n_queued, &n_held, err));
    for (int level = 0; level < MILL_N_LEVELS; level++)
        n_running += s->n_running_of[level];
    if (n_of[MILL_JOB_FREE] != s->n_free_slots || n_of[MILL_JOB_RUNNING] != s->n_running ||
        n_of[MILL_JOB_RUNNING] + n_of[MILL_JOB_VOICING] != s->n_live ||
        n_queued != s->queue.arrivals.n || n_running != s->n_running || n_held != s->n_held)
        return mill_fail(err, MILL_E_DEVICE,
                         "jobs: %d free, %d running, %d of them held, %d voicing, %d in line; "
                         "counted %d, %d (by level %d), %d, %d, %d",
                         n_of[MILL_JOB_FREE], n_of[MILL_JOB_RUNNING], n_held,
                         n_of[MILL_JOB_VOICING], n_queued, s->n_free_slots, s->n_running, n_running,
                         s->n_held, s->n_live - s->n_running, s->queue.arrivals.n);
    return mill_kv_pool_audit(s->pool, s->tables, s->options.max_jobs, err);
}
