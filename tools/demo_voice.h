/* demo_voice.h - the small model that comes with the program, for commands that were given none. */
#ifndef MILL_TOOLS_DEMO_VOICE_H
#define MILL_TOOLS_DEMO_VOICE_H

#include <limits.h>

enum { MILL_DEMO_VOICE_BYTES = PATH_MAX };

/* Where *model is NULL or empty, let it point to `folder`, filled with the demo voice's place, and
 * say so in one line. MILL_GO_ON, or MILL_EXIT_USAGE after saying that a model is wanted. */
int mill_demo_voice_stand_in(const char *command, const char **model,
                             char folder[MILL_DEMO_VOICE_BYTES]);

#endif
