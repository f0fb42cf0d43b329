/* test_engine.c - the engine as its users see it, on a tiny synthetic checkpoint: the same audio
 * alone and in company, admission, deadlines, cancelling, slow readers, drain, refusals; and the
 * router by itself. What devices do wrong is in test_engine_faults.c.
 *
 *   test_engine [lazy]     on the cpu backend; or on it made asynchronous, as late as can be */
#include "runtime/engine/replica_state.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/lazy_backend.h"

#include "runtime/engine/router.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void drain_and_close(struct mill_engine *engine) {
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
    mill_engine_close(engine);
}

static uint64_t count_ends(const struct mill_engine_stats *stats) {
    return stats->n_completed + stats->n_limited + stats->n_cancelled + stats->n_late +
           stats->n_failed;
}

/* Every page is free and every request counted once. */
static void check_books(struct mill_engine *engine, uint64_t n_submitted) {
    struct mill_engine_stats stats;
    for (int32_t i = 0; i < 4000; i++) { /* an end is told before it is counted */
        mill_engine_get_stats(engine, &stats);
        if (stats.n_running + stats.n_queued == 0 && count_ends(&stats) == n_submitted)
            break;
        struct timespec time = {.tv_nsec = 5000000};
        nanosleep(&time, NULL);
    }
    assert_int_equal(stats.n_running, 0);
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_submitted, n_submitted);
    assert_int_equal(count_ends(&stats), n_submitted);
    for (int32_t i = 0; i < stats.n_replicas; i++)
        if (stats.replicas[i].state == MILL_REPLICA_READY)
            assert_int_equal(stats.replicas[i].n_free_pages, stats.replicas[i].n_pages);
}

/* Alone, together on one small replica that must preempt, together on two unequal ones; by callback
 * and by reading: the same sound. */
static void test_company(void **state) {
    (void)state;
    struct heard alone[FIXTURE_WISHES] = {0}, heard[FIXTURE_WISHES];
    for (int i = 0; i < FIXTURE_WISHES; i++)
        fixture_alone(i, &alone[i]);
    const struct mill_engine_options ways[] = {
        {.devices = "cpu:1", .max_running = 3, .max_tokens = 220, .cache_tokens = 300},
        {.devices = "cpu:1,cpu:2", .max_running = 4, .max_window = 16},
    };
    for (size_t way = 0; way < 2; way++) {
        struct mill_engine *engine = fixture_open(ways[way], NULL);
        for (int i = 0; i < FIXTURE_WISHES; i++)
            fixture_submit(engine, i, (i + (int)way) % 3 == 0, &heard[i]);
        uint64_t n_preemptions = 0;
        for (int i = 0; i < FIXTURE_WISHES; i++) {
            fixture_finish(&heard[i]);
            assert_same_sound(&alone[i], &heard[i]);
            assert_int_equal(heard[i].result.exact, i != 4);
            n_preemptions += (uint64_t)heard[i].result.n_preemptions;
            heard_free(&heard[i]);
        }
        assert_true(way != 0 || n_preemptions > 0);
        check_books(engine, FIXTURE_WISHES);
        drain_and_close(engine);
    }
    for (int i = 0; i < FIXTURE_WISHES; i++)
        heard_free(&alone[i]);
}

