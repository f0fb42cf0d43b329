/* routes_voices.c - /v1/audio/voices: what can be asked for, cloning, deleting. */
#include "runtime/server/clone_task.h"
#include "runtime/server/file_task.h"

#include <string.h>

static json_t *describe(const struct mill_shelf_voice *voice) {
    return json_pack("{s:s, s:s, s:s, s:I, s:b}", "object", "audio.voice", "id", voice->id, "name",
                     voice->name, "created_at", (json_int_t)voice->created_s, "is_created",
                     voice->is_created);
}

static void refuse_unknown(struct mill_call *call) {
    struct mill_problem problem;
    mill_problem_set(&problem, 404, "voice_not_found", "voice", "there is no such voice");
    mill_call_refuse(call, &problem);
}

/* OpenAI has no such route; its programs and those of others look for "voices" or "data". */
void mill_route_voices(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    json_t *list = json_array();
    struct mill_shelf_voice *voice;
    for (size_t i = 0; (voice = mill_shelf_get(server->shelf, i)) != NULL; i++) {
        json_array_append_new(list, describe(voice));
        mill_shelf_release(voice);
    }
    mill_call_reply_json(
        call, 200, json_pack("{s:s, s:O, s:o}", "object", "list", "data", list, "voices", list));
}

void mill_route_voice(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    struct mill_shelf_voice *voice = mill_shelf_find(server->shelf, mill_call_param(call));
    if (voice)
        mill_call_reply_json(call, 200, describe(voice));
    else
        refuse_unknown(call);
    mill_shelf_release(voice);
}

/* ------------------------------------------------------------------ creating */

static void answer_created(struct mill_call *call, struct mill_shelf_voice *taken,
                           const struct mill_problem *problem, struct mill_speech_wish *wish) {
    (void)wish;
    if (problem) {
        mill_call_refuse(call, problem);
        return;
    }
    mill_call_reply_json(call, 200,
                         json_pack("{s:s, s:s, s:s, s:I}", "object", "audio.voice", "id", taken->id,
                                   "name", taken->name, "created_at",
                                   (json_int_t)taken->created_s));
    mill_shelf_release(taken);
}

static bool check_fields(const struct mill_form *form, struct mill_problem *problem) {
    static const char *const names[] = {"name", "audio_sample", "consent", "transcript",
                                        "language"};
    for (size_t i = 0; i < form->n_fields; i++) {
        size_t j = 0;
        while (j < sizeof names / sizeof *names && strcmp(names[j], form->fields[i].name) != 0)
            j++;
        if (j == sizeof names / sizeof *names) {
            mill_problem_set(problem, 400, "unknown_parameter", form->fields[i].name,
                             "there is no field '%.40s'", form->fields[i].name);
            return false;
        }
    }
    if (!mill_form_find(form, "name") || !mill_form_find(form, "audio_sample")) {
        const char *missing = mill_form_find(form, "name") ? "audio_sample" : "name";
        mill_problem_set(problem, 400, "missing_required_parameter", missing, "%s: is wanted",
                         missing);
        return false;
    }
    return true;
}

void mill_route_create_voice(struct mill_call *call) {
    const struct mill_body *body = mill_call_body(call);
    struct mill_form form;
    struct mill_error err;
    struct mill_problem problem;
    mill_status status =
        mill_form_read(&form, mill_call_header(call, "Content-Type"), body->data, body->size, &err);
    if (status < 0)
        mill_problem_of_status(&problem, status, &err);
    else if (check_fields(&form, &problem)) {
        const struct mill_clone_order order = {.recording = mill_form_find(&form, "audio_sample"),
                                               .recording_name = "audio_sample",
                                               .name = mill_form_find(&form, "name"),
                                               .consent = mill_form_find(&form, "consent"),
                                               .transcript = mill_form_find(&form, "transcript"),
                                               .language = mill_form_find(&form, "language")};
        mill_clone_begin(call, &form, &order, NULL, answer_created);
        return;
    }
    mill_form_deinit(&form);
    mill_call_refuse(call, &problem);
}

/* ------------------------------------------------------------------ deleting */

static void remove_voice(struct mill_file_task *task) {
    struct mill_error err = {""};
    struct mill_shelf_voice *voice = mill_shelf_find(task->server->shelf, task->subject);
    mill_status status = voice && !voice->is_created
                             ? mill_shelf_remove(task->server->shelf, voice->name, &err)
                             : MILL_E_NOT_FOUND;
    if (status == MILL_E_NOT_FOUND && voice && voice->is_created)
        mill_problem_set(&task->problem, 400, "invalid_value", "voice",
                         "this voice is the model's own and stays");
    else if (status == MILL_E_NOT_FOUND)
        mill_problem_set(&task->problem, 404, "voice_not_found", "voice", "there is no such voice");
    else if (status < 0)
        mill_problem_of_status(&task->problem, status, &err);
    else
        task->reply =
            json_pack("{s:s, s:s, s:b}", "id", voice->id, "object", "audio.voice", "deleted", 1);
    mill_shelf_release(voice);
}

void mill_route_delete_voice(struct mill_call *call) {
    mill_file_task_submit(call, mill_file_task_new(call, remove_voice));
}
