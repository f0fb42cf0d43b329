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

/* Labels that `text` asks for; MILL_E_INPUT names what is not understood. */
mill_status mill_instructions_read(const char *text, struct mill_labels *out,
                                   struct mill_error *err);

#endif
