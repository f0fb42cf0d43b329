/* test_scheduler_windows.c - which frames become sound when, and who has the vocoder's streams: the
 * rules of scheduler_windows.c in worlds whose batches can be written down. */
#include "tests/engine/small_world.h"

/* ------------------------------------------------------------------ streams */

static void test_streams_are_lent(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_streams = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = streamed(2, 2);
    must_add(&d, &job, 30);
    must_add(&d, &job, 30);
    for (int i = 0; i < 5; i++)
        step(&d, 0);
    voice(&d, 0);
    assert_batch(&d, "0:0-2");
    assert_true(d.batch.windows[0].fresh);
    voice(&d, 0);
    assert_batch(&d, "1:0-2"); /* took the stream over */
    assert_true(d.batch.windows[0].fresh);
    for (int i = 0; i < 4; i++)
        step(&d, 0);
    voice(&d, 10);
    assert_batch(&d, "0:2-6");
    assert_true(d.batch.windows[0].fresh);
    drive_remove(&d, 0);
    drive_remove(&d, 1);
    /* Not exact: its stream cannot begin in the middle and is not taken, unless nobody listens. */
    job.lookahead = 1;
    must_add(&d, &job, 30);
    must_add(&d, &job, 30);
    for (int i = 0; i < 5; i++)
        step(&d, 11);
    voice(&d, 11);
    assert_int_equal(d.batch.n_windows, 1);
    assert_batch(&d, "1:0-4");
    voice(&d, 11);
    assert_int_equal(d.batch.n_windows, 0);
    mill_scheduler_hold(d.scheduler, 1, true);
    voice(&d, 11);
    assert_batch(&d, "0:0-4");
    drive_remove(&d, 0);
    mill_scheduler_hold(d.scheduler, 1, false);
    voice(&d, 20);
    assert_batch(&d, "1:0-4"); /* from its first frame */
    drive_remove(&d, 1);
    close_world(&d);
}

/* ------------------------------------------------------------------ windows */

/* Run a turn after the other until three windows were planned, and put these into words. */
static void run_windows(struct drive *d, double turn_s, char *text, size_t capacity) {
    size_t at = 0;
    double now_s = 0;
    text[0] = '\0';
    for (int n = 0; n < 3; now_s += turn_s) {
        step(d, now_s);
        voice(d, now_s);
        if (d->batch.n_windows == 0)
            continue;
        const struct mill_plan_window *window = d->batch.windows;
        at += (size_t)snprintf(text + at, capacity - at, "%s%d-%d", n ? " " : "", window->first,
                               window->end);
        n++;
    }
}

/* The first window is a frame where turns are short, and half a second where they are not known or
 * hardly shorter than a frame, or calls of the vocoder are long; what follows grows with what the
 * player has ahead. */
