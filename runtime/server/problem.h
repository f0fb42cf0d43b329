/* problem.h - why a request is refused, as a client reads it: HTTP status and OpenAI's error
 * envelope, {"error": {"message", "type", "param", "code"}}.
 *
 * A plain value. What goes into a message may be read by strangers: no paths, no internals. */
#ifndef MILL_SERVER_PROBLEM_H
#define MILL_SERVER_PROBLEM_H

#include "runtime/base/status.h"

#include <jansson.h>

struct mill_problem {
    int status;           /* of HTTP; 0 = there is none */
    const char *code;     /* static text */
    char param[48];       /* the field it is about; empty = none */
    double retry_after_s; /* 0 = nothing is said */
    char message[512];    /* one line */
};

/* Fill it in; returns `status`, so that a call site is one statement. */
int mill_problem_set(struct mill_problem *problem, int status, const char *code, const char *param,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* What a failed call means for a client: of internal failures only that there was one. */
int mill_problem_of_status(struct mill_problem *problem, mill_status status,
                           const struct mill_error *err);
/* The same of a field: bad input names it. */
int mill_problem_of_field(struct mill_problem *problem, mill_status status, const char *param,
                          const struct mill_error *err);

/* A body as JSON, the caller's to release; on failure *problem is filled in. */
mill_status mill_problem_read_json(json_t **out, const char *data, size_t size,
                                   struct mill_problem *problem);

/* The envelope, in new memory; NULL when memory is short. */
json_t *mill_problem_envelope(const struct mill_problem *problem);

#endif
