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

void mill_voice_settle_sampling(const struct mill_voice *voice,
                                const struct mill_voice_sampling *chosen,
                                struct mill_engine_request *request) {
    mill_voice_use_sampling(voice, request);
    if (chosen->temperature >= 0)
        request->temperature = (float)chosen->temperature;
    if (chosen->top_p >= 0)
        request->top_p = (float)chosen->top_p;
    if (chosen->top_k >= 0)
        request->top_k = chosen->top_k;
    if (chosen->seed >= 0)
        request->seed = (uint64_t)chosen->seed;
}
