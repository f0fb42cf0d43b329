/* routes_operate.c - what operators and their programs ask: is it alive, is it ready, how much does
 * it do, which models are there. */
#include "runtime/server/server_state.h"

#include <string.h>

enum { PAGE_BYTES = 1 << 20 };

static void reply_state(struct mill_call *call, int status, const char *word) {
    mill_call_add_header(call, "Cache-Control", "no-store");
    mill_call_reply_json(call, status, json_pack("{s:s}", "status", word));
}

/* Alive: devices make progress, or have nothing to do. */
void mill_route_health(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    if (atomic_load(&server->phase) == MILL_SERVER_STARTING) {
        reply_state(call, 503, "starting");
        return;
    }
    enum mill_server_health health = mill_server_get_health(server);
    reply_state(call, health == MILL_SERVER_HEALTHY ? 200 : 503,
                health == MILL_SERVER_HEALTHY ? "ok"
                : health == MILL_SERVER_STUCK ? "stuck"
                                              : "no device works");
}

/* Ready: new work is taken. */
void mill_route_ready(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    int phase = atomic_load(&server->phase);
    bool healthy =
        phase == MILL_SERVER_READY && mill_server_get_health(server) == MILL_SERVER_HEALTHY;
    reply_state(call, healthy ? 200 : 503,
                phase == MILL_SERVER_STARTING   ? "starting"
                : phase == MILL_SERVER_DRAINING ? "draining"
                : healthy                       ? "ready"
                                                : "not healthy");
}

void mill_route_metrics(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    struct mill_engine_stats stats;
    struct mill_connections *connections = mill_http_connections(server->http);
    struct mill_metrics_page page = {.metrics = &server->metrics,
                                     .model = server->options->model_name,
                                     .n_connections = mill_connections_count(connections),
                                     .n_evicted = mill_connections_count_evicted(connections),
                                     .routes = mill_routes};
    if (atomic_load(&server->phase) != MILL_SERVER_STARTING) {
        mill_engine_get_stats(server->engine, &stats);
        page.engine = &stats;
    }
    struct mill_job_totals jobs;
    if (server->jobs && mill_job_store_get_totals(server->jobs, &jobs, NULL) == MILL_OK)
        page.jobs = &jobs;
    struct mill_buffer text;
    struct mill_error err;
    struct mill_problem problem;
    mill_buffer_init(&text, PAGE_BYTES);
    mill_status status = mill_metrics_print(&page, &text, &err);
    if (status == MILL_OK) {
        mill_call_reply(call, 200, "text/plain; version=0.0.4; charset=utf-8", text.data,
                        text.size);
    } else {
        mill_problem_of_status(&problem, status, &err);
        mill_call_refuse(call, &problem);
    }
    mill_buffer_deinit(&text);
}

static json_t *model_card(const struct mill_server *server, const char *name) {
    return json_pack("{s:s, s:s, s:I, s:s, s:n}", "id", name, "object", "model", "created",
                     (json_int_t)server->started_s, "owned_by", "sparkmill", "shutdown_date");
}

void mill_route_models(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    json_t *data = json_array();
    json_array_append_new(data, model_card(server, server->options->model_name));
    for (const char *at = server->options->model_aliases; *at;) {
        size_t n = strcspn(at, ",");
        char name[128];
        if (n > 0 && n < sizeof name) {
            memcpy(name, at, n);
            name[n] = '\0';
            json_array_append_new(data, model_card(server, name));
        }
        at += n + (at[n] == ',');
    }
    mill_call_reply_json(call, 200, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

void mill_route_model(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    struct mill_problem problem;
    if (mill_server_has_model(server, mill_call_param(call))) {
        mill_call_reply_json(call, 200, model_card(server, mill_call_param(call)));
        return;
    }
    mill_problem_set(&problem, 404, "model_not_found", "model",
                     "there is no such model; it is '%s'", server->options->model_name);
    mill_call_refuse(call, &problem);
}
