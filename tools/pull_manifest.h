/* pull_manifest.h - which files `sparkmill pull` fetches, and what proves that they are right.
 *
 * The built-in list is the published repository. A JSON list takes its place for another revision
 * or a mirror with other files. Immutable once made. */
#ifndef MILL_TOOLS_PULL_MANIFEST_H
#define MILL_TOOLS_PULL_MANIFEST_H

#include "runtime/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mill_pull_file {
    const char *path;      /* in the repository and below the folder: relative, no "..", '/' */
    uint64_t bytes;        /* exact where `exact`, else about */
    bool exact;            /* the size is known to the byte */
    const char *sha256;    /* 64 lower-case digits, or NULL where it is not known */
    const char *also_seen; /* first digits of another copy's hash, known to be about: a warning
                              instead of a failure; or NULL */
};

struct mill_pull_manifest {
    const struct mill_pull_file *files;
    size_t n_files;
    json_t *source;               /* private: owns the texts; NULL for the built-in list */
    struct mill_pull_file *owned; /* private */
};

/* `path` NULL gives the published repository's list, else a JSON list of
 * {"path": text, "bytes": number, "sha256": text or null}; unknown keys are refused. */
mill_status mill_pull_manifest_open(struct mill_pull_manifest *manifest, const char *path,
                                    struct mill_error *err);
void mill_pull_manifest_close(struct mill_pull_manifest *manifest);

#endif
