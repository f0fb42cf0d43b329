/* replica.c - see replica.h: opening, the thread, what others see, the end. */
#include "runtime/engine/memory_plan.h"
#include "runtime/engine/replica_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a replica waits that holds requests but may not go on with any. */
#define HELD_NAP_S 0.002
/* How long close waits for a step that does not come back. */
#define CLOSE_PATIENCE_S 2
/* Frames a second of a thread, or of a GPU, that are believed in before any were made: as much as
 * if they had been measured for so long. */
#define GUESSED_RATE 60.0
#define GUESSED_GPU_RATE 3000.0
#define GUESS_WEIGHT_S 0.5
/* Of a device that gets two backends. */
#define LEAST_BYTES_OF_TWO ((size_t)7 << 30)

/* A started job that idled so long goes first; one that waited so long is above every rule; a
 * deadline that near counts. See scheduler.h. */
enum { MAX_IDLE_STEPS = 32, PATIENCE_STEPS = 5000 };
#define URGENT_S 2.0

/* ------------------------------------------------------------------ open */

static mill_status ask_memory(const struct mill_device *device, size_t *free_bytes,
                              size_t *total_bytes, struct mill_error *err) {
    *free_bytes = *total_bytes = 0;
    mill_status status = device->ops->memory(device->backend, free_bytes, total_bytes);
    return status < 0 ? mill_fail(err, status, "%s",
                                  mill_backend_failure(device->ops, device->backend, status))
                      : MILL_OK;
}

/* Where a device computes while its host goes on, it can do steps and sound side by side: the
 * decoder gets a backend of its own. It reads weights that the other one uploaded, and nothing else
 * is common to both. On a small card the memory that this takes is worth more as room for
 * utterances. */
static mill_status open_sound(struct mill_replica *r, struct mill_error *err) {
    const struct mill_device *device = &r->device;
    size_t free_bytes, total_bytes;
    MILL_TRY(ask_memory(device, &free_bytes, &total_bytes, err));
    bool small = total_bytes > 0 && total_bytes < LEAST_BYTES_OF_TWO;
    if (device->ops->asynchronous && !small)
        return mill_device_open_backend(&r->sound, device->ops, &r->options.device, err);
    r->sound = device->backend;
    return MILL_OK;
}

/* How much of what is wished the device has memory for; the options then say that. */
static mill_status plan_memory(struct mill_replica *r, struct mill_memory_plan *plan,
                               struct mill_error *err) {
    struct mill_replica_options *o = &r->options;
    const struct mill_device *device = &r->device;
    size_t free_bytes, total_bytes;
    MILL_TRY(ask_memory(device, &free_bytes, &total_bytes, err));
    /* A step makes a frame for each that runs, and the vocoder must be able to catch up. */
    int32_t keep_up = 2 * o->max_running;
    const struct mill_memory_wish wish = {
        .ops = device->ops,
        .weights = device->weights,
        .weight_bytes = device->weights_borrowed ? 0 : device->weights->image_bytes,
        .free_bytes = free_bytes,
        .limited = total_bytes > 0,
        .prompt_rows = o->prompt_rows,
        .page_tokens = MILL_REPLICA_PAGE_TOKENS,
        .max_running = o->max_running,
        .cache_tokens = o->cache_tokens,
        .max_window = o->max_window > keep_up ? o->max_window : keep_up,
        .max_tokens = o->max_tokens};
    MILL_TRY(mill_memory_plan(plan, &wish, err));
    r->max_rows = plan->lm.max_rows;
    r->max_tokens = plan->lm.max_pages * plan->lm.page_tokens;
    o->max_running = plan->lm.max_sequences;
    if (o->max_window > plan->streams.max_frames)
        o->max_window = plan->streams.max_frames;
    r->stats.n_pages = r->stats.n_free_pages = plan->lm.n_pages;
    r->stats.weight_bytes = plan->weight_bytes;
    r->stats.page_bytes = plan->page_bytes;
    r->stats.work_bytes = plan->work_bytes;
    return MILL_OK;
}

