/* clone_task.c - see clone_task.h.
 *
 * The recording is decoded by a program of its own; nothing of it is written to disk. What the
 * voice file says of consent is the recorded one's id, hash and name. */
#include "runtime/server/clone_task.h"

#include "runtime/base/memory.h"
#include "runtime/io/sha256.h"
#include "runtime/server/base64.h"
#include "runtime/server/worker.h"
#include "runtime/text/language.h"
#include "runtime/voice/cloner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clone {
    struct mill_task task; /* first */
    struct mill_server *server;
    struct mill_body body; /* what the form borrows from */
    struct mill_form form;
    char name[MILL_VOICE_NAME_BYTES]; /* empty = not kept */
    char consent[MILL_CONSENT_ID_BYTES], language[36];
    char *transcript; /* owned; NULL = none */
    char *bytes;      /* owned: what was base64; NULL = as it is in the form */
    const char *recording;
    size_t recording_bytes;
    char recording_field[MILL_FORM_NAME_BYTES]; /* that it came in */
    bool has_wish;
    struct mill_speech_wish wish;
    mill_clone_answer *answer;
    struct mill_shelf_voice *voice; /* held: the result */
    struct mill_problem problem;
};

static struct clone *clone_of(struct mill_task *task) {
    return (struct clone *)task;
}

static void free_clone(struct mill_task *task) {
    struct clone *c = clone_of(task);
    mill_shelf_release(c->voice);
    if (c->has_wish)
        mill_speech_wish_deinit(&c->wish);
    mill_form_deinit(&c->form);
    mill_body_deinit(&c->body);
    free(c->transcript);
    free(c->bytes);
    free(c);
}

/* ------------------------------------------------------------------ on the worker's thread */

/* Texts that a voice's papers borrow while it is written. */
struct papers {
    char now[MILL_VOICE_TIME_BYTES], when[MILL_VOICE_TIME_BYTES];
    char sha256[MILL_SHA256_HEX_BYTES];
    struct mill_consent consent;
    char statement[256];
};

static mill_status fill_papers(const struct clone *c, struct papers *p, struct mill_voice *voice,
                               struct mill_error *err) {
    MILL_TRY(mill_sha256_bytes(c->recording, c->recording_bytes, p->sha256, err));
    mill_voice_now(p->now);
    voice->model = c->server->voice_model.id;
    voice->name = c->name;
    voice->language = c->language[0] ? c->language : NULL;
    voice->transcript = c->transcript;
    voice->provenance.recording_sha256 = p->sha256;
    voice->provenance.created_by = "sparkmill " MILL_VERSION;
    voice->provenance.date = p->now;
    if (!c->consent[0])
        return MILL_OK;
    MILL_TRY(mill_consents_get(c->server->consents, c->consent, &p->consent, err));
    mill_voice_print_time(p->consent.created_s, p->when);
    snprintf(p->statement, sizeof p->statement, "recorded: %s, in %s, sha256 %s", p->consent.id,
             p->consent.language, p->consent.sha256);
    voice->consent.statement = p->statement;
    voice->consent.who = p->consent.name;
    voice->consent.when = p->when;
    return MILL_OK;
}

static mill_status encode(const struct clone *c, struct mill_voice *voice, struct mill_error *err) {
    const struct mill_server_options *o = c->server->options;
    const struct mill_cloner cloner = {
        .folder = o->model, .cache = c->server->cache, .n_threads = 1};
    struct mill_prepared wave = {0};
    struct mill_clone_findings findings;
    const struct mill_clone_source source = {
        .bytes = c->recording, .size = c->recording_bytes, .transcript = c->transcript};
    mill_status status = mill_clone_prepare(&source, &c->server->shape, &wave, &findings, err);
    if (status == MILL_OK) {
        voice->provenance.seconds = (double)wave.n_samples / wave.sample_rate;
        status = mill_clone_encode(&cloner, &c->server->shape, &wave, voice, err);
    }
    mill_prepared_close(&wave);
    return status;
}

