/* test_engine_cards.c - the engine on cards, which the emulator has: the same sound whatever runs
 * beside it and on whichever card, how weights come to several, and what becomes of requests when a
 * call of CUDA's fails on one of them. */
#include "tests/engine/engine_fixture.h"
#include "tests/model/whole_checkpoint.h"
#include "tests/support/emulated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char model[] = MILL_SCRATCH "/engine-cards-model";

static struct mill_engine *open_cards(int n, mill_status *status) {
    const struct mill_engine_options options = {.model = model,
                                                .devices = "emulator",
                                                .precision = "int8",
                                                .cache = MILL_SCRATCH "/engine-cards-cache",
                                                .max_running = 2,
                                                .max_window = 16};
    struct emulator_settings settings = emulated()->defaults();
    struct mill_engine *engine;
    struct mill_error err = {""};
    settings.n_devices = n;
    emulated()->configure(&settings);
    assert_int_equal(mill_engine_open(&engine, &options, &err), MILL_OK);
    *status = mill_engine_start(engine, NULL, &err);
    assert_true(*status == MILL_OK || err.text[0]);
    return engine;
}

static struct mill_engine *start_cards(int n) {
    mill_status status;
    struct mill_engine *engine = open_cards(n, &status);
    assert_int_equal(status, MILL_OK);
    return engine;
}

static void close_cards(struct mill_engine *engine) {
    mill_engine_close(engine);
    emulated()->reset();
    assert_int_equal(emulated()->bytes_in_use(), 0);
}

/* ------------------------------------------------------------------ weights */

/* Replicas that read the cache's file; the others have copies of a card's. */
static int n_loads(const struct mill_engine *engine) {
    int n = 0;
    for (int32_t i = 0; i < engine->n_replicas; i++)
        n += mill_replica_device(engine->replicas[i])->weights->from_cache;
    return n;
}

/* The first entry of each replica's image, which the embedding is, word for word. */
static void assert_same_weights(const struct mill_engine *engine) {
    size_t bytes = 0;
    char *first = NULL;
    for (int32_t i = 0; i < engine->n_replicas; i++) {
        const struct mill_device *device = mill_replica_device(engine->replicas[i]);
        const struct mill_lm_weights *lm = &device->weights->lm;
        bytes = (size_t)lm->shape.vocab * (size_t)lm->shape.hidden * sizeof(uint16_t);
        char *copy = malloc(bytes);
        assert_non_null(copy);
        assert_int_equal(device->ops->copy_out(device->backend, copy, lm->embed, bytes), MILL_OK);
        assert_int_equal(device->ops->synchronize(device->backend), MILL_OK);
        if (!first) {
            first = copy;
            continue;
        }
        assert_memory_equal(first, copy, bytes);
        free(copy);
    }
    free(first);
}

static void test_weights_go_round(void **state) {
    (void)state;
    struct mill_engine *engine = start_cards(3);
    assert_int_equal(engine->n_replicas, 3);
    assert_int_equal(n_loads(engine), 1);
    assert_same_weights(engine);
    close_cards(engine);
}

/* Whichever copy fails: either the engine does not start, or the weights came another way. */
static void test_a_copy_fails(void **state) {
    (void)state;
    mill_status status;
    int n_another_way = 0, n_failed = 0;
    uint64_t before = emulated()->n_calls(EMULATOR_COPY);
    struct mill_engine *whole = start_cards(2);
    uint64_t n_copies = emulated()->n_calls(EMULATOR_COPY) - before;
    close_cards(whole);
    for (uint64_t n = 1; n <= n_copies; n++) {
        emulated()->fault(EMULATOR_COPY, n, 999, false);
        struct mill_engine *engine = open_cards(2, &status);
        if (status == MILL_OK) {
            assert_same_weights(engine);
            n_another_way += n_loads(engine) == 2;
        }
        n_failed += status < 0;
        close_cards(engine);
    }
    assert_int_equal(n_another_way, 1);
    assert_int_equal(n_another_way + n_failed, n_copies);
}

/* ------------------------------------------------------------------ requests */

enum { N_WISHES = 4, FRAMES = 14 };

static void submit(struct mill_engine *engine, int i, struct heard *heard) {
    struct mill_engine_request wish = fixture_wish(engine, i, heard);
    wish.max_frames = FRAMES - 2 * i;
    fixture_submit_wish(engine, &wish, heard);
}

static struct heard alone[N_WISHES];
static uint64_t n_calls[EMULATOR_N_CALLS]; /* of all wishes on two cards */

static int set_up(void **state) {
    (void)state;
    whole_checkpoint_write_small(model);
    struct mill_engine *engine = start_cards(1);
    for (int i = 0; i < N_WISHES; i++) {
        submit(engine, i, &alone[i]);
        fixture_finish(&alone[i]);
    }
    close_cards(engine);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < N_WISHES; i++)
        heard_free(&alone[i]);
    return 0;
}

static void submit_all(struct mill_engine *engine, struct heard *heard) {
    for (int i = 0; i < N_WISHES; i++)
        submit(engine, i, &heard[i]);
}

static void finish_all(struct heard *heard) {
    for (int i = 0; i < N_WISHES; i++) {
        fixture_finish(&heard[i]);
        assert_same_sound(&alone[i], &heard[i]);
        heard_free(&heard[i]);
    }
}

