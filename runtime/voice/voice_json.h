/* voice_json.h - what reading and writing of voice files share; private to runtime/voice. */
#ifndef MILL_VOICE_VOICE_JSON_H
#define MILL_VOICE_VOICE_JSON_H

#include "runtime/voice/voice.h"

#define MILL_VOICE_FORMAT "sparkmill-voice"
enum { MILL_VOICE_VERSION = 1 };

/* A voice from its object, whose reference is taken, also on failure. */
mill_status mill_voice_take_json(struct mill_voice *out, const char *path, json_t *root,
                                 const struct mill_voice_model *model, struct mill_error *err);

/* A file with one compact JSON value and a line break, whole or not at all. */
mill_status mill_voice_write_json(const json_t *root, const char *path, struct mill_error *err);

/* Texts that a file may hold: `longest` bytes, nothing that a terminal would obey. */
enum { MILL_VOICE_LONG_TEXT = 8192, MILL_VOICE_TEXT_LINES = 1, MILL_VOICE_TEXT_EMPTY = 2 };
mill_status mill_voice_check_text(const char *key, const char *text, size_t longest, int flags,
                                  struct mill_error *err);

#endif
