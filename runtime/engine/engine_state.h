/* engine_state.h - what the parts of the engine share: engine.c (open, start, close),
 * engine_submit.c (from a wish to a request in a queue), engine_watch.c (where requests go, what
 * becomes of them, numbers). Below it are replicas; above it nobody looks in here but tests. */
#ifndef MILL_ENGINE_ENGINE_STATE_H
#define MILL_ENGINE_ENGINE_STATE_H

#include "runtime/engine/devices.h"
#include "runtime/engine/replica.h"

/* For tests: a backend that misbehaves, and audits. */
struct mill_engine_hooks {
    /* The table of replica number `replica`; NULL = the usual one. */
    const struct mill_backend_ops *(*find_backend)(void *context, int32_t replica);
    /* What steps of replica number `replica` are watched by; NULL = mill_clock_seconds. */
    double (*clock)(void *context, int32_t replica);
    void *context;
    bool audit;                /* the scheduler checks its books in every step */
    int32_t prompt_rows;       /* as in mill_replica_options */
    size_t memory_limit_bytes; /* of each device; 0 = none */
};
mill_status mill_engine_open_hooked(struct mill_engine **out,
                                    const struct mill_engine_options *options,
                                    const struct mill_engine_hooks *hooks, struct mill_error *err);

struct mill_engine {
    struct mill_engine_options options; /* zeros replaced; strings owned */
    struct mill_engine_hooks hooks;
    struct mill_engine_device devices[MILL_ENGINE_MAX_REPLICAS];
    int32_t n_devices;
    struct mill_error no_gpu; /* see mill_engine_info */
    struct mill_model model;
    struct mill_engine_info info;
    pthread_mutex_t encoder_lock; /* guards model.encoder */

    struct mill_replica *replicas[MILL_ENGINE_MAX_REPLICAS]; /* fixed once started */
    int32_t n_replicas;
    pthread_t watcher;
    bool has_watcher;
    double started_s;

    pthread_mutex_t lock; /* guards what follows; taken before a replica's or a request's */
    pthread_cond_t changed;
    bool started, draining, closing;
    struct mill_request **pending; /* before start: one reference each */
    int32_t n_pending;
    int32_t n_live;              /* submitted and not ended */
    struct mill_error last_lost; /* why the last replica that was lost failed; empty = none was */
    int32_t n_places;            /* taken and not put back */
    struct mill_engine_stats totals;
};

/* Utterances that a replica may have at once, as far as its device has memory. */
int32_t mill_engine_running_of(const struct mill_engine *engine, int32_t device);
/* Requests, and places, that are let in. */
int32_t mill_engine_capacity(const struct mill_engine *engine);
/* Requests that may be there at once: a place's next one may come before its last one is gone. */
int32_t mill_engine_max_live(const struct mill_engine *engine);
/* Send a request to the best replica; where none is left it ends with a failure. Takes over the
 * caller's reference. Not under the lock. */
void mill_engine_route(struct mill_engine *engine, struct mill_request *request);
/* Seconds of work that wait. */
double mill_engine_backlog_s(struct mill_engine *engine, bool *any_ready);
/* See mill_replica_host; `context` is the engine. */
void mill_engine_on_ended(void *context, const struct mill_request_result *result);
void mill_engine_on_lost(void *context, struct mill_replica *replica, const struct mill_error *err);
/* The watcher's thread: gives up replicas whose step does not come back in time. */
void *mill_engine_watch(void *engine);

#endif
