/* registry.c - see registry.h. A change is: lock, look, write beside and rename, unlock. Order
 * matters where a change has two parts: what is lost by a crash between them must be the less
 * important one, so a renamed voice is first there twice, and a revoked one first refused and then
 * marked. */
#include "runtime/voice/registry.h"

#include "runtime/base/file.h"
#include "runtime/voice/voice_json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    REVOKED_FILE_BYTES = 8 << 20,
    MAX_NAMES = 100000,
    FILE_NAME_BYTES = MILL_VOICE_NAME_BYTES + 6
};
static const char revoked_format[] = "sparkmill-revoked";

/* ------------------------------------------------------------------ paths and the lock */

static mill_status join(const struct mill_registry *registry, const char *file, char **path,
                        struct mill_error *err) {
    *path = mill_path_join(registry->folder, file);
    return *path ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
}

/* Where the voice of that name lies; a name that is none is refused before it touches a path. */
static mill_status voice_path(const struct mill_registry *registry, const char *name, char **path,
                              struct mill_error *err) {
    char file[FILE_NAME_BYTES];
    *path = NULL;
    mill_status status = mill_voice_check_name(name, err);
    if (status < 0)
        return mill_context(err, status, "'%.80s'", name);
    snprintf(file, sizeof file, "%s.voice", name);
    return join(registry, file, path, err);
}

/* A change begins: the folder is there, and nobody else's. Closing *lock ends it, also when the
 * process dies. */
static mill_status take_lock(const struct mill_registry *registry, int *lock,
                             struct mill_error *err) {
    char *path;
    MILL_TRY(mill_folder_make(registry->folder, err));
    MILL_TRY(join(registry, ".lock", &path, err));
    mill_status status = mill_lock_take(lock, path, 0666, err);
    free(path);
    return status;
}

/* Readers wait for a change under way only where they can: a registry may be read-only. -1 = no
 * lock. */
static int take_reader_lock(const struct mill_registry *registry) {
    char *path = mill_path_join(registry->folder, ".lock");
    int lock = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (lock >= 0)
        mill_lock_wait(lock, LOCK_SH);
    free(path);
    return lock;
}

static void drop_lock(int lock) {
    if (lock >= 0)
        close(lock);
}

/* ------------------------------------------------------------------ revoked.json */

/* The list of objects {id, name, when, why}, empty where there is no file. */
static mill_status check_revoked_list(const json_t *root, struct mill_error *err) {
    const char *format, *id;
    int64_t version;
    size_t i;
    json_t *entry;
    MILL_TRY(mill_config_text(root, "format", &format, err));
    MILL_TRY(mill_config_int(root, "version", 1, 1, &version, err));
    const json_t *list = json_object_get(root, "voices");
    if (strcmp(format, revoked_format) != 0 || !json_is_array(list))
        return mill_fail(err, MILL_E_INPUT, "it is no list of revoked voices");
    json_array_foreach((json_t *)(uintptr_t)list, i, entry) {
        const char *text;
        MILL_TRY(mill_config_text(entry, "id", &id, err));
        MILL_TRY(mill_config_text(entry, "when", &text, err));
        MILL_TRY(mill_config_text(entry, "why", &text, err));
    }
    return MILL_OK;
}

/* A list that cannot be read refuses every voice: it must not be forgotten by damage. */
static mill_status read_revoked(const struct mill_registry *registry, json_t **root,
                                struct mill_error *err) {
    char *path;
    *root = NULL;
    MILL_TRY(join(registry, "revoked.json", &path, err));
    mill_status status = mill_json_open(root, path, REVOKED_FILE_BYTES, err);
    if (status == MILL_E_NOT_FOUND) {
        *root = json_pack("{s:s, s:i, s:[]}", "format", revoked_format, "version", 1, "voices");
        status = *root ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    } else if (status == MILL_OK && (status = check_revoked_list(*root, err)) < 0) {
        json_decref(*root);
        *root = NULL;
        mill_context(err, status, "'%s'", path);
    }
    free(path);
    return status;
}

