/* routes.c - the table of routes: what is not in it does not exist. A new route is a row here and a
 * handler. */
#include "runtime/server/server_state.h"

#define ROUTE(method, path, scope, body, run)                                                      \
    { method, path, MILL_SCOPE_##scope, MILL_BODY_##body, mill_route_##run }

const struct mill_route mill_routes[] = {
    ROUTE("GET", "/", PUBLIC, NONE, console),
    ROUTE("GET", "/health", PUBLIC, NONE, health),
    ROUTE("GET", "/ready", PUBLIC, NONE, ready),
    ROUTE("GET", "/metrics", OPERATE, NONE, metrics),

    ROUTE("GET", "/v1/models", SPEAK, NONE, models),
    ROUTE("GET", "/v1/models/{model}", SPEAK, NONE, model),
    ROUTE("POST", "/v1/audio/speech", SPEAK, JSON, speech),
    {0},
};
_Static_assert(sizeof mill_routes / sizeof *mill_routes <= MILL_METRICS_ROUTES,
               "room for every route's counters");
