/* pull_request.c - see pull_state.h: one request for the bytes behind what the .part file holds.
 * The answer is looked at before its first byte is written: it may continue, begin anew or be
 * another file. */
#include "tools/pull_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The value of a header of the last answer, "" where there is none; borrowed, until the next
 * request. */
static const char *find_header(const struct mill_pull_transfer *t, const char *name) {
    struct curl_header *header;
    if (curl_easy_header(t->session->curl, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return "";
    return header->value;
}

/* Where the answer's bytes belong and what size the server gives the whole file (-1: it does not
 * say). False when the answer continues at a place that was not asked for. */
static bool place_answer(const struct mill_pull_transfer *t, uint64_t *first, int64_t *total) {
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
static mill_status begin_answer(struct mill_pull_transfer *t) {
    uint64_t first;
    int64_t total;
    t->begun = true;
    if (!place_answer(t, &first, &total)) {
        MILL_TRY(mill_pull_start_over(t));
        return mill_fail(t->err, MILL_AGAIN, "the server continued at the wrong place");
    }
    if (total >= 0 && t->file->exact && (uint64_t)total != t->file->bytes)
        return mill_fail(t->err, MILL_E_INPUT,
                         "%s: the server has %lld bytes, the list says %llu: another revision?",
                         t->file->path, (long long)total, (unsigned long long)t->file->bytes);
    if (first == 0 && t->size > 0) /* the server cannot continue, or its file changed */
        MILL_TRY(mill_pull_start_over(t));
    t->continued = first > 0;
    const char *etag = find_header(t, "ETag");
    bool strong = etag[0] == '"' && strlen(etag) < sizeof t->etag; /* a weak one proves nothing */
    snprintf(t->etag, sizeof t->etag, "%s", strong ? etag : "");
    return MILL_OK;
}

static mill_status append_bytes(struct mill_pull_transfer *t, const char *data, size_t size) {
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
    struct mill_pull_transfer *t = context;
    (void)one; /* always 1 */
    if (!t->begun)
        t->status = begin_answer(t);
    if (t->status == MILL_OK)
        t->status = append_bytes(t, data, size);
    return t->status == MILL_OK ? size : CURL_WRITEFUNC_ERROR;
}

static int on_progress(void *context, curl_off_t all, curl_off_t now, curl_off_t up_all,
                       curl_off_t up_now) {
    const struct mill_pull_transfer *t = context;
    (void)all, (void)now, (void)up_all, (void)up_now;
    mill_progress_update(&t->session->progress, (double)(t->session->done_bytes + t->size));
    return mill_pull_stop_wanted(t->session, 0);
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

static void set_options(struct mill_pull_transfer *t, const char *url, char *curl_error) {
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
static mill_status judge_answer(struct mill_pull_transfer *t, CURLcode result,
                                const char *curl_error) {
    long code = 0;
    const char *why = curl_error[0] ? curl_error : curl_easy_strerror(result);
    curl_easy_getinfo(t->session->curl, CURLINFO_RESPONSE_CODE, &code);
    switch (result) {
    case CURLE_OK:
        return MILL_OK;
    case CURLE_ABORTED_BY_CALLBACK:
        return mill_pull_fail_stopped(t->err);
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
        MILL_TRY(mill_pull_start_over(t));
        return mill_fail(t->err, MILL_AGAIN, "the server cannot continue this file");
    }
    if (code == 408 || code == 429 || code >= 500)
        return mill_fail(t->err, MILL_AGAIN, "the server answers %ld", code);
    if (code == 404)
        return mill_fail(t->err, MILL_E_NOT_FOUND, "%s: not at %s, revision '%s' (404)",
                         t->file->path, t->session->endpoint, t->session->revision);
    return mill_fail(t->err, MILL_E_IO, "%s: the server refuses it (%ld)", t->file->path, code);
}

mill_status mill_pull_request_rest(struct mill_pull_transfer *t) {
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
