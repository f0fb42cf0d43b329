/* replica.h - one device with its copy of the model, and the thread that runs plan -> step ->
 * deliver on it for ever.
 *
 * Requests are assigned to a replica by the engine and end there, unless the device fails or does
 * not come back from a step in time: then they are taken back, and their next replica makes the
 * same audio again and delivers what was not delivered. A step is computed between two looks at the
 * replica's state under its lock, so a replica that was given up delivers nothing more of what it
 * had; when its device comes back it is ready for other requests. */
#ifndef MILL_ENGINE_REPLICA_H
#define MILL_ENGINE_REPLICA_H

#include "runtime/engine/model.h"
#include "runtime/engine/request.h"
#include "runtime/engine/router.h"
#include "runtime/engine/watchdog.h"

/* Positions of a page of keys and values: little is wasted at a sequence's end. */
enum { MILL_REPLICA_PAGE_TOKENS = 16 };

struct mill_replica;

/* What a replica tells the engine, without a lock: on its own thread, or the one that closes. */
struct mill_replica_host {
    void *context;
    void (*ended)(void *context, const struct mill_request_result *result);
    void (*lost)(void *context, struct mill_replica *replica, const struct mill_error *err);
};

struct mill_replica_options {
    const struct mill_model *model; /* borrowed */
    struct mill_device_options device;
    const struct mill_device *lender; /* see model.h */
    struct mill_replica_host host;
    int32_t max_jobs; /* requests that it may be assigned at once */
    /* As far as its device has memory for it, see memory_plan.h: */
    int32_t max_running;  /* requests that hold pages */
    int32_t cache_tokens; /* that pages hold */
    int32_t max_window;   /* frames */
    int32_t max_tokens;   /* of one utterance */
    double stuck_s;
    int32_t number;
    double (*clock)(void *context, int32_t number); /* for tests: the watchdog's, in place of */
    void *clock_context;                            /* mill_clock_seconds */
    bool audit;
    int32_t prompt_rows; /* of a step, beside a row for each that runs; 0 = as usual */
};

/* Opens the device; nothing runs yet. */
mill_status mill_replica_open(struct mill_replica **out, const struct mill_replica_options *options,
                              struct mill_error *err);
mill_status mill_replica_start(struct mill_replica *replica, struct mill_error *err);
/* Its thread ends, and with it what it has, cancelled. False when its device is still stuck: then
 * the thread is left behind, and all that it may use must be too when it comes back: this replica,
 * the others that it would give requests to, weights. */
bool mill_replica_stop(struct mill_replica *replica);
/* Of a stopped one, when no other runs that would give it more: cancels what its thread has not. */
void mill_replica_cancel_all(struct mill_replica *replica);
/* One that never ran, or was stopped and is not stuck. NULL is fine. */
void mill_replica_close(struct mill_replica *replica);
const struct mill_device *mill_replica_device(const struct mill_replica *replica);

/* Takes a reference. MILL_E_DEVICE when the replica is lost, or full. */
mill_status mill_replica_assign(struct mill_replica *replica, struct mill_request *request);
/* Give up a replica that is stuck, and one that is slow where it has a stand-in. What it was given
 * up for now: FINE = it was not. */
enum mill_watchdog_verdict mill_replica_check(struct mill_replica *replica, bool has_stand_in);
/* So long the whole process was stopped: no step took that time. */
void mill_replica_skip_time(struct mill_replica *replica, double seconds);
/* Of those that it had when it was given up or failed, one and the reference to it; NULL when none
 * is left. */
struct mill_request *mill_replica_take_back(struct mill_replica *replica);

/* What the router wants to know. */
struct mill_router_replica mill_replica_get_load(struct mill_replica *replica);
void mill_replica_get_stats(struct mill_replica *replica, struct mill_replica_stats *stats);

#endif