/* A voice's id, the list (the caller's), and the entry of that id in it; NULL where there is none.
 */
static mill_status find_revoked(const struct mill_registry *registry,
                                const struct mill_voice *voice, char id[MILL_VOICE_ID_BYTES],
                                json_t **root, json_t **entry, struct mill_error *err) {
    size_t i;
    MILL_TRY(mill_voice_id(id, voice, err));
    MILL_TRY(read_revoked(registry, root, err));
    json_array_foreach(json_object_get(*root, "voices"), i, *entry) {
        if (strcmp(json_string_value(json_object_get(*entry, "id")), id) == 0)
            return MILL_OK;
    }
    *entry = NULL;
    return MILL_OK;
}

/* What revoked.json knows goes into the voice; its texts move to what the voice owns. */
static mill_status mark_revoked(const struct mill_registry *registry, struct mill_voice *voice,
                                struct mill_error *err) {
    char id[MILL_VOICE_ID_BYTES];
    json_t *root, *entry;
    if (voice->revoked.when)
        return MILL_OK;
    MILL_TRY(find_revoked(registry, voice, id, &root, &entry, err));
    mill_status status = MILL_OK;
    if (entry && json_object_set(voice->source, "revoked", entry) != 0) {
        status = mill_fail(err, MILL_E_MEMORY, "no memory");
    } else if (entry) {
        voice->revoked.when = json_string_value(json_object_get(entry, "when"));
        voice->revoked.why = json_string_value(json_object_get(entry, "why"));
    }
    json_decref(root);
    return status;
}

mill_status mill_registry_check(const struct mill_registry *registry,
                                const struct mill_voice *voice, struct mill_error *err) {
    MILL_TRY(mill_voice_check_revoked(voice, err));
    char id[MILL_VOICE_ID_BYTES];
    json_t *root, *entry;
    MILL_TRY(find_revoked(registry, voice, id, &root, &entry, err));
    mill_status status = MILL_OK;
    if (entry) {
        struct mill_voice revoked = {
            .name = voice->name,
            .revoked = {.when = json_string_value(json_object_get(entry, "when")),
                        .why = json_string_value(json_object_get(entry, "why"))}};
        status = mill_voice_check_revoked(&revoked, err);
    }
    json_decref(root);
    return status;
}

/* ------------------------------------------------------------------ looking */

void mill_registry_names_deinit(struct mill_registry_names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct mill_registry_names){0};
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The voice's name in a file's name, in new memory; NULL when it has none. */
static char *name_of_file(const char *file) {
    size_t n = strlen(file);
    if (n < 6 || strcmp(file + n - 6, ".voice") != 0)
        return NULL;
    char *name = strndup(file, n - 6);
    if (name && mill_voice_check_name(name, NULL) == MILL_OK)
        return name;
    free(name);
    return NULL;
}

static mill_status add_name(struct mill_registry_names *out, size_t *capacity, char *name,
                            struct mill_error *err) {
    if (out->n == *capacity) {
        size_t more = *capacity ? 2 * *capacity : 64;
        char **names = more <= 2 * MAX_NAMES ? realloc(out->names, more * sizeof *names) : NULL;
        if (!names) {
            free(name);
            return mill_fail(err, MILL_E_MEMORY, "no memory for more than %zu voices", *capacity);
        }
        out->names = names;
        *capacity = more;
    }
    out->names[out->n++] = name;
    return MILL_OK;
}

