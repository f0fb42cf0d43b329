/* voice_write.c - a struct mill_voice to a file. What was composed is read back by the reader
 * before anything is written, so that whatever a caller filled in, no file leaves here that would
 * be refused later. No state. */
#include "runtime/base/file.h"
#include "runtime/voice/voice_json.h"

#include <stdlib.h>
#include <string.h>

/* A JSON list of numbers; NULL when memory is short. */
static json_t *token_list(const int32_t *tokens, int32_t n) {
    json_t *list = json_array();
    for (int32_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_integer(tokens[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* jansson takes the value's reference whatever happens, and refuses NULL and text that is not
 * UTF-8. */
static bool put(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

static bool put_text(json_t *object, const char *key, const char *text) {
    return !text || put(object, key, json_string(text));
}

static bool put_consent(json_t *root, const struct mill_voice *voice) {
    json_t *part = json_object();
    return put(root, "consent", part) && put_text(part, "statement", voice->consent.statement) &&
           put_text(part, "who", voice->consent.who) &&
           put_text(part, "when", voice->consent.when) &&
           put_text(part, "purpose", voice->consent.purpose);
}

static bool put_provenance(json_t *root, const struct mill_voice *voice) {
    json_t *part = json_object();
    const char *recording = voice->provenance.recording_sha256;
    return put(root, "provenance", part) && put_text(part, "recording_sha256", recording) &&
           (!recording || put(part, "seconds", json_real(voice->provenance.seconds))) &&
           put_text(part, "created_by", voice->provenance.created_by) &&
           put_text(part, "date", voice->provenance.date);
}

static bool put_sampling(json_t *root, const struct mill_voice_sampling *sampling) {
    json_t *part = json_object();
    return put(root, "sampling", part) &&
           put(part, "temperature", json_real(sampling->temperature)) &&
           put(part, "top_k", json_integer(sampling->top_k)) &&
           put(part, "top_p", json_real(sampling->top_p)) &&
           put(part, "seed", json_integer(sampling->seed));
}

static bool put_revoked(json_t *root, const struct mill_voice *voice) {
    json_t *part = json_object();
    return put(root, "revoked", part) && put_text(part, "when", voice->revoked.when) &&
           put_text(part, "why", voice->revoked.why);
}

static bool put_all(json_t *root, const struct mill_voice *voice) {
    return root && put_text(root, "format", MILL_VOICE_FORMAT) &&
           put(root, "version", json_integer(MILL_VOICE_VERSION)) &&
           put_text(root, "model", voice->model) && put_text(root, "name", voice->name) &&
           put_text(root, "language", voice->language) &&
           put_text(root, "licence", voice->licence) &&
           (!voice->consent.statement || put_consent(root, voice)) && put_provenance(root, voice) &&
           put(root, "global_tokens", token_list(voice->global, voice->n_global)) &&
           put_text(root, "transcript", voice->transcript) &&
           (!voice->semantic ||
            put(root, "semantic_tokens", token_list(voice->semantic, voice->n_semantic))) &&
           (!voice->sampling.given || put_sampling(root, &voice->sampling)) &&
           (!voice->revoked.when || put_revoked(root, voice));
}

static mill_status seal(json_t *root, struct mill_error *err) {
    char hex[MILL_VOICE_HASH_BYTES];
    MILL_TRY(mill_voice_checksum(hex, root, err));
    return put_text(root, "checksum", hex) ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
}

mill_status mill_voice_write_json(const json_t *root, const char *path, struct mill_error *err) {
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", path);
    size_t size = strlen(text);
    text[size] = '\n'; /* where its zero was */
    mill_output_sweep(path);
    mill_status status = mill_file_write(path, text, size + 1, err);
    free(text);
    return status;
}

mill_status mill_voice_write(const struct mill_voice *voice, const char *path,
                             struct mill_error *err) {
    json_t *root = json_object();
    struct mill_voice back;
    mill_status status = MILL_OK;
    if (!put_all(root, voice))
        status =
            mill_fail(err, MILL_E_INPUT, "voice '%s': a text is not UTF-8, or no memory", path);
    if (status == MILL_OK)
        status = seal(root, err);
    if (status == MILL_OK) {
        status = mill_voice_take_json(&back, path, json_incref(root), NULL, err);
        if (status == MILL_OK)
            mill_voice_deinit(&back);
    }
    if (status == MILL_OK)
        status = mill_voice_write_json(root, path, err);
    json_decref(root);
    return status;
}
