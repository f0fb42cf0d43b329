/* test_engine_faults.c - devices that fail or hang under the engine: requests go elsewhere, their
 * audio is the same, no sample comes twice, and what cannot go on says so. */
#include "tests/engine/engine_fixture.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/lazy_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Replicas below n_faulty are faulty ones. */
static const struct mill_backend_ops *find_backend(void *context, int32_t replica) {
    const struct mill_backend_ops *faulty = faulty_backend_ops();
    return replica >= *(int32_t *)context ? NULL : lazy ? lazy_backend_ops(faulty) : faulty;
}

static struct mill_engine *open_faulty(const char *devices, int32_t *n_faulty, double stuck_s) {
    const struct mill_engine_hooks hooks = {
        .find_backend = find_backend, .context = n_faulty, .audit = true};
    return fixture_open(
        (struct mill_engine_options){
            .devices = devices, .max_running = 3, .max_window = 16, .stuck_s = stuck_s},
        &hooks);
}

/* Operators that the wishes take on one replica. */
static long count_calls(void) {
    int32_t n_faulty = 1;
    struct heard heard[N_WISHES];
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1", &n_faulty, 30);
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
static void check_lost(enum faulty_kind kind, long n, double stuck_s) {
    int32_t n_faulty = 1;
    struct heard heard[N_WISHES];
    struct mill_engine_stats stats;
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty, stuck_s);
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
    if (stats.replicas[0].state != MILL_REPLICA_READY) {
        assert_int_equal(stats.replicas[0].state, want);
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
            check_lost(FAULTY_FAILS, first[k], 30);
        for (int k = 1; k < 6; k++) /* it has about half of the work */
            check_lost(FAULTY_FAILS, n_calls * k / 12, 30);
    }
}

static void test_hangs(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        lazy = i;
        long n_calls = count_calls();
        /* Long enough for a good device on a busy machine. */
        for (int k = 0; k < 3 - i; k++)
            check_lost(FAULTY_HANGS, 1 + n_calls * k / 8, 3);
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
        struct mill_engine *engine = open_faulty("cpu:1", &n_faulty, 3);
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
        while (stats.replicas[0].state != MILL_REPLICA_READY) {
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
            mill_engine_get_stats(engine, &stats);
        }
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

/* What hears a piece and breaks the device at once. */
struct breaker {
    struct heard *heard;
    mill_status (*hear)(void *context, const float *samples, size_t n, struct mill_error *err);
    size_t n_before; /* samples heard when it broke */
};

static mill_status hear_and_break(void *context, const float *samples, size_t n,
                                  struct mill_error *err) {
    struct breaker *breaker = context;
    if (breaker->n_before == 0) {
        faulty_backend_arm(FAULTY_FAILS, 1);
        breaker->n_before = n;
    }
    return breaker->hear(breaker->heard, samples, n, err);
}

/* A device fails when part of the audio was delivered: the rest follows, nothing comes twice, also
 * where the sound must be made again from its first frame. */
static void test_fails_after_delivery(void **state) {
    (void)state;
    static const int wishes[] = {0, 4}; /* exact; with less look-ahead */
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        int32_t n_faulty = 1;
        struct heard heard = {0};
        faulty_backend_disarm();
        struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty, 30);
        struct mill_engine_request wish = fixture_wish(engine, wishes[i], &heard);
        struct breaker breaker = {.heard = &heard, .hear = wish.deliver};
        wish.deliver = hear_and_break;
        wish.context = &breaker;
        assert_int_equal(mill_engine_submit(engine, &wish, &heard.request, NULL, NULL), MILL_OK);
        fixture_finish(&heard);
        assert_in_range(breaker.n_before, 1, heard.n_samples - 1);
        assert_int_equal(heard.result.n_retries, 1);
        assert_same_sound(&alone[wishes[i]], &heard);
        heard_free(&heard);
        faulty_backend_disarm();
        mill_engine_close(engine);
    }
}

/* No replica is left: requests fail with a message, and new ones are refused. */
static void test_all_fail(void **state) {
    (void)state;
    int32_t n_faulty = 2;
    struct heard heard[N_WISHES];
    struct mill_error err = {""};
    faulty_backend_disarm();
    struct mill_engine *engine = open_faulty("cpu:1,cpu:1", &n_faulty, 30);
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
        cmocka_unit_test(test_fails),         cmocka_unit_test(test_fails_after_delivery),
        cmocka_unit_test(test_hangs),         cmocka_unit_test(test_all_fail),
        cmocka_unit_test(test_never_started), cmocka_unit_test(test_comes_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
