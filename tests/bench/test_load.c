/* test_load.c - the load generator against a target that answers from a thread of its own: how many
 * are on their way at once, what is counted, when a player falls silent. */
#include "bench/load.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { RATE = 1000, HOP = 20 };

/* Every request is answered by a thread: two pieces of sound, of 50 ms, with a pause between. */
struct fake {
    atomic_int flying, most, started, finished;
    int n_warmup, left_of_warmup; /* how many of the first so many were flying when it was over */
    int refuse_from;              /* requests from this number on are refused; 0 = none */
    int refuse_to;                /* and those up to this one */
    int fail_every;               /* every n-th request fails; 0 = none */
    long pause_ms;
    size_t piece; /* samples; 0 = 50 */
};

struct answer {
    struct fake *fake;
    struct bench_request *request;
    pthread_t thread;
    int number;
};

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static void *answer(void *argument) {
    struct answer *a = argument;
    bool fails = a->fake->fail_every && a->number % a->fake->fail_every == 0;
    size_t piece = a->fake->piece ? a->fake->piece : 50;
    bench_request_heard(a->request, piece);
    sleep_ms(a->fake->pause_ms);
    if (!fails)
        bench_request_heard(a->request, piece);
    atomic_fetch_sub(&a->fake->flying, 1);
    bench_request_ended(a->request, fails ? "500" : NULL);
    return NULL;
}

static mill_status start(void *context, struct bench_request *request, struct mill_error *err) {
    struct fake *fake = context;
    int number = atomic_fetch_add(&fake->started, 1) + 1;
    bench_request_sent(request);
    if (number == fake->n_warmup + 1)
        fake->left_of_warmup = atomic_load(&fake->flying);
    if ((fake->refuse_from && number >= fake->refuse_from) || number <= fake->refuse_to)
        return mill_fail(err, MILL_E_DEVICE, "no device");
    struct answer *a = calloc(1, sizeof *a);
    assert_non_null(a);
    *a = (struct answer){.fake = fake, .request = request, .number = number};
    request->handle = a;
    int flying = atomic_fetch_add(&fake->flying, 1) + 1;
    if (flying > atomic_load(&fake->most))
        atomic_store(&fake->most, flying);
    assert_int_equal(pthread_create(&a->thread, NULL, answer, a), 0);
    return MILL_OK;
}

static void finish(void *context, struct bench_request *request) {
    struct fake *fake = context;
    struct answer *a = request->handle;
    if (a)
        pthread_join(a->thread, NULL);
    free(a);
    atomic_fetch_add(&fake->finished, 1);
}

static mill_status run(struct fake *fake, const struct bench_load *load,
                       struct bench_outcome *outcome, struct mill_error *err) {
    const struct bench_target target = {.context = fake,
                                        .sample_rate = RATE,
                                        .samples_per_frame = HOP,
                                        .start = start,
                                        .finish = finish};
    struct bench_passages passages;
    assert_int_equal(bench_passages_open(&passages, NULL, err), MILL_OK);
    mill_status status = bench_load_run(load, &target, &passages, outcome, err);
    bench_passages_close(&passages);
    return status;
}

static void test_closed_loop(void **state) {
    (void)state;
    struct fake fake = {.pause_ms = 2, .n_warmup = 4};
    const struct bench_load load = {.concurrency = 3, .n_requests = 12, .n_warmup = 4, .seed = 1};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_int_equal(fake.started, 16);
    assert_int_equal(fake.finished, 16);
    assert_true(fake.most >= 1 && fake.most <= 3);
    assert_int_equal(fake.left_of_warmup, 0);
    assert_int_equal(out.n_done, 12); /* the warm-up does not count */
    assert_int_equal(out.n_failed, 0);
    assert_true(fabs(out.audio_s - 1.2) < 1e-9);
    assert_true(fabs(out.frames_per_s - out.audio_s * RATE / HOP / out.wall_s) < 1e-6);
    assert_true(out.first_p50 >= 0 && out.latency_p50 >= out.first_p50);
    assert_true(out.latency_p99 >= out.latency_p50 && out.joules < 0 && out.busy_share < 0);
    assert_true(out.sent_late_p99 >= 0 && out.sent_late_p99 <= out.first_p99);
    assert_int_equal(out.failures[0].n, 0);
}

/* Good is who began within the deadline and was never silent. */
static void test_good(void **state) {
    (void)state;
    struct fake fake = {.piece = 1000 * RATE}, late = {.pause_ms = 80};
    struct bench_load load = {
        .concurrency = 1, .n_requests = 4, .n_warmup = 1, .seed = 1, .deadline_s = 1e6};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_true(out.good_share == 1 && fabs(out.good_per_s * out.wall_s - 4) < 1e-6);
    assert_int_equal(run(&late, &load, &out, &err), MILL_OK);
    assert_true(out.good_share == 0 && out.good_per_s == 0);
    load.deadline_s = 0;
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_true(out.good_share == 0);
    /* Who fails is not good, whatever came before. */
    load.deadline_s = 1e6;
    fake.fail_every = 2;
    atomic_store(&fake.started, 0);
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_true(out.good_share == 0.5);
}

