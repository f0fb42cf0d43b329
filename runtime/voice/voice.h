/* voice.h - a voice as a file: the global tokens that the decoder and the prompt take, with a name.
 *
 *   {"format": "sparkmill-voice", "version": 1, "name": "anna", "global_tokens": [3363, 2367, ...]}
 *
 * Exactly these keys. How many tokens there are and how large they may be is the model's shape. */
#ifndef MILL_VOICE_VOICE_H
#define MILL_VOICE_VOICE_H

#include "runtime/model/shape.h"

#include <stddef.h>

enum { MILL_VOICE_NAME_BYTES = 256, MILL_VOICE_FILE_BYTES = 1 << 20 };

struct mill_voice {
    char name[MILL_VOICE_NAME_BYTES]; /* UTF-8, may be empty */
    int32_t *global;                  /* owned: [n_global] */
    int32_t n_global;
};
void mill_voice_deinit(struct mill_voice *voice);

/* The shape's part: speaker.n_tokens tokens, each below mill_shape_global_codes. MILL_E_INPUT names
 * the file, the key and what is wrong. */
mill_status mill_voice_read(struct mill_voice *out, const char *path,
                            const struct mill_shape *shape, struct mill_error *err);
mill_status mill_voice_parse(struct mill_voice *out, const char *path, const char *data,
                             size_t size, const struct mill_shape *shape, struct mill_error *err);
/* Written whole or not at all. */
mill_status mill_voice_write(const struct mill_voice *voice, const char *path,
                             struct mill_error *err);

/* The file's own name without folder and ending, cut to fit: the name of a voice saved there. */
void mill_voice_name_from_path(char name[MILL_VOICE_NAME_BYTES], const char *path);

#endif