mill_status mill_registry_list(const struct mill_registry *registry,
                               struct mill_registry_names *out, struct mill_error *err) {
    *out = (struct mill_registry_names){0};
    int lock = take_reader_lock(registry);
    DIR *folder = opendir(registry->folder);
    mill_status status = MILL_OK;
    if (!folder && errno != ENOENT)
        status = mill_fail(err, MILL_E_IO, "'%s': %s", registry->folder, strerror(errno));
    size_t capacity = 0;
    for (struct dirent *entry; folder && status == MILL_OK && (entry = readdir(folder));) {
        char *name = name_of_file(entry->d_name);
        if (name)
            status = add_name(out, &capacity, name, err);
    }
    if (folder)
        closedir(folder);
    drop_lock(lock);
    if (status < 0)
        mill_registry_names_deinit(out);
    else if (out->n > 1)
        qsort(out->names, out->n, sizeof *out->names, compare_names);
    return status;
}

/* The file's name counts, not what it says of itself: files may be copied by hand. */
static mill_status read_voice(const struct mill_registry *registry, const char *name,
                              const struct mill_voice_model *model, struct mill_voice *out,
                              struct mill_error *err) {
    char *path;
    *out = (struct mill_voice){0};
    MILL_TRY(voice_path(registry, name, &path, err));
    mill_status status = mill_voice_read(out, path, model, err);
    if (status == MILL_E_NOT_FOUND)
        mill_fail(err, status, "there is no voice '%s' in '%s'", name, registry->folder);
    free(path);
    if (status == MILL_OK && strcmp(out->name, name) != 0) {
        if (json_object_set_new(out->source, "name", json_string(name)) != 0) {
            mill_voice_deinit(out);
            return mill_fail(err, MILL_E_MEMORY, "no memory");
        }
        out->name = json_string_value(json_object_get(out->source, "name"));
    }
    return status;
}

mill_status mill_registry_get(const struct mill_registry *registry, const char *name,
                              const struct mill_voice_model *model, struct mill_voice *out,
                              struct mill_error *err) {
    int lock = take_reader_lock(registry);
    mill_status status = read_voice(registry, name, model, out, err);
    drop_lock(lock);
    MILL_TRY(status);
    status = mark_revoked(registry, out, err);
    if (status < 0)
        mill_voice_deinit(out);
    return status;
}

/* ------------------------------------------------------------------ changing, under the lock */

static mill_status write_new(const struct mill_registry *registry, const struct mill_voice *voice,
                             struct mill_error *err) {
    char *path;
    MILL_TRY(voice_path(registry, voice->name, &path, err));
    mill_status status = MILL_OK;
    if (access(path, F_OK) == 0)
        status =
            mill_fail(err, MILL_E_INPUT,
                      "there is a voice '%s' already in '%s': remove it first, or take another "
                      "name",
                      voice->name, registry->folder);
    if (status == MILL_OK)
        status = mill_voice_write(voice, path, err);
    free(path);
    return status;
}

mill_status mill_registry_add(const struct mill_registry *registry, const struct mill_voice *voice,
                              struct mill_error *err) {
    int lock;
    MILL_TRY(mill_voice_check_name(voice->name, err));
    MILL_TRY(take_lock(registry, &lock, err));
    mill_status status = mill_registry_check(registry, voice, err);
    if (status == MILL_OK)
        status = write_new(registry, voice, err);
    drop_lock(lock);
    return status;
}

static mill_status unlink_voice(const struct mill_registry *registry, const char *name,
                                struct mill_error *err) {
    char *path;
    MILL_TRY(voice_path(registry, name, &path, err));
    mill_status status = MILL_OK;
    if (unlink(path) != 0)
        status = errno == ENOENT
                     ? mill_fail(err, MILL_E_NOT_FOUND, "there is no voice '%s' in '%s'", name,
                                 registry->folder)
                     : mill_fail(err, MILL_E_IO, "'%s': %s", path, strerror(errno));
    free(path);
    return status;
}

mill_status mill_registry_remove(const struct mill_registry *registry, const char *name,
                                 struct mill_error *err) {
    int lock;
    MILL_TRY(mill_voice_check_name(name, err));
    MILL_TRY(take_lock(registry, &lock, err));
    mill_status status = unlink_voice(registry, name, err);
    drop_lock(lock);
    return status;
}

