/* pull_fetch.c - see pull_fetch.h. One curl handle asks again and again for the bytes behind what
 * the .part file holds; the hash runs along with the bytes, so that a finished file is checked when
 * its last byte arrives. */
#include "tools/pull_fetch.h"

#include "runtime/base/file.h"
#include "runtime/io/sha256.h"
#include "tools/progress.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_FAILURES = 5,           /* attempts in a row without progress */
    PROGRESS_BYTES = 1 << 20,   /* what counts as progress: less would let a server drip for ever */
    FIRST_PAUSE_MS = 500,       /* doubled from failure to failure */
    LONGEST_PAUSE_MS = 60000,   /* also the most that a server's Retry-After is believed */
    ROOM_FOR_UNKNOWN = 16 << 20 /* how much larger a file of about known size may be */
};

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
struct transfer {
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

/* ------------------------------------------------------------------ session */

static bool is_loopback(const char *host) {
    struct in_addr address;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* https anywhere, http on this machine only, nothing behind the path. */
static mill_status check_endpoint(const char *endpoint, bool *loopback, struct mill_error *err) {
    char *scheme = NULL, *host = NULL, *rest = NULL;
    CURLU *url = curl_url();
    bool good = url && curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_QUERY, &rest, 0) == CURLUE_NO_QUERY &&
                curl_url_get(url, CURLUPART_FRAGMENT, &rest, 0) == CURLUE_NO_FRAGMENT;
    *loopback = good && is_loopback(host);
    mill_status status = MILL_OK;
    if (!good)
        status = mill_fail(err, MILL_E_INPUT, "endpoint '%s': not an address", endpoint);
    else if (strcmp(scheme, "https") != 0 && !(*loopback && strcmp(scheme, "http") == 0))
        status = mill_fail(err, MILL_E_INPUT,
                           "endpoint '%s': only https is used (http is for this machine alone)",
                           endpoint);
    curl_free(scheme);
    curl_free(host);
    curl_free(rest);
    curl_url_cleanup(url);
    return status;
}

static mill_status take_signals(struct mill_pull_session *session, struct mill_error *err) {
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGTERM);
    session->signals = signalfd(-1, &taken, SFD_CLOEXEC);
    if (session->signals < 0)
        return mill_fail(err, MILL_E_IO, "signals cannot be taken: %s", strerror(errno));
    sigaddset(&taken, SIGPIPE); /* a connection closed by the other side is an error, not our end */
    sigprocmask(SIG_BLOCK, &taken, &session->signals_old);
    return MILL_OK;
}

mill_status mill_pull_session_open(struct mill_pull_session **out, const char *endpoint,
                                   const char *revision, struct mill_error *err) {
    *out = NULL;
    struct mill_pull_session *session = calloc(1, sizeof *session);
    if (!session)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    *session =
        (struct mill_pull_session){.endpoint = endpoint, .revision = revision, .signals = -1};
    mill_status status = MILL_OK;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(session->curl = curl_easy_init()))
        status = mill_fail(err, MILL_E_MEMORY, "libcurl does not start");
    if (status == MILL_OK)
        status = check_endpoint(endpoint, &session->loopback, err);
    if (status == MILL_OK)
        status = mill_sha256_open(&session->hash, err);
    if (status == MILL_OK)
        status = take_signals(session, err);
    if (status < 0)
        mill_pull_session_close(session);
    else
        *out = session;
    return status;
}

