/* test_scheduler_later.c - what is made for somebody who still hears something else: it comes
 * behind all others, and gets what listeners can spare. */
#include "tests/engine/small_world.h"

static struct mill_job later(void) {
    struct mill_job job = streamed(2, 1);
    job.later = true;
    job.lookahead = 0;
    return job;
}

static bool runs(const struct drive *d, int32_t slot) {
    for (int32_t i = 0; i < d->step.n_sequences; i++)
        if (d->step.sequences[i].slot == slot)
            return true;
    return false;
}

/* Where turns are long, who is heard later gets what is to spare: nothing while somebody waits for
 * the first sound or has less than half a second, but for a step now and then. Where that one is
 * far ahead, or hears silence anyway, or turns are short, all run. */
static void test_later_stands_back(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_idle_steps = 8;
    struct drive d;
    open_world(&d, &options);
    const struct mill_scheduler_costs slow = {.turn_s = 0.015}, fast = {.turn_s = 0.005};
    mill_scheduler_set_costs(d.scheduler, &slow);
    struct mill_job behind = later(), first = later();
    first.later = false;
    must_add(&d, &first, 90);
    must_add(&d, &behind, 90);
    step(&d, 0);
    assert_step(&d, "0:2");
    for (int i = 0; i < 3; i++)
        voice(&d, 0);
    assert_batch(&d, "0:0-1");
    int32_t n_alone = 0, n_idle = 2;
    for (int i = 0; i < 40; i++) {
        double ahead_s = 0.02 * d.jobs[0].n_frames - 0.01; /* what is drawn can be voiced */
        step(&d, 0.01);
        assert_true(runs(&d, 0));
        assert_int_equal(runs(&d, 1), ahead_s > 0.5 || n_idle >= 8);
        n_idle = runs(&d, 1) ? 1 : n_idle + 1;
        n_alone += !runs(&d, 1);
    }
    assert_int_equal(n_alone, 22); /* of 25 until half a second is known */
    step(&d, 0.5);
    assert_false(runs(&d, 1));
    mill_scheduler_set_costs(d.scheduler, &fast);
    step(&d, 0.5);
    assert_true(runs(&d, 1));
    mill_scheduler_set_costs(d.scheduler, &slow);
    step(&d, 9);
    assert_true(runs(&d, 1)); /* silence: together they are done sooner */
    step(&d, 0.5);
    assert_false(runs(&d, 1));
    mill_scheduler_listen(d.scheduler, 1, 0.5);
    step(&d, 0.5);
    assert_true(runs(&d, 0) && runs(&d, 1));
    drive_remove(&d, 0);
    drive_remove(&d, 1);
    close_world(&d);
}

/* It comes behind all others of its priority: in line, and for a place. Who listened to has the
 * place that it would have had. */
static void test_later_gives_way(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_running = 1;
    struct drive d;
    open_world(&d, &options);
    const struct mill_job behind = later(), job = plain(3);
    struct mill_job lower = plain(3);
    lower.priority = -1;
    must_add(&d, &behind, 20);
    must_add(&d, &lower, 20);
    step(&d, 0);
    assert_step(&d, "0:2");
    must_add(&d, &behind, 20);
    must_add(&d, &job, 20);
    must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "3:3"); /* the running one gave way */
    drive_remove(&d, 3);
    mill_scheduler_listen(d.scheduler, 2, 0);
    step(&d, 0);
    assert_step(&d, "2:2"); /* it came before the other */
    drive_remove(&d, 2);
    step(&d, 0);
    assert_step(&d, "4:3");
    drive_remove(&d, 4);
    step(&d, 0);
    assert_step(&d, "0:3"); /* still before a lower priority */
    mill_scheduler_listen(d.scheduler, 0, 0);
    must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "0:1"); /* keeps its place from now on */
    for (int32_t i = 0; i < 6; i++)
        if (d.jobs[i].active)
            drive_remove(&d, i);
    close_world(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_stands_back),
        cmocka_unit_test(test_later_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
