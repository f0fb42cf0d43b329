/* call_state.h - a call's insides: call.c keeps the state, http.c moves it along. Private. */
#ifndef MILL_SERVER_CALL_STATE_H
#define MILL_SERVER_CALL_STATE_H

#include "runtime/server/http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MILL_CALL_NOTE_BYTES = 256, MILL_CALL_MAX_HEADERS = 8 };

/* What runs on HTTP threads alone needs no lock; wake and leave come from anywhere. */
struct mill_call {
    struct mill_http *http;
    struct MHD_Connection *mhd;
    struct mill_connection *connection; /* borrowed */
    const struct mill_route *route;     /* NULL: there is none */
    struct mill_client *client;         /* borrowed */
    char id[MILL_CALL_ID_BYTES], param[MILL_CALL_PARAM_BYTES];
    struct mill_body body;
    size_t n_dropped; /* bytes of the body behind a problem */
    double started_s;
    size_t target_bytes, n_parameters;
    size_t bytes_in;             /* of the body, as far as it was kept */
    bool begun, ran;             /* the headers were looked at; the handler was called */
    bool queued, closes;         /* an answer is queued; close behind it */
    bool is_head;                /* HEAD: its answer's head alone is wanted */
    struct mill_problem problem; /* status 0 = none: instead of running */

    struct MHD_Response *reply; /* owned until queued */
    bool unanswered;            /* there was no memory for a reply: the connection is closed */
    int status;
    struct {
        char *name, *value; /* owned */
    } headers[MILL_CALL_MAX_HEADERS];
    int n_headers;
    char note[MILL_CALL_NOTE_BYTES];

    const struct mill_call_job *kind; /* NULL: there is no job */
    void *job;

    pthread_mutex_t lock;
    bool suspended, woken, gone;
};

struct mill_call *mill_call_new(struct mill_http *http, struct MHD_Connection *mhd);
/* Free its job, where there is one; nobody may leave the call any more. */
void mill_call_end_job(struct mill_call *call);
void mill_call_free(struct mill_call *call);

/* Suspend it, unless it was woken since it was last looked at: then false, and look again. On its
 * HTTP thread. */
bool mill_call_suspend(struct mill_call *call);
bool mill_call_is_gone(struct mill_call *call);
/* Its client has left: see connections.h. */
void mill_call_leave(void *call);

/* Private to http.c, here for call.c's sake. */
struct mill_http {
    struct mill_http_options options;
    struct mill_connections *connections;
    struct MHD_Daemon *daemon;
    int listener;
    uint64_t id_key;
    _Atomic uint64_t n_calls, n_ended;
};

#endif
