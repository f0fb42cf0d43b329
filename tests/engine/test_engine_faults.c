/* test_engine_faults.c - devices that fail or hang under the engine: requests go elsewhere, their
 * audio is the same, no sample comes twice, and what cannot go on says so. */
#include "tests/engine/engine_fixture.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/lazy_backend.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_WISHES = 6 };

static struct heard alone[N_WISHES];

static int set_up(void **state) {
    int failed = fixture_write_checkpoint(state);
    for (int i = 0; !failed && i < N_WISHES; i++)
        fixture_alone(i, &alone[i]);
    return failed;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < N_WISHES; i++)
        heard_free(&alone[i]);
    return 0;
}

/* Whether replicas are asynchronous: then a fault shows when what was launched is waited for. */
static bool lazy;

/* No time passes for a replica but while a call of it hangs: then it is this many seconds. */
enum { SLOW_MS = 60, STUCK_MS = 31000 };
static atomic_int hang_ms;

static double scripted_clock(void *context, int32_t replica) {
    bool hangs = replica < *(int32_t *)context && faulty_backend_hangs();
    return hangs ? 1e-3 * atomic_load(&hang_ms) : 0;
}

/* Replicas below n_faulty are faulty ones. */
static const struct mill_backend_ops *find_backend(void *context, int32_t replica) {
    const struct mill_backend_ops *faulty = faulty_backend_ops();
    return replica >= *(int32_t *)context ? NULL : lazy ? lazy_backend_ops(faulty) : faulty;
}

static struct mill_engine *open_faulty(const char *devices, int32_t *n_faulty) {
    const struct mill_engine_hooks hooks = {
        .find_backend = find_backend, .clock = scripted_clock, .context = n_faulty, .audit = true};
    atomic_store(&hang_ms, STUCK_MS);
    return fixture_open(
        (struct mill_engine_options){.devices = devices, .max_running = 3, .max_window = 16},
        &hooks);
}

/* Until replica 0 is in this state. */
static void await_state(struct mill_engine *engine, enum mill_replica_state state) {
    struct mill_engine_stats stats;
    for (;;) {
        mill_engine_get_stats(engine, &stats);
        if (stats.replicas[0].state == state)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

/* Operators that the wishes take on one replica. */
static long count_calls(void) {
    int32_t n_faulty = 1;
    struct heard heard[N_WISHES];
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1", &n_faulty);
    long before = faulty_backend_calls();
    for (int i = 0; i < N_WISHES; i++)
        fixture_submit(engine, i, false, &heard[i]);
    for (int i = 0; i < N_WISHES; i++) {
        fixture_finish(&heard[i]);
        heard_free(&heard[i]);
    }
    long n = faulty_backend_calls() - before;
    mill_engine_close(engine);
    return n;
}

/* The first of two replicas goes at its n-th operator; what it had is done by the second. */
static void check_lost(enum faulty_kind kind, long n) {
    int32_t n_faulty = 1;
    struct heard heard[N_WISHES];
    struct mill_engine_stats stats;
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty);
    faulty_backend_arm(kind, n);
    for (int i = 0; i < N_WISHES; i++)
        fixture_submit(engine, i, i % 3 == 0, &heard[i]);
    int32_t n_retries = 0;
    for (int i = 0; i < N_WISHES; i++) {
        fixture_finish(&heard[i]);
        assert_same_sound(&alone[i], &heard[i]);
        n_retries += heard[i].result.n_retries;
        heard_free(&heard[i]);
    }
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK); /* then every end is counted */
    mill_engine_get_stats(engine, &stats);
    enum mill_replica_state want = kind == FAULTY_FAILS ? MILL_REPLICA_FAILED : MILL_REPLICA_STUCK;
    if (stats.replicas[0].state == MILL_REPLICA_FAILED)
        assert_int_equal(stats.replicas[0].n_free_pages, stats.replicas[0].n_pages);
    if (stats.replicas[0].state != MILL_REPLICA_READY) {
        assert_int_equal(stats.replicas[0].state, want);
        assert_int_equal(stats.replicas[0].n_running, 0);
        assert_true(n_retries > 0);
    }
    assert_int_equal(stats.replicas[1].state, MILL_REPLICA_READY);
    assert_int_equal(stats.n_retries, n_retries);
    assert_int_equal(stats.n_failed, 0);
    faulty_backend_disarm();
    mill_engine_close(engine);
}

