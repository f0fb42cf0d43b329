/* wire_speech.h - the body of POST /v1/audio/speech, checked: OpenAI's fields, and ours in one
 * object, "sparkmill". Unknown fields, wrong types and numbers out of range are refused by name.
 * Pure functions over hostile bytes. */
#ifndef MILL_SERVER_WIRE_SPEECH_H
#define MILL_SERVER_WIRE_SPEECH_H

#include "runtime/audio/format.h"
#include "runtime/server/instructions.h"
#include "runtime/server/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of what was not said: -1 in labels and numbers, NULL in texts. */
struct mill_speech_wish {
    json_t *source; /* owned: what the texts stand in */
    const char *model, *input, *voice, *language, *dictionary;
    size_t input_bytes;
    enum mill_audio_format format;
    bool is_sse, is_markup; /* events; SSML */
    double speed;           /* of the sound: it is stretched */
    struct mill_labels labels;
    double temperature, top_p;
    int64_t top_k, seed, redraws;
    int64_t priority;  /* INT64_MIN = not said */
    double deadline_s; /* 0 = none */
    int32_t clause_ms, sentence_ms, paragraph_ms;
    int32_t output_rate; /* 0 = the format's usual one */
};

/* MILL_OK, or another status with *problem filled in and nothing to free. */
mill_status mill_wire_speech_read(const char *data, size_t size, size_t max_chars,
                                  struct mill_speech_wish *out, struct mill_problem *problem);
/* The same of an object, whose reference is taken. */
mill_status mill_wire_speech_take(json_t *taken, size_t max_chars, struct mill_speech_wish *out,
                                  struct mill_problem *problem);
void mill_speech_wish_deinit(struct mill_speech_wish *wish);

#endif
