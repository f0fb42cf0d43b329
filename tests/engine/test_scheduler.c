/* test_scheduler.c - the scheduler's policy, rule by rule: who starts, who runs, who waits. Small
 * worlds whose plans can be written down; schedule_driver.c checks that every plan could have been
 * carried out. */
#include "tests/engine/small_world.h"
#include "tests/support/bad_input.h"

/* ------------------------------------------------------------------ one job */

static void test_alone(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_prefill_rows = 4;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = streamed(12, 2);
    assert_int_equal(must_add(&d, &job, 10), 0);
    const char *const rows[] = {"0:4", "0:4", "0:4", "0:1"};
    for (int i = 0; i < 4; i++) {
        step(&d, i);
        assert_step(&d, rows[i]);
        voice(&d, i);
        assert_batch(&d, "");
    }
    assert_int_equal(d.jobs[0].n_frames, 2);
    const char *const windows[] = {"", "", "0:0-2", "", "0:2-4", "", "0:4-6", "", "0:6-10."};
    for (int i = 0; i < 9; i++) { /* frames 3 to 10, then the end */
        step(&d, 4);
        assert_step(&d, "0:1");
        voice(&d, 4);
        assert_batch(&d, windows[i]);
    }
    assert_int_equal(d.n_finished, 1);
    step(&d, 5);
    assert_step(&d, "");
    assert_int_equal(counts_of(&d).n_free_pages, options.n_pages);
    close_world(&d);
}

static void test_not_streamed_waits_for_end(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_batch_frames = 11;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    must_add(&d, &job, 15);
    must_add(&d, &job, 15);
    for (int i = 0; i < 15; i++) {
        step(&d, 0);
        voice(&d, 0);
        assert_batch(&d, "");
    }
    step(&d, 0);
    assert_int_equal(counts_of(&d).n_voicing, 2);
    assert_int_equal(counts_of(&d).n_free_pages, options.n_pages); /* put back at the last token */
    voice(&d, 0);
    assert_batch(&d, "0:0-8 1:0-3"); /* cut to the batch's frames */
    voice(&d, 0);
    assert_batch(&d, "0:8-15. 1:3-7");
    voice(&d, 0);
    assert_batch(&d, "1:7-15.");
    close_world(&d);
}

static void test_refused(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_jobs = 1;
    options.n_pages = 10;
    struct drive d;
    open_world(&d, &options);
    struct mill_error err;
    struct mill_job job = plain(3);
    int32_t slot;
    job.max_ids = 41; /* ten pages of four */
    assert_refused(mill_scheduler_add(d.scheduler, &job, &slot, &err), &err, "41|40");
    job.max_ids = 40;
    job.n_prompt = 4;
    assert_refused(mill_scheduler_add(d.scheduler, &job, &slot, &err), &err, "first 4");
    job.n_prompt = 0;
    must_add(&d, &job, 5);
    assert_int_equal(mill_scheduler_add(d.scheduler, &job, &slot, &err), MILL_AGAIN);
    drive_remove(&d, 0);
    close_world(&d);
    options.max_sequences = 0;
    assert_int_equal(mill_scheduler_bytes(&options), 0);
}

/* ------------------------------------------------------------------ who starts */

static void test_priority(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    must_add(&d, &job, 20);
    step(&d, 0);
    must_add(&d, &job, 20);
    job.priority = 1;
    must_add(&d, &job, 2);
    job.priority = 99; /* cut to the highest */
    must_add(&d, &job, 1);
    step(&d, 0);
    assert_step(&d, "3:3"); /* the running one gave way */
    assert_int_equal(mill_scheduler_n_preemptions(d.scheduler, 0), 1);
    for (int i = 0; i < 2; i++)
        step(&d, 0);
    assert_step(&d, "2:3");
    for (int i = 0; i < 3; i++)
        step(&d, 0);
    assert_step(&d, "0:4"); /* it computes again what it had, before the one that never ran */
    drive_remove(&d, 0);
    step(&d, 0);
    assert_step(&d, "1:3");
    drive_remove(&d, 1);
    voice(&d, 0);
    close_world(&d);
}

