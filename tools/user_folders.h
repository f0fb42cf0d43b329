/* user_folders.h - where a user's own files lie, by the XDG base directory specification; and what
 * the operator's configuration file says. */
#ifndef MILL_TOOLS_USER_FOLDERS_H
#define MILL_TOOLS_USER_FOLDERS_H

#include "runtime/base/status.h"

#include <stdbool.h>

/* Where voices are kept: `option` where it is not NULL, else $XDG_DATA_HOME/sparkmill/voices, else
 * ~/.local/share/sparkmill/voices. In new memory; NULL when none of them is known, or memory is
 * short. */
char *mill_voices_folder(const char *option);

/* Where a server keeps what it must remember: $XDG_STATE_HOME/sparkmill, else
 * ~/.local/state/sparkmill. Likewise. */
char *mill_state_folder(void);

struct mill_user_config {
    bool require_consent; /* true where nothing is said */
};
/* $XDG_CONFIG_HOME/sparkmill/config.yaml, else ~/.config/sparkmill/config.yaml. No file: the
 * defaults. Unknown keys are refused. */
mill_status mill_user_config_read(struct mill_user_config *out, struct mill_error *err);

#endif