/* Requests may be submitted before start; the queue's bound counts them. */
static void test_admission(void **state) {
    (void)state;
    struct mill_engine_options options = {.devices = "cpu:1", .max_running = 2, .max_queue = 3};
    struct mill_engine *engine;
    struct heard heard[6];
    struct mill_error err = {""};
    options.model = fixture_folder();
    assert_int_equal(mill_engine_open(&engine, &options, &err), MILL_OK);
    for (int i = 0; i < 5; i++)
        fixture_submit(engine, i, false, &heard[i]);
    struct mill_engine_request wish = fixture_wish(engine, 0, &heard[5]);
    double retry_after_s = 0;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[5].request, &retry_after_s, &err),
                     MILL_AGAIN);
    assert_null(heard[5].request);
    assert_true(retry_after_s > 0);
    assert_int_equal(mill_engine_start(engine, NULL, &err), MILL_OK);
    for (int i = 0; i < 5; i++) {
        fixture_finish(&heard[i]);
        assert_int_equal(heard[i].result.status, MILL_OK);
        heard_free(&heard[i]);
    }
    struct mill_engine_stats stats;
    mill_engine_get_stats(engine, &stats);
    assert_int_equal(stats.n_refused, 1);
    assert_true(stats.audio_s > 0 && stats.n_tokens > 0 && stats.n_prompt_tokens > 0);
    check_books(engine, 5);
    drain_and_close(engine);
}

/* A millisecond of work may wait: the second request is one too many while the first is there. */
static void test_backlog(void **state) {
    (void)state;
    struct mill_engine *engine = fixture_open(
        (struct mill_engine_options){.devices = "cpu:1", .max_backlog_s = 0.001}, NULL);
    struct heard heard[2] = {{0}};
    fixture_submit(engine, 0, true, &heard[0]);
    struct mill_engine_request wish = fixture_wish(engine, 2, &heard[1]);
    double retry_after_s = 0;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[1].request, &retry_after_s, NULL),
                     MILL_AGAIN);
    assert_true(retry_after_s > 0);
    fixture_finish(&heard[0]);
    heard_free(&heard[0]);
    check_books(engine, 1);
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[1].request, NULL, NULL), MILL_OK);
    fixture_finish(&heard[1]);
    heard_free(&heard[1]);
    drain_and_close(engine);
}

static void test_cancel_and_deadline(void **state) {
    (void)state;
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1", .max_running = 2}, NULL);
    struct heard heard[8];
    for (int i = 0; i < 8; i++) {
        heard[i] = (struct heard){0};
        struct mill_engine_request wish = fixture_wish(engine, i, &heard[i]);
        wish.max_frames = 20000;
        wish.deadline_s = i % 2 ? 0.05 : 0;
        wish.priority = i == 0;
        assert_int_equal(mill_engine_submit(engine, &wish, &heard[i].request, NULL, NULL), MILL_OK);
    }
    for (int i = 0; i < 8; i += 2) {
        if (i == 0) /* one of them after it began, the others at any moment */
            while (mill_request_get_progress(heard[i].request) < 5)
                mill_request_wait(heard[i].request, 0.001);
        mill_request_cancel(heard[i].request);
    }
    for (int i = 0; i < 8; i++) {
        fixture_finish(&heard[i]);
        assert_int_equal(heard[i].result.end,
                         i % 2 ? MILL_REQUEST_DEADLINE : MILL_REQUEST_CANCELLED);
        assert_int_equal(heard[i].result.status, MILL_E_CANCELLED);
        assert_true(heard[i].result.n_frames < 20000);
        heard_free(&heard[i]);
    }
    check_books(engine, 8);
    /* Freed while it runs: no callback afterwards, nothing left behind. */
    fixture_submit(engine, 0, false, &heard[0]);
    heard_free(&heard[0]);
    check_books(engine, 9);
    drain_and_close(engine);
}

/* A request that is not read pauses when its buffer is full; the others go on. */
static void test_slow_reader(void **state) {
    (void)state;
    struct heard alone, slow, other;
    fixture_alone(0, &alone);
    struct mill_engine *engine = fixture_open(
        (struct mill_engine_options){
            .devices = "cpu:1", .max_running = 2, .max_window = 8, .max_unread_s = 0.1},
        NULL);
    fixture_submit(engine, 0, true, &slow);
    for (int i = 1; i < 4; i++) {
        fixture_submit(engine, i, false, &other);
        fixture_finish(&other);
        heard_free(&other);
    }
    assert_int_equal(mill_request_wait(slow.request, 0.05), MILL_AGAIN);
    fixture_finish(&slow);
    assert_same_sound(&alone, &slow);
    heard_free(&slow);
    heard_free(&alone);
    check_books(engine, 4);
    drain_and_close(engine);
}

