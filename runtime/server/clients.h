/* clients.h - those who call: whose key a request comes with, and what each still may.
 *
 * A client is a name of the keys' file and what it has used; it stays, so a pointer to it does,
 * until close, also when a reload takes its key away. Without a file there is one client,
 * "anonymous", who may do everything. Any thread; one lock. */
#ifndef MILL_SERVER_CLIENTS_H
#define MILL_SERVER_CLIENTS_H

#include "runtime/server/keys.h"
#include "runtime/server/problem.h"
#include "runtime/server/route.h"

struct mill_clients;

/* `path` empty: no keys. */
mill_status mill_clients_open(struct mill_clients **out, const char *path, struct mill_error *err);
void mill_clients_close(struct mill_clients *clients);
/* Read the file again; on failure everything stays as it was. */
mill_status mill_clients_reload(struct mill_clients *clients, struct mill_error *err);

/* The client of "Bearer KEY" (NULL: nothing was said), or NULL with *problem filled in: it is
 * unknown, its key is not for this, or it asks too often. */
struct mill_client *mill_clients_admit(struct mill_clients *clients, const char *authorization,
                                       enum mill_scope scope, struct mill_problem *problem);

/* A client begins a piece of speech, or may not now: false with *problem filled in. */
bool mill_client_begin(struct mill_client *client, struct mill_problem *problem);
/* Does one of that name have a key, and sound left of its day? Without keys, everybody does. */
bool mill_clients_have_day(struct mill_clients *clients, const char *name);
/* It is over, and so much sound was handed out. */
void mill_client_end(struct mill_client *client, double audio_s);

const char *mill_client_name(const struct mill_client *client);
/* A number of its own, from 1. */
uint64_t mill_client_number(const struct mill_client *client);
/* By its name; NULL when there is none. */
struct mill_client *mill_clients_find(struct mill_clients *clients, const char *name);
/* Sound that was made for it without a request of its own. */
void mill_client_count_audio(struct mill_client *client, double audio_s);
int32_t mill_client_priority(struct mill_client *client);

struct mill_client_usage {
    const char *name;
    uint64_t n_requests, n_refused;
    double audio_s, today_s; /* of sound: since the start, and today */
    double unkept_s;         /* of today's, what mill_clients_keep has not been told */
    int64_t n_running;
};
/* Of client `i`, in order; false behind the last. */
bool mill_clients_usage(struct mill_clients *clients, size_t i, struct mill_client_usage *out);
/* So much of what client `i` had not kept of that day is kept, and comes to `today_s` with what is
 * known of it elsewhere. */
void mill_clients_keep(struct mill_clients *clients, size_t i, int64_t day, double kept_s,
                       double today_s);
/* Days since 1970, by UTC. */
int64_t mill_clients_today(void);

#endif
