/* test_scheduler_pages.c - the pages that the scheduler lends, forced out and shared; and that it
 * takes no memory for it. */
#include "tests/engine/small_world.h"
#include "tests/support/fail_alloc.h"

/* ------------------------------------------------------------------ pages */

/* Two grow until no page is left: the younger waits, the older one ends, the younger goes on. */
static void test_preemption(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.n_pages = 8;
    options.max_pages = 8;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = plain(4);
    job.max_ids = 32;
    must_add(&d, &job, 20);
    must_add(&d, &job, 20);
    int32_t n_steps = 0;
    while (d.jobs[0].active || d.jobs[1].active) {
        step(&d, 0);
        voice(&d, 0);
        assert_true(++n_steps < 100);
    }
    struct mill_scheduler_counts counts = counts_of(&d);
    assert_int_equal(counts.n_preemptions, 1);
    assert_true(d.jobs[0].n_rows_run == 24);
    assert_true(d.jobs[1].n_rows_run > 24);
    close_world(&d);
}

/* Whoever is ranked first, the older one is never forced out by a younger one of its priority: else
 * two could take pages from each other for ever. */
static void test_older_keeps_pages(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.n_pages = options.max_pages = 8;
    struct drive d;
    open_world(&d, &options);
    struct mill_job silent = plain(17), newcomer = streamed(7, 50);
    silent.max_ids = newcomer.max_ids = 32;
    must_add(&d, &silent, 12);
    step(&d, 0);
    must_add(&d, &newcomer, 12);
    int32_t younger = 0, n_steps = 0;
    while (d.jobs[0].active || d.jobs[1].active) {
        step(&d, 0);
        assert_int_equal(mill_scheduler_n_preemptions(d.scheduler, 0), 0);
        younger = mill_scheduler_n_preemptions(d.scheduler, 1);
        voice(&d, 0);
        assert_true(++n_steps < 100);
    }
    assert_true(younger > 0);
    close_world(&d);
}

/* Whoever waits for its last token is not forced out: its pages come free with that. */
static void test_last_token_on_its_way(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.n_pages = options.max_pages = 4;
    struct drive d;
    open_world(&d, &options);
    d.ahead = true;
    struct mill_job older = plain(4), younger = plain(3);
    older.max_ids = younger.max_ids = 16;
    must_add(&d, &older, 9);
    must_add(&d, &younger, 5);
    d.jobs[1].limited = true;
    for (int i = 0; i < 5; i++) {
        step(&d, 0);
        assert_step(&d, i == 0 ? "0:4 1:3" : "0:1 1:1");
    }
    step(&d, 0); /* the older one has no page for its next token */
    assert_step(&d, "");
    assert_true(d.jobs[1].ended);
    step(&d, 0);
    assert_step(&d, "0:1");
    assert_int_equal(counts_of(&d).n_preemptions, 0);
    drive_remove(&d, 0);
    voice(&d, 0);
    close_world(&d);
}

/* A voice's transcript, ten tokens, in front of different texts. */
static const int32_t prompts[3][14] = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
                                       {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 21, 22, 23, 24},
                                       {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 31, 32, 33, 34}};

static struct mill_job prompted(int prompt, int32_t n_prompt) {
    struct mill_job job = plain(n_prompt);
    job.prompt = prompts[prompt];
    job.n_prompt = n_prompt;
    return job;
}

static void run_out(struct drive *d) {
    struct mill_scheduler_counts counts;
    for (int i = 0; counts = counts_of(d), counts.n_waiting + counts.n_running + counts.n_voicing;
         i++) {
        step(d, 0);
        voice(d, 0);
        assert_true(i < 100);
    }
    assert_int_equal(counts_of(d).n_free_pages, d->options.n_pages);
}

/* n-best: the prompt's full pages are computed once, whoever comes takes them over in the very step
 * in which they are computed; so do those that come when all have ended. */
