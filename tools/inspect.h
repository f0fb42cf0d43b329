/* inspect.h - the parts of `sparkmill inspect`. */
#ifndef MILL_TOOLS_INSPECT_H
#define MILL_TOOLS_INSPECT_H

#include "runtime/base/status.h"

/* Print what a replica of the checkpoint takes of a GPU. */
mill_status mill_inspect_memory(const char *folder, struct mill_error *err);

#endif