static mill_status open_model(struct mill_replica *r, struct mill_error *err) {
    const struct mill_replica_options *o = &r->options;
    struct mill_device *device = &r->device;
    struct mill_memory_plan plan;
    MILL_TRY(mill_device_plan(device, o->model, &o->device, o->lender, err));
    MILL_TRY(open_sound(r, err));
    MILL_TRY(plan_memory(r, &plan, err));
    MILL_TRY(mill_device_load(device, err));
    MILL_TRY(
        mill_qwen2_open(&r->lm, device->ops, device->backend, &device->weights->lm, &plan.lm, err));
    MILL_TRY(mill_bicodec_streams_open(&r->streams, device->ops, r->sound,
                                       &device->weights->decoder, &plan.streams, err));
    const struct mill_bicodec_shape *shape = &o->model->shape.bicodec;
    r->frame_s = (double)shape->hop / shape->sample_rate;
    r->ahead = device->ops->asynchronous;
    r->wave = device->ops->host_alloc(r->sound, (size_t)plan.streams.max_frames *
                                                    (size_t)shape->hop * sizeof *r->wave);
    if (!r->wave)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %d frames of sound",
                         plan.streams.max_frames);
    const struct mill_scheduler_options scheduler = {.max_jobs = o->max_jobs,
                                                     .max_running = o->max_running,
                                                     .max_sequences = o->max_running,
                                                     .max_rows = r->max_rows,
                                                     .max_prefill_rows = o->prompt_rows,
                                                     .n_pages = plan.lm.n_pages,
                                                     .page_tokens = plan.lm.page_tokens,
                                                     .max_pages = plan.lm.max_pages,
                                                     .max_windows = plan.streams.max_pieces,
                                                     .max_batch_frames = plan.streams.max_frames,
                                                     .max_window = o->max_window,
                                                     .max_streams = plan.streams.n_streams,
                                                     .lookahead =
                                                         mill_bicodec_streams_context(r->streams),
                                                     .max_idle_steps = MAX_IDLE_STEPS,
                                                     .patience_steps = PATIENCE_STEPS,
                                                     .urgent_s = URGENT_S,
                                                     .frame_s = r->frame_s,
                                                     .audit = o->audit};
    MILL_TRY(mill_kv_pool_open(&r->pool, plan.lm.n_pages, plan.lm.page_tokens, err));
    size_t bytes = mill_scheduler_bytes(&scheduler);
    r->scheduler_memory = bytes ? mill_alloc_aligned(bytes) : NULL;
    if (bytes && !r->scheduler_memory)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a queue of %d", o->max_jobs);
    return mill_scheduler_init(&r->scheduler, &scheduler, r->pool, r->scheduler_memory, err);
}

static mill_status open_arrays(struct mill_replica *r, struct mill_error *err) {
    const struct mill_replica_options *o = &r->options;
    size_t jobs = (size_t)o->max_jobs, running = (size_t)o->max_running;
    r->jobs = mill_alloc_array(jobs, sizeof *r->jobs);
    r->assigned = mill_alloc_array(jobs, sizeof(struct mill_request *));
    r->returned = mill_alloc_array(jobs, sizeof(struct mill_request *));
    r->arrivals = mill_alloc_array(jobs, sizeof(struct mill_request *));
    r->ids = mill_alloc_array((size_t)r->max_rows, sizeof *r->ids);
    r->draws = mill_alloc_array(running, sizeof *r->draws);
    r->tokens = mill_alloc_array(running, sizeof *r->tokens);
    r->pieces = mill_alloc_array(running, sizeof *r->pieces);
    r->windows = mill_alloc_array(running, sizeof *r->windows);
    bool good = r->jobs && r->assigned && r->returned && r->arrivals && r->ids && r->draws &&
                r->tokens && r->pieces && r->windows;
    for (int i = 0; i < MILL_QWEN2_SLOTS; i++) {
        r->flights[i].sequences = mill_alloc_array(running, sizeof *r->flights[i].sequences);
        good = good && r->flights[i].sequences;
    }
    if (!good)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a replica");
    return MILL_OK;
}