static void test_fails(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        lazy = i;
        long n_calls = count_calls();
        assert_true(n_calls > 100);
        static const long first[] = {1, 2, 35};
        for (size_t k = 0; k < sizeof first / sizeof *first; k++)
            check_lost(FAULTY_FAILS, first[k]);
        for (int k = 1; k < 6; k++) /* it has about half of the work */
            check_lost(FAULTY_FAILS, n_calls * k / 12);
    }
}

static void test_hangs(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        lazy = i;
        long n_calls = count_calls();
        for (int k = 0; k < 3; k++)
            check_lost(FAULTY_HANGS, 1 + n_calls * k / 8);
    }
    lazy = false;
}

/* The only device pauses for too long: what it had fails, and when it comes back it is used again.
 */
static void test_comes_back(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        int32_t n_faulty = 1;
        struct heard heard[2];
        struct mill_engine_stats stats;
        lazy = i;
        faulty_backend_disarm();
        struct mill_engine *engine = open_faulty("cpu:1", &n_faulty);
        faulty_backend_arm(FAULTY_PAUSES, 400);
        for (int k = 0; k < 2; k++)
            fixture_submit(engine, k, false, &heard[k]);
        for (int k = 0; k < 2; k++) {
            fixture_finish(&heard[k]);
            assert_int_equal(heard[k].result.status, MILL_E_DEVICE);
            heard_free(&heard[k]);
        }
        mill_engine_get_stats(engine, &stats);
        assert_int_equal(stats.replicas[0].state, MILL_REPLICA_STUCK);
        faulty_backend_disarm();
        await_state(engine, MILL_REPLICA_READY);
        for (int k = 0; k < 2; k++)
            fixture_submit(engine, k, false, &heard[k]);
        for (int k = 0; k < 2; k++) {
            fixture_finish(&heard[k]);
            assert_same_sound(&alone[k], &heard[k]);
            heard_free(&heard[k]);
        }
        mill_engine_close(engine);
    }
    lazy = false;
}

/* The only device hangs until it is given up, and then its call, of a step or of the vocoder,
 * fails: it is not used again. */
static void test_fails_late(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        int32_t n_faulty = 1;
        struct heard heard;
        lazy = i % 2;
        faulty_backend_disarm();
        struct mill_engine *engine = open_faulty("cpu:1", &n_faulty);
        faulty_backend_arm(FAULTY_HANGS, 618 + 74 * i);
        fixture_submit(engine, 0, false, &heard);
        fixture_finish(&heard);
        assert_int_equal(heard.result.status, MILL_E_DEVICE);
        heard_free(&heard);
        faulty_backend_disarm();
        await_state(engine, MILL_REPLICA_FAILED);
        mill_engine_close(engine);
    }
    lazy = false;
}

/* What hears a piece and breaks the device at once. */
struct breaker {
    enum faulty_kind kind;
    struct heard *heard;
    mill_status (*hear)(void *context, const float *samples, size_t n, struct mill_error *err);
    size_t n_before; /* samples heard when it broke */
};

static mill_status hear_and_break(void *context, const float *samples, size_t n,
                                  struct mill_error *err) {
    struct breaker *breaker = context;
    if (breaker->n_before == 0) {
        faulty_backend_arm(breaker->kind, 1);
        breaker->n_before = n;
    }
    return breaker->hear(breaker->heard, samples, n, err);
}

static struct mill_engine_request wish_that_breaks(struct mill_engine *engine, int i,
                                                   struct breaker *breaker) {
    struct mill_engine_request wish = fixture_wish(engine, i, breaker->heard);
    breaker->hear = wish.deliver;
    wish.deliver = hear_and_break;
    wish.context = breaker;
    return wish;
}

/* A request whose device breaks when its first sound was heard: another one says the rest. */
static void speak_and_break(struct mill_engine *engine, int i, enum faulty_kind kind) {
    struct heard heard;
    struct breaker breaker = {.kind = kind, .heard = &heard};
    const struct mill_engine_request wish = wish_that_breaks(engine, i, &breaker);
    fixture_submit_wish(engine, &wish, &heard);
    fixture_finish(&heard);
    assert_in_range(breaker.n_before, 1, heard.n_samples - 1);
    assert_int_equal(heard.result.n_retries, 1);
    assert_same_sound(&alone[i], &heard);
    heard_free(&heard);
}