static mill_status keep(struct clone *c, struct mill_voice *voice, struct mill_error *err) {
    if (!c->name[0])
        return mill_shelf_wrap(c->server->shelf, voice, &c->voice, err);
    mill_status status = mill_shelf_add(c->server->shelf, voice, err);
    if (status == MILL_E_INPUT) /* the registry's message names its folder */
        return mill_fail(err, status, "voice '%s': the name is taken, or the voice was revoked",
                         c->name);
    MILL_TRY(status);
    c->voice = mill_shelf_find(c->server->shelf, c->name);
    return c->voice ? MILL_OK : mill_fail(err, MILL_E_IO, "voice '%s' went away", c->name);
}

static void work(struct mill_task *task) {
    struct clone *c = clone_of(task);
    struct mill_error err = {""};
    struct mill_voice voice = {0};
    struct papers papers;
    mill_status status = fill_papers(c, &papers, &voice, &err);
    if (status == MILL_E_NOT_FOUND) {
        mill_problem_set(&c->problem, 400, "consent_not_found", "consent", "%s", err.text);
        return;
    }
    const char *field = "";
    if (status == MILL_OK) {
        field = c->recording_field;
        status = encode(c, &voice, &err);
    }
    if (status == MILL_OK) {
        field = "name";
        status = keep(c, &voice, &err);
    }
    mill_voice_deinit(&voice);
    if (status < 0) {
        mill_problem_of_field(&c->problem, status, field, &err);
        if (c->problem.status >= 500)
            mill_log_event(c->server->log, "event=failure part=cloning error=\"%s\"", err.text);
        return;
    }
    atomic_fetch_add(&c->server->metrics.n_cloned, 1);
    mill_log_event(c->server->log, "event=cloned voice=%s consent=%s kept=%d", c->voice->id,
                   c->consent[0] ? c->consent : "none", c->name[0] != 0);
}

/* ------------------------------------------------------------------ on an HTTP thread */

static void answer(struct mill_call *call, struct mill_task *task) {
    struct clone *c = clone_of(task);
    mill_clone_answer *say = c->answer;
    struct mill_shelf_voice *voice = c->voice;
    struct mill_problem problem = c->problem;
    struct mill_speech_wish wish = c->wish;
    bool has_wish = c->has_wish;
    c->voice = NULL;
    c->has_wish = false; /* the callee's now; and the task may be gone behind the call */
    say(call, voice, problem.status ? &problem : NULL, has_wish ? &wish : NULL);
}

/* A field's text with a final zero into `out`; false when it does not fit or is no text. */
static bool copy_text(const struct mill_form_field *field, char *out, size_t capacity) {
    if (field->size >= capacity || memchr(field->data, '\0', field->size))
        return false;
    memcpy(out, field->data, field->size);
    out[field->size] = '\0';
    return true;
}

/* The recording was sent as base64. */
static bool decode_recording(struct clone *c, const struct mill_form_field *field,
                             struct mill_problem *problem) {
    struct mill_error err;
    mill_status status =
        mill_base64_decode(field->data, field->size, &c->bytes, &c->recording_bytes, &err);
    c->recording = c->bytes;
    if (status == MILL_E_INPUT)
        mill_problem_set(problem, 400, "invalid_value", field->name, "%s: %s", field->name,
                         err.text);
    else if (status < 0)
        mill_problem_of_status(problem, status, &err);
    return status == MILL_OK;
}

static bool take_recording(struct clone *c, const struct mill_clone_order *order,
                           struct mill_problem *problem) {
    const struct mill_form_field *field = order->recording;
    if (!field || field->size == 0) {
        mill_problem_set(problem, 400, "missing_required_parameter", order->recording_name,
                         "%s: a recording is wanted", order->recording_name);
        return false;
    }
    c->recording = field->data;
    c->recording_bytes = field->size;
    snprintf(c->recording_field, sizeof c->recording_field, "%s", field->name);
    if (order->is_base64 && memmem(field->data, field->size < 16 ? field->size : 16, "://", 3)) {
        mill_problem_set(problem, 400, "invalid_value", field->name,
                         "%s: nothing is fetched from elsewhere: send the recording itself",
                         field->name);
        return false;
    }
    if (order->is_base64 && !decode_recording(c, field, problem))
        return false;
    if (c->recording_bytes <= (size_t)c->server->options->max_upload_bytes)
        return true;
    mill_problem_set(problem, 413, "request_too_large", field->name,
                     "%s: a recording may have %lld bytes", field->name,
                     (long long)c->server->options->max_upload_bytes);
    return false;
}

