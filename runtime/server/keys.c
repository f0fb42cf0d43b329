/* keys.c - see keys.h. No state. */
#include "runtime/server/keys.h"

#include "runtime/base/file.h"
#include "runtime/base/hex.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"
#include "runtime/server/route.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 1 << 22 };

static const char *const scope_names[] = {
#define X(name, text) text,
    MILL_SCOPE_MAP(X)
#undef X
};

mill_status mill_scopes_parse(const char *text, uint32_t *out, struct mill_error *err) {
    *out = 0;
    while (*text) {
        size_t skip = strspn(text, ", "), n = strcspn(text + skip, ", ");
        text += skip;
        int scope = MILL_SCOPE_PUBLIC + 1;
        while (scope < MILL_SCOPE_COUNT &&
               (strlen(scope_names[scope]) != n || strncmp(scope_names[scope], text, n) != 0))
            scope++;
        if (n > 0 && scope == MILL_SCOPE_COUNT)
            return mill_fail(err, MILL_E_INPUT,
                             "scope '%.*s': there are speak, voices, jobs and operate",
                             (int)(n < 40 ? n : 40), text);
        if (n > 0)
            *out |= 1u << scope;
        text += n;
    }
    return *out ? MILL_OK : mill_fail(err, MILL_E_INPUT, "scopes: none is said");
}

void mill_scopes_print(uint32_t scopes, char text[64]) {
    text[0] = '\0';
    for (int i = MILL_SCOPE_PUBLIC + 1; i < MILL_SCOPE_COUNT; i++) {
        size_t n = strlen(text);
        if (scopes >> i & 1)
            snprintf(text + n, 64 - n, "%s%s", n ? ", " : "", scope_names[i]);
    }
}

mill_status mill_key_check_name(const char *name, struct mill_error *err) {
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (n > 0 && n < MILL_KEY_NAME_BYTES && name[n] == '\0')
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "name '%.40s': 1 to %d letters, digits, '.', '_', '-'",
                     name, MILL_KEY_NAME_BYTES - 1);
}

mill_status mill_key_make(char text[MILL_KEY_TEXT_BYTES], struct mill_error *err) {
    memcpy(text, "sm-", 3);
    return mill_hex_random(text + 3, 32) ? MILL_OK : mill_fail(err, MILL_E_IO, "no random numbers");
}

void mill_key_hash(const char *text, unsigned char hash[MILL_KEY_HASH_BYTES]) {
    SHA256((const unsigned char *)text, strlen(text), hash);
}

/* ------------------------------------------------------------------ reading */

