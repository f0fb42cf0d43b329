/* voice_use.h - a voice in the form in which a request wants it. */
#ifndef MILL_VOICE_VOICE_USE_H
#define MILL_VOICE_VOICE_USE_H

#include "runtime/engine/engine.h"
#include "runtime/voice/voice.h"

/* The request is to be spoken in the voice, and borrows from it. */
void mill_voice_use(const struct mill_voice *voice, struct mill_engine_request *request);

/* It is drawn as the voice's file says, where it says so. */
void mill_voice_use_sampling(const struct mill_voice *voice, struct mill_engine_request *request);
/* It is drawn as chosen; what is negative there is left open: the voice says it, and else the
 * request as it is. */
void mill_voice_settle_sampling(const struct mill_voice *voice,
                                const struct mill_voice_sampling *chosen,
                                struct mill_engine_request *request);

#endif
