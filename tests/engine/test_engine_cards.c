/* test_engine_cards.c - the engine on several cards, which the emulator has: how weights come to
 * them. */
#include "tests/engine/engine_fixture.h"
#include "tests/support/emulated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void use_cards(int n) {
    struct emulator_settings settings = emulated()->defaults();
    settings.n_devices = n;
    emulated()->configure(&settings);
}

/* How often the weights were made: progress begins again each time. */
struct loads {
    size_t n, last;
};

static void count_loads(void *context, size_t done_bytes, size_t all_bytes) {
    struct loads *loads = context;
    (void)all_bytes;
    loads->n += loads->n == 0 || done_bytes < loads->last;
    loads->last = done_bytes;
}

static struct mill_engine *start(struct loads *loads, mill_status *status) {
    const struct mill_engine_options options = {
        .model = fixture_folder(), .devices = "emulator", .precision = "bf16", .max_running = 2};
    const struct mill_engine_progress progress = {count_loads, loads};
    struct mill_engine *engine;
    struct mill_error err = {""};
    *loads = (struct loads){0};
    assert_int_equal(mill_engine_open(&engine, &options, &err), MILL_OK);
    *status = mill_engine_start(engine, &progress, &err);
    assert_true(*status == MILL_OK || err.text[0]);
    return engine;
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

/* The checkpoint is read once, and the cards have the same from one another. */
static void test_weights_go_round(void **state) {
    (void)state;
    struct loads loads;
    mill_status status;
    use_cards(3);
    struct mill_engine *engine = start(&loads, &status);
    assert_int_equal(status, MILL_OK);
    assert_int_equal(engine->n_replicas, 3);
    assert_int_equal(loads.n, 1);
    assert_same_weights(engine);
    mill_engine_close(engine);
    assert_int_equal(emulated()->bytes_in_use(), 0);
}

/* Whichever copy fails: either the engine does not start, or the weights came another way. */
static void test_a_copy_fails(void **state) {
    (void)state;
    struct loads loads;
    mill_status status;
    int n_another_way = 0, n_failed = 0;
    use_cards(2);
    uint64_t before = emulated()->n_calls(EMULATOR_COPY);
    mill_engine_close(start(&loads, &status));
    uint64_t n_copies = emulated()->n_calls(EMULATOR_COPY) - before;
    for (uint64_t n = 1; n <= n_copies; n++) {
        emulated()->fault(EMULATOR_COPY, n, 999, false);
        struct mill_engine *engine = start(&loads, &status);
        if (status == MILL_OK) {
            assert_same_weights(engine);
            n_another_way += loads.n == 2;
        }
        n_failed += status < 0;
        mill_engine_close(engine);
        emulated()->reset();
        assert_int_equal(emulated()->bytes_in_use(), 0);
    }
    assert_int_equal(n_another_way, 1);
    assert_int_equal(n_another_way + n_failed, n_copies);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_go_round),
        cmocka_unit_test(test_a_copy_fails),
    };
    return cmocka_run_group_tests(tests, fixture_write_checkpoint, NULL);
}