mill_status mill_replica_open(struct mill_replica **out, const struct mill_replica_options *options,
                              struct mill_error *err) {
    *out = NULL;
    struct mill_replica *r = mill_alloc_array(1, sizeof *r);
    if (!r || mill_wait_init(&r->wake) < 0) {
        free(r);
        return mill_fail(err, MILL_E_MEMORY, "no memory for a replica");
    }
    pthread_mutex_init(&r->lock, NULL);
    r->options = *options;
    r->options.prompt_rows = options->prompt_rows ? options->prompt_rows : MILL_REPLICA_PROMPT_ROWS;
    r->state = MILL_REPLICA_STARTING;
    mill_status status = open_model(r, err);
    if (status == MILL_OK)
        status = open_arrays(r, err);
    if (status < 0) {
        mill_replica_close(r);
        return status;
    }
    snprintf(r->stats.device, sizeof r->stats.device, "%s: %s", r->device.ops->name,
             r->device.ops->describe(r->device.backend));
    long n_threads = options->device.n_threads;
    if (n_threads == 0)
        n_threads = sysconf(_SC_NPROCESSORS_ONLN);
    double rate = r->device.ops->asynchronous ? GUESSED_GPU_RATE : GUESSED_RATE * (double)n_threads;
    r->rate_frames = rate * GUESS_WEIGHT_S;
    r->rate_s = GUESS_WEIGHT_S;
    r->since_s = mill_clock_seconds();
    mill_watchdog_init(&r->watchdog, options->stuck_s, !r->ahead);
    *out = r;
    return MILL_OK;
}

const struct mill_device *mill_replica_device(const struct mill_replica *replica) {
    return &replica->device;
}

/* ------------------------------------------------------------------ the thread */

double mill_replica_clock(const struct mill_replica *r) {
    const struct mill_replica_options *o = &r->options;
    return o->clock ? o->clock(o->clock_context, o->number) : mill_clock_seconds() - r->skipped_s;
}

/* Wait until there may be something to do and collect what arrived; false when it is time to go. */
static bool wait_for_work(struct mill_replica *r, bool worked, int32_t *n_arrived) {
    pthread_mutex_lock(&r->lock);
    if (!worked && r->n_jobs > 0 && r->n_inbox == 0 && !r->stop)
        mill_wait_until(&r->wake, &r->lock, mill_wait_deadline(HELD_NAP_S));
    while (r->n_jobs == 0 && r->n_inbox == 0 && !r->stop)
        pthread_cond_wait(&r->wake, &r->lock);
    *n_arrived = r->n_inbox;
    memcpy(r->arrivals, r->assigned + (r->n_assigned - r->n_inbox),
           (size_t)r->n_inbox * sizeof(struct mill_request *));
    r->n_inbox = 0;
    r->backlog_frames += r->inbox_frames; /* until they are jobs and counted as such */
    r->inbox_frames = 0;
    bool go_on = !r->stop;
    pthread_mutex_unlock(&r->lock);
    return go_on;
}

static void publish(struct mill_replica *r) {
    struct mill_scheduler_counts counts;
    mill_scheduler_get_counts(r->scheduler, &counts);
    double frames = 0;
    for (int32_t slot = 0, n = r->n_jobs; n > 0; slot++)
        if (r->jobs[slot].request) {
            int32_t left =
                r->jobs[slot].request->estimate_frames - r->jobs[slot].utterance.n_semantic;
            frames += left > 0 ? left : 0;
            n--;
        }
    pthread_mutex_lock(&r->lock);
    r->stats.n_running = counts.n_running + counts.n_voicing;
    r->stats.n_free_pages = counts.n_free_pages;
    r->stats.n_shared_tokens = counts.n_shared_pages * MILL_REPLICA_PAGE_TOKENS;
    r->backlog_frames = frames;
    r->since_s = mill_clock_seconds();
    pthread_mutex_unlock(&r->lock);
}

static void drop_jobs(struct mill_replica *r) {
    for (int32_t slot = 0; r->n_jobs > 0; slot++)
        if (r->jobs[slot].request) {
            mill_scheduler_remove(r->scheduler, slot);
            mill_replica_job_drop(r, &r->jobs[slot]);
        }
}

static void cancel_jobs(struct mill_replica *r) {
    const struct mill_error err = {"the engine was closed"};
    for (int32_t slot = 0; r->n_jobs > 0; slot++)
        if (r->jobs[slot].request)
            mill_replica_job_end(r, &r->jobs[slot], MILL_REQUEST_CANCELLED, MILL_E_CANCELLED, &err,
                                 true);
}

