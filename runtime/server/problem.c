/* problem.c - see problem.h. No state. */
#include "runtime/server/problem.h"

#include "runtime/base/utf8.h"
#include "runtime/io/config.h"

#include <stdarg.h>
#include <stdio.h>

int mill_problem_set(struct mill_problem *problem, int status, const char *code, const char *param,
                     const char *format, ...) {
    *problem = (struct mill_problem){.status = status, .code = code};
    snprintf(problem->param, sizeof problem->param, "%s", param ? param : "");
    mill_utf8_make_printable(problem->param); /* a stranger's, and maybe cut */
    va_list args;
    va_start(args, format);
    vsnprintf(problem->message, sizeof problem->message, format, args);
    va_end(args);
    mill_utf8_make_printable(problem->message);
    return status;
}

int mill_problem_of_status(struct mill_problem *problem, mill_status status,
                           const struct mill_error *err) {
    switch (status) {
    case MILL_E_INPUT:
        return mill_problem_set(problem, 400, "invalid_value", NULL, "%s", err->text);
    case MILL_E_NOT_FOUND:
        return mill_problem_set(problem, 404, "not_found", NULL, "%s", err->text);
    case MILL_E_UNSUPPORTED:
        return mill_problem_set(problem, 501, "not_supported", NULL, "%s", err->text);
    case MILL_E_FULL:
        return mill_problem_set(problem, 507, "insufficient_storage", NULL,
                                "the server's disk, or the room it was given there, is full");
    case MILL_AGAIN:
    case MILL_E_MEMORY:
    case MILL_E_DEVICE:
    case MILL_E_CANCELLED:
        mill_problem_set(problem, 503, "server_is_overloaded", NULL,
                         "the server cannot do this now, try again");
        problem->retry_after_s = 1;
        return problem->status;
    default:
        return mill_problem_set(problem, 500, "internal_error", NULL,
                                "the server failed; its log says why");
    }
}

int mill_problem_of_field(struct mill_problem *problem, mill_status status, const char *param,
                          const struct mill_error *err) {
    mill_problem_of_status(problem, status, err);
    if (status == MILL_E_INPUT)
        snprintf(problem->param, sizeof problem->param, "%s", param);
    return problem->status;
}

mill_status mill_problem_read_json(json_t **out, const char *data, size_t size,
                                   struct mill_problem *problem) {
    struct mill_error err;
    *out = NULL;
    mill_status status =
        size > 0 ? mill_json_parse(out, NULL, data, size, &err)
                 : mill_fail(&err, MILL_E_INPUT, "it is empty: a JSON object is wanted");
    if (status == MILL_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        status = mill_fail(&err, MILL_E_INPUT, "a JSON object is wanted");
    }
    if (status < 0)
        mill_context(&err, status, "the body");
    if (status == MILL_E_INPUT)
        mill_problem_set(problem, 400, "invalid_json", NULL, "%s", err.text);
    else if (status < 0)
        mill_problem_of_status(problem, status, &err);
    return status;
}

static const char *type_of(int status) {
    return status == 429   ? "rate_limit_error"
           : status == 503 ? "service_unavailable_error"
           : status >= 500 ? "server_error"
                           : "invalid_request_error";
}

json_t *mill_problem_envelope(const struct mill_problem *problem) {
    return json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", problem->message, "type",
                     type_of(problem->status), "param", problem->param[0] ? problem->param : NULL,
                     "code", problem->code);
}