static mill_status read_hash(const char *text, unsigned char hash[MILL_KEY_HASH_BYTES],
                             struct mill_error *err) {
    if (strlen(text) != 2 * MILL_KEY_HASH_BYTES ||
        strspn(text, "0123456789abcdef") != 2 * MILL_KEY_HASH_BYTES)
        return mill_fail(err, MILL_E_INPUT, "'sha256': 64 small hexadecimal digits are wanted");
    for (int i = 0; i < MILL_KEY_HASH_BYTES; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        hash[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return MILL_OK;
}

static mill_status take_limit(const json_t *entry, const char *key, int64_t low, int64_t high,
                              int64_t *out, struct mill_error *err) {
    *out = 0;
    return json_object_get(entry, key) ? mill_config_int(entry, key, low, high, out, err) : MILL_OK;
}

static mill_status check_members(const json_t *entry, struct mill_error *err) {
    static const char *const names[] = {"name",       "sha256",
                                        "scopes",     "requests_per_minute",
                                        "concurrent", "audio_seconds_per_day",
                                        "priority",   NULL};
    const char *unknown = mill_config_find_unknown(entry, names);
    return unknown ? mill_fail(err, MILL_E_INPUT, "unknown key '%.40s'", unknown) : MILL_OK;
}

static mill_status read_entry(struct mill_key *key, const json_t *entry, struct mill_error *err) {
    const char *name, *hash, *scopes;
    *key = (struct mill_key){0};
    MILL_TRY(mill_config_text(entry, "name", &name, err));
    MILL_TRY(mill_key_check_name(name, err));
    snprintf(key->name, sizeof key->name, "%s", name);
    MILL_TRY(check_members(entry, err));
    MILL_TRY(mill_config_text(entry, "sha256", &hash, err));
    MILL_TRY(read_hash(hash, key->hash, err));
    MILL_TRY(mill_config_text(entry, "scopes", &scopes, err));
    MILL_TRY(mill_scopes_parse(scopes, &key->scopes, err));
    MILL_TRY(
        take_limit(entry, "requests_per_minute", 0, 1000000000, &key->requests_per_minute, err));
    MILL_TRY(take_limit(entry, "concurrent", 0, 1000000, &key->concurrent, err));
    MILL_TRY(take_limit(entry, "audio_seconds_per_day", 0, 1000000000000,
                        &key->audio_seconds_per_day, err));
    return take_limit(entry, "priority", -2, 2, &key->priority, err);
}

static mill_status check_unique(const struct mill_keys *keys, struct mill_error *err) {
    for (size_t i = 0; i < keys->n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(keys->keys[i].name, keys->keys[j].name) == 0 ||
                memcmp(keys->keys[i].hash, keys->keys[j].hash, MILL_KEY_HASH_BYTES) == 0)
                return mill_fail(err, MILL_E_INPUT, "'%s' and '%s': the same name or the same key",
                                 keys->keys[j].name, keys->keys[i].name);
    return MILL_OK;
}

static mill_status read_list(struct mill_keys *out, const json_t *root, struct mill_error *err) {
    const json_t *list = json_object_get(root, "keys");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || json_object_size(root) != 1)
        return mill_fail(err, MILL_E_INPUT, "one list, 'keys', is wanted");
    if (n > MILL_MAX_KEYS)
        return mill_fail(err, MILL_E_INPUT, "%zu keys: at most %d", n, MILL_MAX_KEYS);
    out->keys = mill_alloc_array(n, sizeof *out->keys);
    if (!out->keys)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu keys", n);
    for (; out->n < n; out->n++) {
        mill_status status = read_entry(&out->keys[out->n], json_array_get(list, out->n), err);
        if (status < 0)
            return mill_context(err, status, "key %zu", out->n + 1);
    }
    return check_unique(out, err);
}

mill_status mill_keys_read(struct mill_keys *out, const char *path, struct mill_error *err) {
    json_t *root;
    *out = (struct mill_keys){0};
    MILL_TRY(mill_yaml_open(&root, path, FILE_BYTES, err));
    mill_status status = read_list(out, root, err);
    json_decref(root);
    if (status < 0) {
        mill_keys_deinit(out);
        mill_context(err, status, "'%s'", path);
    }
    return status;
}

void mill_keys_deinit(struct mill_keys *keys) {
    free(keys->keys);
    *keys = (struct mill_keys){0};
}

/* ------------------------------------------------------------------ writing */

static mill_status print_key(const struct mill_key *key, struct mill_buffer *out,
                             struct mill_error *err) {
    char scopes[64], hash[2 * MILL_KEY_HASH_BYTES + 1];
    mill_scopes_print(key->scopes, scopes);
    mill_hex_print(hash, key->hash, MILL_KEY_HASH_BYTES);
    return mill_buffer_printf(
        out, err,
        "  - name: '%s'\n    sha256: '%s'\n    scopes: '%s'\n    requests_per_minute: %lld\n"
        "    concurrent: %lld\n    audio_seconds_per_day: %lld\n    priority: %lld\n",
        key->name, hash, scopes, (long long)key->requests_per_minute, (long long)key->concurrent,
        (long long)key->audio_seconds_per_day, (long long)key->priority);
}

mill_status mill_keys_write(const struct mill_keys *keys, const char *path,
                            struct mill_error *err) {
    struct mill_buffer text;
    mill_buffer_init(&text, FILE_BYTES);
    mill_status status = mill_buffer_printf(&text, err, keys->n ? "keys:\n" : "keys: []\n");
    for (size_t i = 0; i < keys->n && status == MILL_OK; i++)
        status = print_key(&keys->keys[i], &text, err);
    if (status == MILL_OK)
        status = mill_file_write(path, text.data, text.size, err);
    mill_buffer_deinit(&text);
    return status;
}
