/* voice_read.c - a voice file's bytes to a checked struct mill_voice. Every object says which keys
 * it may have; every text has a longest length and no character that a terminal would obey; every
 * number has a range; the checksum comes last, so that its message means damage and nothing else.
 * No state. */
#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/text/language.h"
#include "runtime/voice/voice_json.h"

#include <string.h>

enum {
    NAME_TEXT = 256,   /* of people and licences */
    LANGUAGE_TEXT = 35 /* the longest tag that RFC 5646 counts on */
};

/* ------------------------------------------------------------------ values */

/* An object may have these keys, up to a NULL, and no other. */
static mill_status check_keys(const json_t *object, const char *where, const char *const *known,
                              struct mill_error *err) {
    const char *unknown = mill_config_find_unknown(object, known);
    return unknown ? mill_fail(err, MILL_E_INPUT, "%sunknown key '%.64s'", where, unknown)
                   : MILL_OK;
}

/* In one line, or in any number of them. */
static bool is_printable(const char *text, bool lines) {
    for (;; text++) {
        size_t n = lines ? strcspn(text, "\n") : strlen(text);
        if (!mill_utf8_is_printable(text, n))
            return false;
        text += n;
        if (*text == '\0')
            return true;
    }
}

mill_status mill_voice_check_text(const char *key, const char *text, size_t longest, int flags,
                                  struct mill_error *err) {
    if (strlen(text) > longest)
        return mill_fail(err, MILL_E_INPUT, "'%s': %zu bytes, at most %zu", key, strlen(text),
                         longest);
    if (text[0] == '\0' && !(flags & MILL_VOICE_TEXT_EMPTY))
        return mill_fail(err, MILL_E_INPUT, "'%s' is empty", key);
    if (!is_printable(text, flags & MILL_VOICE_TEXT_LINES))
        return mill_fail(err, MILL_E_INPUT, "'%s' has a control character", key);
    return MILL_OK;
}

mill_status mill_voice_check_transcript(const char *transcript, struct mill_error *err) {
    return mill_voice_check_text("transcript", transcript, MILL_VOICE_LONG_TEXT,
                                 MILL_VOICE_TEXT_LINES, err);
}

/* A text that must be there, of at most `longest` bytes. */
static mill_status read_text(const json_t *object, const char *key, size_t longest, int flags,
                             const char **out, struct mill_error *err) {
    MILL_TRY(mill_config_text(object, key, out, err));
    return mill_voice_check_text(key, *out, longest, flags, err);
}

/* The same where it may be missing. */
static mill_status read_optional(const json_t *object, const char *key, size_t longest, int flags,
                                 const char **out, struct mill_error *err) {
    return json_object_get(object, key) ? read_text(object, key, longest, flags, out, err)
                                        : MILL_OK;
}

static mill_status read_time(const json_t *object, const char *key, const char **out,
                             struct mill_error *err) {
    MILL_TRY(read_text(object, key, MILL_VOICE_TIME_BYTES, 0, out, err));
    if (!mill_voice_time_is_valid(*out))
        return mill_fail(err, MILL_E_INPUT, "'%s': '%s' is not a time like 2026-05-31T12:00:00Z",
                         key, *out);
    return MILL_OK;
}

static mill_status check_hex(const char *key, const char *text, size_t n_digits,
                             struct mill_error *err) {
    if (strlen(text) != n_digits || strspn(text, "0123456789abcdef") != n_digits)
        return mill_fail(err, MILL_E_INPUT, "'%s' is not %zu digits 0-9 a-f", key, n_digits);
    return MILL_OK;
}

static mill_status read_tokens(const json_t *root, const char *key, int32_t capacity,
                               int32_t **tokens, int32_t *n, struct mill_error *err) {
    size_t size = json_array_size(json_object_get(root, key)); /* 0 where it is no list */
    if (size > (size_t)capacity)
        return mill_fail(err, MILL_E_INPUT, "'%s' has %zu entries, at most %d are possible", key,
                         size, capacity);
    *tokens = mill_alloc_array(size ? size : 1, sizeof **tokens);
    if (!*tokens)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    MILL_TRY(mill_config_ints(root, key, 0, INT32_MAX, *tokens, (int32_t)size, n, err));
    return *n > 0 ? MILL_OK : mill_fail(err, MILL_E_INPUT, "'%s' is empty", key);
}

/* ------------------------------------------------------------------ parts of the file */