static mill_status break_off(void *context, const float *samples, size_t n,
                             struct mill_error *err) {
    (void)context, (void)samples, (void)n;
    return mill_fail(err, MILL_E_IO, "the disk is full");
}

static void test_callback_fails(void **state) {
    (void)state;
    struct mill_engine *engine = fixture_open((struct mill_engine_options){0}, NULL);
    struct heard heard = {0};
    struct mill_engine_request wish = fixture_wish(engine, 0, &heard);
    wish.deliver = break_off;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard.request, NULL, NULL), MILL_OK);
    fixture_finish(&heard);
    assert_int_equal(heard.result.end, MILL_REQUEST_FAILED);
    assert_int_equal(heard.result.status, MILL_E_IO);
    assert_string_equal(heard.result.error.text, "the disk is full");
    check_books(engine, 1);
    drain_and_close(engine);
}

/* Voices that are created are told, and give the same sound when given. */
static void test_voice(void **state) {
    (void)state;
    struct mill_engine *engine = fixture_open((struct mill_engine_options){0}, NULL);
    struct heard heard = {0};
    int32_t voice[64];
    struct mill_engine_request wish = fixture_wish(engine, 3, &heard);
    assert_null(wish.global);
    assert_int_equal(mill_engine_submit(engine, &wish, &heard.request, NULL, NULL), MILL_OK);
    assert_int_equal(mill_request_wait(heard.request, -1), MILL_OK);
    assert_int_equal(mill_request_get_voice(heard.request, voice), MILL_OK);
    for (int32_t i = 0; i < mill_engine_get_info(engine)->n_voice_tokens; i++)
        assert_in_range(voice[i], 0, mill_engine_get_info(engine)->n_voice_codes - 1);
    heard_free(&heard);
    /* In a stream it is known with the first sound, long before the last token. */
    wish.deliver = NULL;
    wish.stream = true;
    wish.max_frames = 400;
    float sample;
    size_t n;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard.request, NULL, NULL), MILL_OK);
    assert_int_equal(mill_request_read(heard.request, &sample, 1, -1, &n, NULL), MILL_OK);
    assert_int_equal(mill_request_get_voice(heard.request, voice), MILL_OK);
    heard_free(&heard);
    wish = fixture_wish(engine, 0, &heard);
    wish.global = voice;
    wish.n_global = mill_engine_get_info(engine)->n_voice_tokens;
    int32_t semantic[20];
    for (int32_t i = 0; i < 20; i++)
        semantic[i] = i * 13 % mill_engine_get_info(engine)->n_semantic_codes;
    wish.transcript = "As it was said.";
    wish.transcript_bytes = strlen(wish.transcript);
    wish.semantic = semantic;
    wish.n_semantic = 20;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard.request, NULL, NULL), MILL_OK);
    fixture_finish(&heard);
    assert_int_equal(heard.result.status, MILL_OK);
    heard_free(&heard);
    drain_and_close(engine);
}

/* What a request of a voice with a transcript sounds like, and the tokens it found computed. */
static uint64_t continue_voice(struct mill_engine *engine, int text, struct heard *heard) {
    static const char *const texts[] = {"The mill goes round.", "Another day, another sack."};
    static const char transcript[] = "One for the little boy.";
    static const int32_t semantic[] = {5, 3, 8, 1, 9, 2, 7, 4};
    *heard = (struct heard){0};
    struct mill_engine_stats before, after;
    mill_engine_get_stats(engine, &before);
    struct mill_engine_request wish = fixture_wish(engine, 0, heard);
    wish.text = texts[text];
    wish.text_bytes = strlen(texts[text]);
    wish.transcript = transcript;
    wish.transcript_bytes = strlen(transcript);
    wish.semantic = semantic;
    wish.n_semantic = 8;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard->request, NULL, NULL), MILL_OK);
    fixture_finish(heard);
    assert_int_equal(heard->result.status, MILL_OK);
    mill_engine_get_stats(engine, &after);
    return after.replicas[0].n_shared_tokens - before.replicas[0].n_shared_tokens;
}

