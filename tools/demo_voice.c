/* demo_voice.c - see demo_voice.h. It lies in share/, beside an installed program's bin/ or in the
 * source tree that the program was built in. */
#include "tools/demo_voice.h"

#include "runtime/base/file.h"
#include "tools/command.h"

#include <stdio.h>
#include <stdlib.h>

static bool find(char folder[MILL_DEMO_VOICE_BYTES]) {
    static const char *const places[] = {"../share/sparkmill/demo-voice",
                                         "../../../share/demo-voice"};
    char path[MILL_DEMO_VOICE_BYTES];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (mill_path_beside_program(path, sizeof path, places[i]) && realpath(path, folder))
            return true;
    return false;
}

int mill_demo_voice_stand_in(const char *command, const char **model,
                             char folder[MILL_DEMO_VOICE_BYTES]) {
    if (*model && **model)
        return MILL_GO_ON;
    if (!find(folder))
        return mill_command_usage(
            command, "--model DIR is missing. `sparkmill pull` downloads the published model, "
                     "`sparkmill synth-model` makes one for trying out");
    *model = folder;
    fprintf(stderr,
            "sparkmill %s: no --model, so the small demo voice speaks (English only); "
            "`sparkmill pull` gets the published model\n",
            command);
    return MILL_GO_ON;
}