/* Under the lock. All that is assigned is to be taken back: by whom, the replica does not wait for.
 */
static void give_back(struct mill_replica *r, enum mill_replica_state state) {
    r->state = state;
    for (int32_t i = 0; i < r->n_assigned; i++)
        r->returned[r->n_returned++] = r->assigned[i];
    r->n_assigned = r->n_inbox = 0;
    r->backlog_frames = r->inbox_frames = 0;
    r->stats.n_running = 0;
}

/* The device failed: others take over what was assigned here. */
static void give_up(struct mill_replica *r, const struct mill_error *err) {
    pthread_mutex_lock(&r->lock);
    give_back(r, MILL_REPLICA_FAILED);
    pthread_mutex_unlock(&r->lock);
    drop_jobs(r);
    publish(r);
    r->options.host.lost(r->options.host.context, r, err);
}

/* It was given up, others work for what it had, and here its device is back. */
static mill_status come_back(struct mill_replica *r, struct mill_error *err) {
    drop_jobs(r);
    MILL_TRY(mill_replica_collect_all(r, err));
    publish(r);
    pthread_mutex_lock(&r->lock);
    r->state = MILL_REPLICA_READY;
    pthread_mutex_unlock(&r->lock);
    return MILL_OK;
}

static void *run(void *context) {
    struct mill_replica *r = context;
    int32_t n_arrived = 0;
    bool worked = true;
    while (wait_for_work(r, worked, &n_arrived)) {
        struct mill_error err = {""};
        for (int32_t i = 0; i < n_arrived; i++)
            mill_replica_job_start(r, r->arrivals[i]);
        mill_status status = mill_replica_turn(r, &worked, &err);
        if (status == MILL_E_CANCELLED)
            status = come_back(r, &err);
        if (status < 0) {
            give_up(r, &err);
            return NULL;
        }
        publish(r);
    }
    for (int32_t i = 0; i < n_arrived; i++)
        mill_replica_job_start(r, r->arrivals[i]);
    cancel_jobs(r);
    return NULL;
}

mill_status mill_replica_start(struct mill_replica *replica, struct mill_error *err) {
    replica->state = MILL_REPLICA_READY;
    replica->has_thread = pthread_create(&replica->thread, NULL, run, replica) == 0;
    return replica->has_thread ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no thread for a replica");
}

/* ------------------------------------------------------------------ the end */