static void speak(struct mill_engine *engine, int i) {
    struct heard heard;
    fixture_submit(engine, i, false, &heard);
    fixture_finish(&heard);
    assert_int_equal(heard.result.n_retries, 0);
    assert_same_sound(&alone[i], &heard);
    heard_free(&heard);
}

/* A device apart from the host is slow, for less than stuck_s: what it had and what comes goes to
 * the other one, and when it is back it is used again. */
static void test_slow(void **state) {
    (void)state;
    int32_t n_faulty = 1;
    struct mill_engine_stats stats;
    lazy = true;
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty);
    atomic_store(&hang_ms, SLOW_MS);
    speak_and_break(engine, 0, FAULTY_PAUSES);
    await_state(engine, MILL_REPLICA_SLOW);
    mill_engine_get_stats(engine, &stats);
    assert_true(stats.replicas[0].backlog_s == 0);
    uint64_t n_steps = stats.replicas[0].n_steps;
    speak(engine, 1);
    faulty_backend_disarm();
    await_state(engine, MILL_REPLICA_READY);
    speak(engine, 2);
    speak(engine, 3);
    mill_engine_get_stats(engine, &stats);
    assert_true(stats.replicas[0].n_steps > n_steps);
    mill_engine_close(engine);
    lazy = false;
}

/* Waits for a device that are let through; each of the others hangs until it is. */
static atomic_int n_waits;
static atomic_bool waits;
static const struct mill_backend_ops *waited_for;

static mill_status wait_when_let(struct mill_backend *backend, struct mill_event *event) {
    while (atomic_load(&n_waits) == 0) {
        atomic_store(&waits, true);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    atomic_store(&waits, false);
    atomic_fetch_sub(&n_waits, 1);
    return waited_for->event_wait(backend, event);
}

static const struct mill_backend_ops *find_waiting(void *context, int32_t replica) {
    static struct mill_backend_ops table;
    (void)context;
    waited_for = lazy_backend_ops(faulty_backend_ops());
    table = *waited_for;
    table.event_wait = wait_when_let;
    return replica == 0 ? &table : NULL;
}

static double waiting_clock(void *context, int32_t replica) {
    (void)context;
    return replica == 0 && atomic_load(&waits) ? 1e-3 * atomic_load(&hang_ms) : 0;
}

static mill_status hear_and_hold(void *context, const float *samples, size_t n,
                                 struct mill_error *err) {
    struct breaker *breaker = context;
    if (breaker->n_before == 0)
        atomic_store(&n_waits, 0);
    breaker->n_before += n;
    return breaker->hear(breaker->heard, samples, n, err);
}

/* A device that was slow is back from one call and hangs in the next, which was on its way too: it
 * is not thought to be slow for ever. */
static void test_slow_then_stuck(void **state) {
    (void)state;
    const struct mill_engine_hooks hooks = {.find_backend = find_waiting, .clock = waiting_clock};
    struct heard heard = {0};
    faulty_backend_disarm();
    atomic_store(&hang_ms, SLOW_MS);
    atomic_store(&n_waits, 1000000);
    struct mill_engine *engine = fixture_open(
        (struct mill_engine_options){
            .devices = "cpu:1,cpu:1", .max_running = 3, .max_window = 16, .max_unread_s = 0.01},
        &hooks);
    struct mill_engine_request wish = fixture_wish(engine, 0, &heard);
    struct breaker breaker = {.heard = &heard, .hear = wish.deliver};
    wish.deliver = hear_and_hold;
    wish.context = &breaker;
    assert_int_equal(mill_engine_submit(engine, &wish, &heard.request, NULL, NULL), MILL_OK);
    await_state(engine, MILL_REPLICA_SLOW);
    fixture_finish(&heard); /* on the other one */
    assert_same_sound(&alone[0], &heard);
    heard_free(&heard);
    fixture_submit(engine, 2, true, &heard); /* nobody reads it: there is one all the time */
    atomic_store(&n_waits, 1);
    while (atomic_load(&n_waits) > 0 || !atomic_load(&waits))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_store(&hang_ms, STUCK_MS);
    await_state(engine, MILL_REPLICA_STUCK);
    atomic_store(&n_waits, 1000000);
    await_state(engine, MILL_REPLICA_READY);
    heard_free(&heard);
    mill_engine_close(engine);
}

/* A device fails when part of the audio was delivered: the rest follows, nothing comes twice, also
 * where the sound must be made again from its first frame. */
static void test_fails_after_delivery(void **state) {
    (void)state;
    static const int wishes[] = {0, 4}; /* exact; with less look-ahead */
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        int32_t n_faulty = 1;
        faulty_backend_disarm();
        struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty);
        speak_and_break(engine, wishes[i], FAULTY_FAILS);
        faulty_backend_disarm();
        mill_engine_close(engine);
    }
}