/* One request of a voice computes its transcript; those behind it, of other texts too, share it;
 * one of the same text shares the whole prompt. It sounds as it does on an engine of its own. */
static void test_voice_is_computed_once(void **state) {
    (void)state;
    struct heard first, other, again, alone;
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1"}, NULL);
    assert_int_equal(continue_voice(engine, 0, &first), 0);
    uint64_t n_voice = continue_voice(engine, 1, &other);
    uint64_t n_prompt = continue_voice(engine, 1, &again);
    mill_engine_close(engine);
    engine = fixture_open((struct mill_engine_options){.devices = "cpu:1"}, NULL);
    assert_int_equal(continue_voice(engine, 1, &alone), 0);
    mill_engine_close(engine);
    assert_int_equal(n_voice, 16);
    assert_int_equal(n_prompt, (uint64_t)(again.result.n_prompt - 1) / 16 * 16);
    assert_same_sound(&alone, &other);
    assert_same_sound(&alone, &again);
    heard_free(&first);
    heard_free(&other);
    heard_free(&again);
    heard_free(&alone);
}

static void test_drain_and_close(void **state) {
    (void)state;
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1", .max_running = 1}, NULL);
    struct heard heard[3];
    for (int i = 0; i < 3; i++)
        fixture_submit(engine, i, false, &heard[i]);
    assert_int_equal(mill_engine_drain(engine, 0), MILL_AGAIN);
    struct mill_engine_request wish = fixture_wish(engine, 0, NULL);
    struct mill_request *request;
    assert_int_equal(mill_engine_submit(engine, &wish, &request, NULL, NULL), MILL_E_CANCELLED);
    mill_engine_close(engine); /* what was not done is cancelled, and still readable */
    int n_cancelled = 0;
    for (int i = 0; i < 3; i++) {
        fixture_finish(&heard[i]);
        n_cancelled += heard[i].result.end == MILL_REQUEST_CANCELLED;
        heard_free(&heard[i]);
    }
    assert_true(n_cancelled > 0);
    mill_engine_close(NULL);
    mill_request_free(NULL);
}

/* A place outlasts the requests in it: nobody takes it meanwhile, and a drain waits for it. */
static void test_places(void **state) {
    (void)state;
    struct mill_engine *engine = fixture_open(
        (struct mill_engine_options){.devices = "cpu:1", .max_running = 1, .max_queue = 2}, NULL);
    struct heard heard[4];
    assert_int_equal(mill_engine_take_place(engine, NULL, NULL), MILL_OK);
    for (int i = 0; i < 2; i++)
        fixture_submit(engine, i, false, &heard[i]);
    struct mill_engine_request wish = fixture_wish(engine, 2, &heard[2]);
    heard[2] = heard[3] = (struct heard){0};
    double retry_after_s = 0;
    struct mill_error err;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[2].request, &retry_after_s, &err),
                     MILL_AGAIN);
    assert_int_equal(mill_engine_take_place(engine, &retry_after_s, NULL), MILL_AGAIN);
    wish.in_place = true;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[2].request, NULL, &err), MILL_OK);
    fixture_finish(&heard[2]);
    fixture_finish(&heard[0]);
    fixture_finish(&heard[1]);
    assert_int_equal(mill_engine_drain(engine, 0), MILL_AGAIN);
    assert_int_equal(mill_engine_take_place(engine, NULL, NULL), MILL_E_CANCELLED);
    wish.context = &heard[3];
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[3].request, NULL, &err), MILL_OK);
    fixture_finish(&heard[3]);
    mill_engine_put_place(engine);
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[3].request, NULL, &err), MILL_AGAIN);
    for (int i = 0; i < 4; i++)
        heard_free(&heard[i]);
    mill_engine_close(engine);
}

