/* consents.h - recorded consents: who said that their voice may be cloned, and the recording of it.
 *
 *   ID.json        {"id", "name", "language", "created_at", "sha256", "client"}
 *   ID.recording   the bytes that were sent
 *
 * A folder of files that appear whole, under names that we make, readable by their owner only.
 * Blocking: for the worker's thread. */
#ifndef MILL_SERVER_CONSENTS_H
#define MILL_SERVER_CONSENTS_H

#include "runtime/base/status.h"
#include "runtime/io/sha256.h"

#include <stddef.h>
#include <stdint.h>

enum {
    MILL_CONSENT_ID_BYTES = 30,    /* "cons_", 24 hexadecimal digits, a final zero */
    MILL_CONSENT_TEXT_BYTES = 256, /* name, with its zero */
    MILL_MAX_CONSENTS = 100000
};

struct mill_consent {
    char id[MILL_CONSENT_ID_BYTES];
    char name[MILL_CONSENT_TEXT_BYTES];
    char language[36];
    char sha256[MILL_SHA256_HEX_BYTES]; /* of the recording */
    char client[65];
    int64_t created_s; /* Unix time */
};

/* Name, language and client are given; the rest is filled in. MILL_E_INPUT for texts that cannot be
 * kept, MILL_E_FULL when the folder's files would have more than max_bytes. */
mill_status mill_consents_add(const char *folder, int64_t max_bytes, struct mill_consent *consent,
                              const void *recording, size_t size, struct mill_error *err);
/* MILL_E_NOT_FOUND also for what cannot be an id. */
mill_status mill_consents_get(const char *folder, const char *id, struct mill_consent *out,
                              struct mill_error *err);
mill_status mill_consents_rename(const char *folder, const char *id, const char *name,
                                 struct mill_consent *out, struct mill_error *err);
mill_status mill_consents_remove(const char *folder, const char *id, struct mill_error *err);

/* All of them, the newest first; *out is the caller's to free. */
mill_status mill_consents_list(const char *folder, struct mill_consent **out, size_t *n,
                               struct mill_error *err);

#endif
