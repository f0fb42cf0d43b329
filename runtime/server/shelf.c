/* shelf.c - see shelf.h. The list is replaced as a whole, so that a reader sees one state of the
 * folder. */
#include "runtime/server/shelf.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* OpenAI's names, as this model can be asked for them: gender, pitch and rate of enum levels. Each
 * gets a seed of its own, its row. */
static const struct {
    const char *name;
    struct mill_labels labels;
} created[] = {
    {"alloy", {0, 2, 2}}, {"ash", {1, 1, 2}},     {"ballad", {1, 2, 1}}, {"coral", {0, 3, 2}},
    {"echo", {1, 2, 2}},  {"fable", {1, 3, 2}},   {"onyx", {1, 0, 2}},   {"nova", {0, 2, 3}},
    {"sage", {0, 1, 2}},  {"shimmer", {0, 3, 3}}, {"verse", {1, 2, 3}},  {"marin", {0, 1, 3}},
    {"cedar", {1, 1, 3}}, {"female", {0, 2, 2}},  {"male", {1, 2, 2}},
};
enum { N_CREATED = sizeof created / sizeof *created };

struct stamp {
    struct timespec folder, revoked;
};

struct mill_shelf {
    struct mill_registry registry;
    struct mill_voice_model model;
    const struct mill_log *log;
    struct mill_shelf_voice *created[N_CREATED]; /* held */
    pthread_mutex_t lock;
    struct mill_shelf_voice **kept; /* owned: [n_kept], held */
    size_t n_kept;
    struct stamp stamp;
};

/* ------------------------------------------------------------------ one voice */

static struct mill_shelf_voice *new_voice(const char *name) {
    struct mill_shelf_voice *voice = mill_alloc_array(1, sizeof *voice);
    if (!voice)
        return NULL;
    atomic_init(&voice->n_references, 1);
    snprintf(voice->name, sizeof voice->name, "%s", name);
    return voice;
}

void mill_shelf_release(struct mill_shelf_voice *voice) {
    if (!voice || atomic_fetch_sub(&voice->n_references, 1) > 1)
        return;
    mill_voice_deinit(&voice->voice);
    free(voice->transcript);
    free(voice);
}

static struct mill_shelf_voice *hold(struct mill_shelf_voice *voice) {
    atomic_fetch_add(&voice->n_references, 1);
    return voice;
}

/* Files say it as 2026-05-31T12:00:00Z. */
static int64_t unix_time(const char *date) {
    struct tm time = {0};
    return date && strptime(date, "%Y-%m-%dT%H:%M:%SZ", &time) ? (int64_t)timegm(&time) : 0;
}

/* MILL_E_INPUT for one that may not or cannot be used. */
static mill_status read_kept(struct mill_shelf *shelf, const char *name,
                             struct mill_shelf_voice **out, struct mill_error *err) {
    struct mill_shelf_voice *voice = new_voice(name);
    if (!voice)
        return mill_fail(err, MILL_E_MEMORY, "no memory for voices");
    mill_status status =
        mill_registry_get(&shelf->registry, name, &shelf->model, &voice->voice, err);
    if (status == MILL_OK)
        status = mill_voice_check_revoked(&voice->voice, err);
    if (status < 0) {
        mill_shelf_release(voice);
        return status;
    }
    snprintf(voice->id, sizeof voice->id, "voice_%s", name);
    voice->created_s = unix_time(voice->voice.provenance.date);
    *out = voice;
    return MILL_OK;
}

/* ------------------------------------------------------------------ the folder */

static struct timespec change_of(const char *folder, const char *name) {
    struct stat info = {0};
    char *path = mill_path_join(folder, name);
    if (!path || stat(path, &info) != 0)
        info.st_mtim = (struct timespec){0};
    free(path);
    return info.st_mtim;
}

static struct stamp take_stamp(const struct mill_shelf *shelf) {
    return (struct stamp){.folder = change_of(shelf->registry.folder, "."),
                          .revoked = change_of(shelf->registry.folder, "revoked.json")};
}

static void free_list(struct mill_shelf_voice **list, size_t n) {
    for (size_t i = 0; i < n; i++)
        mill_shelf_release(list[i]);
    free(list);
}

static mill_status read_all(struct mill_shelf *shelf, const struct mill_registry_names *names,
                            struct mill_shelf_voice ***out, size_t *n_out, struct mill_error *err) {
    struct mill_shelf_voice **list = mill_alloc_array(names->n, sizeof(struct mill_shelf_voice *));
    size_t n = 0;
    if (!list)
        return mill_fail(err, MILL_E_MEMORY, "no memory for voices");
    for (size_t i = 0; i < names->n; i++) {
        mill_status status = read_kept(shelf, names->names[i], &list[n], err);
        if (status == MILL_E_MEMORY) {
            free_list(list, n);
            return status;
        }
        if (status < 0)
            mill_log_event(shelf->log, "event=voice_left_out voice=%s error=\"%s\"",
                           names->names[i], err->text);
        n += status == MILL_OK;
    }
    *out = list;
    *n_out = n;
    return MILL_OK;
}

mill_status mill_shelf_load(struct mill_shelf *shelf, struct mill_error *err) {
    struct mill_registry_names names;
    struct mill_shelf_voice **list = NULL;
    size_t n = 0;
    struct stamp stamp = take_stamp(shelf); /* before: what changes meanwhile is read again */
    MILL_TRY(mill_registry_list(&shelf->registry, &names, err));
    mill_status status = read_all(shelf, &names, &list, &n, err);
    mill_registry_names_deinit(&names);
    MILL_TRY(status);
    pthread_mutex_lock(&shelf->lock);
    struct mill_shelf_voice **old = shelf->kept;
    size_t n_old = shelf->n_kept;
    shelf->kept = list;
    shelf->n_kept = n;
    shelf->stamp = stamp;
    pthread_mutex_unlock(&shelf->lock);
    free_list(old, n_old);
    return MILL_OK;
}