static void refused(struct mill_engine *engine, const struct mill_engine_request *wish,
                    const char *message) {
    struct mill_request *request;
    struct mill_error err = {""};
    assert_int_equal(mill_engine_submit(engine, wish, &request, NULL, &err), MILL_E_INPUT);
    assert_null(request);
    if (!strstr(err.text, message))
        fail_msg("'%s' is not in '%s'", message, err.text);
}

static void test_refused(void **state) {
    (void)state;
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.max_tokens = 200, .max_queue = 1 << 18}, NULL);
    const struct mill_engine_request good = fixture_wish(engine, 0, NULL);
    int32_t bad_voice[64] = {0};
    bad_voice[5] = mill_engine_get_info(engine)->n_voice_codes;
    char long_text[400];
    memset(long_text, 'a', sizeof long_text);
#define REFUSED(message, ...)                                                                      \
    do {                                                                                           \
        struct mill_engine_request wish = good;                                                    \
        __VA_ARGS__;                                                                               \
        refused(engine, &wish, message);                                                           \
    } while (0)
    REFUSED("empty", wish.text_bytes = 0);
    REFUSED("empty", wish.text = NULL);
    REFUSED("UTF-8", wish.text = "\xff", wish.text_bytes = 1);
    REFUSED("shorten", wish.text = long_text, wish.text_bytes = sizeof long_text);
    REFUSED("temperature", wish.temperature = NAN);
    REFUSED("temperature", wish.temperature = 0.001f);
    REFUSED("top_p", wish.top_p = 0);
    REFUSED("top_p", wish.top_p = 1.5f);
    REFUSED("top_k", wish.top_k = -1);
    REFUSED("max_frames", wish.max_frames = 0);
    REFUSED("max_redraws", wish.max_redraws = -1);
    REFUSED("lookahead", wish.lookahead = -2);
    REFUSED("deadline", wish.deadline_s = -1);
    REFUSED("deadline", wish.deadline_s = INFINITY);
    REFUSED("full_head", wish.unrestricted = true);
    REFUSED("global tokens", wish.n_global = 3);
    REFUSED("global token 5", wish.global = bad_voice);
    REFUSED("both or neither", wish.transcript = "a", wish.transcript_bytes = 1);
    REFUSED("gender", wish.global = NULL, wish.gender = 2);
    REFUSED("pitch", wish.global = NULL, wish.pitch = 5);
    REFUSED("both or neither", wish.global = NULL, wish.pitch_value = 300);
#undef REFUSED
    drain_and_close(engine);
}

static void test_version(void **state) {
    (void)state;
    assert_string_equal(mill_engine_version(), MILL_VERSION);
}

static void not_opened(struct mill_engine_options options, mill_status status,
                       const char *message) {
    struct mill_engine *engine;
    struct mill_error err = {""};
    mill_status found = mill_engine_open(&engine, &options, &err);
    if (found != status || !strstr(err.text, message))
        fail_msg("%d: '%s' is not in '%s'", found, message, err.text);
    assert_null(engine);
}

