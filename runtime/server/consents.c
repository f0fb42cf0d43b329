/* consents.c - see consents.h. No state. */
#include "runtime/server/consents.h"

#include "runtime/base/file.h"
#include "runtime/base/hex.h"
#include "runtime/base/memory.h"
#include "runtime/base/utf8.h"
#include "runtime/io/config.h"
#include "runtime/text/language.h"
#include "runtime/voice/voice.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 14 };

static bool is_id(const char *id) {
    return strlen(id) == MILL_CONSENT_ID_BYTES - 1 && strncmp(id, "cons_", 5) == 0 &&
           strspn(id + 5, "0123456789abcdef") == MILL_CONSENT_ID_BYTES - 6;
}

static mill_status unknown(struct mill_error *err) {
    return mill_fail(err, MILL_E_NOT_FOUND, "there is no such consent");
}

/* In new memory; NULL when it is short. */
static char *path_of(const char *folder, const char *id, const char *ending) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", id, ending);
    return mill_path_join(folder, name);
}

/* ------------------------------------------------------------------ one file */

static mill_status write_file(const char *folder, const char *id, const char *ending,
                              const void *data, size_t size, struct mill_error *err) {
    char *path = path_of(folder, id, ending);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_file_write(path, data, size, err);
    free(path);
    return status;
}

static mill_status write_consent(const char *folder, const struct mill_consent *consent,
                                 struct mill_error *err) {
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "id", consent->id, "name", consent->name,
                  "language", consent->language, "created_at", (json_int_t)consent->created_s,
                  "sha256", consent->sha256, "client", consent->client);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = write_file(folder, consent->id, "json", text, strlen(text), err);
    free(text);
    return status;
}

static mill_status take_text(const json_t *root, const char *key, char *out, size_t capacity,
                             struct mill_error *err) {
    const char *text;
    MILL_TRY(mill_config_text(root, key, &text, err));
    if (strlen(text) >= capacity)
        return mill_fail(err, MILL_E_INPUT, "'%s' is too long", key);
    memcpy(out, text, strlen(text) + 1);
    return MILL_OK;
}

static mill_status read_consent(const json_t *root, struct mill_consent *out,
                                struct mill_error *err) {
    MILL_TRY(take_text(root, "id", out->id, sizeof out->id, err));
    MILL_TRY(take_text(root, "name", out->name, sizeof out->name, err));
    MILL_TRY(take_text(root, "language", out->language, sizeof out->language, err));
    MILL_TRY(take_text(root, "sha256", out->sha256, sizeof out->sha256, err));
    MILL_TRY(take_text(root, "client", out->client, sizeof out->client, err));
    return mill_config_int(root, "created_at", 0, INT64_MAX, &out->created_s, err);
}

mill_status mill_consents_get(const char *folder, const char *id, struct mill_consent *out,
                              struct mill_error *err) {
    if (!is_id(id))
        return unknown(err);
    char *path = path_of(folder, id, "json");
    json_t *root = NULL;
    *out = (struct mill_consent){0};
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_json_open(&root, path, FILE_BYTES, err);
    free(path);
    if (status == MILL_E_NOT_FOUND)
        return unknown(err);
    if (status == MILL_OK)
        status = read_consent(root, out, err);
    json_decref(root);
    /* Its file is damaged: that is not the client's fault. */
    return status == MILL_E_INPUT ? MILL_E_IO : status;
}

/* ------------------------------------------------------------------ changes */

/* What a client says ends up in files and lists. */
static mill_status check_text(const char *what, const char *text, size_t capacity,
                              struct mill_error *err) {
    size_t n = strlen(text);
    return n > 0 && n < capacity && mill_utf8_is_printable(text, n)
               ? MILL_OK
               : mill_fail(err, MILL_E_INPUT, "%s: 1 to %zu bytes of text are wanted", what,
                           capacity - 1);
}

/* As BCP 47 writes languages: en, en-US, zh-Hans-CN. */
static mill_status make_id(char id[MILL_CONSENT_ID_BYTES], struct mill_error *err) {
    memcpy(id, "cons_", 5);
    return mill_hex_random(id + 5, (MILL_CONSENT_ID_BYTES - 6) / 2)
               ? MILL_OK
               : mill_fail(err, MILL_E_IO, "no random numbers");
}

