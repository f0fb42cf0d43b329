/* server_state.h - what the routes share. Private to runtime/server. */
#ifndef MILL_SERVER_SERVER_STATE_H
#define MILL_SERVER_SERVER_STATE_H

#include "runtime/engine/engine.h"
#include "runtime/jobs/store.h"
#include "runtime/server/batch_runner.h"
#include "runtime/server/clients.h"
#include "runtime/server/http.h"
#include "runtime/server/metrics.h"
#include "runtime/server/server.h"
#include "runtime/server/shelf.h"
#include "runtime/server/usage.h"
#include "runtime/server/worker.h"
#include "runtime/text/dictionary.h"

enum mill_server_phase { MILL_SERVER_STARTING, MILL_SERVER_READY, MILL_SERVER_DRAINING };

/* Fixed after open, but for the phase, and what is atomic; what hangs on it has its own locks. */
struct mill_server {
    const struct mill_server_options *options;
    const struct mill_log *log;
    struct mill_engine *engine;
    struct mill_clients *clients;
    struct mill_shelf *shelf;
    struct mill_http *http;
    struct mill_worker *worker;
    /* NULL = there are no batches, `no_jobs` says why. Changes of them have a worker of their own:
     * nobody waits for a recording there, nor for a long file here. */
    struct mill_job_store *_Atomic jobs;
    struct mill_worker *jobs_worker;
    struct mill_batch_runner *_Atomic runner; /* NULL until it is ready */
    const char *no_jobs;
    bool waits_for_jobs;                /* another process has them; the tick's own */
    char *consents;                     /* owned: their folder */
    struct mill_dictionary *dictionary; /* of every text; NULL = none */
    struct mill_usage usage;            /* of the keys, where there are any */
    const char *cache;                  /* NULL = none */
    struct mill_shape shape;
    struct mill_voice_model voice_model;
    struct mill_metrics metrics;
    struct mill_buffer tls_cert, tls_key; /* PEM with a final zero; empty = no TLS */
    int64_t started_s;                    /* Unix time */
    atomic_int phase;
    double frames_per_second;
};

/* False, with *problem filled in, before start is done and after drain has begun. */
bool mill_server_takes_work(struct mill_server *server, struct mill_problem *problem);
/* Does a client mean our model by this name? */
bool mill_server_has_model(const struct mill_server *server, const char *name);

enum mill_server_health { MILL_SERVER_HEALTHY, MILL_SERVER_STUCK, MILL_SERVER_NO_DEVICE };
enum mill_server_health mill_server_get_health(struct mill_server *server);

/* The handlers, by file. */
void mill_route_console(struct mill_call *call); /* routes_console.c */
void mill_route_openapi(struct mill_call *call);
void mill_route_health(struct mill_call *call); /* routes_operate.c */
void mill_route_ready(struct mill_call *call);
void mill_route_metrics(struct mill_call *call);
void mill_route_models(struct mill_call *call);
void mill_route_model(struct mill_call *call);
void mill_route_speech(struct mill_call *call); /* speech.c */
void mill_route_voices(struct mill_call *call); /* routes_voices.c */
void mill_route_voice(struct mill_call *call);
void mill_route_create_voice(struct mill_call *call);
void mill_route_delete_voice(struct mill_call *call);
void mill_route_consents(struct mill_call *call); /* routes_consents.c */
void mill_route_consent(struct mill_call *call);
void mill_route_create_consent(struct mill_call *call);
void mill_route_update_consent(struct mill_call *call);
void mill_route_delete_consent(struct mill_call *call);
void mill_route_files(struct mill_call *call); /* routes_files.c */
void mill_route_create_file(struct mill_call *call);
void mill_route_file(struct mill_call *call);
void mill_route_delete_file(struct mill_call *call);
void mill_route_file_content(struct mill_call *call);
void mill_route_batches(struct mill_call *call); /* routes_batches.c */
void mill_route_create_batch(struct mill_call *call);
void mill_route_batch(struct mill_call *call);
void mill_route_cancel_batch(struct mill_call *call);
void mill_route_server_info(struct mill_call *call); /* routes_flashtts.c */
void mill_route_audio_roles(struct mill_call *call);
void mill_route_speak(struct mill_call *call);
void mill_route_multi_speak(struct mill_call *call);
void mill_route_clone_voice(struct mill_call *call);
void mill_route_add_speaker(struct mill_call *call);
void mill_route_delete_speaker(struct mill_call *call);

#endif
