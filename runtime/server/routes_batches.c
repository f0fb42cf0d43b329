/* routes_batches.c - /v1/batches: OpenAI's batches, of speech. As routes_files.c for who does what.
 */
#include "runtime/io/config.h"
#include "runtime/jobs/batch_line.h"
#include "runtime/server/routes_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    USUAL_LIMIT = 20,
    MAX_LIMIT = 100,
    MAX_WINDOW_S = 30 * 86400,
    MAX_PAIRS = 16,
    MAX_KEY = 64,
    MAX_VALUE = 512
};

/* ------------------------------------------------------------------ looking */

static json_t *time_of(int64_t seconds) {
    return seconds ? json_integer((json_int_t)seconds) : json_null();
}

/* A text that the store keeps as JSON; null where there is none. */
static json_t *json_of(const char *text) {
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    return root ? root : json_null();
}

static json_t *errors_of(const char *text) {
    json_t *list = json_of(text);
    return json_is_null(list) ? list : json_pack("{s:s, s:o}", "object", "list", "data", list);
}

static json_t *describe(const struct mill_job_batch *b) {
    const char *output = b->output_file[0] ? b->output_file : NULL;
    const char *error = b->error_file[0] ? b->error_file : NULL;
    const int64_t *at = b->entered_s;
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:s?, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:{s:I, s:I, s:I}, s:o}",
        "id", b->id, "object", "batch", "endpoint", MILL_BATCH_ENDPOINT, "errors",
        errors_of(b->errors), "input_file_id", b->input_file, "completion_window", b->window,
        "status", mill_job_state_text(b->state), "output_file_id", output, "error_file_id", error,
        "created_at", time_of(at[MILL_JOB_VALIDATING]), "in_progress_at",
        time_of(at[MILL_JOB_IN_PROGRESS]), "expires_at", time_of(b->expires_s), "finalizing_at",
        json_null(), "completed_at", time_of(at[MILL_JOB_COMPLETED]), "failed_at",
        time_of(at[MILL_JOB_FAILED]), "expired_at", time_of(at[MILL_JOB_EXPIRED]), "cancelling_at",
        time_of(at[MILL_JOB_CANCELLING]), "cancelled_at", time_of(at[MILL_JOB_CANCELLED]),
        "request_counts", "total", (json_int_t)b->n_total, "completed", (json_int_t)b->n_completed,
        "failed", (json_int_t)b->n_failed, "metadata", json_of(b->metadata));
}

void mill_route_batch(struct mill_call *call) {
    struct mill_job_batch batch;
    struct mill_error err = {""};
    if (!mill_jobs_ready(call))
        return;
    mill_status status = mill_job_store_get_batch(mill_call_server(call)->jobs,
                                                  mill_client_name(mill_call_client(call)),
                                                  mill_call_param(call), &batch, &err);
    if (status < 0) {
        mill_jobs_refuse(call, status, &err);
        return;
    }
    mill_call_reply_json(call, 200, describe(&batch));
    mill_job_batch_deinit(&batch);
}

void mill_route_batches(struct mill_call *call) {
    struct mill_job_page page;
    struct mill_job_batch *batches;
    struct mill_error err = {""};
    size_t n;
    bool more;
    if (!mill_jobs_ready(call) || !mill_jobs_read_page(call, USUAL_LIMIT, MAX_LIMIT, &page))
        return;
    mill_status status =
        mill_job_store_list_batches(mill_call_server(call)->jobs, &page, &batches, &n, &more, &err);
    if (status < 0) {
        mill_jobs_refuse_page(call, status, &err);
        return;
    }
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, describe(&batches[i]));
    mill_call_reply_json(call, 200, mill_call_list(data, more));
    for (size_t i = 0; i < n; i++)
        mill_job_batch_deinit(&batches[i]);
    free(batches);
}

/* ------------------------------------------------------------------ creating */

/* "24h", "30m" or "7d" in seconds; 0 for anything else. */
static int64_t read_window(const char *text) {
    char *end;
    if (!text || text[0] < '1' || text[0] > '9' || strlen(text) >= MILL_JOB_WINDOW_BYTES)
        return 0;
    int64_t number = strtoll(text, &end, 10);
    int64_t unit_s = strcmp(end, "m") == 0   ? 60
                     : strcmp(end, "h") == 0 ? 3600
                     : strcmp(end, "d") == 0 ? 86400
                                             : 0;
    return unit_s && number <= MAX_WINDOW_S / unit_s ? number * unit_s : 0;
}

static bool is_metadata(const json_t *metadata) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata) || json_object_size(metadata) > MAX_PAIRS)
        return false;
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        if (strlen(key) > MAX_KEY || !json_is_string(value) ||
            json_string_length(value) > MAX_VALUE)
            return false;
    }
    return true;
}

static bool check_known(const json_t *root, struct mill_problem *problem) {
    static const char *const names[] = {
        "input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", NULL};
    const char *unknown = mill_config_find_unknown(root, names);
    if (unknown)
        mill_problem_set(problem, 400, "unknown_parameter", unknown, "there is no field '%.40s'",
                         unknown);
    return !unknown;
}