static void test_deadline(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    must_add(&d, &job, 50);
    must_add(&d, &job, 50);
    job.deadline_s = 20;
    must_add(&d, &job, 50); /* slot 2 */
    job.deadline_s = 12;
    must_add(&d, &job, 50); /* slot 3 */
    step(&d, 1);
    assert_step(&d, "0:3"); /* none of them is near */
    drive_remove(&d, 0);
    step(&d, 11.5);
    assert_step(&d, "3:3");
    step(&d, 12);
    assert_int_equal(d.step.n_expired, 1);
    assert_int_equal(d.step.expired[0], 3);
    assert_step(&d, "1:3");
    step(&d, 20);
    assert_int_equal(d.step.n_expired, 1); /* it never ran */
    assert_int_equal(d.step.expired[0], 2);
    drive_remove(&d, 1);
    close_world(&d);
}

/* Of three keys the one with most jobs gets no more than the others; one that comes late is not
 * paid for its silence. */
static void test_fair_share(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    char order[32] = "";
    for (int i = 0; i < 6; i++)
        job.fair_key = 'a', must_add(&d, &job, 9);
    for (int i = 0; i < 3; i++)
        job.fair_key = 'b', must_add(&d, &job, 9);
    for (int n = 0; n < 12;) {
        step(&d, 0);
        if (d.step.n_sequences > 0 && d.step.sequences[0].n_rows == 3)
            order[n++] = (char)d.jobs[d.step.sequences[0].slot].job.fair_key;
        voice(&d, 0);
        for (int i = 0; n == 4 && order[4] == '\0' && i < 3; i++) {
            job.fair_key = 'c', must_add(&d, &job, 9);
            order[4] = i == 2 ? '?' : '\0';
        }
    }
    assert_string_equal(order, "ababcabcacaa");
    drive_remove(&d, d.step.sequences[0].slot);
    close_world(&d);
}

/* What was charged at the start is put right at the end: short jobs cost their key less. */
static void test_fair_share_of_audio(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    int n_long = 0, n_short = 0;
    while (n_long + n_short < 60) {
        int n_waiting[2] = {0, 0};
        for (int32_t i = 0; i < options.max_jobs; i++)
            n_waiting[d.jobs[i].job.fair_key] += d.jobs[i].active && d.jobs[i].n_rows_run == 0;
        for (job.fair_key = 0; job.fair_key < 2; job.fair_key++)
            for (int i = n_waiting[job.fair_key]; i < 2; i++)
                must_add(&d, &job, job.fair_key == 0 ? 40 : 10);
        step(&d, 0);
        for (int32_t i = 0; i < d.step.n_sequences; i++)
            if (d.step.sequences[i].n_rows == 3)
                *(d.jobs[d.step.sequences[i].slot].job.fair_key == 0 ? &n_long : &n_short) += 1;
        voice(&d, 0);
    }
    assert_in_range(n_long, 10, 14); /* a fifth of the starts, half of the audio */
    for (int32_t i = 0; i < options.max_jobs; i++)
        if (d.jobs[i].active)
            drive_remove(&d, i);
    close_world(&d);
}

/* One job that comes first and is worth least, under a flood of the highest priority. */
static void test_elder(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 2;
    options.max_sequences = 1;
    options.patience_steps = 30;
    struct drive d;
    open_world(&d, &options);
    struct mill_job low = plain(3), high = plain(3);
    low.priority = -2;
    high.priority = 2;
    int32_t started = -1, ended = -1;
    int32_t slot = must_add(&d, &low, 20);
    for (int32_t i = 0; i < 100 && ended < 0; i++) {
        while (counts_of(&d).n_waiting < 4)
            must_add(&d, &high, 6);
        step(&d, 0);
        if (started < 0 && d.jobs[slot].n_rows_run > 0)
            started = i;
        if (d.jobs[slot].ended)
            ended = i;
        voice(&d, 0);
    }
    assert_int_equal(started, 29); /* the thirtieth step */
    assert_int_equal(ended, 49);   /* it was never forced out again */
    assert_int_equal(mill_scheduler_n_preemptions(d.scheduler, slot), 0);
    for (int32_t i = 0; i < options.max_jobs; i++)
        if (d.jobs[i].active)
            drive_remove(&d, i);
    close_world(&d);
}