static void test_not_opened(void **state) {
    (void)state;
    const char *model = fixture_folder();
    not_opened((struct mill_engine_options){0}, MILL_E_INPUT, "folder");
    not_opened((struct mill_engine_options){.model = MILL_SCRATCH "/none"}, MILL_E_NOT_FOUND,
               "sparkmill pull");
    static const char *const devices[] = {"", "cpu,", ",cpu", "cpu:", "cpu:0", "cpu:x", "cpu:-1"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        not_opened((struct mill_engine_options){.model = model, .devices = devices[i]},
                   MILL_E_INPUT, "device '");
    not_opened((struct mill_engine_options){.model = model, .devices = "cpu,gpu"}, MILL_E_INPUT,
               "'cpu'");
    not_opened((struct mill_engine_options){.model = model, .precision = "fp4"}, MILL_E_INPUT,
               "bf16");
    for (int32_t n = -1; n <= (1 << 18) + 1; n += (1 << 18) + 2)
        not_opened((struct mill_engine_options){.model = model, .max_queue = n}, MILL_E_INPUT,
                   "out of range");
    not_opened((struct mill_engine_options){.model = model, .stuck_s = NAN}, MILL_E_INPUT,
               "out of range");
}

struct readable {
    struct mill_request *request;
    size_t n_calls, n_read;
    float heard[16];
};

/* On a thread of the engine, which holds no lock: it may be read. */
static void read_all(void *context) {
    struct readable *r = context;
    size_t n;
    r->n_calls++;
    assert_int_equal(
        mill_request_read(r->request, r->heard + r->n_read, 16 - r->n_read, 0, &n, NULL), MILL_OK);
    r->n_read += n;
}

/* Behind each piece that was kept, not behind one that was known. */
static void test_readable(void **state) {
    (void)state;
    const struct mill_request_sizes sizes = {.n_voice_tokens = 1, .hop = 1, .unread_samples = 16};
    const float samples[] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct readable r = {0};
    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    wish.readable = read_all;
    wish.context = &r;
    assert_int_equal(mill_request_new(&r.request, &wish, &sizes, NULL), MILL_OK);
    assert_int_equal(mill_request_deliver(r.request, 0, samples, 4, NULL), MILL_OK);
    assert_int_equal(r.n_calls, 1);
    assert_int_equal(mill_request_deliver(r.request, 0, samples, 4, NULL), MILL_OK);
    assert_int_equal(r.n_calls, 1);
    assert_int_equal(mill_request_deliver(r.request, 2, samples + 2, 6, NULL), MILL_OK);
    assert_int_equal(r.n_calls, 2);
    assert_int_equal(r.n_read, 8);
    assert_memory_equal(r.heard, samples, sizeof samples);
    mill_request_free(r.request);
}

/* Samples that come again, in other pieces, are taken once. */
static void test_overlap(void **state) {
    (void)state;
    const struct mill_request_sizes sizes = {.n_voice_tokens = 1, .hop = 1, .unread_samples = 16};
    const float samples[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    float heard[16];
    size_t n;
    struct mill_engine_request wish;
    struct mill_request *request;
    mill_engine_request_init(&wish);
    assert_int_equal(mill_request_new(&request, &wish, &sizes, NULL), MILL_OK);
    assert_int_equal(mill_request_deliver(request, 0, samples, 4, NULL), MILL_OK);
    assert_int_equal(mill_request_deliver(request, 1, samples + 1, 2, NULL), MILL_OK);
    assert_int_equal(mill_request_deliver(request, 2, samples + 2, 8, NULL), MILL_OK);
    assert_int_equal(mill_request_read(request, heard, 16, 0, &n, NULL), MILL_OK);
    assert_int_equal(n, 10);
    assert_memory_equal(heard, samples, sizeof samples);
    mill_request_free(request);
}

static void test_router(void **state) {
    (void)state;
    struct mill_router_replica r[] = {
        {true, false, 500, 100, 10}, {true, false, 400, 300, 100}, {true, false, 900, 0, 1}};
    assert_int_equal(mill_router_choose(r, 3, 1, 1), 2); /* 10.1 s, 3.01 s, 1 s */
    assert_int_equal(mill_router_choose(r, 3, 1, 200), 1);
    assert_true(fabs(mill_router_backlog_s(r, 3) - 400.0 / 111) < 1e-12);
    /* Where there is room for it. */
    assert_int_equal(mill_router_choose(r, 3, 400, 200), 1);
    assert_int_equal(mill_router_choose(r, 3, 401, 200), 0);
    assert_int_equal(mill_router_choose(r, 3, 501, 200), 2);
    assert_int_equal(mill_router_choose(r, 3, 901, 200), -1);
    assert_int_equal(mill_router_max_tokens(r, 3), 900);
    /* A slow one last, and what it has goes to one that is as large. */
    r[1].slow = true;
    assert_int_equal(mill_router_choose(r, 3, 1, 200), 0);
    assert_true(mill_router_has_stand_in(r, 3, 1));
    r[2].slow = true;
    assert_false(mill_router_has_stand_in(r, 3, 2));
    assert_int_equal(mill_router_choose(r, 3, 501, 200), 2);
    r[0].slow = true;
    assert_false(mill_router_has_stand_in(r, 3, 1));
    assert_int_equal(mill_router_choose(r, 3, 1, 200), 1);
    r[1].ready = false;
    assert_int_equal(mill_router_choose(r, 3, 1, 200), 0);
    assert_false(mill_router_has_stand_in(r, 3, 0));
    r[0].ready = r[2].ready = false;
    assert_int_equal(mill_router_choose(r, 3, 1, 200), -1);
    assert_true(mill_router_backlog_s(r, 3) == 0);
    assert_int_equal(mill_router_max_tokens(r, 3), 0);
    assert_int_equal(mill_router_choose(r, 0, 1, 1), -1);
}

/* The watcher reads it. */
static void set_room(struct mill_replica *replica, int32_t max_tokens) {
    pthread_mutex_lock(&replica->lock);
    replica->max_tokens = max_tokens;
    pthread_mutex_unlock(&replica->lock);
}

/* Of unequal devices the one that has room for a request gets it; where none has, that is said. */
static void test_room(void **state) {
    (void)state;
    struct mill_engine *engine = fixture_open(
        (struct mill_engine_options){.devices = "cpu:1,cpu:1", .max_tokens = 200}, NULL);
    struct mill_engine_stats stats;
    struct heard heard[2];
    set_room(engine->replicas[0], 100);
    for (int i = 0; i < 2; i++)
        fixture_submit(engine, i, false, &heard[i]);
    for (int i = 0; i < 2; i++) {
        fixture_finish(&heard[i]);
        assert_int_equal(heard[i].result.status, MILL_OK);
        heard_free(&heard[i]);
    }
    mill_engine_get_stats(engine, &stats);
    assert_int_equal(stats.replicas[0].n_tokens, 0);
    set_room(engine->replicas[1], 110);
    fixture_submit(engine, 0, false, &heard[0]);
    fixture_finish(&heard[0]);
    assert_int_equal(heard[0].result.status, MILL_E_INPUT);
    assert_non_null(strstr(heard[0].result.error.text, "have room for 110"));
    heard_free(&heard[0]);
    set_room(engine->replicas[1], 200);
    struct mill_engine_request wish = fixture_wish(engine, 0, &heard[0]);
    wish.max_frames = INT32_MAX; /* a limit: lowered to what there is room for */
    fixture_submit_wish(engine, &wish, &heard[0]);
    fixture_finish(&heard[0]);
    assert_int_equal(heard[0].result.status, MILL_OK);
    assert_in_range(heard[0].result.n_frames, 1, 199);
    heard_free(&heard[0]);
    drain_and_close(engine);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "lazy") == 0)
        fixture_use(lazy_backend_ops(mill_backend_find("cpu", NULL)));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_company),
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_cancel_and_deadline),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_callback_fails),
        cmocka_unit_test(test_voice),
        cmocka_unit_test(test_drain_and_close),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_not_opened),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_readable),
        cmocka_unit_test(test_router),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_voice_is_computed_once),
    };
    return cmocka_run_group_tests(tests, fixture_write_checkpoint, NULL);
}
