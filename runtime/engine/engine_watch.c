/* engine_watch.c - see engine_state.h: where requests go, what becomes of them when a replica is
 * lost, and the numbers. */
#include "runtime/engine/engine_state.h"

#include "runtime/base/clock.h"
#include "runtime/base/wait.h"

/* A device's failure may be a request's doing: it is tried so many times elsewhere, not on every
 * device there is. Steps are looked at that often. A look that comes so late says that the process
 * was stopped (by a signal, a container's or a machine's pause), and no device for it. */
enum { MAX_RETRIES = 3 };
#define WATCH_S 0.01
#define STOPPED_S 1.0

int32_t mill_engine_capacity(const struct mill_engine *engine) {
    int32_t n = engine->options.max_queue;
    for (int32_t i = 0; i < engine->n_devices; i++)
        n += mill_engine_running_of(engine, i);
    return n;
}

int32_t mill_engine_max_live(const struct mill_engine *engine) {
    return 2 * mill_engine_capacity(engine);
}

/* ------------------------------------------------------------------ routes */

static void get_loads(struct mill_engine *engine, struct mill_router_replica *loads) {
    for (int32_t i = 0; i < engine->n_replicas; i++)
        loads[i] = mill_replica_get_load(engine->replicas[i]);
}

double mill_engine_backlog_s(struct mill_engine *engine, bool *any_ready) {
    struct mill_router_replica loads[MILL_ENGINE_MAX_REPLICAS];
    get_loads(engine, loads);
    *any_ready = mill_router_choose(loads, engine->n_replicas, 0, 0) >= 0;
    return mill_router_backlog_s(loads, engine->n_replicas);
}

static void end_failed(struct mill_engine *engine, struct mill_request *request, mill_status status,
                       const struct mill_error *err) {
    struct mill_request_result result;
    mill_request_end_unmade(request, MILL_REQUEST_FAILED, status, err, &result);
    mill_engine_on_ended(engine, &result);
}

/* There is no device for it: none at all, or none that is large enough. */
static void end_without_device(struct mill_engine *engine, struct mill_request *request,
                               int32_t max_tokens) {
    pthread_mutex_lock(&engine->lock);
    struct mill_error why = engine->last_lost, message;
    pthread_mutex_unlock(&engine->lock);
    mill_status status =
        max_tokens > 0
            ? mill_fail(&message, MILL_E_INPUT,
                        "text and speech may come to %d tokens, and the devices that are left have "
                        "room for %d: shorten the text or the limit",
                        request->max_tokens, max_tokens)
            : mill_fail(&message, MILL_E_DEVICE, "no device is left that works; the last one: %s",
                        why.text);
    end_failed(engine, request, status, &message);
}

void mill_engine_route(struct mill_engine *engine, struct mill_request *request) {
    struct mill_router_replica loads[MILL_ENGINE_MAX_REPLICAS];
    get_loads(engine, loads);
    for (;;) {
        int32_t i = mill_router_choose(loads, engine->n_replicas, request->max_tokens,
                                       request->estimate_frames);
        if (i < 0) {
            end_without_device(engine, request, mill_router_max_tokens(loads, engine->n_replicas));
            break;
        }
        if (mill_replica_assign(engine->replicas[i], request) == MILL_OK)
            break;
        loads[i].ready = false; /* it was lost meanwhile */
    }
    mill_request_release(request);
}

/* ------------------------------------------------------------------ what becomes of them */

