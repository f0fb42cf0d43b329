/* routes_flashtts.c - the routes of FlashTTS, for its clients: each is translated into what stands
 * under /v1 and answered from there. Errors have OpenAI's envelope, and nothing is fetched from
 * elsewhere: recordings come as uploads or base64.
 *
 * Of its fields, max_tokens, length_threshold, window_size and stream are checked and change
 * nothing: texts are split by our own rules, and sound leaves while it is made. */
#include "runtime/server/clone_task.h"
#include "runtime/server/dialogue.h"
#include "runtime/server/file_task.h"
#include "runtime/server/speech.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MARKUP_BYTES = 1 << 20 };

/* ------------------------------------------------------------------ translating */

/* Its field, ours, and where ours stands. */
static const struct field {
    const char *theirs, *ours;
    enum { TOP, EXTRA, NO_EFFECT } place;
    bool is_number;
} fields[] = {
    {"text", "input", TOP, false},
    {"name", "voice", TOP, false},
    {"response_format", "response_format", TOP, false},
    {"pitch", "pitch", EXTRA, false},
    {"speed", "rate", EXTRA, false},
    {"temperature", "temperature", EXTRA, true},
    {"top_k", "top_k", EXTRA, true},
    {"top_p", "top_p", EXTRA, true},
    {"seed", "seed", EXTRA, true},
    {"max_tokens", NULL, NO_EFFECT, true},
    {"length_threshold", NULL, NO_EFFECT, true},
    {"window_size", NULL, NO_EFFECT, true},
    {"repetition_penalty", NULL, NO_EFFECT, true},
    {"stream", NULL, NO_EFFECT, false},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static const struct field *find_field(const char *name) {
    for (int i = 0; i < N_FIELDS; i++)
        if (strcmp(fields[i].theirs, name) == 0)
            return &fields[i];
    return NULL;
}

static bool has_effect(const char *name, const json_t *value) {
    return strcmp(name, "repetition_penalty") == 0 && json_number_value(value) != 1;
}

/* An OpenAI request out of one of theirs; NULL with *problem filled in. */
static json_t *translate(const struct mill_server *server, const json_t *theirs,
                         struct mill_problem *problem) {
    const char *key;
    json_t *value, *extra = json_object();
    json_t *ours = json_pack("{s:s, s:s, s:o}", "model", server->options->model_name, "voice",
                             "female", "sparkmill", extra);
    json_object_foreach((json_t *)(uintptr_t)theirs, key, value) {
        const struct field *field = find_field(key);
        if (json_is_null(value) || problem->status)
            continue;
        if (!field)
            mill_problem_set(problem, 400, "unknown_parameter", key, "there is no field '%.40s'",
                             key);
        else if (field->is_number && !json_is_number(value))
            mill_problem_set(problem, 400, "invalid_value", key, "%s: a number is wanted", key);
        else if (has_effect(key, value))
            mill_problem_set(problem, 400, "invalid_value", key,
                             "repetition_penalty: this server has none: 1 is wanted");
        else if (field->place != NO_EFFECT)
            json_object_set(field->place == TOP ? ours : extra, field->ours, value);
    }
    if (!problem->status && ours)
        return ours;
    json_decref(ours);
    if (!problem->status)
        mill_problem_of_status(problem, MILL_E_MEMORY, NULL);
    return NULL;
}

/* What is wrong with a field of ours is told of theirs. */
static void translate_back(struct mill_problem *problem) {
    const struct field *field = fields;
    while (field < fields + N_FIELDS && !(field->ours && strcmp(field->ours, problem->param) == 0))
        field++;
    size_t size = strlen(problem->param);
    if (field == fields + N_FIELDS || strcmp(field->theirs, field->ours) == 0)
        return;
    struct mill_problem told = *problem;
    bool is_named = strncmp(problem->message, problem->param, size) == 0;
    mill_problem_set(&told, problem->status, problem->code, field->theirs, "%s%s",
                     is_named ? field->theirs : "", problem->message + (is_named ? size : 0));
    *problem = told;
}

static mill_status read_wish(const struct mill_server *server, const json_t *theirs,
                             struct mill_speech_wish *out, struct mill_problem *problem) {
    *problem = (struct mill_problem){0};
    json_t *ours = translate(server, theirs, problem);
    if (!ours)
        return MILL_E_INPUT;
    mill_status status =
        mill_wire_speech_take(ours, (size_t)server->options->max_input_chars, out, problem);
    if (status < 0)
        translate_back(problem);
    return status;
}

/* ------------------------------------------------------------------ what there is */

static json_t *list_roles(struct mill_server *server) {
    json_t *roles = json_array();
    struct mill_shelf_voice *voice;
    for (size_t i = 0; (voice = mill_shelf_get(server->shelf, i)) != NULL; i++) {
        json_array_append_new(roles, json_string(voice->name));
        mill_shelf_release(voice);
    }
    return roles;
}

void mill_route_audio_roles(struct mill_call *call) {
    mill_call_reply_json(
        call, 200,
        json_pack("{s:b, s:o}", "success", 1, "roles", list_roles(mill_call_server(call))));
}

void mill_route_server_info(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    mill_call_reply_json(call, 200,
                         json_pack("{s:b, s:{s:s, s:o, s:i}}", "success", 1, "info", "model",
                                   server->options->model_name, "roles", list_roles(server),
                                   "sample_rate",
                                   (int)mill_engine_get_info(server->engine)->sample_rate));
}

/* ------------------------------------------------------------------ speaking */

/* A dialogue: its text, which is checked as any other, becomes markup. */
static mill_status read_dialogue(const struct mill_server *server, const json_t *theirs,
                                 struct mill_speech_wish *out, struct mill_problem *problem) {
    struct mill_error err;
    struct mill_buffer markup;
    MILL_TRY(read_wish(server, theirs, out, problem));
    mill_buffer_init(&markup, MARKUP_BYTES);
    mill_status status = mill_dialogue_mark_up(out->input, &markup, &err);
    if (status == MILL_OK &&
        json_object_set_new(out->source, "input", json_stringn(markup.data, markup.size)) != 0)
        status = MILL_E_MEMORY;
    mill_buffer_deinit(&markup);
    if (status < 0) {
        mill_problem_of_field(problem, status, "text", &err);
        mill_speech_wish_deinit(out);
        return status;
    }
    out->input = json_string_value(json_object_get(out->source, "input"));
    out->input_bytes = strlen(out->input);
    out->is_markup = true;
    return MILL_OK;
}

typedef mill_status wish_reader(const struct mill_server *server, const json_t *theirs,
                                struct mill_speech_wish *out, struct mill_problem *problem);

static void speak(struct mill_call *call, wish_reader *read) {
    const struct mill_body *body = mill_call_body(call);
    struct mill_speech_wish wish;
    struct mill_problem problem;
    json_t *root = NULL;
    if (mill_problem_read_json(&root, body->data, body->size, &problem) < 0 ||
        read(mill_call_server(call), root, &wish, &problem) < 0)
        mill_call_refuse(call, &problem);
    else
        mill_speech_begin(call, &wish, NULL);
    json_decref(root);
}

void mill_route_speak(struct mill_call *call) {
    speak(call, read_wish);
}

void mill_route_multi_speak(struct mill_call *call) {
    speak(call, read_dialogue);
}

/* ------------------------------------------------------------------ cloning */

static bool read_form(struct mill_call *call, struct mill_form *form) {
    const struct mill_body *body = mill_call_body(call);
    struct mill_error err;
    struct mill_problem problem;
    mill_status status =
        mill_form_read(form, mill_call_header(call, "Content-Type"), body->data, body->size, &err);
    if (status == MILL_OK)
        return true;
    mill_problem_of_status(&problem, status, &err);
    mill_call_refuse(call, &problem);
    return false;
}

/* The recording is in one of two fields: a file, or base64. */
static struct mill_clone_order make_order(const struct mill_form *form, const char *file,
                                          const char *base64) {
    const struct mill_form_field *as_file = mill_form_find(form, file);
    bool is_file = as_file && as_file->size > 0;
    return (struct mill_clone_order){.recording = is_file ? as_file : mill_form_find(form, base64),
                                     .recording_name = file,
                                     .is_base64 = !is_file,
                                     .consent = mill_form_find(form, "consent"),
                                     .transcript = mill_form_find(form, "reference_text")};
}

static void answer_added(struct mill_call *call, struct mill_shelf_voice *taken,
                         const struct mill_problem *problem, struct mill_speech_wish *wish) {
    (void)wish;
    if (problem) {
        mill_call_refuse(call, problem);
        return;
    }
    mill_call_reply_json(call, 200, json_pack("{s:b, s:s}", "success", 1, "role", taken->name));
    mill_shelf_release(taken);
}

static void refuse_missing(struct mill_call *call, const char *name) {
    struct mill_problem problem;
    mill_problem_set(&problem, 400, "missing_required_parameter", name, "%s: is wanted", name);
    mill_call_refuse(call, &problem);
}

void mill_route_add_speaker(struct mill_call *call) {
    struct mill_form form;
    if (!read_form(call, &form))
        return;
    struct mill_clone_order order = make_order(&form, "audio_file", "audio");
    order.name = mill_form_find(&form, "name");
    if (order.name) {
        mill_clone_begin(call, &form, &order, NULL, answer_added);
        return;
    }
    mill_form_deinit(&form);
    refuse_missing(call, "name");
}

static void answer_cloned(struct mill_call *call, struct mill_shelf_voice *taken,
                          const struct mill_problem *problem, struct mill_speech_wish *wish) {
    if (problem) {
        mill_speech_wish_deinit(wish);
        mill_call_refuse(call, problem);
    } else {
        mill_speech_begin(call, wish, taken);
    }
}

/* A number, if it is to be one and is; else the text, which will be refused. */
static json_t *json_of_field(const struct mill_form_field *field, bool is_number) {
    char text[32], *end;
    if (!is_number || field->size == 0 || field->size >= sizeof text)
        return json_stringn(field->data, field->size);
    memcpy(text, field->data, field->size);
    text[field->size] = '\0';
    double value = strtod(text, &end);
    return *end == '\0' && isfinite(value) ? json_real(value)
                                           : json_stringn(field->data, field->size);
}

/* A form's fields as JSON has them; those of the recording are left out. NULL with *problem filled
 * in. */
static json_t *json_of_form(const struct mill_form *form, struct mill_problem *problem) {
    static const char *const others[] = {"reference_audio", "reference_audio_file",
                                         "reference_text", "consent"};
    json_t *root = json_object();
    if (!root)
        mill_problem_of_status(problem, MILL_E_MEMORY, NULL);
    for (size_t i = 0; root && i < form->n_fields; i++) {
        const struct mill_form_field *f = &form->fields[i];
        const struct field *field = find_field(f->name);
        size_t j = 0;
        while (j < sizeof others / sizeof *others && strcmp(others[j], f->name) != 0)
            j++;
        if (j < sizeof others / sizeof *others)
            continue;
        struct mill_error err;
        mill_status status = mill_form_check_text(f, &err);
        if (status < 0) {
            mill_problem_of_field(problem, status, f->name, &err);
            json_decref(root);
            return NULL;
        }
        json_object_set_new(root, f->name, json_of_field(f, field && field->is_number));
    }
    return root;
}

void mill_route_clone_voice(struct mill_call *call) {
    struct mill_form form;
    struct mill_speech_wish wish;
    struct mill_problem problem;
    if (!read_form(call, &form))
        return;
    json_t *root = json_of_form(&form, &problem);
    mill_status status =
        root ? read_wish(mill_call_server(call), root, &wish, &problem) : MILL_E_INPUT;
    json_decref(root);
    if (status == MILL_OK) {
        const struct mill_clone_order order =
            make_order(&form, "reference_audio_file", "reference_audio");
        mill_clone_begin(call, &form, &order, &wish, answer_cloned);
        return;
    }
    mill_form_deinit(&form);
    mill_call_refuse(call, &problem);
}

/* ------------------------------------------------------------------ deleting */

static void remove_speaker(struct mill_file_task *task) {
    struct mill_error err = {""};
    struct mill_shelf_voice *voice = mill_shelf_find(task->server->shelf, task->subject);
    mill_status status = MILL_E_NOT_FOUND;
    if (voice && !voice->is_created)
        status = mill_shelf_remove(task->server->shelf, voice->name, &err);
    if (status == MILL_E_NOT_FOUND)
        mill_problem_set(&task->problem, 404, "voice_not_found", "name", "there is no such role");
    else if (status < 0)
        mill_problem_of_status(&task->problem, status, &err);
    else
        task->reply = json_pack("{s:b, s:s}", "success", 1, "role", voice->name);
    mill_shelf_release(voice);
}

void mill_route_delete_speaker(struct mill_call *call) {
    struct mill_form form;
    if (!read_form(call, &form))
        return;
    const struct mill_form_field *name = mill_form_find(&form, "name");
    struct mill_file_task *task = name ? mill_file_task_new(call, remove_speaker) : NULL;
    if (task) {
        snprintf(task->subject, sizeof task->subject, "%.*s",
                 (int)(name->size < 127 ? name->size : 127), name->data);
        mill_file_task_submit(call, task);
    } else if (!name) {
        refuse_missing(call, "name");
    }
    mill_form_deinit(&form);
}
