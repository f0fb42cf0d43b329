/* voice.h - a voice as a file: the tokens that make the model speak in it, with all that whoever
 * uses it must know: what it is called, where it comes from, who agreed, whether it is still
 * allowed.
 *
 * One JSON object, described in docs/voice-format.md, checked key by key and sealed with a
 * checksum. In memory it is a plain struct: its texts belong to `source`, where it was read, or to
 * whoever filled it in; tokens are its own. The caller's storage; one owner. */
#ifndef MILL_VOICE_VOICE_H
#define MILL_VOICE_VOICE_H

#include "runtime/io/config.h"
#include "runtime/model/shape.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    MILL_VOICE_FILE_BYTES = 1 << 20,
    MILL_VOICE_NAME_BYTES = 65, /* with the final zero, as all of these */
    MILL_VOICE_ID_BYTES = 17,
    MILL_VOICE_HASH_BYTES = 65,
    MILL_VOICE_TIME_BYTES = 21,
    MILL_VOICE_MAX_GLOBAL = 1024,
    MILL_VOICE_MAX_SEMANTIC = 6000
};

/* What makes tokens comparable: a voice speaks only with the model it was made for. */
struct mill_voice_model {
    char id[MILL_VOICE_ID_BYTES];
    int32_t n_global, n_global_codes, n_semantic_codes;
};
/* `name` tells models of one shape apart. */
mill_status mill_voice_model_init(struct mill_voice_model *out, const struct mill_shape *shape,
                                  const char *name, struct mill_error *err);

/* Of the model in this folder; shape and synthetic are the model's. */
mill_status mill_voice_model_of(struct mill_voice_model *out, const char *folder,
                                const struct mill_shape *shape, bool synthetic,
                                struct mill_error *err);
/* The same, and the shape that it reads for it. */
mill_status mill_voice_model_open(struct mill_voice_model *out, struct mill_shape *shape,
                                  const char *folder, struct mill_error *err);

struct mill_voice_sampling {
    bool given;
    double temperature, top_p;
    int32_t top_k;
    int64_t seed;
};

/* Texts are UTF-8; NULL where the file may leave one out and does. */
struct mill_voice {
    const char *model, *name, *language, *licence;
    struct {
        const char *statement, *who, *when, *purpose; /* statement NULL: there is no consent */
    } consent;
    struct {
        const char *recording_sha256, *created_by, *date;
        double seconds; /* of the recording, as far as it was used; 0 without one */
    } provenance;
    int32_t *global, *semantic; /* owned */
    int32_t n_global, n_semantic;
    const char *transcript; /* there with semantic tokens, and only then */
    struct mill_voice_sampling sampling;
    struct {
        const char *when, *why; /* when NULL: not revoked */
    } revoked;
    json_t *source; /* private: what the texts of a voice that was read stand in */
};
void mill_voice_deinit(struct mill_voice *voice);

/* `model` NULL: for looking after voices, not for speaking; else the voice must be that model's,
 * and its tokens in range. MILL_E_INPUT names the file, the key and what is wrong. */
mill_status mill_voice_read(struct mill_voice *out, const char *path,
                            const struct mill_voice_model *model, struct mill_error *err);
mill_status mill_voice_parse(struct mill_voice *out, const char *path, const char *data,
                             size_t size, const struct mill_voice_model *model,
                             struct mill_error *err);
/* Written whole or not at all, and only if it could be read again. */
mill_status mill_voice_write(const struct mill_voice *voice, const char *path,
                             struct mill_error *err);

/* MILL_E_INPUT with when and why, when the voice says that it was revoked. */
mill_status mill_voice_check_revoked(const struct mill_voice *voice, struct mill_error *err);

/* Letters, digits, '.', '_' and '-', 1 to 64, no '.' in front, not ending as a file does (.voice,
 * .json): so that a name is never a path. */
mill_status mill_voice_check_name(const char *name, struct mill_error *err);
/* At most 8 KiB of printable text. */
mill_status mill_voice_check_transcript(const char *transcript, struct mill_error *err);
/* The file's own name without folder and ending, with '_' for what may not be in a name. */
void mill_voice_name_from_path(char name[MILL_VOICE_NAME_BYTES], const char *path);

/* The voice itself, whatever it is called: a hash of its model and its global tokens. */
mill_status mill_voice_id(char id[MILL_VOICE_ID_BYTES], const struct mill_voice *voice,
                          struct mill_error *err);
/* A hash of the statement and the rest of the consent; "none" without one. */
mill_status mill_voice_consent_id(char id[MILL_VOICE_ID_BYTES], const struct mill_voice *voice,
                                  struct mill_error *err);

/* Now, or some time since 1970, as files say it: 2026-05-31T12:00:00Z. */
void mill_voice_now(char text[MILL_VOICE_TIME_BYTES]);
void mill_voice_print_time(int64_t time_s, char text[MILL_VOICE_TIME_BYTES]);
bool mill_voice_time_is_valid(const char *time);

/* SHA-256 in 64 hexadecimal digits over the object's canonical text without its member "checksum";
 * see docs/voice-format.md. */
mill_status mill_voice_checksum(char hex[MILL_VOICE_HASH_BYTES], const json_t *root,
                                struct mill_error *err);

#endif
