/* routes_consents.c - /v1/audio/voice_consents: OpenAI's recorded consents. */
#include "runtime/audio/recording_check.h"
#include "runtime/server/file_task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_LIMIT = 20, MAX_LIMIT = 100, MAX_CONSENT_S = 120 };

static json_t *describe(const struct mill_consent *consent) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "object", "audio.voice_consent", "id",
                     consent->id, "name", consent->name, "language", consent->language,
                     "created_at", (json_int_t)consent->created_s);
}

/* What came of it; the reply where it is done. */
static void settle(struct mill_file_task *task, mill_status status, const struct mill_error *err,
                   json_t *reply) {
    if (status == MILL_OK) {
        task->reply = reply;
        return;
    }
    json_decref(reply);
    mill_problem_of_status(&task->problem, status, err);
    if (status == MILL_E_NOT_FOUND)
        task->problem.code = "consent_not_found";
    if (task->problem.status >= 500)
        mill_log_event(task->server->log, "event=failure part=consents error=\"%s\"", err->text);
}

/* ------------------------------------------------------------------ one */

static void get_consent(struct mill_file_task *task) {
    struct mill_error err = {""};
    mill_status status =
        mill_consents_get(task->server->consents, task->subject, &task->consent, &err);
    settle(task, status, &err, describe(&task->consent));
}

static void rename_consent(struct mill_file_task *task) {
    struct mill_error err = {""};
    struct mill_consent renamed = {0};
    mill_status status = mill_consents_rename(task->server->consents, task->subject,
                                              task->consent.name, &renamed, &err);
    settle(task, status, &err, describe(&renamed));
}

static void remove_consent(struct mill_file_task *task) {
    struct mill_error err = {""};
    mill_status status = mill_consents_remove(task->server->consents, task->subject, &err);
    settle(task, status, &err,
           json_pack("{s:s, s:s, s:b}", "id", task->subject, "object", "audio.voice_consent",
                     "deleted", 1));
}

void mill_route_consent(struct mill_call *call) {
    mill_file_task_submit(call, mill_file_task_new(call, get_consent));
}

void mill_route_delete_consent(struct mill_call *call) {
    mill_file_task_submit(call, mill_file_task_new(call, remove_consent));
}

void mill_route_update_consent(struct mill_call *call) {
    const struct mill_body *body = mill_call_body(call);
    struct mill_file_task *task = mill_file_task_new(call, rename_consent);
    json_t *root = NULL;
    if (!task)
        return;
    mill_status status = mill_problem_read_json(&root, body->data, body->size, &task->problem);
    const char *name = json_string_value(json_object_get(root, "name"));
    if (status == MILL_OK &&
        (!name || json_object_size(root) != 1 || strlen(name) >= sizeof task->consent.name))
        mill_problem_set(&task->problem, 400, "invalid_value", "name",
                         "one field, name, of at most %zu bytes is wanted",
                         sizeof task->consent.name - 1);
    else if (status == MILL_OK)
        memcpy(task->consent.name, name, strlen(name) + 1);
    json_decref(root);
    mill_file_task_submit(call, task);
}

/* ------------------------------------------------------------------ creating */

/* Somebody says something in it: what, nobody here can tell. */
static mill_status check_recording(const struct mill_form_field *field, struct mill_error *err) {
    static const struct mill_recording_options options = {.max_seconds = MAX_CONSENT_S};
    struct mill_recording recording;
    struct mill_recording_report report;
    MILL_TRY(mill_recording_read_bytes(&recording, field->data, field->size, &options, err));
    mill_status status = mill_recording_check(&recording, 0, &report, err);
    mill_recording_close(&recording);
    MILL_TRY(status);
    const struct mill_recording_check_row *speech = &report.rows[MILL_CHECK_SPEECH];
    return speech->verdict < MILL_CHECK_REFUSE
               ? MILL_OK
               : mill_fail(err, MILL_E_INPUT,
                           "recording: %.1f s of speech were found in it: record the person saying "
                           "that they agree, 1 s at least",
                           speech->value);
}

static void add_consent(struct mill_file_task *task) {
    struct mill_error err = {""};
    mill_status status = check_recording(task->recording, &err);
    if (status == MILL_E_INPUT) {
        mill_problem_of_field(&task->problem, status, "recording", &err);
        return;
    }
    if (status == MILL_OK)
        status =
            mill_consents_add(task->server->consents, task->server->options->max_consents_bytes,
                              &task->consent, task->recording->data, task->recording->size, &err);
    if (status == MILL_OK)
        mill_log_event(task->server->log, "event=consent consent=%s client=%s", task->consent.id,
                       task->consent.client);
    settle(task, status, &err, describe(&task->consent));
}