static mill_status check_room(const char *folder, int64_t max_bytes, size_t size,
                              struct mill_error *err) {
    int64_t bytes = 0;
    struct stat file;
    DIR *dir = opendir(folder);
    if (!dir)
        return mill_fail(err, MILL_E_IO, "'%s': %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));)
        if (fstatat(dirfd(dir), entry->d_name, &file, 0) == 0 && S_ISREG(file.st_mode))
            bytes += file.st_size;
    closedir(dir);
    return (int64_t)size <= max_bytes - bytes
               ? MILL_OK
               : mill_fail(err, MILL_E_FULL, "the consents have their %lld bytes",
                           (long long)max_bytes);
}

mill_status mill_consents_add(const char *folder, int64_t max_bytes, struct mill_consent *consent,
                              const void *recording, size_t size, struct mill_error *err) {
    MILL_TRY(check_text("name", consent->name, sizeof consent->name, err));
    MILL_TRY(mill_language_check(consent->language, err));
    MILL_TRY(make_id(consent->id, err));
    MILL_TRY(mill_folder_make(folder, err));
    MILL_TRY(check_room(folder, max_bytes, size, err));
    MILL_TRY(mill_sha256_bytes(recording, size, consent->sha256, err));
    consent->created_s = (int64_t)time(NULL);
    /* The recording first: a consent that is there is whole. */
    MILL_TRY(write_file(folder, consent->id, "recording", recording, size, err));
    return write_consent(folder, consent, err);
}

mill_status mill_consents_rename(const char *folder, const char *id, const char *name,
                                 struct mill_consent *out, struct mill_error *err) {
    MILL_TRY(check_text("name", name, sizeof out->name, err));
    MILL_TRY(mill_consents_get(folder, id, out, err));
    memcpy(out->name, name, strlen(name) + 1);
    return write_consent(folder, out, err);
}

mill_status mill_consents_remove(const char *folder, const char *id, struct mill_error *err) {
    static const char *const endings[] = {"json", "recording"};
    if (!is_id(id))
        return unknown(err);
    for (int i = 0; i < 2; i++) {
        char *path = path_of(folder, id, endings[i]);
        if (!path)
            return mill_fail(err, MILL_E_MEMORY, "no memory");
        int result = unlink(path), cause = errno;
        free(path);
        if (result != 0 && cause == ENOENT && i == 0)
            return unknown(err);
        if (result != 0 && cause != ENOENT)
            return mill_fail(err, MILL_E_IO, "removing consent '%s': %s", id, strerror(cause));
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ all of them */

static int newest_first(const void *a, const void *b) {
    const struct mill_consent *x = a, *y = b;
    if (x->created_s != y->created_s)
        return x->created_s < y->created_s ? 1 : -1;
    return strcmp(x->id, y->id);
}

/* The id in a file's name; false when there is none. */
static bool id_of_file(const char *file, char id[MILL_CONSENT_ID_BYTES]) {
    size_t n = strlen(file);
    if (n != MILL_CONSENT_ID_BYTES - 1 + 5 || strcmp(file + n - 5, ".json") != 0)
        return false;
    memcpy(id, file, MILL_CONSENT_ID_BYTES - 1);
    id[MILL_CONSENT_ID_BYTES - 1] = '\0';
    return is_id(id);
}

static mill_status read_all(DIR *dir, const char *folder, struct mill_consent **out, size_t *n,
                            struct mill_error *err) {
    size_t capacity = 0;
    for (struct dirent *entry; (entry = readdir(dir)) && *n < MILL_MAX_CONSENTS;) {
        char id[MILL_CONSENT_ID_BYTES];
        if (!id_of_file(entry->d_name, id))
            continue;
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            struct mill_consent *more = realloc(*out, capacity * sizeof *more);
            if (!more)
                return mill_fail(err, MILL_E_MEMORY, "no memory for consents");
            *out = more;
        }
        mill_status status = mill_consents_get(folder, id, &(*out)[*n], err);
        if (status == MILL_E_MEMORY)
            return status;
        *n += status == MILL_OK; /* one that is damaged does not hide the others */
    }
    return MILL_OK;
}

mill_status mill_consents_list(const char *folder, struct mill_consent **out, size_t *n,
                               struct mill_error *err) {
    *out = NULL;
    *n = 0;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT)
        return MILL_OK;
    if (!dir)
        return mill_fail(err, MILL_E_IO, "'%s': %s", folder, strerror(errno));
    mill_status status = read_all(dir, folder, out, n, err);
    closedir(dir);
    if (status < 0) {
        free(*out);
        *out = NULL;
        *n = 0;
    } else if (*n > 1) {
        qsort(*out, *n, sizeof **out, newest_first);
    }
    return status;
}