static mill_status run_silently(struct mill_backend *backend, const struct mill_conv1d_args *args) {
    mill_status status = mill_backend_find("cpu", NULL)->conv1d(backend, args);
    if (args->act == MILL_ACT_TANH) /* the samples */
        memset(args->y.data, 0, (size_t)args->y.rows * sizeof(float));
    return status;
}

static const struct mill_backend_ops *find_silent(void *context, int32_t replica) {
    static struct mill_backend_ops table;
    (void)context;
    table = *mill_backend_find("cpu", NULL);
    table.conv1d = run_silently;
    return replica == 0 ? faulty_backend_ops() : &table;
}

/* A device fails, and what is left to say is silent: that is no request without any sound. */
static void test_fails_before_silence(void **state) {
    (void)state;
    struct heard heard;
    faulty_backend_disarm();
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1,cpu:1"},
                     &(struct mill_engine_hooks){.find_backend = find_silent});
    struct breaker breaker = {.kind = FAULTY_FAILS, .heard = &heard};
    struct mill_engine_request wish = wish_that_breaks(engine, 0, &breaker);
    fixture_submit_wish(engine, &wish, &heard);
    fixture_finish(&heard);
    assert_int_equal(heard.result.status, MILL_OK);
    assert_int_equal(heard.result.n_retries, 1);
    assert_int_equal(heard.result.findings, alone[0].result.findings);
    heard_free(&heard);
    mill_engine_close(engine);
}

/* No replica is left: requests fail with a message, and new ones are refused. */
static void test_all_fail(void **state) {
    (void)state;
    int32_t n_faulty = 2;
    struct heard heard[N_WISHES];
    struct mill_error err = {""};
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty);
    faulty_backend_arm(FAULTY_FAILS, 500);
    for (int i = 0; i < N_WISHES; i++) {
        struct mill_engine_request wish = fixture_wish(engine, i, &heard[i]);
        heard[i] = (struct heard){0};
        if (mill_engine_submit(engine, &wish, &heard[i].request, NULL, &err) != MILL_OK) {
            assert_string_equal(err.text, "no device is left that works");
            assert_null(heard[i].request);
        }
    }
    int n_failed = 0;
    for (int i = 0; i < N_WISHES; i++) {
        if (!heard[i].request)
            continue;
        fixture_finish(&heard[i]);
        if (heard[i].result.status == MILL_OK) {
            assert_same_sound(&alone[i], &heard[i]);
        } else {
            assert_int_equal(heard[i].result.status, MILL_E_DEVICE);
            assert_int_equal(heard[i].result.end, MILL_REQUEST_FAILED);
            n_failed++;
        }
        heard_free(&heard[i]);
    }
    assert_true(n_failed > 0);
    struct mill_engine_request wish = fixture_wish(engine, 0, &heard[0]);
    assert_int_equal(mill_engine_submit(engine, &wish, &heard[0].request, NULL, &err),
                     MILL_E_DEVICE);
    mill_engine_close(engine);
    faulty_backend_disarm();
}

/* Of two replicas the faulty one. */
static int32_t faulty;

static const struct mill_backend_ops *find_backend_of_two(void *context, int32_t replica) {
    (void)context;
    return replica == faulty ? faulty_backend_ops() : NULL;
}

static double clock_of_two(void *context, int32_t replica) {
    (void)context;
    return replica == faulty && faulty_backend_hangs() ? 1e-3 * atomic_load(&hang_ms) : 0;
}

/* The engine that is closed; one that leaves its memory behind is not a leak. */
static struct mill_engine *closing;

/* Until close has begun and waits for the device that hangs. */
static void await_closing(void) {
    for (bool begun = false; !begun;) {
        pthread_mutex_lock(&closing->lock);
        begun = closing->closing;
        pthread_mutex_unlock(&closing->lock);
    }
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}