/* A field's text; false with *problem filled in when there is none, or too much. */
static bool take_text(const struct mill_form *form, const char *name, char *out, size_t capacity,
                      struct mill_problem *problem) {
    const struct mill_form_field *field = mill_form_find(form, name);
    if (!field)
        mill_problem_set(problem, 400, "missing_required_parameter", name, "%s: is wanted", name);
    else if (field->size == 0 || field->size >= capacity || memchr(field->data, 0, field->size))
        mill_problem_set(problem, 400, "invalid_value", name,
                         "%s: 1 to %zu bytes of text are wanted", name, capacity - 1);
    if (problem->status)
        return false;
    memcpy(out, field->data, field->size);
    out[field->size] = '\0';
    return true;
}

static void read_consent(struct mill_call *call, struct mill_file_task *task) {
    struct mill_consent *consent = &task->consent;
    struct mill_error err;
    mill_call_take_body(call, &task->body);
    mill_status status = mill_form_read(&task->form, mill_call_header(call, "Content-Type"),
                                        task->body.data, task->body.size, &err);
    if (status < 0) {
        mill_problem_of_status(&task->problem, status, &err);
        return;
    }
    if (!take_text(&task->form, "name", consent->name, sizeof consent->name, &task->problem) ||
        !take_text(&task->form, "language", consent->language, sizeof consent->language,
                   &task->problem))
        return;
    task->recording = mill_form_find(&task->form, "recording");
    if (!task->recording || task->recording->size == 0)
        mill_problem_set(&task->problem, 400, "missing_required_parameter", "recording",
                         "recording: is wanted");
    else if (task->recording->size > (size_t)task->server->options->max_upload_bytes)
        mill_problem_set(&task->problem, 413, "request_too_large", "recording",
                         "a recording may have %lld bytes",
                         (long long)task->server->options->max_upload_bytes);
    else if (task->form.n_fields != 3)
        mill_problem_set(&task->problem, 400, "unknown_parameter", NULL,
                         "there are name, language and recording");
    snprintf(consent->client, sizeof consent->client, "%s",
             mill_client_name(mill_call_client(call)));
}

void mill_route_create_consent(struct mill_call *call) {
    struct mill_file_task *task = mill_file_task_new(call, add_consent);
    if (!task)
        return;
    read_consent(call, task);
    mill_file_task_submit(call, task);
}

/* ------------------------------------------------------------------ the list */

/* The place in the list behind the one that is named; false when it is not there. */
static bool find_place(const struct mill_file_task *task, const struct mill_consent *consents,
                       size_t n, size_t *place) {
    *place = 0;
    if (!task->after[0])
        return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(consents[i].id, task->after) == 0) {
            *place = task->oldest_first ? n - i : i + 1;
            return true;
        }
    return false;
}

static void list_consents(struct mill_file_task *task) {
    struct mill_consent *consents = NULL;
    struct mill_error err = {""};
    size_t n = 0, first = 0;
    mill_status status = mill_consents_list(task->server->consents, &consents, &n, &err);
    if (status == MILL_OK && !find_place(task, consents, n, &first)) {
        mill_problem_set(&task->problem, 400, "invalid_value", "after",
                         "after: it is not there, or not any more");
    } else {
        json_t *data = json_array();
        size_t end = n - first < (size_t)task->limit ? n : first + (size_t)task->limit;
        for (size_t i = first; i < end; i++)
            json_array_append_new(data, describe(&consents[task->oldest_first ? n - 1 - i : i]));
        settle(task, status, &err, mill_call_list(data, end < n));
    }
    free(consents);
}

void mill_route_consents(struct mill_call *call) {
    struct mill_file_task *task = mill_file_task_new(call, list_consents);
    const char *after = mill_call_query(call, "after");
    if (!task)
        return;
    snprintf(task->after, sizeof task->after, "%s", after ? after : "");
    task->limit = mill_call_read_limit(call, USUAL_LIMIT, MAX_LIMIT, &task->problem);
    task->oldest_first = mill_call_read_order(call, &task->problem);
    mill_file_task_submit(call, task);
}
