/* clone_task.h - a recording that a client sent becomes a voice, on the worker's thread. */
#ifndef MILL_SERVER_CLONE_TASK_H
#define MILL_SERVER_CLONE_TASK_H

#include "runtime/server/consents.h"
#include "runtime/server/form.h"
#include "runtime/server/server_state.h"
#include "runtime/server/wire_speech.h"

/* What is to be made. Texts and the recording are borrowed from the form. */
struct mill_clone_order {
    const struct mill_form_field *recording;             /* the bytes of a sound file */
    const char *recording_name;                          /* of the field, where it is missing */
    bool is_base64;                                      /* ... in base64 */
    const struct mill_form_field *name;                  /* to be kept under; NULL = used once */
    const struct mill_form_field *consent;               /* an id; NULL = none */
    const struct mill_form_field *transcript, *language; /* may be NULL */
};

/* Answers with the voice, held for the callee, or with why there is none. The wish of `begin` is
 * taken, where there was one. */
typedef void mill_clone_answer(struct mill_call *call, struct mill_shelf_voice *taken,
                               const struct mill_problem *problem, struct mill_speech_wish *wish);

/* Body and form of the call are taken over; `wish` (taken; NULL = none) is handed through. The call
 * is answered now, when the order cannot be carried out, or later. */
void mill_clone_begin(struct mill_call *call, struct mill_form *taken,
                      const struct mill_clone_order *order, struct mill_speech_wish *wish,
                      mill_clone_answer *answer);

#endif