static bool join(struct mill_replica *r) {
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    for (bool stuck = false; !stuck;) {
        pthread_mutex_lock(&r->lock);
        stuck = r->state == MILL_REPLICA_STUCK;
        pthread_mutex_unlock(&r->lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += CLOSE_PATIENCE_S;
        if (pthread_timedjoin_np(r->thread, NULL, &until) == 0)
            return true;
        mill_replica_check(r, false);
    }
    pthread_detach(r->thread);
    return false;
}

bool mill_replica_stop(struct mill_replica *replica) {
    return !replica->has_thread || join(replica);
}

void mill_replica_cancel_all(struct mill_replica *r) {
    const struct mill_error err = {"the engine was closed"};
    pthread_mutex_lock(&r->lock);
    give_back(r, r->state);
    pthread_mutex_unlock(&r->lock);
    for (struct mill_request *request; (request = mill_replica_take_back(r));) {
        struct mill_request_result result;
        mill_request_end_unmade(request, MILL_REQUEST_CANCELLED, MILL_E_CANCELLED, &err, &result);
        r->options.host.ended(r->options.host.context, &result);
        mill_request_release(request);
    }
}

void mill_replica_close(struct mill_replica *r) {
    if (!r)
        return;
    mill_kv_pool_close(r->pool);
    free(r->scheduler_memory);
    mill_bicodec_streams_close(r->streams);
    mill_qwen2_close(r->lm);
    if (r->wave)
        r->device.ops->host_free(r->sound, r->wave);
    if (r->sound && r->sound != r->device.backend)
        r->device.ops->close(r->sound);
    mill_device_close(&r->device);
    for (int i = 0; i < MILL_QWEN2_SLOTS; i++)
        free(r->flights[i].sequences);
    free(r->jobs);
    free(r->assigned);
    free(r->returned);
    free(r->arrivals);
    free(r->ids);
    free(r->draws);
    free(r->tokens);
    free(r->pieces);
    free(r->windows);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ------------------------------------------------------------------ what others see */

mill_status mill_replica_assign(struct mill_replica *r, struct mill_request *request) {
    pthread_mutex_lock(&r->lock);
    bool taken = (r->state == MILL_REPLICA_READY || r->state == MILL_REPLICA_SLOW) &&
                 r->n_assigned < r->options.max_jobs;
    if (taken) {
        mill_request_hold(request);
        r->assigned[r->n_assigned++] = request;
        r->n_inbox++;
        r->inbox_frames += request->estimate_frames;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
    return taken ? MILL_OK : MILL_E_DEVICE;
}

void mill_replica_forget(struct mill_replica *r, struct mill_request *request) {
    pthread_mutex_lock(&r->lock);
    int32_t at = 0;
    while (at < r->n_assigned && r->assigned[at] != request)
        at++;
    bool found = at < r->n_assigned;
    if (found) /* the inbox keeps its order at the end */
        memmove(r->assigned + at, r->assigned + at + 1,
                (size_t)(--r->n_assigned - at) * sizeof(struct mill_request *));
    pthread_mutex_unlock(&r->lock);
    if (found)
        mill_request_release(request);
}

void mill_replica_skip_time(struct mill_replica *r, double seconds) {
    pthread_mutex_lock(&r->lock);
    r->skipped_s += seconds;
    pthread_mutex_unlock(&r->lock);
}

struct mill_request *mill_replica_take_back(struct mill_replica *r) {
    pthread_mutex_lock(&r->lock);
    struct mill_request *request = r->n_returned > 0 ? r->returned[--r->n_returned] : NULL;
    pthread_mutex_unlock(&r->lock);
    return request;
}

enum mill_watchdog_verdict mill_replica_check(struct mill_replica *r, bool has_stand_in) {
    pthread_mutex_lock(&r->lock);
    bool ready = r->state == MILL_REPLICA_READY, slow = r->state == MILL_REPLICA_SLOW;
    enum mill_watchdog_verdict verdict = mill_watchdog_check(&r->watchdog, mill_replica_clock(r));
    if (verdict == MILL_WATCHDOG_STUCK && (ready || slow))
        give_back(r, MILL_REPLICA_STUCK);
    else if (verdict == MILL_WATCHDOG_SLOW && ready && has_stand_in)
        give_back(r, MILL_REPLICA_SLOW);
    else
        verdict = MILL_WATCHDOG_FINE;
    pthread_mutex_unlock(&r->lock);
    return verdict;
}

/* Under the lock. */
static struct mill_router_replica load(const struct mill_replica *r) {
    double rate = r->rate_frames / r->rate_s;
    bool slow = mill_watchdog_check(&r->watchdog, mill_replica_clock(r)) != MILL_WATCHDOG_FINE;
    return (struct mill_router_replica){.ready = r->state == MILL_REPLICA_READY ||
                                                 r->state == MILL_REPLICA_SLOW,
                                        .slow = r->state == MILL_REPLICA_SLOW || slow,
                                        .max_tokens = r->max_tokens,
                                        .backlog_frames = r->backlog_frames + r->inbox_frames,
                                        .frames_per_second = rate > 1 ? rate : 1};
}

struct mill_router_replica mill_replica_get_load(struct mill_replica *r) {
    pthread_mutex_lock(&r->lock);
    struct mill_router_replica now = load(r);
    pthread_mutex_unlock(&r->lock);
    return now;
}

void mill_replica_get_stats(struct mill_replica *r, struct mill_replica_stats *stats) {
    pthread_mutex_lock(&r->lock);
    struct mill_router_replica now = load(r);
    *stats = r->stats;
    stats->state = r->state;
    int32_t n_waiting = r->n_assigned - stats->n_running; /* as of the last turn */
    stats->n_waiting = n_waiting > 0 ? n_waiting : 0;
    stats->backlog_s = now.ready ? now.backlog_frames / now.frames_per_second : 0;
    stats->since_step_s = mill_clock_seconds() - r->since_s;
    pthread_mutex_unlock(&r->lock);
}
