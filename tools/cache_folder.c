/* cache_folder.c - see cache_folder.h. */
#include "tools/cache_folder.h"

#include "runtime/base/file.h"

#include <stdlib.h>

char *mill_cache_folder(void) {
    const char *folder = getenv("XDG_CACHE_HOME");
    if (folder && folder[0] == '/') /* the XDG specification: a relative path is to be ignored */
        return mill_path_join(folder, "sparkmill");
    folder = getenv("HOME");
    return folder && folder[0] == '/' ? mill_path_join(folder, ".cache/sparkmill") : NULL;
}
