/* route.h - which handler answers which method and path; the table is routes.c. */
#ifndef MILL_SERVER_ROUTE_H
#define MILL_SERVER_ROUTE_H

#include "runtime/server/call.h"

/* What a key may do: name, and its word in the keys' file; what is PUBLIC needs no key. */
#define MILL_SCOPE_MAP(X)                                                                          \
    X(PUBLIC, "public")                                                                            \
    X(SPEAK, "speak")                                                                              \
    X(VOICES, "voices")                                                                            \
    X(JOBS, "jobs")                                                                                \
    X(OPERATE, "operate")

enum mill_scope {
#define X(name, text) MILL_SCOPE_##name,
    MILL_SCOPE_MAP(X)
#undef X
        MILL_SCOPE_COUNT
};

/* How large a body may be; the sizes follow from the options. */
enum mill_body_kind {
    MILL_BODY_NONE,
    MILL_BODY_JSON,
    MILL_BODY_UPLOAD,
    MILL_BODY_BATCH,
    MILL_BODY_COUNT
};

struct mill_route {
    const char *method;
    const char *path; /* one of its parts may be {name}: anything without '/' */
    enum mill_scope scope;
    enum mill_body_kind body;
    void (*run)(struct mill_call *call);
};

/* Ends with a row of zeros. */
extern const struct mill_route mill_routes[];

/* The number of the row, and what stands for {name}. -1 when no path fits; -2 when some do, and
 * not with this method: `allowed` (of 64 bytes) then names theirs. HEAD is as GET. */
enum { MILL_ROUTE_NONE = -1, MILL_ROUTE_OTHER_METHOD = -2 };
int mill_route_find(const struct mill_route *routes, const char *method, const char *path,
                    char param[MILL_CALL_PARAM_BYTES], char allowed[64]);

#endif