/* An elder that is held or goes passes its rank on; its slot does not keep it. */
static void test_held_elder(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 1;
    options.patience_steps = 10;
    struct drive d;
    open_world(&d, &options);
    struct mill_job low = plain(3), high = plain(3);
    high.priority = 1;
    must_add(&d, &low, 50);
    must_add(&d, &low, 50);
    must_add(&d, &high, 50);
    for (int i = 0; i < 10; i++)
        step(&d, 0);
    assert_step(&d, "0:3");
    mill_scheduler_hold(d.scheduler, 0, true);
    step(&d, 0);
    assert_step(&d, "1:3");
    drive_remove(&d, 1);
    assert_int_equal(must_add(&d, &low, 50), 1);
    step(&d, 0);
    assert_step(&d, "2:12");
    for (int32_t i = 0; i < 3; i++)
        drive_remove(&d, i);
    close_world(&d);
}

/* ------------------------------------------------------------------ who runs */

static void test_newcomers_then_least_buffered(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_sequences = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = streamed(2, 1);
    job.lookahead = 0;
    must_add(&d, &job, 50);
    step(&d, 0);
    voice(&d, 0); /* one frame at 0 s */
    must_add(&d, &job, 50);
    struct mill_job silent = plain(2);
    must_add(&d, &silent, 50);
    step(&d, 1);
    assert_step(&d, "1:2");
    for (int i = 0; i < 3; i++)
        voice(&d, 1); /* one frame at 1 s: it has more ahead than job 0, whose player is late */
    assert_batch(&d, "1:0-1");
    step(&d, 1);
    assert_step(&d, "0:1");
    must_add(&d, &job, 50);
    step(&d, 1);
    assert_step(&d, "3:2"); /* again a newcomer */
    silent.deadline_s = 1.9;
    must_add(&d, &job, 50);
    must_add(&d, &silent, 50);
    step(&d, 1);
    assert_step(&d, "5:2"); /* its deadline is near */
    for (int32_t i = 0; i < 6; i++)
        drive_remove(&d, i);
    close_world(&d);
}

/* Of two listeners the one whose player runs dry first, wherever it stands in the lists. */
static void test_least_buffered(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_sequences = 1;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = streamed(2, 1);
    job.lookahead = 0;
    must_add(&d, &job, 50);
    must_add(&d, &job, 50);
    step(&d, 0);
    assert_step(&d, "0:2");
    mill_scheduler_hold(d.scheduler, 0, true);
    step(&d, 0);
    assert_step(&d, "1:2");
    voice(&d, 0);
    mill_scheduler_hold(d.scheduler, 0, false);
    step(&d, 1);
    assert_step(&d, "0:1");
    voice(&d, 1);
    step(&d, 1);
    assert_step(&d, "1:1");
    drive_remove(&d, 0);
    drive_remove(&d, 1);
    close_world(&d);
}

/* A job that nobody listens to beside newcomers without end. */
static void test_idle_bound(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_sequences = 2;
    options.max_idle_steps = 10;
    struct drive d;
    open_world(&d, &options);
    struct mill_job silent = plain(2), newcomer = streamed(2, 50);
    for (int i = 0; i < 6; i++)
        must_add(&d, &silent, 90);
    for (int i = 0; i < 10; i++)
        must_add(&d, &newcomer, 90);
    for (int i = 0; i < 200; i++) {
        step(&d, 0);
        for (int32_t j = 0; j < 16; j++)
            if (d.jobs[j].active && !d.jobs[j].ended)
                assert_in_range(d.jobs[j].n_steps_idle, 0, options.max_idle_steps + 16);
    }
    assert_true(d.jobs[0].n_frames > 10);
    for (int32_t i = 0; i < options.max_jobs; i++)
        if (d.jobs[i].active)
            drive_remove(&d, i);
    close_world(&d);
}

/* A long prompt runs in pieces of whole pages, and speech goes on beside it. */
static void test_prefill_beside_decode(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_rows = 12;
    options.max_prefill_rows = 8;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = streamed(2, 5), large = streamed(30, 5);
    must_add(&d, &job, 50);
    step(&d, 0);
    must_add(&d, &large, 50);
    must_add(&d, &large, 50);
    step(&d, 0);
    assert_step(&d, "0:1 1:8");
    step(&d, 0);
    step(&d, 0);
    assert_step(&d, "0:1 1:8");
    step(&d, 0);
    assert_step(&d, "0:1 1:6 2:4");
    for (int32_t i = 0; i < 3; i++)
        drive_remove(&d, i);
    close_world(&d);
}

