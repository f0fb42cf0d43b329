/* connections.h - every open connection and its time: who is slow, who has gone.
 *
 * libmicrohttpd does not look at a connection while its request waits for us, and its own timeout
 * is reset by each byte. So a thread of ours watches all sockets for the other end's leaving, and
 * holds each connection to the time of its phase:
 *
 *     HEADERS ─► BODY ─► WORK ─► REPLY ─► HEADERS of the next request (idle) ...
 *
 * headers and idling have a time as a whole, a body its time plus that of its bytes at the least
 * rate. While a stream's bytes lie with the client its clock runs: it may lag behind real time by
 * slow_client_s. Whoever is over time is shut down, which frees whatever it holds.
 *
 * Any thread; one lock, under which `leave` is called, so that a call never vanishes under it. */
#ifndef MILL_SERVER_CONNECTIONS_H
#define MILL_SERVER_CONNECTIONS_H

#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mill_connections;
struct mill_connection;

struct mill_connection_limits {
    double header_timeout_s, idle_timeout_s, body_timeout_s, slow_client_s;
    double min_body_rate; /* bytes a second */
    /* The client of this call has left, or is shut down; it must not block. */
    void (*leave)(void *call);
};

mill_status mill_connections_open(struct mill_connections **out,
                                  const struct mill_connection_limits *limits,
                                  struct mill_error *err);
/* None may be left. NULL is fine. */
void mill_connections_close(struct mill_connections *connections);
size_t mill_connections_count(struct mill_connections *connections);
/* How many were shut down for being slow. */
uint64_t mill_connections_count_evicted(struct mill_connections *connections);
/* Shut down those that wait for a request, now and from now on. */
void mill_connections_drain(struct mill_connections *connections);
/* Shut down all. */
void mill_connections_hang_up(struct mill_connections *connections);

/* NULL when memory is short. Free it before the descriptor is closed. */
struct mill_connection *mill_connection_new(struct mill_connections *connections, int fd);
void mill_connection_free(struct mill_connection *connection);

void mill_connection_begin_body(struct mill_connection *connection);
void mill_connection_count_body(struct mill_connection *connection, size_t bytes);
/* `call` may be left from now on, until end: also at once, when its client has gone already. */
void mill_connection_begin_work(struct mill_connection *connection, void *call);
void mill_connection_begin_reply(struct mill_connection *connection);
/* The request is over. */
void mill_connection_end(struct mill_connection *connection);

/* A stream's bytes lie with the client (true), or it waits for more. */
void mill_connection_client_turn(struct mill_connection *connection, bool its_turn);
/* So much sound was handed to it. */
void mill_connection_count_audio(struct mill_connection *connection, double seconds);

#endif