static void test_shared_prompt(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_prefill_rows = 8;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = prompted(0, 14);
    for (int i = 0; i < 3; i++)
        must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "0:8"); /* the others would have rows too, and wait for their turn */
    assert_int_equal(counts_of(&d).n_free_pages, options.n_pages - 2);
    step(&d, 0);
    assert_step(&d, "1:6 2:2 0:2"); /* one goes on, for the others 12 tokens are there already */
    assert_int_equal(counts_of(&d).n_free_pages, options.n_pages - 3 - 3);
    assert_int_equal(counts_of(&d).n_shared_pages, 6);
    run_out(&d);
    int32_t slot = must_add(&d, &job, 20);
    step(&d, 0);
    assert_int_equal(d.step.n_rows, 2);
    drive_restart(&d, slot); /* drawn again: from its own pages */
    step(&d, 0);
    assert_int_equal(d.step.n_rows, 2);
    assert_int_equal(counts_of(&d).n_shared_pages, 12);
    run_out(&d);
    close_world(&d);
}

/* A voice in front of different texts, one of them cancelled; and a text alone that begins
 * differently. */
static void test_shared_voice(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.max_prefill_rows = 8;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = prompted(0, 14);
    must_add(&d, &job, 20);
    job = prompted(1, 14);
    must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "0:8");
    drive_remove(&d, 0);
    step(&d, 0);
    assert_step(&d, "1:6");
    job = prompted(2, 14);
    must_add(&d, &job, 20); /* gets slot 0 */
    job.prompt = prompts[2] + 2;
    job.n_prompt = 12;
    must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "1:1 0:6 2:4");
    assert_int_equal(counts_of(&d).n_shared_pages, 4);
    run_out(&d);
    close_world(&d);
}

/* Full pages and no token more: the last token is run for its draw, so its page is computed anew
 * and belongs to the one that did. */
static void test_prompt_of_full_pages(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = prompted(0, 8);
    must_add(&d, &job, 20);
    must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "0:8 1:4");
    job = prompted(1, 9); /* one more, and both pages are of use */
    must_add(&d, &job, 20);
    step(&d, 0);
    assert_step(&d, "0:1 1:1 2:1");
    run_out(&d);
    close_world(&d);
}

/* What nobody holds is found until its pages are wanted; the end of a beginning goes first. */
static void test_pages_stay_until_wanted(void **state) {
    (void)state;
    struct mill_scheduler_options options = roomy();
    options.n_pages = options.max_pages = 8;
    struct drive d;
    open_world(&d, &options);
    struct mill_job job = prompted(0, 14), large = plain(21);
    job.max_ids = large.max_ids = 32;
    must_add(&d, &job, 1);
    run_out(&d); /* three named pages and five without names are free */
    must_add(&d, &large, 1);
    step(&d, 0); /* takes six of them */
    assert_step(&d, "0:21");
    run_out(&d);
    must_add(&d, &job, 1);
    step(&d, 0);
    assert_step(&d, "0:6");
    assert_int_equal(counts_of(&d).n_shared_pages, 2);
    run_out(&d);
    close_world(&d);
}

/* ------------------------------------------------------------------ memory */

static void test_never_allocates(void **state) {
    (void)state;
    if (!mill_fail_alloc_works())
        skip();
    struct mill_scheduler_options options = roomy();
    options.n_pages = 60;
    struct drive d;
    open_world(&d, &options);
    mill_fail_alloc_at(0);
    struct mill_job job = streamed(9, 2);
    job.prompt = prompts[0];
    job.n_prompt = 9;
    for (int i = 0; i < 500; i++) {
        job.fair_key = (uint64_t)i;
        job.priority = i % 3;
        if (counts_of(&d).n_waiting < 5)
            must_add(&d, &job, 20);
        step(&d, i * 0.01);
        voice(&d, i * 0.01);
    }
    assert_int_equal(mill_fail_alloc_count(), 0);
    assert_true(counts_of(&d).n_preemptions > 0);
    for (int32_t i = 0; i < options.max_jobs; i++)
        if (d.jobs[i].active)
            drive_remove(&d, i);
    close_world(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preemption),
        cmocka_unit_test(test_older_keeps_pages),
        cmocka_unit_test(test_last_token_on_its_way),
        cmocka_unit_test(test_shared_prompt),
        cmocka_unit_test(test_shared_voice),
        cmocka_unit_test(test_prompt_of_full_pages),
        cmocka_unit_test(test_pages_stay_until_wanted),
        cmocka_unit_test(test_never_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
