/* registry.h - a folder of voices that several processes may use at once.
 *
 *   NAME.voice     one voice, whatever name its content says
 *   revoked.json   ids of voices that may not be used any more, under whichever name
 *   .lock          taken (flock) by whoever changes something
 *
 * Files appear and change by rename, so a reader sees the old or the new one, whole; changes wait
 * for one another at the lock. A folder that does not exist is an empty registry; the first change
 * makes it. Nothing is kept in memory: another process's change is seen at the next call. */
#ifndef MILL_VOICE_REGISTRY_H
#define MILL_VOICE_REGISTRY_H

#include "runtime/voice/voice.h"

struct mill_registry {
    const char *folder; /* borrowed */
};

struct mill_registry_names {
    char **names; /* owned, in order of their bytes */
    size_t n;
};
mill_status mill_registry_list(const struct mill_registry *registry,
                               struct mill_registry_names *out, struct mill_error *err);
void mill_registry_names_deinit(struct mill_registry_names *names);

/* For looking at a voice, a revoked one too: where revoked.json knows it, out->revoked says so. A
 * file lies in `out` under its own name. MILL_E_NOT_FOUND when there is none. */
mill_status mill_registry_get(const struct mill_registry *registry, const char *name,
                              const struct mill_voice_model *model, struct mill_voice *out,
                              struct mill_error *err);
/* MILL_E_INPUT when a voice, from wherever it was read, may not be used: its file or revoked.json
 * says so. What speaks in a voice, hands it on or takes it in asks this first. */
mill_status mill_registry_check(const struct mill_registry *registry,
                                const struct mill_voice *voice, struct mill_error *err);

/* Under voice->name; MILL_E_INPUT when that is taken, or the voice revoked. */
mill_status mill_registry_add(const struct mill_registry *registry, const struct mill_voice *voice,
                              struct mill_error *err);
mill_status mill_registry_remove(const struct mill_registry *registry, const char *name,
                                 struct mill_error *err);
/* MILL_E_INPUT when `to` is taken. */
mill_status mill_registry_rename(const struct mill_registry *registry, const char *from,
                                 const char *to, struct mill_error *err);
/* From now on: in revoked.json, for every copy, and in the file of that name, where there is one,
 * which is then useless elsewhere too. The voice's own `name` finds the file. */
mill_status mill_registry_revoke(const struct mill_registry *registry,
                                 const struct mill_voice *voice, const char *why,
                                 struct mill_error *err);

#endif