static void *let_it_be_stuck(void *context) {
    await_closing();
    atomic_store(&hang_ms, STUCK_MS);
    return context;
}

static void *let_it_fail(void *context) {
    await_closing();
    faulty_backend_disarm();
    return context;
}

/* Two requests, one on each replica, whose sound nobody reads; the faulty one hangs. The engine is
 * closed, and then neither runs any more. */
static void close_while_one_hangs(void *(*meanwhile)(void *context)) {
    const struct mill_engine_hooks hooks = {
        .find_backend = find_backend_of_two, .clock = clock_of_two, .audit = true};
    struct heard heard[2];
    pthread_t thread;
    atomic_store(&hang_ms, 0);
    faulty_backend_disarm();
    closing = fixture_open(
        (struct mill_engine_options){
            .devices = "cpu:1,cpu:1", .max_running = 3, .max_window = 16, .max_unread_s = 0.01},
        &hooks);
    faulty_backend_arm(FAULTY_HANGS, 400);
    for (int i = 0; i < 2; i++)
        fixture_submit(closing, 2 * i, true, &heard[i]);
    while (!faulty_backend_hangs())
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(pthread_create(&thread, NULL, meanwhile, NULL), 0);
    mill_engine_close(closing);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mill_request_wait(heard[i].request, 0), MILL_OK);
        mill_request_get_result(heard[i].request, &heard[i].result);
        assert_int_equal(heard[i].result.end, MILL_REQUEST_CANCELLED);
        heard_free(&heard[i]);
    }
}

/* Speaks, one wish after the other, until the pipe is closed; 0 when all went well. */
static int speak_until_closed(int pipe) {
    struct mill_engine *engine = fixture_open(
        (struct mill_engine_options){.devices = "cpu:1", .max_running = 3, .stuck_s = 3}, NULL);
    struct pollfd closed = {.fd = pipe};
    int n_failed = 0;
    while (poll(&closed, 1, 0) == 0) {
        struct heard heard = {0};
        const struct mill_engine_request wish = fixture_wish(engine, 0, &heard);
        if (mill_engine_submit(engine, &wish, &heard.request, NULL, NULL) != MILL_OK)
            return 1;
        fixture_finish(&heard);
        n_failed += heard.result.status != MILL_OK;
        heard_free(&heard);
    }
    mill_engine_close(engine);
    return n_failed > 0;
}

/* A process that is stopped for longer than a step may take loses nothing: no device is stuck. */
static void test_stopped_process(void **state) {
    (void)state;
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[1]);
        _exit(speak_until_closed(pipes[0]));
    }
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    kill(child, SIGSTOP);
    nanosleep(&(struct timespec){.tv_sec = 5}, NULL);
    kill(child, SIGCONT);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    close(pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(pipes[0]);
    assert_int_equal(status, 0);
}

/* A device fails while its engine is closed: that one looks where its requests could go. */
static void test_fails_while_closed(void **state) {
    (void)state;
    faulty = 0;
    close_while_one_hangs(let_it_fail);
}

/* A device is stuck when its engine is closed. The last test: what it left behind is used when it
 * comes back. */
static void test_closed_while_stuck(void **state) {
    (void)state;
    faulty = 1;
    close_while_one_hangs(let_it_be_stuck);
    faulty_backend_disarm();
}

/* An engine that was never started cancels what waits for it. */
static void test_never_started(void **state) {
    (void)state;
    struct mill_engine *engine;
    struct mill_error err = {""};
    const struct mill_engine_options options = {.model = fixture_folder(), .devices = "cpu:1"};
    assert_int_equal(mill_engine_open(&engine, &options, &err), MILL_OK);
    struct heard heard = {0};
    fixture_submit(engine, 0, false, &heard);
    mill_engine_close(engine);
    fixture_finish(&heard);
    assert_int_equal(heard.result.end, MILL_REQUEST_CANCELLED);
    heard_free(&heard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fails),
        cmocka_unit_test(test_fails_after_delivery),
        cmocka_unit_test(test_fails_before_silence),
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_all_fail),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_fails_late),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_slow_then_stuck),
        cmocka_unit_test(test_stopped_process),
        cmocka_unit_test(test_fails_while_closed),
        cmocka_unit_test(test_closed_while_stuck),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
