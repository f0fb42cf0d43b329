/* speech.h - a wish becomes the answer of a call: sound, while it is made. */
#ifndef MILL_SERVER_SPEECH_H
#define MILL_SERVER_SPEECH_H

#include "runtime/server/server_state.h"
#include "runtime/server/wire_speech.h"

/* A piece of a dialogue: its text, in a voice of its own. */
struct mill_speech_part {
    const char *text;
    size_t bytes;
    struct mill_shelf_voice *voice; /* held */
    struct mill_labels labels;
};
enum { MILL_SPEECH_MAX_PARTS = 64 };

/* Answers the call, now or later. The wish is taken, and the voice: NULL = the one that it names.
 */
void mill_speech_begin(struct mill_call *call, struct mill_speech_wish *taken,
                       struct mill_shelf_voice *voice);
/* The same with parts instead of the wish's own text, voice and labels; their voices are taken,
 * their texts borrowed. */
void mill_speech_begin_parts(struct mill_call *call, struct mill_speech_wish *taken,
                             struct mill_speech_part *parts, size_t n_parts);

#endif