/* null is as if it were not there. */
static bool read_lifetime(const json_t *root, struct mill_job_batch *batch,
                          struct mill_problem *problem) {
    static const char field[] = "output_expires_after";
    const json_t *lifetime = json_object_get(root, field);
    if (!lifetime || json_is_null(lifetime))
        return true;
    bool known = json_object_size(lifetime) == 2;
    const char *anchor = json_string_value(json_object_get(lifetime, "anchor"));
    batch->output_lifetime_s = json_integer_value(json_object_get(lifetime, "seconds"));
    return mill_jobs_check_lifetime(field, known ? anchor : NULL, batch->output_lifetime_s,
                                    problem);
}

static void read_order(const json_t *root, struct mill_job_batch *batch,
                       struct mill_problem *problem) {
    const char *input = json_string_value(json_object_get(root, "input_file_id"));
    const char *endpoint = json_string_value(json_object_get(root, "endpoint"));
    const char *window = json_string_value(json_object_get(root, "completion_window"));
    const json_t *metadata = json_object_get(root, "metadata");
    int64_t window_s = read_window(window);
    if (!check_known(root, problem) || !read_lifetime(root, batch, problem))
        return;
    if (!input || strlen(input) >= sizeof batch->input_file)
        mill_problem_set(problem, 400, "invalid_value", "input_file_id",
                         "input_file_id: the id of a file of purpose batch is wanted");
    else if (!endpoint || strcmp(endpoint, MILL_BATCH_ENDPOINT) != 0)
        mill_problem_set(problem, 400, "invalid_value", "endpoint",
                         "endpoint: \"" MILL_BATCH_ENDPOINT "\" is wanted");
    else if (!window_s)
        mill_problem_set(problem, 400, "invalid_value", "completion_window",
                         "completion_window: a time such as 24h, 30m or 7d is wanted, 30d at most");
    else if (metadata && !json_is_null(metadata) && !is_metadata(metadata))
        mill_problem_set(problem, 400, "invalid_value", "metadata",
                         "metadata: at most %d texts, names of at most %d bytes, values of %d",
                         MAX_PAIRS, MAX_KEY, MAX_VALUE);
    if (problem->status)
        return;
    snprintf(batch->input_file, sizeof batch->input_file, "%s", input);
    snprintf(batch->window, sizeof batch->window, "%s", window);
    batch->expires_s = (int64_t)time(NULL) + window_s;
    batch->metadata = json_is_object(metadata) ? json_dumps(metadata, JSON_COMPACT) : NULL;
    if (json_is_object(metadata) && !batch->metadata)
        mill_problem_of_status(problem, MILL_E_MEMORY, NULL);
}

/* The batch as it is now, or what else is to be said; the runner looks at what has changed. */
static void answer(struct mill_file_task *task, mill_status status, const struct mill_error *err) {
    struct mill_batch_runner *runner = atomic_load(&task->server->runner);
    if (status == MILL_OK)
        task->reply = describe(&task->batch);
    else if (!task->problem.status)
        mill_jobs_explain(task->server, status, err, &task->problem);
    if (runner)
        mill_batch_runner_wake(runner);
}

static void add_batch(struct mill_file_task *task) {
    struct mill_error err = {""};
    mill_status status =
        mill_job_store_add_batch(task->server->jobs, &task->batch, (int64_t)time(NULL), &err);
    if (status == MILL_E_NOT_FOUND || status == MILL_E_INPUT)
        mill_problem_set(&task->problem, 400, "invalid_value", "input_file_id", "%s", err.text);
    answer(task, status, &err);
}

void mill_route_create_batch(struct mill_call *call) {
    const struct mill_body *body = mill_call_body(call);
    struct mill_file_task *task = mill_jobs_new_task(call, add_batch);
    json_t *root = NULL;
    if (!task)
        return;
    if (mill_problem_read_json(&root, body->data, body->size, &task->problem) == MILL_OK)
        read_order(root, &task->batch, &task->problem);
    json_decref(root);
    mill_file_task_submit(call, task);
}

/* ------------------------------------------------------------------ cancelling */

static void cancel_batch(struct mill_file_task *task) {
    struct mill_job_store *jobs = task->server->jobs;
    struct mill_error err = {""};
    const char *owner = task->file.owner;
    mill_status status =
        mill_job_store_cancel_batch(jobs, owner, task->subject, (int64_t)time(NULL), &err);
    if (status == MILL_OK)
        status = mill_job_store_get_batch(jobs, owner, task->subject, &task->batch, &err);
    if (status == MILL_E_INPUT)
        mill_problem_set(&task->problem, 409, "batch_is_over", NULL, "%s", err.text);
    answer(task, status, &err);
}

void mill_route_cancel_batch(struct mill_call *call) {
    mill_file_task_submit(call, mill_jobs_new_task(call, cancel_batch));
}
