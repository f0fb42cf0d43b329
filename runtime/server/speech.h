/* speech.h - a wish becomes the answer of a call: sound, while it is made. */
#ifndef MILL_SERVER_SPEECH_H
#define MILL_SERVER_SPEECH_H

#include "runtime/server/server_state.h"
#include "runtime/server/wire_speech.h"

/* Answers the call, now or later. The wish is taken, and the voice: NULL = the one that it names.
 */
void mill_speech_begin(struct mill_call *call, struct mill_speech_wish *taken,
                       struct mill_shelf_voice *voice);
#endif
