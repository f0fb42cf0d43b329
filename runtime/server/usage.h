/* usage.h - the day's seconds of sound of each key, kept in a file, so that a restart gives nobody
 * a new day, and that processes which share the folder share the day. Blocking, also while another
 * process writes the file; one thread at a time. */
#ifndef MILL_SERVER_USAGE_H
#define MILL_SERVER_USAGE_H

#include "runtime/server/clients.h"

#include <sys/stat.h>

struct mill_usage {
    struct mill_clients *clients; /* borrowed; NULL = nothing is kept */
    char *path, *lock_path;       /* owned */
    struct stat seen;             /* the file, as it was last read or written */
};

/* Takes over what the file in that folder says of today. MILL_E_INPUT when it cannot be understood:
 * then it is as if there were none. */
mill_status mill_usage_open(struct mill_usage *usage, struct mill_clients *clients,
                            const char *folder, struct mill_error *err);
void mill_usage_close(struct mill_usage *usage);
/* Adds to the file what was counted since, and takes over what others have added. */
mill_status mill_usage_keep(struct mill_usage *usage, struct mill_error *err);

#endif