mill_status mill_registry_rename(const struct mill_registry *registry, const char *from,
                                 const char *to, struct mill_error *err) {
    int lock;
    struct mill_voice voice;
    MILL_TRY(mill_voice_check_name(to, err));
    MILL_TRY(mill_voice_check_name(from, err));
    MILL_TRY(take_lock(registry, &lock, err));
    mill_status status = read_voice(registry, from, NULL, &voice, err);
    if (status == MILL_OK) {
        voice.name = to;
        status = write_new(registry, &voice, err);
        mill_voice_deinit(&voice);
    }
    if (status == MILL_OK)
        status = unlink_voice(registry, from, err);
    drop_lock(lock);
    return status;
}

static mill_status list_revoked(const struct mill_registry *registry,
                                const struct mill_voice *voice, struct mill_error *err) {
    char id[MILL_VOICE_ID_BYTES], *path;
    json_t *root, *entry;
    MILL_TRY(find_revoked(registry, voice, id, &root, &entry, err));
    if (entry) {
        json_decref(root);
        return MILL_OK;
    }
    entry = json_pack("{s:s, s:s, s:s, s:s}", "id", id, "name", voice->name, "when",
                      voice->revoked.when, "why", voice->revoked.why);
    mill_status status = MILL_OK;
    if (json_array_append_new(json_object_get(root, "voices"), entry) != 0)
        status = mill_fail(err, MILL_E_INPUT, "the reason is not UTF-8, or no memory");
    else if (json_dumpb(root, NULL, 0, JSON_COMPACT) >=
             REVOKED_FILE_BYTES) /* and refuse all then */
        status = mill_fail(err, MILL_E_INPUT,
                           "the list of revoked voices would have more than %d bytes: shorten "
                           "reasons in '%s/revoked.json'",
                           REVOKED_FILE_BYTES, registry->folder);
    if (status == MILL_OK && (status = join(registry, "revoked.json", &path, err)) == MILL_OK) {
        status = mill_voice_write_json(root, path, err);
        free(path);
    }
    json_decref(root);
    return status;
}

/* The file of the voice's name, where there is one and it is this voice. */
static mill_status mark_file(const struct mill_registry *registry, const struct mill_voice *revoked,
                             struct mill_error *err) {
    struct mill_voice voice;
    char *path, id[MILL_VOICE_ID_BYTES], own[MILL_VOICE_ID_BYTES];
    mill_status status = read_voice(registry, revoked->name, NULL, &voice, err);
    if (status == MILL_E_NOT_FOUND)
        return MILL_OK;
    MILL_TRY(status);
    status = mill_voice_id(id, revoked, err);
    if (status == MILL_OK)
        status = mill_voice_id(own, &voice, err);
    if (status == MILL_OK && strcmp(id, own) == 0 && !voice.revoked.when) {
        voice.revoked.when = revoked->revoked.when;
        voice.revoked.why = revoked->revoked.why;
        status = voice_path(registry, revoked->name, &path, err);
        if (status == MILL_OK)
            status = mill_voice_write(&voice, path, err);
        free(path);
    }
    mill_voice_deinit(&voice);
    return status;
}

mill_status mill_registry_revoke(const struct mill_registry *registry,
                                 const struct mill_voice *voice, const char *why,
                                 struct mill_error *err) {
    int lock;
    char now[MILL_VOICE_TIME_BYTES];
    struct mill_voice revoked = *voice;
    mill_voice_now(now);
    revoked.revoked.when = now;
    revoked.revoked.why = why;
    MILL_TRY(mill_voice_check_text("why", why, MILL_VOICE_LONG_TEXT,
                                   MILL_VOICE_TEXT_LINES | MILL_VOICE_TEXT_EMPTY, err));
    MILL_TRY(take_lock(registry, &lock, err));
    mill_status status = list_revoked(registry, &revoked, err);
    if (status == MILL_OK)
        status = mark_file(registry, &revoked, err);
    drop_lock(lock);
    return status;
}
