/* voice.c - see voice.h. JSON is checked key by key through io/config. No state. */
#include "runtime/voice/voice.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "sparkmill-voice";
enum { FORMAT_VERSION = 1 };

void mill_voice_deinit(struct mill_voice *voice) {
    free(voice->global);
    *voice = (struct mill_voice){0};
}

static mill_status check_keys(const json_t *root, struct mill_error *err) {
    static const char *const known[] = {"format", "version", "name", "global_tokens"};
    if (!json_is_object(root))
        return mill_fail(err, MILL_E_INPUT, "not a JSON object");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found |= strcmp(key, known[i]) == 0;
        if (!found)
            return mill_fail(err, MILL_E_INPUT, "unknown key '%.64s'", key);
    }
    return MILL_OK;
}

static mill_status read_head(struct mill_voice *voice, const json_t *root, struct mill_error *err) {
    const char *text;
    int64_t version;
    MILL_TRY(check_keys(root, err));
    MILL_TRY(mill_config_text(root, "format", &text, err));
    if (strcmp(text, format_name) != 0)
        return mill_fail(err, MILL_E_INPUT, "format: '%.64s' is not '%s'", text, format_name);
    MILL_TRY(mill_config_int(root, "version", 0, INT32_MAX, &version, err));
    if (version != FORMAT_VERSION)
        return mill_fail(err, MILL_E_INPUT, "version: %lld is not known, only %d",
                         (long long)version, FORMAT_VERSION);
    MILL_TRY(mill_config_text(root, "name", &text, err));
    if (strlen(text) >= sizeof voice->name)
        return mill_fail(err, MILL_E_INPUT, "name: longer than %zu bytes", sizeof voice->name - 1);
    memcpy(voice->name, text, strlen(text) + 1);
    return MILL_OK;
}

static mill_status read_tokens(struct mill_voice *voice, const json_t *root,
                               const struct mill_shape *shape, struct mill_error *err) {
    int32_t n_wanted = shape->bicodec.speaker.n_tokens;
    voice->global = mill_alloc_array((size_t)n_wanted, sizeof *voice->global);
    if (!voice->global)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    MILL_TRY(mill_config_ints(root, "global_tokens", 0, mill_shape_global_codes(shape) - 1,
                              voice->global, n_wanted, &voice->n_global, err));
    if (voice->n_global != n_wanted)
        return mill_fail(err, MILL_E_INPUT, "global_tokens: %d numbers where the model has %d",
                         voice->n_global, n_wanted);
    return MILL_OK;
}

static mill_status from_json(struct mill_voice *out, const char *path, const json_t *root,
                             const struct mill_shape *shape, struct mill_error *err) {
    mill_status status = read_head(out, root, err);
    if (status == MILL_OK)
        status = read_tokens(out, root, shape, err);
    if (status < 0)
        mill_voice_deinit(out);
    return status < 0 ? mill_context(err, status, "voice '%s'", path) : status;
}

mill_status mill_voice_read(struct mill_voice *out, const char *path,
                            const struct mill_shape *shape, struct mill_error *err) {
    *out = (struct mill_voice){0};
    json_t *root;
    MILL_TRY(mill_json_open(&root, path, MILL_VOICE_FILE_BYTES, err));
    mill_status status = from_json(out, path, root, shape, err);
    json_decref(root);
    return status;
}

mill_status mill_voice_parse(struct mill_voice *out, const char *path, const char *data,
                             size_t size, const struct mill_shape *shape, struct mill_error *err) {
    *out = (struct mill_voice){0};
    json_t *root;
    MILL_TRY(mill_json_parse(&root, path, data, size, err));
    mill_status status = from_json(out, path, root, shape, err);
    json_decref(root);
    return status;
}

static json_t *to_json(const struct mill_voice *voice) {
    json_t *tokens = json_array();
    for (int32_t i = 0; tokens && i < voice->n_global; i++)
        if (json_array_append_new(tokens, json_integer(voice->global[i])) != 0) {
            json_decref(tokens);
            return NULL;
        }
    return json_pack("{s:s, s:i, s:s, s:o}", "format", format_name, "version", FORMAT_VERSION,
                     "name", voice->name, "global_tokens", tokens);
}

mill_status mill_voice_write(const struct mill_voice *voice, const char *path,
                             struct mill_error *err) {
    json_t *root = to_json(voice);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "voice '%s': no memory, or its name is not UTF-8",
                         path);
    struct mill_output output;
    mill_status status = mill_output_open(&output, path, err);
    if (status == MILL_OK) {
        status = mill_output_write(&output, text, strlen(text), err);
        if (status == MILL_OK)
            status = mill_output_write(&output, "\n", 1, err);
        if (status == MILL_OK)
            status = mill_output_commit(&output, err);
        mill_output_close(&output);
    }
    free(text);
    return status;
}

/* Whole characters only: a name cut inside one would not be UTF-8. */
void mill_voice_name_from_path(char name[MILL_VOICE_NAME_BYTES], const char *path) {
    const char *slash = strrchr(path, '/');
    const char *start = slash ? slash + 1 : path;
    const char *dot = strrchr(start, '.');
    size_t size = dot && dot > start ? (size_t)(dot - start) : strlen(start);
    if (size > MILL_VOICE_NAME_BYTES - 1) {
        size = MILL_VOICE_NAME_BYTES - 1;
        while (size > 0 && ((unsigned char)start[size] & 0xc0) == 0x80)
            size--;
    }
    memcpy(name, start, size);
    name[size] = '\0';
}