void mill_engine_on_ended(void *context, const struct mill_request_result *result) {
    struct mill_engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    struct mill_engine_stats *totals = &engine->totals;
    totals->n_completed += result->end == MILL_REQUEST_COMPLETE;
    totals->n_limited += result->end == MILL_REQUEST_LIMIT;
    totals->n_cancelled += result->end == MILL_REQUEST_CANCELLED;
    totals->n_late += result->end == MILL_REQUEST_DEADLINE;
    totals->n_failed += result->end == MILL_REQUEST_FAILED;
    totals->n_redraws += (uint64_t)result->n_redraws;
    totals->n_retries += (uint64_t)result->n_retries;
    totals->n_preemptions += (uint64_t)result->n_preemptions;
    totals->n_prompt_tokens += (uint64_t)result->n_prompt;
    totals->n_tokens += (uint64_t)result->n_draws;
    totals->n_frames += (uint64_t)result->n_frames;
    totals->audio_s += (double)result->n_samples / engine->info.sample_rate;
    engine->n_live--;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

/* Others do what a replica had. `failed` NULL = it is slow, which is no request's doing. */
static void reassign(struct mill_engine *engine, struct mill_replica *replica,
                     const struct mill_error *failed) {
    for (struct mill_request *request; (request = mill_replica_take_back(replica));) {
        if (mill_request_count_retry(request, failed != NULL) <= MAX_RETRIES) {
            mill_engine_route(engine, request);
        } else {
            end_failed(engine, request, MILL_E_DEVICE, failed);
            mill_request_release(request);
        }
    }
}

void mill_engine_on_lost(void *context, struct mill_replica *replica,
                         const struct mill_error *err) {
    struct mill_engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    engine->last_lost = *err;
    pthread_mutex_unlock(&engine->lock);
    reassign(engine, replica, err);
}

static void look_at_steps(struct mill_engine *engine) {
    static const struct mill_error stuck = {"its device did not come back from a step"};
    struct mill_router_replica loads[MILL_ENGINE_MAX_REPLICAS];
    get_loads(engine, loads);
    for (int32_t i = 0; i < engine->n_replicas; i++) {
        bool has_stand_in = mill_router_has_stand_in(loads, engine->n_replicas, i);
        switch (mill_replica_check(engine->replicas[i], has_stand_in)) {
        case MILL_WATCHDOG_STUCK:
            mill_engine_on_lost(engine, engine->replicas[i], &stuck);
            break;
        case MILL_WATCHDOG_SLOW:
            reassign(engine, engine->replicas[i], NULL);
            break;
        case MILL_WATCHDOG_FINE:
            break;
        }
    }
}

static void skip_time(struct mill_engine *engine, double seconds) {
    for (int32_t i = 0; i < engine->n_replicas; i++)
        mill_replica_skip_time(engine->replicas[i], seconds);
}

void *mill_engine_watch(void *context) {
    struct mill_engine *engine = context;
    double looked_s = mill_clock_seconds();
    pthread_mutex_lock(&engine->lock);
    while (!engine->closing) {
        mill_wait_until(&engine->changed, &engine->lock, mill_wait_deadline(WATCH_S));
        double late_s = mill_clock_seconds() - looked_s;
        looked_s += late_s;
        if (late_s > STOPPED_S)
            skip_time(engine, late_s);
        if (engine->n_live == 0 || engine->closing)
            continue;
        pthread_mutex_unlock(&engine->lock);
        look_at_steps(engine);
        pthread_mutex_lock(&engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

/* ------------------------------------------------------------------ numbers */

void mill_engine_get_stats(struct mill_engine *engine, struct mill_engine_stats *stats) {
    bool any_ready;
    double backlog_s = mill_engine_backlog_s(engine, &any_ready);
    pthread_mutex_lock(&engine->lock);
    *stats = engine->totals;
    stats->draining = engine->draining;
    stats->n_queued = engine->n_pending;
    bool started = engine->started;
    pthread_mutex_unlock(&engine->lock);
    stats->backlog_s = backlog_s;
    stats->uptime_s = started ? mill_clock_seconds() - engine->started_s : 0;
    stats->n_replicas = engine->n_replicas;
    for (int32_t i = 0; i < engine->n_replicas; i++) {
        mill_replica_get_stats(engine->replicas[i], &stats->replicas[i]);
        stats->n_queued += stats->replicas[i].n_waiting;
        stats->n_running += stats->replicas[i].n_running;
    }
}
