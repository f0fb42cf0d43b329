/* voice_open.h - the voice that a command was asked for: a file where it has a '/' or ends in
 * .voice or .json, else a name in the registry; and where a command may write one. */
#ifndef MILL_TOOLS_VOICE_OPEN_H
#define MILL_TOOLS_VOICE_OPEN_H

#include "runtime/voice/registry.h"

/* Where there is no registry (folder NULL), files are still voices, and only they: OK, or
 * MILL_E_INPUT that says how to name a folder. */
mill_status mill_voice_check_registry(const struct mill_registry *registry, struct mill_error *err);

/* MILL_E_INPUT for a voice that was revoked, by its file or by the registry, where there is one. */
mill_status mill_voice_check_allowed(const struct mill_registry *registry,
                                     const struct mill_voice *voice, struct mill_error *err);

/* Also a revoked one, to be looked at. `model` as for mill_voice_read. */
mill_status mill_voice_look(struct mill_voice *out, const char *wanted,
                            const struct mill_registry *registry,
                            const struct mill_voice_model *model, struct mill_error *err);
/* To be used: refused when it was revoked. */
mill_status mill_voice_open(struct mill_voice *out, const char *wanted,
                            const struct mill_registry *registry,
                            const struct mill_voice_model *model, struct mill_error *err);

/* A voice can be written there: MILL_E_INPUT where the name's ending would keep it from being found
 * as a file, or something that is no voice would be replaced; else what keeps a file from being
 * made there. Asked before the work that it would be the end of. */
mill_status mill_voice_check_output(const char *path, struct mill_error *err);

#endif
