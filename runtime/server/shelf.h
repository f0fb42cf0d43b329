/* shelf.h - the voices that can be asked for, in memory.
 *
 * Two kinds stand there under their names: those of the registry's folder, and created ones, which
 * the model invents from labels and a seed: OpenAI's names, "female" and "male". The folder is read
 * at open, and again when it has changed or is asked to. A voice is held by whoever uses it, so it
 * may leave the shelf meanwhile. Any thread; one lock, never held while a file is read. */
#ifndef MILL_SERVER_SHELF_H
#define MILL_SERVER_SHELF_H

#include "runtime/server/instructions.h"
#include "runtime/server/log.h"
#include "runtime/voice/registry.h"

#include <stdatomic.h>

struct mill_shelf;

enum { MILL_SHELF_ID_BYTES = 6 + MILL_VOICE_NAME_BYTES };

struct mill_shelf_voice {
    atomic_int n_references;
    char name[MILL_VOICE_NAME_BYTES];
    char id[MILL_SHELF_ID_BYTES]; /* "voice_" and its name; of a created one its name again */
    struct mill_voice voice;      /* tokens; of a created one too */
    char *transcript;             /* owned: of one that is not kept */
    int64_t created_s;            /* Unix time */
    bool is_created;
    struct mill_labels labels; /* of a created one, as the next */
    uint64_t seed;
};

/* `folder` is borrowed. */
mill_status mill_shelf_open(struct mill_shelf **out, const char *folder,
                            const struct mill_voice_model *model, const struct mill_log *log,
                            struct mill_error *err);
void mill_shelf_close(struct mill_shelf *shelf);

/* Read the folder again; a file that cannot be used is left out, and the log says so. */
mill_status mill_shelf_load(struct mill_shelf *shelf, struct mill_error *err);
/* Load it if it has changed since. */
mill_status mill_shelf_refresh(struct mill_shelf *shelf, struct mill_error *err);

/* By name or id, held; NULL when there is none. */
struct mill_shelf_voice *mill_shelf_find(struct mill_shelf *shelf, const char *name);
void mill_shelf_release(struct mill_shelf_voice *voice);
/* Voice `i` of all, held; NULL behind the last. The order is that of their names, created first. */
struct mill_shelf_voice *mill_shelf_get(struct mill_shelf *shelf, size_t i);

/* The created voices' labels are known from the start; what the model made of them is put here,
 * once, before anybody asks. */
size_t mill_shelf_count_created(const struct mill_shelf *shelf);
mill_status mill_shelf_put_created(struct mill_shelf *shelf, size_t i, const int32_t *global,
                                   int32_t n_global, struct mill_error *err);

/* A voice that is on no shelf, held, to be used once: its tokens move there. Refused when it was
 * revoked. */
mill_status mill_shelf_wrap(struct mill_shelf *shelf, struct mill_voice *voice,
                            struct mill_shelf_voice **out, struct mill_error *err);
/* Into the registry's folder, and out of it; blocking. */
mill_status mill_shelf_add(struct mill_shelf *shelf, const struct mill_voice *voice,
                           struct mill_error *err);
mill_status mill_shelf_remove(struct mill_shelf *shelf, const char *name, struct mill_error *err);

#endif
