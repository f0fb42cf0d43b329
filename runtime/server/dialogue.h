/* dialogue.h - FlashTTS' text of several voices as markup. A pure function over hostile text. */
#ifndef MILL_SERVER_DIALOGUE_H
#define MILL_SERVER_DIALOGUE_H

#include "runtime/base/buffer.h"

/* "<role:NAME,pitch:high>Hello." and so on, behind what `out` holds: each said in its voice.
 * MILL_E_INPUT where it does not begin with a role, or a tag has no end. */
mill_status mill_dialogue_mark_up(const char *text, struct mill_buffer *out,
                                  struct mill_error *err);

#endif
