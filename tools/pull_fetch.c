/* pull_fetch.c - see pull_fetch.h. One curl handle asks again and again for the bytes behind what
 * the .part file holds; the hash runs along with the bytes, so that a finished file is checked when
 * its last byte arrives. */
#include "runtime/base/file.h"
#include "tools/pull_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_FAILURES = 5,           /* attempts in a row without progress */
    PROGRESS_BYTES = 1 << 20,   /* what counts as progress: less would let a server drip for ever */
    FIRST_PAUSE_MS = 500,       /* doubled from failure to failure */
    LONGEST_PAUSE_MS = 60000,   /* also the most that a server's Retry-After is believed */
    ROOM_FOR_UNKNOWN = 16 << 20 /* how much larger a file of about known size may be */
};

/* Say what went wrong and wait; longer each time. */
static mill_status pause_before_retry(struct mill_pull_transfer *t, int failures) {
    struct mill_pull_session *session = t->session;
    curl_off_t asked_s = 0;
    long pause_ms = (long)FIRST_PAUSE_MS << (failures - 1);
    curl_easy_getinfo(session->curl, CURLINFO_RETRY_AFTER, &asked_s);
    if (asked_s > 0 && asked_s * 1000 > pause_ms)
        pause_ms = asked_s < LONGEST_PAUSE_MS / 1000 ? (long)asked_s * 1000 : LONGEST_PAUSE_MS;
    mill_pull_note(session, session->done_bytes + t->size,
                   "sparkmill pull: %s: %s after %llu bytes; again in %.1f s\n", t->file->path,
                   t->err->text, (unsigned long long)t->size, (double)pause_ms / 1000);
    if (mill_pull_stop_wanted(session, (int)pause_ms))
        return mill_pull_fail_stopped(t->err);
    return MILL_OK;
}

/* Ask until the .part file is whole or hope is gone. */
static mill_status complete_part(struct mill_pull_transfer *t) {
    int failures = 0;
    while (!(t->file->exact && t->size == t->file->bytes)) {
        uint64_t before = t->size;
        mill_status status = mill_pull_request_rest(t);
        if (status != MILL_AGAIN)
            return status;
        bool progressed = t->size >= before + PROGRESS_BYTES;
        failures = progressed ? 1 : failures + 1;
        if (failures > MAX_FAILURES)
            return mill_context(t->err, MILL_E_IO, "%s: given up after %d attempts", t->file->path,
                                MAX_FAILURES);
        MILL_TRY(pause_before_retry(t, failures));
    }
    return MILL_OK;
}

/* Put together from pieces, a wrong file may be a mix of two versions and is fetched once more as a
 * whole; fetched in one go it simply is not the file. Its bytes are of no use either way. */
static mill_status fetch_into_part(struct mill_pull_transfer *t) {
    for (bool last = false;; last = true) {
        MILL_TRY(complete_part(t));
        mill_status status = mill_pull_compare_hash(t->session, t->file, t->err);
        if (status == MILL_OK)
            return MILL_OK;
        last = last || !t->continued;
        if (last)
            mill_context(t->err, status, "%s has another file", t->session->endpoint);
        struct mill_error *err = t->err;
        t->err = NULL; /* keep the message */
        mill_status emptied = mill_pull_start_over(t);
        t->err = err;
        if (last || emptied < 0)
            return MILL_E_IO;
        mill_pull_note(t->session, t->session->done_bytes,
                       "sparkmill pull: %s: what was continued does not fit; from the beginning\n",
                       t->file->path);
    }
}

mill_status mill_pull_fetch(struct mill_pull_session *session, const char *folder,
                            const struct mill_pull_file *file, struct mill_error *err) {
    struct mill_error unread;
    struct mill_pull_transfer t = {
        .session = session, .file = file, .fd = -1, .err = err ? err : &unread};
    t.limit = file->exact ? file->bytes : 2 * file->bytes + ROOM_FOR_UNKNOWN;
    t.path = mill_path_join(folder, file->path);
    mill_status status = MILL_OK;
    if (!t.path || asprintf(&t.part_path, "%s.part", t.path) < 0) {
        t.part_path = NULL;
        status = mill_fail(err, MILL_E_MEMORY, "%s: no memory", file->path);
    }
    session->progress.label = file->path;
    if (status == MILL_OK)
        status = mill_pull_open_part(&t);
    if (status == MILL_OK)
        status = fetch_into_part(&t);
    if (status == MILL_OK && (fsync(t.fd) != 0 || rename(t.part_path, t.path) != 0))
        status = mill_fail(err, MILL_E_IO, "'%s': %s", t.path, strerror(errno));
    session->done_bytes += file->bytes;
    if (status == MILL_OK)
        mill_pull_note(session, session->done_bytes, "sparkmill pull: %s: %llu bytes, %s\n",
                       file->path, (unsigned long long)t.size,
                       file->sha256 ? "SHA-256 checked" : "SHA-256 not known");
    else if (t.fd >= 0 && t.size == 0)
        unlink(t.part_path); /* nothing to continue behind */
    if (t.fd >= 0)
        close(t.fd);
    free(t.part_path);
    free(t.path);
    return status;
}