mill_status mill_shelf_refresh(struct mill_shelf *shelf, struct mill_error *err) {
    struct stamp now = take_stamp(shelf);
    pthread_mutex_lock(&shelf->lock);
    bool same = memcmp(&now, &shelf->stamp, sizeof now) == 0;
    pthread_mutex_unlock(&shelf->lock);
    return same ? MILL_OK : mill_shelf_load(shelf, err);
}

/* ------------------------------------------------------------------ open, close */

mill_status mill_shelf_open(struct mill_shelf **out, const char *folder,
                            const struct mill_voice_model *model, const struct mill_log *log,
                            struct mill_error *err) {
    struct mill_shelf *shelf = mill_alloc_array(1, sizeof *shelf);
    if (!shelf)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    *shelf = (struct mill_shelf){.registry = {.folder = folder}, .model = *model, .log = log};
    pthread_mutex_init(&shelf->lock, NULL);
    mill_status status = MILL_OK;
    for (int i = 0; i < N_CREATED && status == MILL_OK; i++) {
        struct mill_shelf_voice *voice = new_voice(created[i].name);
        if (!voice) {
            status = mill_fail(err, MILL_E_MEMORY, "no memory");
            break;
        }
        snprintf(voice->id, sizeof voice->id, "%s", created[i].name);
        voice->is_created = true;
        voice->labels = created[i].labels;
        voice->seed = (uint64_t)i;
        shelf->created[i] = voice;
    }
    if (status == MILL_OK)
        status = mill_shelf_load(shelf, err);
    if (status < 0)
        mill_shelf_close(shelf);
    else
        *out = shelf;
    return status;
}

void mill_shelf_close(struct mill_shelf *shelf) {
    if (!shelf)
        return;
    for (int i = 0; i < N_CREATED; i++)
        mill_shelf_release(shelf->created[i]);
    free_list(shelf->kept, shelf->n_kept);
    pthread_mutex_destroy(&shelf->lock);
    free(shelf);
}

/* ------------------------------------------------------------------ finding */

static bool is_called(const struct mill_shelf_voice *voice, const char *name) {
    return strcmp(voice->name, name) == 0 || strcmp(voice->id, name) == 0;
}

/* A kept voice may have a created one's name, and goes before it then. */
struct mill_shelf_voice *mill_shelf_find(struct mill_shelf *shelf, const char *name) {
    struct mill_shelf_voice *found = NULL;
    pthread_mutex_lock(&shelf->lock);
    for (size_t i = 0; i < shelf->n_kept && !found; i++)
        if (is_called(shelf->kept[i], name))
            found = shelf->kept[i];
    for (int i = 0; i < N_CREATED && !found; i++)
        if (is_called(shelf->created[i], name))
            found = shelf->created[i];
    if (found)
        hold(found);
    pthread_mutex_unlock(&shelf->lock);
    return found;
}

struct mill_shelf_voice *mill_shelf_get(struct mill_shelf *shelf, size_t i) {
    struct mill_shelf_voice *found = NULL;
    pthread_mutex_lock(&shelf->lock);
    if (i < N_CREATED)
        found = hold(shelf->created[i]);
    else if (i - N_CREATED < shelf->n_kept)
        found = hold(shelf->kept[i - N_CREATED]);
    pthread_mutex_unlock(&shelf->lock);
    return found;
}

size_t mill_shelf_count_created(const struct mill_shelf *shelf) {
    (void)shelf;
    return N_CREATED;
}

mill_status mill_shelf_put_created(struct mill_shelf *shelf, size_t i, const int32_t *global,
                                   int32_t n_global, struct mill_error *err) {
    int32_t *copy = mill_alloc_array((size_t)n_global, sizeof *copy);
    if (!copy)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    memcpy(copy, global, (size_t)n_global * sizeof *copy);
    pthread_mutex_lock(&shelf->lock);
    shelf->created[i]->voice.global = copy;
    shelf->created[i]->voice.n_global = n_global;
    pthread_mutex_unlock(&shelf->lock);
    return MILL_OK;
}

/* ------------------------------------------------------------------ changing */

mill_status mill_shelf_wrap(struct mill_shelf *shelf, struct mill_voice *voice,
                            struct mill_shelf_voice **out, struct mill_error *err) {
    MILL_TRY(mill_registry_check(&shelf->registry, voice, err));
    struct mill_shelf_voice *wrapped = new_voice("clone");
    if (wrapped && voice->transcript)
        wrapped->transcript = strdup(voice->transcript);
    if (!wrapped || (voice->transcript && !wrapped->transcript)) {
        mill_shelf_release(wrapped);
        return mill_fail(err, MILL_E_MEMORY, "no memory for a voice");
    }
    snprintf(wrapped->id, sizeof wrapped->id, "clone");
    wrapped->voice = (struct mill_voice){.global = voice->global,
                                         .n_global = voice->n_global,
                                         .semantic = voice->semantic,
                                         .n_semantic = voice->n_semantic,
                                         .transcript = wrapped->transcript};
    voice->global = voice->semantic = NULL;
    *out = wrapped;
    return MILL_OK;
}

mill_status mill_shelf_add(struct mill_shelf *shelf, const struct mill_voice *voice,
                           struct mill_error *err) {
    MILL_TRY(mill_registry_add(&shelf->registry, voice, err));
    return mill_shelf_load(shelf, err);
}

mill_status mill_shelf_remove(struct mill_shelf *shelf, const char *name, struct mill_error *err) {
    MILL_TRY(mill_registry_remove(&shelf->registry, name, err));
    return mill_shelf_load(shelf, err);
}
