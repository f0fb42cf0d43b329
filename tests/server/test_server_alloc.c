/* test_server_alloc.c - requests while memory runs short: each allocation on a request's way fails
 * once, and then all from there on. The client hears of it (503 or the like, a closed connection, a
 * stream that breaks off) or nothing is missing; nothing leaks, nothing hangs, and the next request
 * gets the bytes that it gets otherwise. */
#include "runtime/model/checkpoint_write.h"
#include "runtime/server/listener.h"
#include "runtime/server/server_state.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/icu_memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER MILL_SCRATCH "/server-alloc"

enum { ANSWER_BYTES = 1 << 20, LARGE_BYTES = 90000, PATIENCE_S = 10 };

/* One server for all; the client takes no memory, so that what fails is the server's. */
static struct {
    struct mill_server_options options;
    struct mill_server *server;
    struct sockaddr_in address;
} world;

static long
    failing; /* for messages: the number of the allocation that fails, negative = all from there */

static struct answer {
    int status; /* 0 = closed before one came */
    bool whole; /* as its framing says */
    size_t size, body_bytes;
    char *body; /* within data, without its framing when it is whole */
    char data[ANSWER_BYTES];
} answer, usual;

static void no_log(void *context, const char *line) {
    (void)context, (void)line;
}
static const struct mill_log quiet = {.write = no_log};

static int open_world(void **state) {
    (void)state;
    struct mill_shape shape;
    struct mill_error err = {""};
    const struct mill_checkpoint_options checkpoint = {.dtype = MILL_F32, .label = "tiny"};
    socklen_t size = sizeof world.address;
    int listener = -1;
    mill_synth_shape(&shape, MILL_SYNTH_TINY);
    mill_server_options_init(&world.options);
    world.options.model = FOLDER "/model";
    world.options.state = FOLDER "/state";
    world.options.voices = FOLDER "/voices";
    world.options.devices = "cpu:1";
    world.options.http_threads = 1;
    world.options.max_utterance_s = 0.1;
    if (mill_checkpoint_write(world.options.model, &shape, &checkpoint, &err) < 0 ||
        mill_listener_open(&listener, "127.0.0.1", 0, &err) < 0 ||
        getsockname(listener, (struct sockaddr *)&world.address, &size) != 0 ||
        mill_server_open(&world.server, &world.options, listener, &quiet, &err) < 0 ||
        mill_server_start(world.server, NULL, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int close_world(void **state) {
    (void)state;
    mill_server_close(world.server);
    mill_server_options_deinit(&world.options);
    return 0;
}

/* ------------------------------------------------------------------ the client */

/* Takes the chunks of an answer's body together; is it whole, as its framing says? */
static bool join_body(struct answer *a) {
    char *head_end = strstr(a->data, "\r\n\r\n"), *length;
    if (!head_end)
        return false;
    a->body = head_end + 4;
    a->body_bytes = a->size - (size_t)(a->body - a->data);
    length = strstr(a->data, "Content-Length: ");
    if (length && length < head_end)
        return a->body_bytes == strtoull(length + 16, NULL, 10);
    char *from = a->body, *to = a->body, *end = a->data + a->size;
    for (;;) {
        char *text;
        size_t n = strtoull(from, &text, 16);
        if (text == from || n + 4 > (size_t)(end - text))
            return false; /* the answer ends here */
        memmove(to, text + 2, n);
        to += n;
        from = text + 2 + n + 2;
        if (n == 0) {
            a->body_bytes = (size_t)(to - a->body);
            return from == end;
        }
    }
}

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&world.address, sizeof world.address), 0);
    return fd;
}