/* Prompts keep steps short for those that listen, and for nobody else: not for who gets the sound
 * of an utterance as a whole, while it is made. */
static void test_prefill_beside_sound(void **state) {
    (void)state;
    const struct {
        struct mill_job job;
        const char *step;
    } cases[] = {{streamed(2, 5), "1:2"}, {plain(2), "1:30"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_scheduler_options options = roomy();
        struct drive d;
        open_world(&d, &options);
        const struct mill_scheduler_costs costs = {.turn_s = 0.01, .row_s = 0.01};
        mill_scheduler_set_costs(d.scheduler, &costs);
        must_add(&d, &cases[i].job, 20);
        for (int k = 0; k < 21; k++)
            step(&d, 0);
        voice(&d, 0);
        assert_batch(&d, "0:0-8");
        struct mill_job newcomer = plain(30);
        must_add(&d, &newcomer, 20);
        step(&d, 0);
        assert_step(&d, cases[i].step);
        drive_remove(&d, 0);
        drive_remove(&d, 1);
        close_world(&d);
    }
}

static void test_hold(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 2;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    for (int i = 0; i < 3; i++)
        must_add(&d, &job, 9);
    step(&d, 0);
    assert_step(&d, "0:3 1:3");
    mill_scheduler_hold(d.scheduler, 0, true);
    step(&d, 0);
    assert_step(&d, "1:1 2:3"); /* its place went to one that can use it */
    mill_scheduler_hold(d.scheduler, 0, false);
    step(&d, 0);
    assert_step(&d, "1:1 2:1");
    drive_remove(&d, 1);
    step(&d, 0);
    assert_step(&d, "2:1 0:4");
    mill_scheduler_hold(d.scheduler, 0, true);
    mill_scheduler_hold(d.scheduler, 2, true);
    step(&d, 0);
    assert_step(&d, "");
    drive_remove(&d, 0);
    drive_remove(&d, 2);
    close_world(&d);
}

static void test_restart(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(3);
    must_add(&d, &job, 9);
    step(&d, 0);
    step(&d, 0);
    drive_restart(&d, 0);
    assert_int_equal(counts_of(&d).n_waiting, 1);
    step(&d, 0);
    assert_step(&d, "0:3");
    for (int i = 0; i < 9; i++)
        step(&d, 0);
    assert_true(d.jobs[0].ended);
    drive_restart(&d, 0); /* after its end too */
    step(&d, 0);
    assert_step(&d, "0:3");
    drive_remove(&d, 0);
    close_world(&d);
}

/* A step is planned before the draws of the one before are seen: a job that ends by its end token
 * has run a row more, whose draw nobody wants; one that ends by its limit has not. */
static void test_ahead(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    struct drive d;
    open_world(&d, &options);
    d.ahead = true;
    struct mill_job job = plain(3);
    must_add(&d, &job, 2);
    must_add(&d, &job, 2);
    d.jobs[1].limited = true;
    const char *const rows[] = {"0:3 1:3", "0:1 1:1", "0:1", "0:1", ""};
    const int32_t n_frames[][2] = {{0, 0}, {1, 1}, {2, 2}, {2, 2}, {2, 2}};
    for (int i = 0; i < 5; i++) {
        step(&d, 0);
        assert_step(&d, rows[i]);
        assert_int_equal(d.jobs[0].n_frames, n_frames[i][0]);
        assert_int_equal(d.jobs[1].n_frames, n_frames[i][1]);
        assert_int_equal(d.jobs[0].ended, i >= 3);
        assert_int_equal(d.jobs[1].ended, i >= 2);
    }
    voice(&d, 0);
    assert_batch(&d, "0:0-2. 1:0-2.");
    close_world(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_not_streamed_waits_for_end),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_fair_share),
        cmocka_unit_test(test_fair_share_of_audio),
        cmocka_unit_test(test_elder),
        cmocka_unit_test(test_held_elder),
        cmocka_unit_test(test_newcomers_then_least_buffered),
        cmocka_unit_test(test_least_buffered),
        cmocka_unit_test(test_idle_bound),
        cmocka_unit_test(test_prefill_beside_decode),
        cmocka_unit_test(test_prefill_beside_sound),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