static mill_status read_head(struct mill_voice *voice, const json_t *root, struct mill_error *err) {
    static const char *const known[] = {
        "format",   "version",    "model",      "name",          "language",
        "licence",  "consent",    "provenance", "global_tokens", "semantic_tokens",
        "sampling", "transcript", "revoked",    "checksum",      NULL};
    const char *format;
    int64_t version;
    if (!json_is_object(root))
        return mill_fail(err, MILL_E_INPUT, "not a JSON object");
    MILL_TRY(mill_config_text(root, "format", &format, err));
    if (strcmp(format, MILL_VOICE_FORMAT) != 0)
        return mill_fail(err, MILL_E_INPUT, "'format': '%.64s' is not '%s'", format,
                         MILL_VOICE_FORMAT);
    MILL_TRY(mill_config_int(root, "version", 0, INT32_MAX, &version, err));
    if (version != MILL_VOICE_VERSION)
        return mill_fail(err, MILL_E_INPUT, "'version': %lld is not known here, only %d",
                         (long long)version, MILL_VOICE_VERSION);
    MILL_TRY(check_keys(root, "", known, err));
    MILL_TRY(read_text(root, "model", MILL_VOICE_ID_BYTES, 0, &voice->model, err));
    MILL_TRY(check_hex("model", voice->model, MILL_VOICE_ID_BYTES - 1, err));
    MILL_TRY(read_text(root, "name", NAME_TEXT, 0, &voice->name, err));
    mill_status status = mill_voice_check_name(voice->name, err);
    if (status < 0)
        return mill_context(err, status, "'name': '%s'", voice->name);
    MILL_TRY(read_optional(root, "licence", NAME_TEXT, 0, &voice->licence, err));
    MILL_TRY(read_optional(root, "language", LANGUAGE_TEXT, 0, &voice->language, err));
    return voice->language ? mill_language_check(voice->language, err) : MILL_OK;
}

static mill_status read_consent(struct mill_voice *voice, const json_t *root,
                                struct mill_error *err) {
    static const char *const known[] = {"statement", "who", "when", "purpose", NULL};
    const json_t *part;
    if (!json_object_get(root, "consent"))
        return MILL_OK;
    MILL_TRY(mill_config_object(root, "consent", &part, err));
    MILL_TRY(check_keys(part, "'consent': ", known, err));
    MILL_TRY(read_text(part, "statement", MILL_VOICE_LONG_TEXT, MILL_VOICE_TEXT_LINES,
                       &voice->consent.statement, err));
    MILL_TRY(read_time(part, "when", &voice->consent.when, err));
    MILL_TRY(read_optional(part, "who", NAME_TEXT, 0, &voice->consent.who, err));
    return read_optional(part, "purpose", MILL_VOICE_LONG_TEXT, MILL_VOICE_TEXT_LINES,
                         &voice->consent.purpose, err);
}

static mill_status read_provenance(struct mill_voice *voice, const json_t *root,
                                   struct mill_error *err) {
    static const char *const known[] = {"recording_sha256", "seconds", "created_by", "date", NULL};
    const json_t *part;
    MILL_TRY(mill_config_object(root, "provenance", &part, err));
    MILL_TRY(check_keys(part, "'provenance': ", known, err));
    MILL_TRY(read_text(part, "created_by", NAME_TEXT, 0, &voice->provenance.created_by, err));
    MILL_TRY(read_time(part, "date", &voice->provenance.date, err));
    if (!json_object_get(part, "recording_sha256") != !json_object_get(part, "seconds"))
        return mill_fail(err, MILL_E_INPUT,
                         "'provenance': 'recording_sha256' and 'seconds' belong together");
    if (!json_object_get(part, "seconds"))
        return MILL_OK;
    MILL_TRY(read_text(part, "recording_sha256", MILL_VOICE_HASH_BYTES, 0,
                       &voice->provenance.recording_sha256, err));
    MILL_TRY(check_hex("recording_sha256", voice->provenance.recording_sha256,
                       MILL_VOICE_HASH_BYTES - 1, err));
    return mill_config_number(part, "seconds", 0, 100000, &voice->provenance.seconds, err);
}

static mill_status read_sampling(struct mill_voice *voice, const json_t *root,
                                 struct mill_error *err) {
    static const char *const known[] = {"temperature", "top_k", "top_p", "seed", NULL};
    const json_t *part;
    int64_t top_k;
    struct mill_voice_sampling *sampling = &voice->sampling;
    if (!json_object_get(root, "sampling"))
        return MILL_OK;
    MILL_TRY(mill_config_object(root, "sampling", &part, err));
    MILL_TRY(check_keys(part, "'sampling': ", known, err));
    MILL_TRY(mill_config_number(part, "temperature", 0, 100, &sampling->temperature, err));
    if (sampling->temperature > 0 && sampling->temperature < 0.01)
        return mill_fail(err, MILL_E_INPUT, "'temperature': 0, or 0.01 and more");
    MILL_TRY(mill_config_number(part, "top_p", 0.001, 1, &sampling->top_p, err));
    MILL_TRY(mill_config_int(part, "top_k", 0, 1000000, &top_k, err));
    MILL_TRY(mill_config_int(part, "seed", 0, INT64_C(1) << 53, &sampling->seed, err));
    sampling->top_k = (int32_t)top_k;
    sampling->given = true;
    return MILL_OK;
}

