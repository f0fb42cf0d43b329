/* http.h - HTTP/1.1 by libmicrohttpd: connections in, calls to handlers, answers out.
 *
 * libmicrohttpd parses; what it lets pass and a proxy in front might read differently (two lengths,
 * a length beside chunks, folded or misspelt headers) is refused here, so is every header that is
 * not plain. A route is found and its caller admitted before a byte of the body is taken. Handlers
 * run on libmicrohttpd's threads; a call that waits is suspended and costs no thread. */
#ifndef MILL_SERVER_HTTP_H
#define MILL_SERVER_HTTP_H

#include "runtime/server/connections.h"
#include "runtime/server/log.h"
#include "runtime/server/route.h"

struct mill_http;

/* Everything is borrowed until close. */
struct mill_http_options {
    int listener; /* a listening socket; close closes it */
    int64_t n_threads, max_connections, max_connections_per_address, max_header_bytes;
    const char *tls_cert, *tls_key;       /* PEM, or NULL */
    struct mill_connection_limits limits; /* `leave` is filled in */
    const struct mill_route *routes;
    bool refuses_pages; /* of other machines: see origin.h. Public routes are for all */
    size_t max_body[MILL_BODY_COUNT];
    const char *body_folder;
    const struct mill_log *log;
    struct mill_server *server;
    /* May this call run? Its route and client; a problem when not. `authorization` may be NULL. */
    void (*admit)(struct mill_server *server, const struct mill_route *route,
                  const char *authorization, struct mill_client **client,
                  struct mill_problem *problem);
    /* A call of a route (NULL: none was found) is over. */
    void (*ended)(struct mill_server *server, const struct mill_route *route, int status,
                  double seconds);
};

mill_status mill_http_open(struct mill_http **out, const struct mill_http_options *options,
                           struct mill_error *err);
/* No new connections; those that wait for a request are shut down. */
void mill_http_drain(struct mill_http *http);
/* Calls that are not over. */
size_t mill_http_count_calls(struct mill_http *http);
struct mill_connections *mill_http_connections(struct mill_http *http);
/* Ends what runs, at once, and frees. NULL is fine. */
void mill_http_close(struct mill_http *http);

#endif