static void test_underrun(void **state) {
    (void)state;
    struct fake late = {.pause_ms = 80}; /* 50 ms of sound, the next piece comes 80 ms later */
    const struct bench_load load = {.concurrency = 2, .n_requests = 4, .seed = 1};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&late, &load, &out, &err), MILL_OK);
    assert_true(out.underrun_share == 1);
    assert_true(out.stalled_s >= 4 * 0.029 && out.gap_p50 >= 0.079);
}

static void test_failures_are_counted(void **state) {
    (void)state;
    struct fake fake = {.fail_every = 3, .refuse_from = 11};
    const struct bench_load load = {.concurrency = 1, .n_requests = 12, .seed = 1};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_int_equal(out.n_failed, 3 + 2); /* 3, 6, 9 failed; 11 and 12 were refused */
    assert_int_equal(out.n_done, 7);
    assert_string_equal(out.failures[0].name, "500");
    assert_int_equal(out.failures[0].n, 3);
    assert_string_equal(out.failures[1].name, "refused");
    assert_int_equal(out.failures[1].n, 2);
    assert_int_equal(out.failures[2].n, 0);
}

static void test_refused_at_first(void **state) {
    (void)state;
    struct fake fake = {.refuse_to = 2};
    const struct bench_load load = {.concurrency = 1, .n_requests = 5, .n_warmup = 1, .seed = 1};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_int_equal(out.n_failed, 1);
    assert_int_equal(out.n_done, 4);
}

static void test_many_kinds_of_failure(void **state) {
    (void)state;
    struct bench_failure list[BENCH_MAX_FAILURES] = {0};
    char name[16];
    for (int i = 0; i < 2 * BENCH_MAX_FAILURES; i++) {
        snprintf(name, sizeof name, "%d", 400 + i);
        bench_failures_add(list, name, 2);
    }
    bench_failures_add(list, "400", 1);
    assert_int_equal(list[0].n, 3);
    assert_string_equal(list[BENCH_MAX_FAILURES - 1].name, "other");
    assert_int_equal(list[BENCH_MAX_FAILURES - 1].n, 2 * (BENCH_MAX_FAILURES + 1));
}

static void test_nothing_starts(void **state) {
    (void)state;
    struct fake fake = {.refuse_from = 1};
    const struct bench_load load = {.concurrency = 1, .n_requests = 2, .seed = 1};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&fake, &load, &out, &err), MILL_E_DEVICE);
    assert_string_equal(err.text, "no device");
}

static void test_open_loop(void **state) {
    (void)state;
    struct fake fake = {.pause_ms = 1};
    const struct bench_load load = {.rate = 400, .n_requests = 20, .n_warmup = 2, .seed = 7};
    struct bench_outcome out;
    struct mill_error err = {""};
    assert_int_equal(run(&fake, &load, &out, &err), MILL_OK);
    assert_int_equal(out.n_done, 20);
    assert_true(out.wall_s > 0 && out.first_p50 >= 0);
}

static void test_passages(void **state) {
    (void)state;
    struct bench_passages passages;
    struct mill_error err = {""};
    assert_int_equal(bench_passages_open(&passages, NULL, &err), MILL_OK);
    assert_true(passages.n_items > 20);
    for (size_t i = 0; i < passages.n_items; i++) {
        const struct bench_passage *item = &passages.items[i];
        assert_true(item->bytes >= 60 && item->bytes <= 500);
        assert_true(item->text[0] != ' ');
    }
    struct bench_passage a = bench_passage_at(&passages, 5), b = bench_passage_at(&passages, 5);
    assert_true(a.text == b.text && a.bytes == b.bytes);
    bench_passages_close(&passages);

    const char *path = MILL_SCRATCH "/short.txt";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("Too short.", file);
    fclose(file);
    assert_int_equal(bench_passages_open(&passages, path, &err), MILL_E_INPUT);
    assert_int_equal(bench_passages_open(&passages, "/nowhere", &err), MILL_E_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_closed_loop),
                                       cmocka_unit_test(test_underrun),
                                       cmocka_unit_test(test_good),
                                       cmocka_unit_test(test_many_kinds_of_failure),
                                       cmocka_unit_test(test_failures_are_counted),
                                       cmocka_unit_test(test_nothing_starts),
                                       cmocka_unit_test(test_refused_at_first),
                                       cmocka_unit_test(test_open_loop),
                                       cmocka_unit_test(test_passages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