static bool take_name(struct clone *c, const struct mill_form_field *name,
                      struct mill_problem *problem) {
    struct mill_error err;
    if (!name)
        return true;
    if (!copy_text(name, c->name, sizeof c->name) || mill_voice_check_name(c->name, &err) < 0) {
        mill_problem_set(problem, 400, "invalid_value", "name",
                         "name: 1 to %d letters, digits, '.', '_' and '-', with no '.' in front",
                         MILL_VOICE_NAME_BYTES - 1);
        return false;
    }
    struct mill_shelf_voice *there = mill_shelf_find(c->server->shelf, c->name);
    bool taken = there && !there->is_created;
    mill_shelf_release(there);
    if (taken)
        mill_problem_set(problem, 409, "voice_exists", "name",
                         "there is a voice of this name already");
    return !taken;
}

static bool take_consent(struct clone *c, const struct mill_form_field *consent,
                         struct mill_problem *problem) {
    if (!consent && c->server->options->require_consent)
        mill_problem_set(problem, 400, "missing_required_parameter", "consent",
                         "consent: a voice belongs to a person: record that they agree (POST "
                         "/v1/audio/voice_consents) and name the id here");
    else if (consent && !copy_text(consent, c->consent, sizeof c->consent))
        mill_problem_set(problem, 400, "consent_not_found", "consent", "there is no such consent");
    return problem->status == 0;
}

static bool take_language(struct clone *c, const struct mill_form_field *language,
                          struct mill_problem *problem) {
    if (language && (!copy_text(language, c->language, sizeof c->language) ||
                     mill_language_check(c->language, NULL) < 0))
        mill_problem_set(problem, 400, "invalid_value", "language",
                         "language: a tag such as en or zh-CN is wanted");
    return problem->status == 0;
}

static bool take_transcript(struct clone *c, const struct mill_form_field *transcript,
                            struct mill_problem *problem) {
    struct mill_error err;
    if (!transcript || transcript->size == 0)
        return true;
    mill_status status = mill_form_check_text(transcript, &err);
    if (status == MILL_OK) {
        c->transcript = mill_alloc_array(transcript->size + 1, 1);
        status = c->transcript ? MILL_OK : mill_fail(&err, MILL_E_MEMORY, "no memory");
    }
    if (status == MILL_OK) {
        copy_text(transcript, c->transcript, transcript->size + 1);
        status = mill_voice_check_transcript(c->transcript, &err);
    }
    if (status < 0)
        mill_problem_of_field(problem, status, transcript->name, &err);
    return status == MILL_OK;
}

void mill_clone_begin(struct mill_call *call, struct mill_form *taken,
                      const struct mill_clone_order *order, struct mill_speech_wish *wish,
                      mill_clone_answer *say) {
    struct mill_problem problem = {0};
    struct clone *c = mill_alloc_array(1, sizeof *c);
    if (!c) {
        mill_problem_of_status(&problem, MILL_E_MEMORY, NULL);
        mill_form_deinit(taken);
        say(call, NULL, &problem, wish);
        return;
    }
    c->task = (struct mill_task){.work = work, .answer = answer, .free = free_clone};
    c->server = mill_call_server(call);
    c->answer = say;
    c->form = *taken;
    mill_call_take_body(call, &c->body);
    bool good = mill_server_takes_work(c->server, &problem) && take_recording(c, order, &problem) &&
                take_name(c, order->name, &problem) && take_consent(c, order->consent, &problem) &&
                take_language(c, order->language, &problem) &&
                take_transcript(c, order->transcript, &problem);
    if (!good) {
        free_clone(&c->task);
        say(call, NULL, &problem, wish);
        return;
    }
    c->has_wish = wish != NULL;
    if (wish)
        c->wish = *wish;
    mill_worker_submit(c->server->worker, call, &c->task);
}