static void test_windows_grow(void **state) {
    (void)state;
    const struct {
        double turn_s; /* as it is; and what the scheduler is told */
        struct mill_scheduler_costs costs;
        const char *windows;
    } cases[] = {{0.001, {.turn_s = 0.001}, "0-1 1-5 5-46"},
                 {0.008, {.turn_s = 0.008}, "0-5 5-9 9-16"},
                 {0.015, {.turn_s = 0.015}, "0-17 17-26 26-37"},
                 {0.03, {.turn_s = 0.03}, "0-25 25-50 50-75"},
                 {0.001, {.turn_s = 0}, "0-25 25-50 50-93"},
                 {0.001, {.turn_s = 0.001, .call_s = 0.02, .voice_s = 0.0005}, "0-4 4-15 15-109"},
                 {0.001, {.turn_s = 0.001, .call_s = 0.3}, "0-25 25-50 50-178"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_scheduler_options options = roomy();
        options.max_window = 128;
        options.max_pages = 200;
        struct drive d;
        open_world(&d, &options);
        struct mill_job job = streamed(2, 25);
        job.max_ids = 700;
        must_add(&d, &job, 600);
        mill_scheduler_set_costs(d.scheduler, &cases[i].costs);
        char text[64];
        run_windows(&d, cases[i].turn_s, text, sizeof text);
        assert_string_equal(text, cases[i].windows);
        drive_remove(&d, 0);
        close_world(&d);
    }
}

/* n steps at a time, and the windows that each makes. */
static void assert_batches(struct drive *d, const char *const *windows, int n, double now_s) {
    for (int i = 0; i < n; i++) {
        step(d, now_s);
        voice(d, now_s);
        assert_batch(d, windows[i]);
    }
}

/* Until it is listened to: windows of a quarter of the largest, and no player that could run dry.
 */
static void test_windows_of_what_is_later(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    struct drive d;
    open_world(&d, &options);
    mill_scheduler_set_costs(d.scheduler, &(struct mill_scheduler_costs){.turn_s = 0.001});
    struct mill_job job = streamed(2, 25);
    job.later = true;
    must_add(&d, &job, 60);
    const char *const windows[] = {"", "", "", "", "0:0-2", "", "0:2-4", ""};
    assert_batches(&d, windows, 8, 0);
    mill_scheduler_listen(d.scheduler, 0, 1);
    step(&d, 1.07);
    voice(&d, 1.07); /* 0.01 s are left of the four frames */
    assert_batch(&d, "0:4-6");
    drive_remove(&d, 0);
    close_world(&d);
}

/* A window waits for as many frames as the others make in two turns, or for two turns; not where
 * nobody else runs, or a listener has little ahead. */
static void test_windows_wait_for_company(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    struct drive d;
    open_world(&d, &options);
    mill_scheduler_set_costs(d.scheduler, &(struct mill_scheduler_costs){.turn_s = 0.001});
    struct mill_job job = streamed(2, 25);
    for (int i = 0; i < 3; i++)
        must_add(&d, &job, 60);
    const char *const together[] = {"", "", "", "", "0:0-2 1:0-2 2:0-2"};
    assert_batches(&d, together, 5, 0);
    step(&d, 0.041);
    voice(&d, 0.041); /* silence since a millisecond */
    assert_batch(&d, "0:2-3 1:2-3 2:2-3");
    for (int slot = 0; slot < 3; slot++)
        mill_scheduler_hold(d.scheduler, slot, true);
    must_add(&d, &job, 60);
    const char *const late[] = {"", "", "", "", "", "3:0-3"};
    assert_batches(&d, late, 6, 0.041);
    for (int slot = 0; slot < 4; slot++)
        drive_remove(&d, slot);
    must_add(&d, &job, 60);
    for (int i = 0; i < 4; i++) {
        step(&d, 1);
        voice(&d, 1);
        assert_batch(&d, i < 3 ? "" : "3:0-1");
    }
    drive_remove(&d, 3);
    close_world(&d);
}

/* A listener about to run dry gets what there is instead of waiting for a large window. */
static void test_window_before_silence(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = streamed(2, 2);
    must_add(&d, &job, 60);
    for (int i = 0; i < 5; i++)
        step(&d, 0);
    voice(&d, 0);
    assert_batch(&d, "0:0-2");
    step(&d, 0);
    step(&d, 0);
    voice(&d, -1); /* a second ahead, as far as the clock knows */
    assert_batch(&d, "");
    mill_scheduler_hold(d.scheduler, 0, true);
    voice(&d, 0.03);
    assert_batch(&d, ""); /* it does not listen */
    mill_scheduler_hold(d.scheduler, 0, false);
    voice(&d, 0.03);
    assert_batch(&d, "0:2-4");
    drive_remove(&d, 0);
    close_world(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_are_lent),
        cmocka_unit_test(test_windows_grow),
        cmocka_unit_test(test_windows_of_what_is_later),
        cmocka_unit_test(test_windows_wait_for_company),
        cmocka_unit_test(test_window_before_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