void mill_pull_session_close(struct mill_pull_session *session) {
    if (!session)
        return;
    mill_progress_end(&session->progress);
    if (session->signals >= 0) {
        /* What was pending has been answered; giving the mask back must not kill the program. */
        struct signalfd_siginfo info;
        struct pollfd waiting = {.fd = session->signals, .events = POLLIN};
        while (poll(&waiting, 1, 0) == 1 &&
               read(session->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        }
        close(session->signals);
        sigprocmask(SIG_SETMASK, &session->signals_old, NULL);
    }
    mill_sha256_close(session->hash);
    curl_easy_cleanup(session->curl);
    curl_global_cleanup();
    free(session);
}

void mill_pull_session_expect(struct mill_pull_session *session, uint64_t bytes) {
    mill_progress_end(&session->progress);
    session->done_bytes = 0;
    mill_progress_start(&session->progress, "", "bytes", (double)bytes);
}

/* A line of text while the bar runs; `done` bytes are there. */
static void __attribute__((format(printf, 3, 4)))
note(struct mill_pull_session *session, uint64_t done, const char *format, ...) {
    bool shown = session->progress.shown;
    va_list args;
    mill_progress_end(&session->progress);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (!shown)
        return;
    mill_progress_start(&session->progress, session->progress.label, "bytes",
                        session->progress.total);
    mill_progress_skip(&session->progress, (double)done);
}

/* Did a signal come within `timeout_ms`? */
static bool stop_wanted(const struct mill_pull_session *session, int timeout_ms) {
    struct pollfd waiting = {.fd = session->signals, .events = POLLIN};
    return poll(&waiting, 1, timeout_ms) == 1;
}

static mill_status fail_stopped(struct mill_error *err) {
    return mill_fail(err, MILL_E_CANCELLED, "stopped; the same command continues where this ended");
}

/* ------------------------------------------------------------------ local files */

/* Hash everything in `fd`; the number of bytes in *size. */
static mill_status hash_file(struct mill_pull_session *session, int fd, const char *path,
                             uint64_t *size, struct mill_error *err) {
    *size = 0;
    MILL_TRY(mill_sha256_restart(session->hash, err));
    for (;;) {
        char piece[1 << 16];
        ssize_t n = pread(fd, piece, sizeof piece, (off_t)*size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mill_fail(err, MILL_E_IO, "'%s': %s", path, strerror(errno));
        if (n == 0)
            return MILL_OK;
        MILL_TRY(mill_sha256_add(session->hash, piece, (size_t)n, err));
        *size += (uint64_t)n;
        mill_progress_update(&session->progress, (double)(session->done_bytes + *size));
        if (stop_wanted(session, 0))
            return fail_stopped(err);
    }
}

/* The hash of what was added against the list's; MILL_E_NOT_FOUND when it is another file. */
static mill_status compare_hash(struct mill_pull_session *session,
                                const struct mill_pull_file *file, struct mill_error *err) {
    char hex[MILL_SHA256_HEX_BYTES];
    MILL_TRY(mill_sha256_finish(session->hash, hex, err));
    if (!file->sha256 || strcmp(hex, file->sha256) == 0)
        return MILL_OK;
    if (file->also_seen && strncmp(hex, file->also_seen, strlen(file->also_seen)) == 0) {
        note(session, session->done_bytes + file->bytes,
             "sparkmill pull: %s: warning: the known other copy (SHA-256 %s), not the one most "
             "sources agree on (%s)\n",
             file->path, hex, file->sha256);
        return MILL_OK;
    }
    return mill_fail(err, MILL_E_NOT_FOUND, "%s: SHA-256 is %s, not %s", file->path, hex,
                     file->sha256);
}

mill_status mill_pull_check(struct mill_pull_session *session, const char *folder,
                            const struct mill_pull_file *file, struct mill_error *err) {
    char *path = mill_path_join(folder, file->path);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", file->path);
    struct stat info;
    uint64_t size = 0;
    mill_status status = MILL_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        status = mill_fail(err, MILL_E_NOT_FOUND, "'%s': %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = mill_fail(err, MILL_E_INPUT, "'%s': not a regular file", path);
    else if (file->exact && (uint64_t)info.st_size != file->bytes)
        status = mill_fail(err, MILL_E_NOT_FOUND, "'%s': another size", path);
    session->progress.label = file->path;
    if (status == MILL_OK && file->sha256)
        status = hash_file(session, fd, path, &size, err);
    if (status == MILL_OK && file->sha256)
        status = compare_hash(session, file, err);
    session->done_bytes += file->bytes;
    if (fd >= 0)
        close(fd);
    free(path);
    return status;
}

uint64_t mill_pull_part_bytes(const char *folder, const struct mill_pull_file *file) {
    char *path = NULL;
    struct stat info;
    uint64_t bytes = 0;
    if (file->sha256 && asprintf(&path, "%s/%s.part", folder, file->path) >= 0) {
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
            bytes = (uint64_t)info.st_size;
        free(path);
    }
    return bytes < file->bytes ? bytes : file->bytes;
}

/* Throw away what the .part file holds. */
static mill_status start_over(struct transfer *t) {
    if (ftruncate(t->fd, 0) != 0)
        return mill_fail(t->err, MILL_E_IO, "'%s': %s", t->part_path, strerror(errno));
    t->size = 0;
    t->continued = false;
    t->etag[0] = '\0';
    return mill_sha256_restart(t->session->hash, t->err);
}

static mill_status open_part(struct transfer *t) {
    char *slash = strrchr(t->part_path, '/');
    *slash = '\0'; /* the folder is in front of the path: there is a slash */
    mill_status status = mill_folder_make(t->part_path, t->err);
    *slash = '/';
    MILL_TRY(status);
    t->fd = open(t->part_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t->fd < 0)
        return mill_fail(t->err, MILL_E_IO, "'%s': %s", t->part_path, strerror(errno));
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0) {
        close(t->fd); /* theirs */
        t->fd = -1;
        return mill_fail(t->err, MILL_E_IO, "'%s': another pull is writing it", t->part_path);
    }
    if (!t->file->sha256) /* nothing would notice a file put together from two */
        return start_over(t);
    MILL_TRY(hash_file(t->session, t->fd, t->part_path, &t->size, t->err));
    if (t->size > t->limit)
        return start_over(t);
    t->continued = t->size > 0;
    mill_progress_skip(&t->session->progress, (double)(t->session->done_bytes + t->size));
    return MILL_OK;
}

/* ------------------------------------------------------------------ one request */

/* The value of a header of the last answer, "" where there is none; borrowed, until the next
 * request. */
static const char *find_header(const struct transfer *t, const char *name) {
    struct curl_header *header;
    if (curl_easy_header(t->session->curl, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return "";
    return header->value;
}

/* Where the answer's bytes belong and what size the server gives the whole file (-1: it does not
 * say). False when the answer continues at a place that was not asked for. */
static bool place_answer(const struct transfer *t, uint64_t *first, int64_t *total) {
    long code = 0;
    curl_off_t length = -1;
    curl_easy_getinfo(t->session->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(t->session->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    *first = 0;
    *total = (int64_t)length;
    if (code != 206)
        return true;
    const char *range = find_header(t, "Content-Range");
    unsigned long long from, to, all;
    int n = sscanf(range, "bytes %llu-%llu/%llu", &from, &to, &all);
    if (n < 2 || from != t->size || to < from)
        return false;
    *first = from;
    *total = n == 3 && all <= INT64_MAX ? (int64_t)all : -1;
    return true;
}

/* Look at an answer before its first byte is written. */
static mill_status begin_answer(struct transfer *t) {
    uint64_t first;
    int64_t total;
    t->begun = true;
    if (!place_answer(t, &first, &total)) {
        MILL_TRY(start_over(t));
        return mill_fail(t->err, MILL_AGAIN, "the server continued at the wrong place");
    }
    if (total >= 0 && t->file->exact && (uint64_t)total != t->file->bytes)
        return mill_fail(t->err, MILL_E_INPUT,
                         "%s: the server has %lld bytes, the list says %llu: another revision?",
                         t->file->path, (long long)total, (unsigned long long)t->file->bytes);
    if (first == 0 && t->size > 0) /* the server cannot continue, or its file changed */
        MILL_TRY(start_over(t));
    t->continued = first > 0;
    const char *etag = find_header(t, "ETag");
    bool strong = etag[0] == '"' && strlen(etag) < sizeof t->etag; /* a weak one proves nothing */
    snprintf(t->etag, sizeof t->etag, "%s", strong ? etag : "");
    return MILL_OK;
}

static mill_status append_bytes(struct transfer *t, const char *data, size_t size) {
    if (size > t->limit - t->size)
        return mill_fail(t->err, MILL_E_INPUT, "%s: the server sends more than %llu bytes",
                         t->file->path, (unsigned long long)t->limit);
    for (size_t at = 0; at < size;) {
        ssize_t n = pwrite(t->fd, data + at, size - at, (off_t)(t->size + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mill_fail(t->err, MILL_E_IO, "'%s': writing failed: %s", t->part_path,
                             strerror(errno));
        at += (size_t)n;
    }
    t->size += size;
    return mill_sha256_add(t->session->hash, data, size, t->err);
}

static size_t on_body(char *data, size_t one, size_t size, void *context) {
    struct transfer *t = context;
    (void)one; /* always 1 */
    if (!t->begun)
        t->status = begin_answer(t);
    if (t->status == MILL_OK)
        t->status = append_bytes(t, data, size);
    return t->status == MILL_OK ? size : CURL_WRITEFUNC_ERROR;
}

static int on_progress(void *context, curl_off_t all, curl_off_t now, curl_off_t up_all,
                       curl_off_t up_now) {
    const struct transfer *t = context;
    (void)all, (void)now, (void)up_all, (void)up_now;
    mill_progress_update(&t->session->progress, (double)(t->session->done_bytes + t->size));
    return stop_wanted(t->session, 0);
}

/* endpoint/SparkAudio/Spark-TTS-0.5B/resolve/revision/path, in new memory; NULL when memory is
 * short. A slash of the revision is escaped, one of the path is not. */
static char *make_url(const struct mill_pull_session *session, const char *path) {
    int endpoint_length = (int)strlen(session->endpoint);
    while (endpoint_length > 0 && session->endpoint[endpoint_length - 1] == '/')
        endpoint_length--;
    char *revision = curl_easy_escape(session->curl, session->revision, 0), *url = NULL;
    if (!revision || asprintf(&url, "%.*s/SparkAudio/Spark-TTS-0.5B/resolve/%s", endpoint_length,
                              session->endpoint, revision) < 0)
        url = NULL;
    curl_free(revision);
    while (url && *path) {
        int length = (int)strcspn(path, "/");
        char *part = curl_easy_escape(session->curl, path, length), *longer = NULL;
        if (!part || asprintf(&longer, "%s/%s", url, part) < 0)
            longer = NULL;
        curl_free(part);
        free(url);
        url = longer;
        path += length + (path[length] == '/');
    }
    return url;
}

static void set_options(struct transfer *t, const char *url, char *curl_error) {
    CURL *curl = t->session->curl;
    const char *protocols = t->session->loopback ? "http,https" : "https";
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1000L); /* bytes/s over ... */
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);    /* seconds */
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sparkmill/" MILL_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, curl_error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
}

/* What a finished request means: OK, AGAIN with the trouble in err, or a failure. */
static mill_status judge_answer(struct transfer *t, CURLcode result, const char *curl_error) {
    long code = 0;
    const char *why = curl_error[0] ? curl_error : curl_easy_strerror(result);
    curl_easy_getinfo(t->session->curl, CURLINFO_RESPONSE_CODE, &code);
    switch (result) {
    case CURLE_OK:
        return MILL_OK;
    case CURLE_ABORTED_BY_CALLBACK:
        return fail_stopped(t->err);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return mill_fail(t->err, MILL_AGAIN, "%s", why);
    case CURLE_HTTP_RETURNED_ERROR:
        break;
    default:
        return mill_fail(t->err, MILL_E_IO, "%s: %s", t->file->path, why);
    }
    if (code ==
        416) { /* nothing lies behind what we have: then that is not this file's beginning */
        MILL_TRY(start_over(t));
        return mill_fail(t->err, MILL_AGAIN, "the server cannot continue this file");
    }
    if (code == 408 || code == 429 || code >= 500)
        return mill_fail(t->err, MILL_AGAIN, "the server answers %ld", code);
    if (code == 404)
        return mill_fail(t->err, MILL_E_NOT_FOUND, "%s: not at %s, revision '%s' (404)",
                         t->file->path, t->session->endpoint, t->session->revision);
    return mill_fail(t->err, MILL_E_IO, "%s: the server refuses it (%ld)", t->file->path, code);
}

/* One request for what is missing. */
static mill_status request_rest(struct transfer *t) {
    char curl_error[CURL_ERROR_SIZE] = "", range[32], condition[160];
    struct curl_slist *headers = NULL;
    char *url = make_url(t->session, t->file->path);
    if (!url)
        return mill_fail(t->err, MILL_E_MEMORY, "%s: no memory", t->file->path);
    set_options(t, url, curl_error);
    if (t->size > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)t->size);
        curl_easy_setopt(t->session->curl, CURLOPT_RANGE, range);
    }
    if (t->size > 0 && t->etag[0]) {
        snprintf(condition, sizeof condition, "If-Range: %s", t->etag);
        headers = curl_slist_append(NULL, condition);
        curl_easy_setopt(t->session->curl, CURLOPT_HTTPHEADER, headers);
    }
    t->begun = false;
    t->status = MILL_OK;
    CURLcode result = curl_easy_perform(t->session->curl);
    if (result == CURLE_OK && !t->begun) /* an answer without a body */
        t->status = begin_answer(t);
    mill_status status = t->status != MILL_OK ? t->status : judge_answer(t, result, curl_error);
    curl_slist_free_all(headers);
    free(url);
    if (status == MILL_OK && t->file->exact && t->size < t->file->bytes)
        return mill_fail(t->err, MILL_AGAIN, "the server sent too little");
    return status;
}

/* ------------------------------------------------------------------ a whole file */

/* Say what went wrong and wait; longer each time. */
static mill_status pause_before_retry(struct transfer *t, int failures) {
    struct mill_pull_session *session = t->session;
    curl_off_t asked_s = 0;
    long pause_ms = (long)FIRST_PAUSE_MS << (failures - 1);
    curl_easy_getinfo(session->curl, CURLINFO_RETRY_AFTER, &asked_s);
    if (asked_s > 0 && asked_s * 1000 > pause_ms)
        pause_ms = asked_s < LONGEST_PAUSE_MS / 1000 ? (long)asked_s * 1000 : LONGEST_PAUSE_MS;
    note(session, session->done_bytes + t->size,
         "sparkmill pull: %s: %s after %llu bytes; again in %.1f s\n", t->file->path, t->err->text,
         (unsigned long long)t->size, (double)pause_ms / 1000);
    if (stop_wanted(session, (int)pause_ms))
        return fail_stopped(t->err);
    return MILL_OK;
}

/* Ask until the .part file is whole or hope is gone. */
static mill_status complete_part(struct transfer *t) {
    int failures = 0;
    while (!(t->file->exact && t->size == t->file->bytes)) {
        uint64_t before = t->size;
        mill_status status = request_rest(t);
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
static mill_status fetch_into_part(struct transfer *t) {
    for (bool last = false;; last = true) {
        MILL_TRY(complete_part(t));
        mill_status status = compare_hash(t->session, t->file, t->err);
        if (status == MILL_OK)
            return MILL_OK;
        last = last || !t->continued;
        if (last)
            mill_context(t->err, status, "%s has another file", t->session->endpoint);
        struct mill_error *err = t->err;
        t->err = NULL; /* keep the message */
        mill_status emptied = start_over(t);
        t->err = err;
        if (last || emptied < 0)
            return MILL_E_IO;
        note(t->session, t->session->done_bytes,
             "sparkmill pull: %s: what was continued does not fit; from the beginning\n",
             t->file->path);
    }
}

mill_status mill_pull_fetch(struct mill_pull_session *session, const char *folder,
                            const struct mill_pull_file *file, struct mill_error *err) {
    struct mill_error unread;
    struct transfer t = {.session = session, .file = file, .fd = -1, .err = err ? err : &unread};
    t.limit = file->exact ? file->bytes : 2 * file->bytes + ROOM_FOR_UNKNOWN;
    t.path = mill_path_join(folder, file->path);
    mill_status status = MILL_OK;
    if (!t.path || asprintf(&t.part_path, "%s.part", t.path) < 0) {
        t.part_path = NULL;
        status = mill_fail(err, MILL_E_MEMORY, "%s: no memory", file->path);
    }
    session->progress.label = file->path;
    if (status == MILL_OK)
        status = open_part(&t);
    if (status == MILL_OK)
        status = fetch_into_part(&t);
    if (status == MILL_OK && (fsync(t.fd) != 0 || rename(t.part_path, t.path) != 0))
        status = mill_fail(err, MILL_E_IO, "'%s': %s", t.path, strerror(errno));
    session->done_bytes += file->bytes;
    if (status == MILL_OK)
        note(session, session->done_bytes, "sparkmill pull: %s: %llu bytes, %s\n", file->path,
             (unsigned long long)t.size, file->sha256 ? "SHA-256 checked" : "SHA-256 not known");
    else if (t.fd >= 0 && t.size == 0)
        unlink(t.part_path); /* nothing to continue behind */
    if (t.fd >= 0)
        close(t.fd);
    free(t.part_path);
    free(t.path);
    return status;
}