static void ask(const char *request, size_t bytes, struct answer *out) {
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = dial();
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (ssize_t n; bytes > 0; bytes -= (size_t)n, request += n)
        if ((n = send(fd, request, bytes, MSG_NOSIGNAL)) <= 0)
            break;
    out->size = 0;
    for (ssize_t n = 1; n > 0; out->size += n > 0 ? (size_t)n : 0) {
        n = recv(fd, out->data + out->size, ANSWER_BYTES - 1 - out->size, 0);
        if (n < 0 && errno != ECONNRESET)
            fail_msg("allocation %ld: no answer within %d s", failing, PATIENCE_S);
    }
    close(fd);
    out->data[out->size] = '\0';
    out->status =
        strncmp(out->data, "HTTP/1.1 ", 9) == 0 ? (int)strtol(out->data + 9, NULL, 10) : 0;
    out->whole = join_body(out);
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Nothing of a request is left but what the server keeps between requests: so many blocks. */
static bool is_settled(long blocks) {
    return mill_http_count_calls(world.server->http) == 0 &&
           mill_connections_count(mill_http_connections(world.server->http)) == 0 &&
           mill_fail_alloc_live() == blocks;
}

/* libmicrohttpd frees some connections that it closed when the next event comes: a knock is one. */
static void settle(long blocks) {
    for (int ms = 1; !is_settled(blocks); ms++, nap()) {
        if (ms % 50 == 0)
            close(dial());
        if (ms > 1000 * PATIENCE_S)
            fail_msg("allocation %ld: %ld blocks, not %ld", failing, mill_fail_alloc_live(),
                     blocks);
    }
}

/* Blocks when nothing has changed for a while. */
static long count_settled(void) {
    long blocks = -1;
    for (int n_same = 0; n_same < 50; nap()) {
        n_same = is_settled(blocks) ? n_same + 1 : 0;
        blocks = mill_fail_alloc_live();
    }
    return blocks;
}

/* ------------------------------------------------------------------ the requests */

#define HEAD " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
#define SPEECH(more) "{\"model\":\"tts-1\",\"input\":\"Hello.\",\"voice\":\"alloy\"," more "}"

/* No format of libavcodec's, which ends the program in places, and no changed speed: libsonic
 * leaks.
 */
static const struct {
    const char *line, *headers, *body;
    int status;
    bool varies; /* two answers differ: figures, where events are cut */
} requests[] = {
    {"POST /v1/audio/speech", "", SPEECH("\"response_format\":\"wav\""), 200, false},
    {"POST /v1/audio/speech", "",
     SPEECH("\"response_format\":\"wav\",\"stream_format\":\"sse\",\"sparkmill\":{"
            "\"redraws\":1,\"seed\":3,\"dictionary\":\"Dr. = Doctor\"}"),
     200, true},
    {"POST /v1/audio/speech", "",
     "{\"model\":\"tts-1\",\"voice\":\"female\",\"instructions\":\"a deep voice\","
     "\"response_format\":\"pcm\",\"input\":\"<speak>One.<break time='50ms'/><voice "
     "name='male'>Two.</voice></speak>\",\"sparkmill\":{\"ssml\":true,\"sample_rate\":16000}}",
     200, false},
    {"POST /v1/audio/speech", "", SPEECH("\"speed\":7"), 400, false},
    {"POST /v1/audio/speech", "", "{\"model\":\"tts-1\",\"input\":\"a\",\"voice\":\"no\"}", 400,
     false},
    {"POST /v1/audio/speech", "", NULL, 400, false}, /* large: through a file */
    {"POST /speak", "", "{\"text\":\"Hello.\",\"name\":\"female\",\"response_format\":\"wav\"}",
     200, false},
    {"POST /v1/audio/voices", "Content-Type: multipart/form-data; boundary=b\r\n",
     "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nanna\r\n--b--\r\n", 400, false},
    {"DELETE /v1/audio/voices/nobody", "", "", 404, false},
    {"GET /v1/audio/voice_consents", "", "", 200, false},
    {"GET /v1/audio/voices", "", "", 200, false},
    {"GET /v1/models", "", "", 200, false},
    {"GET /metrics", "", "", 200, true},
    {"GET /nothing", "", "", 404, false},
};

static size_t compose(size_t i, char *text, size_t capacity) {
    static char large[LARGE_BYTES + 1];
    memset(large, 'x', LARGE_BYTES);
    const char *body = requests[i].body ? requests[i].body : large;
    int n = snprintf(text, capacity, "%s" HEAD "%sContent-Length: %zu\r\n\r\n%s", requests[i].line,
                     requests[i].headers, strlen(body), body);
    assert_true(n > 0 && (size_t)n < capacity);
    return (size_t)n;
}

/* Heads carry a number of their own. */
static void assert_usual(size_t i) {
    if (answer.status != requests[i].status || !answer.whole ||
        (!requests[i].varies && (answer.body_bytes != usual.body_bytes ||
                                 memcmp(answer.body, usual.body, usual.body_bytes) != 0)))
        fail_msg("%s, allocation %ld: %zu bytes, not %zu: %.300s", requests[i].line, failing,
                 answer.body_bytes, usual.body_bytes, answer.data);
}

/* What may be heard when memory was short. */
static void check_disturbed(size_t i) {
    bool refused = answer.status >= 500 || answer.status == 0;
    bool broken = answer.status == requests[i].status && !answer.whole;
    bool told = strstr(answer.data, "speech.audio.error") != NULL;
    if (!refused && !broken && !told)
        assert_usual(i);
}

static void test_each_fails(void **state) {
    (void)state;
    static char text[LARGE_BYTES + 2000];
    if (!mill_fail_alloc_works())
        skip();
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        size_t bytes = compose(i, text, sizeof text);
        for (int warm = 0; warm < 3; warm++) /* what libraries keep is there then */
            ask(text, bytes, &usual);
        long blocks = count_settled();
        mill_fail_alloc_at(0);
        failing = 0;
        ask(text, bytes, &answer);
        assert_usual(i);
        settle(blocks);
        long count = mill_fail_alloc_count();
        for (long n = 1; n <= count; n++)
            for (int for_good = 0; for_good < 2; for_good++) {
                failing = for_good ? -n : n;
                if (for_good)
                    mill_fail_alloc_from(n);
                else
                    mill_fail_alloc_at(n);
                ask(text, bytes, &answer);
                mill_fail_alloc_at(0);
                check_disturbed(i);
                settle(blocks);
                ask(text, bytes, &answer);
                assert_usual(i);
                settle(blocks);
            }
        print_message("%s: %ld allocations\n", requests[i].line, count);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_fails)};
    return mill_icu_memory_apart() ? cmocka_run_group_tests(tests, open_world, close_world) : 1;
}
