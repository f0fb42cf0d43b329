/* call.h - one HTTP request as its handler sees it, and the answer.
 *
 * A handler (route.h) runs on an HTTP thread when the whole body is there. It must not block. It
 * either answers at once, with one of the reply functions, or says mill_call_wait and is called
 * again, through its job, each time somebody says mill_call_wake; what then becomes of it is
 * an answer or more waiting.
 *
 *     received ──run──► answered ──► sent          a finished text
 *         │               ▲    └───► streamed      a job's bytes, read while they are made
 *         └──wait──► waiting (a job)
 *                         └── gone: the client has left, or the time is over
 *
 * A call is freed by the HTTP side when it is over, and its job with it. */
#ifndef MILL_SERVER_CALL_H
#define MILL_SERVER_CALL_H

#include "runtime/server/body.h"
#include "runtime/server/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mill_call;
struct mill_client;
struct mill_server;

enum { MILL_CALL_ID_BYTES = 29, MILL_CALL_PARAM_BYTES = 128 };

/* What goes on behind a call that is not answered at once. */
struct mill_call_job {
    /* Waiting, and woken: answer, or do nothing and go on waiting. On an HTTP thread. */
    void (*woken)(struct mill_call *call, void *job);
    /* Streaming: up to `capacity` bytes into `bytes`, their number as the result; 0 = none yet, a
     * wake will come; MILL_CALL_END, MILL_CALL_BREAK. On an HTTP thread. */
    ssize_t (*read)(void *job, char *bytes, size_t capacity);
    /* Nobody will read it any more. On any thread; it must not block, and may come at any moment
     * before free, once. */
    void (*gone)(void *job);
    /* The call is over; no wake may come behind this. On an HTTP thread. */
    void (*free)(void *job);
};
/* The end of a stream; and one that breaks off, which the client can tell. */
enum { MILL_CALL_END = -1, MILL_CALL_BREAK = -2 };

/* ------------------------------------------------------------------ the request */

struct mill_server *mill_call_server(const struct mill_call *call);
/* Whose key it came with. */
struct mill_client *mill_call_client(const struct mill_call *call);
const char *mill_call_id(const struct mill_call *call);
/* What stands in the path for {name}; "" without one. */
const char *mill_call_param(const struct mill_call *call);
/* Borrowed, only on the HTTP thread; NULL when there is none. */
const char *mill_call_query(const struct mill_call *call, const char *name);
const char *mill_call_header(const struct mill_call *call, const char *name);
/* A list's "limit": how many entries are wanted. */
int mill_call_read_limit(const struct mill_call *call, int usual, int most,
                         struct mill_problem *problem);
/* A list's "order": is it "asc", the oldest first? "desc" is usual. */
bool mill_call_read_order(const struct mill_call *call, struct mill_problem *problem);
/* All of it; lives as long as the call. */
const struct mill_body *mill_call_body(const struct mill_call *call);
/* The caller's from now on, to be deinitialised. */
void mill_call_take_body(struct mill_call *call, struct mill_body *out);

/* ------------------------------------------------------------------ the answer */

/* Headers for the reply that follows; `name` and `value` are copied. */
void mill_call_add_header(struct mill_call *call, const char *name, const char *value);
/* `size` bytes, copied. */
void mill_call_reply(struct mill_call *call, int status, const char *type, const void *data,
                     size_t size);
/* The reference is taken; NULL (no memory) becomes a failure. */
void mill_call_reply_json(struct mill_call *call, int status, json_t *taken);
/* OpenAI's list of objects with ids, to reply with; there are `more` behind them. */
json_t *mill_call_list(json_t *taken, bool more);
void mill_call_refuse(struct mill_call *call, const struct mill_problem *problem);
/* The job's bytes, `size` of them; -1 = nobody knows how many. */
void mill_call_stream(struct mill_call *call, int status, const char *type, int64_t size);

/* The call owns the job from now on; one that it waited for is freed, which may be the caller's. */
void mill_call_wait(struct mill_call *call, const struct mill_call_job *kind, void *job);
/* Look at the job again. On any thread; cheap when it is looked at already. */
void mill_call_wake(struct mill_call *call);
/* So many seconds of sound have been handed to the client: it may take as long to read them. */
void mill_call_count_audio(struct mill_call *call, double seconds);
/* For the line in the log: up to 200 bytes of key=value. */
void mill_call_note(struct mill_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
