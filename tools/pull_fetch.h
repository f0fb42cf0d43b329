/* pull_fetch.h - one file of a repository over HTTPS into a folder, however often the connection
 * breaks.
 *
 * A file grows as "<name>.part" and gets its name only when size and SHA-256 are right. What a cut
 * connection or Ctrl-C left behind is continued, where the SHA-256 can prove the result; a server
 * that does not continue is asked for everything. Refusals by the server end at once, trouble on
 * the way is retried with growing pauses, a bounded number of times without progress. Plain http is
 * for endpoints on this machine only. One thread; SIGINT and SIGTERM are taken by the session while
 * it is open and stop it within a second. */
#ifndef MILL_TOOLS_PULL_FETCH_H
#define MILL_TOOLS_PULL_FETCH_H

#include "runtime/base/status.h"
#include "tools/pull_manifest.h"

struct mill_pull_session;

/* "https://host[:port][/path]", and a branch, tag or commit. Both are borrowed. */
mill_status mill_pull_session_open(struct mill_pull_session **out, const char *endpoint,
                                   const char *revision, struct mill_error *err);
void mill_pull_session_close(struct mill_pull_session *session);

/* Show a bar for `bytes` bytes in all, to which check and fetch of a file then add. */
void mill_pull_session_expect(struct mill_pull_session *session, uint64_t bytes);

/* Is the file in `folder`, and right? OK, MILL_E_NOT_FOUND when it is missing or differs,
 * MILL_E_CANCELLED after a signal. */
mill_status mill_pull_check(struct mill_pull_session *session, const char *folder,
                            const struct mill_pull_file *file, struct mill_error *err);

/* Bytes of the file's .part in `folder` that a fetch will continue behind. */
uint64_t mill_pull_part_bytes(const char *folder, const struct mill_pull_file *file);

/* Fetch the file into `folder`. Folders are made as needed. */
mill_status mill_pull_fetch(struct mill_pull_session *session, const char *folder,
                            const struct mill_pull_file *file, struct mill_error *err);

#endif
