/* instructions.h - what a client says about the voice in words, as far as the model has it: gender,
 * pitch and speed of a voice that is created. Every word must be understood: a wish that cannot be
 * fulfilled is refused, not forgotten. A pure function; English. */
#ifndef MILL_SERVER_INSTRUCTIONS_H
#define MILL_SERVER_INSTRUCTIONS_H

#include "runtime/base/status.h"

/* Labels as the engine counts them; -1 = not said. */
struct mill_labels {
    int gender;      /* 0 female, 1 male */
    int pitch, rate; /* 0 very low .. 4 very high */
};

/* A voice as markup and dialogues name it: "NAME", or "NAME,pitch:high,speed:low" for a created
 * one. */
enum { MILL_VOICE_REFERENCE_BYTES = 80 };
mill_status mill_voice_reference_read(const char *text, char name[MILL_VOICE_REFERENCE_BYTES],
                                      struct mill_labels *out, struct mill_error *err);

/* Labels that `text` asks for; MILL_E_INPUT names what is not understood. */
mill_status mill_instructions_read(const char *text, struct mill_labels *out,
                                   struct mill_error *err);

#endif