/* One card or two, whatever runs beside it: the same sound. Counts what it takes of CUDA. */
static void test_cards_change_no_bit(void **state) {
    (void)state;
    for (int n = 1; n <= 2; n++) {
        struct heard heard[N_WISHES];
        struct mill_engine *engine = start_cards(n);
        for (int kind = 0; kind < EMULATOR_N_CALLS; kind++)
            n_calls[kind] = emulated()->n_calls((enum emulator_call)kind);
        submit_all(engine, heard);
        finish_all(heard);
        for (int kind = 0; kind < EMULATOR_N_CALLS; kind++)
            n_calls[kind] = emulated()->n_calls((enum emulator_call)kind) - n_calls[kind];
        close_cards(engine);
    }
    assert_int_equal(n_calls[EMULATOR_ALLOCATION], 0);
    assert_int_equal(n_calls[EMULATOR_SYNCHRONIZE], 0); /* only events are waited for */
}

/* The n-th call of this kind fails, whichever of two cards it is; the other one does it all. */
static void check_fault(enum emulator_call kind, uint64_t n) {
    struct heard heard[N_WISHES];
    struct mill_engine_stats stats;
    struct mill_engine *engine = start_cards(2);
    emulated()->fault(kind, n, 719, false); /* unspecified launch failure */
    submit_all(engine, heard);
    finish_all(heard);
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK); /* then every end is counted */
    mill_engine_get_stats(engine, &stats);
    int n_failed = 0;
    for (int32_t i = 0; i < stats.n_replicas; i++)
        n_failed += stats.replicas[i].state == MILL_REPLICA_FAILED;
    if (n_failed != 1)
        fail_msg("%d cards failed of call %d of kind %d", n_failed, (int)n, (int)kind);
    assert_int_equal(stats.n_failed, 0);
    close_cards(engine);
}

static void test_a_call_fails(void **state) {
    (void)state;
    static const enum emulator_call kinds[] = {EMULATOR_COPY, EMULATOR_LAUNCH, EMULATOR_EVENT,
                                               EMULATOR_GRAPH};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_true(n_calls[kinds[i]] >= 3);
        check_fault(kinds[i], n_calls[kinds[i]] / 3);
    }
    check_fault(EMULATOR_LAUNCH, 1);
}

/* All cards fail for good: requests end with what CUDA said and where, and the engine closes. */
static void test_no_card_is_left(void **state) {
    (void)state;
    struct heard heard;
    struct mill_engine *engine = start_cards(2);
    emulated()->fault(EMULATOR_LAUNCH, 3, 700, true);
    submit(engine, 0, &heard);
    fixture_finish(&heard);
    assert_int_equal(heard.result.status, MILL_E_DEVICE);
    assert_non_null(strstr(heard.result.error.text, "illegal memory access"));
    heard_free(&heard);
    mill_engine_close(engine);
    emulated()->reset();
}

/* ------------------------------------------------------------------ what "auto" goes without */

/* As a list of "auto" would: cards that need not be there. */
static struct mill_engine *open_auto(const struct emulator_settings *settings) {
    const struct mill_engine_options options = {
        .model = model, .devices = "emulator", .max_running = 1};
    struct mill_engine *engine;
    emulated()->configure(settings);
    assert_int_equal(mill_engine_open(&engine, &options, NULL), MILL_OK);
    for (int32_t i = 0; i < engine->n_devices; i++)
        engine->devices[i].may_be_left = true;
    return engine;
}

/* Of two cards one has no memory: the other serves, and it is said. */
static void test_auto_leaves_a_card(void **state) {
    (void)state;
    struct emulator_settings settings = emulated()->defaults();
    struct mill_error err = {""};
    settings.n_devices = 2;
    struct mill_engine *engine = open_auto(&settings);
    emulated()->fault(EMULATOR_ALLOCATION, 1, 2, false); /* out of memory */
    assert_int_equal(mill_engine_start(engine, NULL, &err), MILL_OK);
    assert_int_equal(engine->n_replicas, 1);
    assert_int_equal(engine->devices[0].number, 1);
    assert_non_null(strstr(mill_engine_get_info(engine)->no_gpu, "GPU 0: "));
    assert_non_null(strstr(mill_engine_get_info(engine)->no_gpu, "too little memory free"));
    close_cards(engine);
}

/* Of two cards that are too old none serves: the processor does. */
static void test_auto_takes_the_processor(void **state) {
    (void)state;
    struct emulator_settings settings = emulated()->defaults();
    struct heard heard;
    settings.n_devices = 2;
    settings.capability = 61;
    struct mill_engine *engine = open_auto(&settings);
    assert_string_equal(mill_engine_get_info(engine)->precision, "bf16");
    assert_int_equal(mill_engine_start(engine, NULL, NULL), MILL_OK);
    assert_int_equal(engine->n_replicas, 1);
    assert_string_equal(engine->devices[0].name, "cpu");
    assert_string_equal(mill_engine_get_info(engine)->precision, "int8");
    assert_non_null(strstr(mill_engine_get_info(engine)->no_gpu, "is too old"));
    submit(engine, 0, &heard);
    fixture_finish(&heard);
    assert_int_equal(heard.result.status, MILL_OK);
    heard_free(&heard);
    close_cards(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_go_round),         cmocka_unit_test(test_a_copy_fails),
        cmocka_unit_test(test_cards_change_no_bit),      cmocka_unit_test(test_a_call_fails),
        cmocka_unit_test(test_no_card_is_left),          cmocka_unit_test(test_auto_leaves_a_card),
        cmocka_unit_test(test_auto_takes_the_processor),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