static mill_status read_revoked(struct mill_voice *voice, const json_t *root,
                                struct mill_error *err) {
    static const char *const known[] = {"when", "why", NULL};
    const json_t *part;
    if (!json_object_get(root, "revoked"))
        return MILL_OK;
    MILL_TRY(mill_config_object(root, "revoked", &part, err));
    MILL_TRY(check_keys(part, "'revoked': ", known, err));
    MILL_TRY(read_text(part, "why", MILL_VOICE_LONG_TEXT,
                       MILL_VOICE_TEXT_LINES | MILL_VOICE_TEXT_EMPTY, &voice->revoked.why, err));
    return read_time(part, "when", &voice->revoked.when, err);
}

static mill_status read_prompt(struct mill_voice *voice, const json_t *root,
                               struct mill_error *err) {
    MILL_TRY(read_tokens(root, "global_tokens", MILL_VOICE_MAX_GLOBAL, &voice->global,
                         &voice->n_global, err));
    if (!json_object_get(root, "semantic_tokens") != !json_object_get(root, "transcript"))
        return mill_fail(err, MILL_E_INPUT, "'semantic_tokens' and 'transcript' belong together");
    if (!json_object_get(root, "transcript"))
        return MILL_OK;
    MILL_TRY(read_text(root, "transcript", MILL_VOICE_LONG_TEXT, MILL_VOICE_TEXT_LINES,
                       &voice->transcript, err));
    return read_tokens(root, "semantic_tokens", MILL_VOICE_MAX_SEMANTIC, &voice->semantic,
                       &voice->n_semantic, err);
}

static mill_status check_checksum(const json_t *root, struct mill_error *err) {
    const char *said;
    char found[MILL_VOICE_HASH_BYTES];
    MILL_TRY(read_text(root, "checksum", MILL_VOICE_HASH_BYTES, 0, &said, err));
    MILL_TRY(mill_voice_checksum(found, root, err));
    if (strcmp(said, found) != 0)
        return mill_fail(err, MILL_E_INPUT,
                         "'checksum' does not fit the rest: the file is damaged or was edited");
    return MILL_OK;
}

static mill_status check_range(const char *key, const int32_t *tokens, int32_t n, int32_t n_codes,
                               struct mill_error *err) {
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] >= n_codes)
            return mill_fail(err, MILL_E_INPUT, "'%s'[%d] is %d, and the model's end at %d", key, i,
                             tokens[i], n_codes - 1);
    return MILL_OK;
}

static mill_status check_model(const struct mill_voice *voice, const struct mill_voice_model *model,
                               struct mill_error *err) {
    if (strcmp(voice->model, model->id) != 0)
        return mill_fail(err, MILL_E_INPUT,
                         "'model': it was made for model %s, and this one is %s: make the voice "
                         "again with this model",
                         voice->model, model->id);
    if (voice->n_global != model->n_global)
        return mill_fail(err, MILL_E_INPUT, "'global_tokens': %d numbers where the model has %d",
                         voice->n_global, model->n_global);
    MILL_TRY(
        check_range("global_tokens", voice->global, voice->n_global, model->n_global_codes, err));
    return check_range("semantic_tokens", voice->semantic, voice->n_semantic,
                       model->n_semantic_codes, err);
}

static mill_status read_parts(struct mill_voice *out, const json_t *root,
                              const struct mill_voice_model *model, struct mill_error *err) {
    MILL_TRY(read_head(out, root, err));
    MILL_TRY(read_consent(out, root, err));
    MILL_TRY(read_provenance(out, root, err));
    MILL_TRY(read_prompt(out, root, err));
    MILL_TRY(read_sampling(out, root, err));
    MILL_TRY(read_revoked(out, root, err));
    MILL_TRY(check_checksum(root, err));
    return model ? check_model(out, model, err) : MILL_OK;
}

/* ------------------------------------------------------------------ in */

mill_status mill_voice_take_json(struct mill_voice *out, const char *path, json_t *root,
                                 const struct mill_voice_model *model, struct mill_error *err) {
    *out = (struct mill_voice){.source = root};
    mill_status status = read_parts(out, root, model, err);
    if (status < 0)
        mill_voice_deinit(out);
    return status < 0 ? mill_context(err, status, "voice '%s'", path) : status;
}

mill_status mill_voice_read(struct mill_voice *out, const char *path,
                            const struct mill_voice_model *model, struct mill_error *err) {
    *out = (struct mill_voice){0};
    json_t *root;
    mill_status status = mill_json_open(&root, path, MILL_VOICE_FILE_BYTES, err);
    if (status < 0)
        return status == MILL_E_INPUT ? mill_context(err, status, "not a voice file") : status;
    return mill_voice_take_json(out, path, root, model, err);
}

mill_status mill_voice_parse(struct mill_voice *out, const char *path, const char *data,
                             size_t size, const struct mill_voice_model *model,
                             struct mill_error *err) {
    *out = (struct mill_voice){0};
    json_t *root;
    MILL_TRY(mill_json_parse(&root, path, data, size, err));
    return mill_voice_take_json(out, path, root, model, err);
}
