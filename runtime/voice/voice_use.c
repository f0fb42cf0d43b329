/* voice_use.c - see voice_use.h. */
#include "runtime/voice/voice_use.h"

#include <string.h>

void mill_voice_use(const struct mill_voice *voice, struct mill_engine_request *request) {
    request->global = voice->global;
    request->n_global = voice->n_global;
    request->transcript = voice->transcript;
    request->transcript_bytes = voice->transcript ? strlen(voice->transcript) : 0;
    request->semantic = voice->semantic;
    request->n_semantic = voice->n_semantic;
}

void mill_voice_use_sampling(const struct mill_voice *voice, struct mill_engine_request *request) {
    const struct mill_voice_sampling *sampling = &voice->sampling;
    if (!sampling->given)
        return;
    request->temperature = (float)sampling->temperature;
    request->top_p = (float)sampling->top_p;
    request->top_k = sampling->top_k;
    request->seed = (uint64_t)sampling->seed;
}
