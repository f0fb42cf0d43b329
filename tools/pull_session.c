/* pull_session.c - see pull_state.h: where to ask, signals that stop a download, lines beside the
 * bar. */
#include "tools/pull_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

void mill_pull_note(struct mill_pull_session *session, uint64_t done, const char *format, ...) {
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

bool mill_pull_stop_wanted(const struct mill_pull_session *session, int timeout_ms) {
    struct pollfd waiting = {.fd = session->signals, .events = POLLIN};
    return poll(&waiting, 1, timeout_ms) == 1;
}

mill_status mill_pull_fail_stopped(struct mill_error *err) {
    return mill_fail(err, MILL_E_CANCELLED, "stopped; the same command continues where this ended");
}
