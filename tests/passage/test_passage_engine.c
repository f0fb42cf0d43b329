/* test_passage_engine.c - passages on a real engine: the sound is that of the requests, whatever
 * runs beside or ahead; and a drain lets them finish. */
#include "runtime/passage/passage.h"
#include "tests/engine/engine_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char text[] =
    "The mill stood still. Nobody spoke.\n\nWhy?\n\nNobody knew, and nobody asked.";

static struct mill_passage_options options_for(const struct mill_engine *engine, int wish) {
    struct mill_passage_options options;
    mill_passage_options_init(&options);
    options.wish = fixture_wish(engine, wish, NULL);
    options.wish.max_frames = 60;
    options.text = text;
    options.text_bytes = strlen(text);
    return options;
}

static void read_to_end(struct mill_passage *passage, struct heard *heard) {
    float samples[777];
    size_t n;
    struct mill_error err = {""};
    mill_status status;
    while ((status = mill_passage_read(passage, samples, 777, -1, &n, &err)) == MILL_OK) {
        heard->wave = realloc(heard->wave, (heard->n_samples + n) * sizeof *samples);
        memcpy(heard->wave + heard->n_samples, samples, n * sizeof *samples);
        heard->n_samples += n;
    }
    if (status != MILL_DONE)
        fail_msg("%s", err.text);
    mill_passage_get_result(passage, &heard->result);
}

static void speak(struct mill_engine *engine, const struct mill_passage_options *options,
                  struct heard *heard) {
    struct mill_passage *passage;
    struct mill_error err = {""};
    *heard = (struct heard){0};
    if (mill_passage_open(&passage, engine, options, NULL, &err) != MILL_OK)
        fail_msg("%s", err.text);
    read_to_end(passage, heard);
    mill_passage_close(passage);
}

static void test_one_segment_is_a_request(void **state) {
    (void)state;
    for (int wish = 0; wish < 4; wish++) { /* voices given and created, streamed and not */
        struct heard alone, heard;
        fixture_alone(wish, &alone);
        struct mill_engine *engine = fixture_open((struct mill_engine_options){0}, NULL);
        struct mill_passage_options options = options_for(engine, wish);
        options.wish.max_frames = fixture_wish(engine, wish, NULL).max_frames;
        options.text = fixture_wish(engine, wish, NULL).text;
        options.text_bytes = strlen(options.text);
        speak(engine, &options, &heard);
        assert_same_sound(&alone, &heard);
        assert_int_equal(alone.result.n_prompt, heard.result.n_prompt);
        heard_free(&alone), heard_free(&heard);
        mill_engine_close(engine);
    }
}

static void test_company_does_not_matter(void **state) {
    (void)state;
    static const struct mill_engine_options ways[] = {{.devices = "cpu:1", .max_running = 1},
                                                      {.devices = "cpu:1,cpu:1", .max_running = 4}};
    for (int wish = 0; wish < 4; wish += 3) {
        struct heard heard[4];
        for (int i = 0; i < 4; i++) {
            struct mill_engine *engine = fixture_open(ways[i % 2], NULL);
            struct mill_passage_options options = options_for(engine, wish);
            options.n_ahead = i < 2 ? 0 : 3;
            options.wish.stream = i == 3;
            options.wish.max_redraws = 0;
            speak(engine, &options, &heard[i]);
            assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
            mill_engine_close(engine);
        }
        assert_true(heard[0].n_samples > 3 * 10 * 320);
        for (int i = 1; i < 4; i++)
            assert_same_sound(&heard[0], &heard[i]);
        for (int i = 0; i < 4; i++)
            heard_free(&heard[i]);
    }
}

static void test_a_drain_waits(void **state) {
    (void)state;
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1", .max_running = 1}, NULL);
    struct mill_passage_options options = options_for(engine, 3);
    options.n_ahead = 0;
    struct mill_passage *passage;
    assert_int_equal(mill_passage_open(&passage, engine, &options, NULL, NULL), MILL_OK);
    assert_int_equal(mill_engine_drain(engine, 0), MILL_AGAIN);
    struct heard heard = {0};
    read_to_end(passage, &heard);
    assert_int_equal(heard.result.status, MILL_OK);
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
    mill_passage_close(passage);
    heard_free(&heard);
    mill_engine_close(engine);
}

static void test_cancel_and_close_under_way(void **state) {
    (void)state;
    struct mill_engine *engine = fixture_open((struct mill_engine_options){0}, NULL);
    const struct mill_passage_options options = options_for(engine, 0);
    struct mill_passage *passage;
    float sample;
    size_t n;
    assert_int_equal(mill_passage_open(&passage, engine, &options, NULL, NULL), MILL_OK);
    assert_int_equal(mill_passage_read(passage, &sample, 1, -1, &n, NULL), MILL_OK);
    mill_passage_cancel(passage);
    assert_int_equal(mill_passage_read(passage, &sample, 1, -1, &n, NULL), MILL_E_CANCELLED);
    mill_passage_close(passage);
    assert_int_equal(mill_passage_open(&passage, engine, &options, NULL, NULL), MILL_OK);
    mill_passage_close(passage);
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
    mill_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_segment_is_a_request),
        cmocka_unit_test(test_company_does_not_matter),
        cmocka_unit_test(test_a_drain_waits),
        cmocka_unit_test(test_cancel_and_close_under_way),
    };
    return cmocka_run_group_tests(tests, fixture_write_checkpoint, NULL);
}
