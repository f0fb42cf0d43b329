/* pull_state.h - what the files of a download share. pull_session.c: the connection, signals and
 * the bar; pull_part.c: files on the disk and their hashes; pull_request.c: one request and its
 * answer; pull_fetch.c: a whole file, of as many requests as it takes. */
#ifndef MILL_TOOLS_PULL_STATE_H
#define MILL_TOOLS_PULL_STATE_H

#include "runtime/io/sha256.h"
#include "tools/progress.h"
#include "tools/pull_fetch.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdbool.h>

struct mill_pull_session {
    const char *endpoint, *revision; /* borrowed */
    bool loopback;                   /* the endpoint is on this machine */
    CURL *curl;
    struct mill_sha256 *hash;
    int signals;          /* a signalfd for SIGINT and SIGTERM; never read: it stays ready */
    sigset_t signals_old; /* the mask to go back to; valid while signals >= 0 */
    struct mill_progress progress;
    uint64_t done_bytes; /* of finished files, for the bar */
};

/* A file under way. */
struct mill_pull_transfer {
    struct mill_pull_session *session;
    const struct mill_pull_file *file;
    char *path, *part_path; /* owned */
    int fd;                 /* of the .part file */
    uint64_t size;          /* bytes in it, all of them hashed */
    uint64_t limit;         /* more than that is refused */
    bool continued;         /* it is put together from several answers */
    bool begun;             /* this attempt's answer was looked at and is being written */
    char etag[128];         /* of the answer that was begun last, where it is a strong one */
    mill_status status;     /* why a callback stopped the transfer */
    struct mill_error *err;
};

/* A line of text while the bar runs; `done` bytes are there. */
void mill_pull_note(struct mill_pull_session *session, uint64_t done, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Did a signal come within `timeout_ms`? */
bool mill_pull_stop_wanted(const struct mill_pull_session *session, int timeout_ms);
mill_status mill_pull_fail_stopped(struct mill_error *err);

/* The hash of what was added against the list's; MILL_E_NOT_FOUND when it is another file. */
mill_status mill_pull_compare_hash(struct mill_pull_session *session,
                                   const struct mill_pull_file *file, struct mill_error *err);
/* The .part file, for this process alone, with what it holds hashed. */
mill_status mill_pull_open_part(struct mill_pull_transfer *t);
/* Throw away what it holds. */
mill_status mill_pull_start_over(struct mill_pull_transfer *t);

/* One request for what is missing: MILL_AGAIN, with the trouble in err, where another may help. */
mill_status mill_pull_request_rest(struct mill_pull_transfer *t);

#endif
