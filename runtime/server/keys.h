/* keys.h - the file of API keys: who may call, and how much.
 *
 *     keys:
 *       - name: reader
 *         sha256: 5e88...          of the key; the key itself is kept nowhere
 *         scopes: speak, voices    of speak, voices, jobs, operate
 *         requests_per_minute: 60  0 = no limit, as for the next two
 *         concurrent: 4
 *         audio_seconds_per_day: 3600
 *         priority: 0              the highest that its requests may have, -2 .. 2
 *
 * A key is 256 random bits, so a plain hash of it cannot be guessed back. One owner. */
#ifndef MILL_SERVER_KEYS_H
#define MILL_SERVER_KEYS_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    MILL_KEY_NAME_BYTES = 65,
    MILL_KEY_HASH_BYTES = 32,
    MILL_KEY_TEXT_BYTES = 68, /* "sm-", 64 hexadecimal digits, a final zero */
    MILL_MAX_KEYS = 4096
};

struct mill_key {
    char name[MILL_KEY_NAME_BYTES];
    unsigned char hash[MILL_KEY_HASH_BYTES];
    uint32_t scopes; /* bit i: enum mill_scope i */
    int64_t requests_per_minute, concurrent, audio_seconds_per_day, priority;
};

struct mill_keys {
    struct mill_key *keys; /* owned: [n] */
    size_t n;
};

/* MILL_E_NOT_FOUND when there is no file. */
mill_status mill_keys_read(struct mill_keys *out, const char *path, struct mill_error *err);
/* Whole or not at all. */
mill_status mill_keys_write(const struct mill_keys *keys, const char *path, struct mill_error *err);
void mill_keys_deinit(struct mill_keys *keys);

/* "speak, voices" to bits, without "public"; names joined by ", " and back. */
mill_status mill_scopes_parse(const char *text, uint32_t *out, struct mill_error *err);
void mill_scopes_print(uint32_t scopes, char text[64]);
/* A name of letters, digits, '.', '_' and '-': it appears in logs and metrics. */
mill_status mill_key_check_name(const char *name, struct mill_error *err);

/* A new one; and the hash of a given one. */
mill_status mill_key_make(char text[MILL_KEY_TEXT_BYTES], struct mill_error *err);
void mill_key_hash(const char *text, unsigned char hash[MILL_KEY_HASH_BYTES]);

#endif
