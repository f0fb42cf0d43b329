/* speech_plan.h - a checked wish with all that it names found: what a passage of it is made of.
 *
 * Live requests and those of batches (batch_runner.h) become speech this one way. One owner. */
#ifndef MILL_SERVER_SPEECH_PLAN_H
#define MILL_SERVER_SPEECH_PLAN_H

#include "runtime/audio/encode.h"
#include "runtime/passage/passage.h"
#include "runtime/server/server_state.h"
#include "runtime/server/wire_speech.h"

struct mill_speech_plan {
    struct mill_server *server;
    struct mill_speech_wish wish;            /* owned */
    struct mill_shelf_voice *voice, *marked; /* held: the wish's; the markup's last */
    struct mill_dictionary *dictionary;      /* owned; NULL = none */
};

/* The wish is taken, and the voice: NULL = the one that it names. False with *problem filled in;
 * deinit it either way. */
bool mill_speech_plan_init(struct mill_speech_plan *plan, struct mill_server *server,
                           struct mill_speech_wish *taken, struct mill_shelf_voice *voice,
                           struct mill_problem *problem);
void mill_speech_plan_deinit(struct mill_speech_plan *plan);

/* All but priority, fair share and callbacks; `context` of the options must point to the plan, or
 * to what it is the first member of. */
bool mill_speech_plan_options(struct mill_speech_plan *plan, struct mill_passage_options *options,
                              struct mill_problem *problem);
void mill_speech_plan_encoding(const struct mill_speech_plan *plan,
                               struct mill_audio_encoding *encoding);

#endif
