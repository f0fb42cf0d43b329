/* server.h - the HTTP server: an engine, voices and keys behind OpenAI's and FlashTTS' routes.
 *
 *     open ──► start ──► (reload, tick) ... ──► drain ──► close
 *     listens     weights, devices,             no new       at once
 *     /health     created voices: /ready        connections
 *
 * Threads: libmicrohttpd's serve connections; one watches them (connections.h); one changes files
 * and clones voices (worker.h), another the batches' files; the engine has its own. The caller's
 * thread runs what is below and decides when, by its signals. Everything is refused politely until
 * start is done. */
#ifndef MILL_SERVER_SERVER_H
#define MILL_SERVER_SERVER_H

#include "runtime/engine/engine.h"
#include "runtime/server/log.h"
#include "runtime/server/options.h"

struct mill_server;

/* Opens the model's sizes, voices and keys, and answers on `listener`, a listening socket that is
 * taken, whatever the result. Options and log are borrowed until close; folders in the options are
 * filled in. */
mill_status mill_server_open(struct mill_server **out, const struct mill_server_options *options,
                             int listener, const struct mill_log *log, struct mill_error *err);

mill_status mill_server_start(struct mill_server *server,
                              const struct mill_engine_progress *progress, struct mill_error *err);
/* Read keys and voices again; what cannot be read stays as it was, and the log says so. */
void mill_server_reload(struct mill_server *server);
/* Now and then: voices that another process changed, what keys have used. True while devices make
 * progress. */
bool mill_server_tick(struct mill_server *server);
/* Refuses new work, closes the listener; true when nothing runs any more. It may be called again.
 */
bool mill_server_drain(struct mill_server *server);
/* Breaks off what runs. NULL is fine. */
void mill_server_close(struct mill_server *server);

#endif
