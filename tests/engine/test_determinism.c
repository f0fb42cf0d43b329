/* test_determinism.c - the audio of a request is a function of the request: random schedules on the
 * whole engine against every wish alone.
 *
 *   test_determinism [N_SCHEDULES [FIRST_SEED]]
 *
 * A schedule draws which wishes come, in which order and how often, which are read and which
 * delivered, and who beside them is cancelled when; every few schedules a new engine draws how many
 * replicas with how many threads there are, which of them compute at once and which only when
 * somebody waits for it (then steps are launched before the tokens of the one before are seen), how
 * many run at once, and how large steps, pages, windows and readers' buffers are. Everything that
 * was not cancelled must sound as it does alone, to the last bit: one hash a wish. */
#include "runtime/base/philox.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/lazy_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <xxhash.h>

enum { MAX_REQUESTS = 10, SCHEDULES_AN_ENGINE = 5, PROGRESS = 500 };

static uint64_t n_schedules = 15, first_seed = 1;

static const char cache[] = MILL_SCRATCH "/determinism-cache";

struct chance {
    uint64_t seed, position;
};

/* low .. high */
static int32_t between(struct chance *chance, int32_t low, int32_t high) {
    double u = mill_philox_uniform(chance->seed, chance->position++);
    return low + (int32_t)(u * (high - low + 1));
}

static uint64_t hash_of(const struct heard *heard) {
    if (heard->result.status != MILL_OK)
        fail_msg("%s", heard->result.error.text);
    assert_true(heard->n_samples > 0);
    return XXH3_64bits_withSeed(heard->wave, heard->n_samples * sizeof *heard->wave,
                                heard->result.seed);
}

/* Bit i of *context: replica i is asynchronous. */
static const struct mill_backend_ops *find_backend(void *context, int32_t replica) {
    bool lazy = *(int32_t *)context >> replica & 1;
    return lazy ? lazy_backend_ops(mill_backend_find("cpu", NULL)) : NULL;
}

static struct mill_engine *open_engine(struct chance *c) {
    /* Seldom more threads than a small machine has: they wait for each other, and that is most of
     * what they do. */
    static const char *const devices[] = {"cpu:1",       "cpu:1",       "cpu:1",
                                          "cpu:1",       "cpu:1,cpu:1", "cpu:1,cpu:1",
                                          "cpu:1,cpu:1", "cpu:1,cpu:2"};
    const int32_t max_tokens = 220;
    const struct mill_engine_options options = {.devices = devices[between(c, 0, 7)],
                                                .max_running = between(c, 1, 6),
                                                .cache = cache,
                                                .max_tokens = max_tokens,
                                                .cache_tokens = max_tokens + between(c, 0, 600),
                                                .max_window = between(c, 8, 100),
                                                .max_unread_s =
                                                    between(c, 0, 1) ? 0 : 0.1 * between(c, 2, 10)};
    static int32_t lazy;
    const struct mill_engine_hooks hooks = {.find_backend = find_backend,
                                            .context = &lazy,
                                            .audit = true,
                                            .prompt_rows = between(c, 6, 80)};
    lazy = between(c, 0, 3);
    return fixture_open(options, &hooks);
}

struct totals {
    uint64_t n_requests, n_cancelled, n_preemptions, n_deliveries;
};

static void run_schedule(struct mill_engine *engine, struct chance c, const uint64_t *hashes,
                         struct totals *totals) {
    struct heard heard[MAX_REQUESTS];
    int32_t wishes[MAX_REQUESTS], cancel_at[MAX_REQUESTS];
    int32_t n = between(&c, 3, MAX_REQUESTS);
    for (int32_t i = 0; i < n; i++) {
        wishes[i] = between(&c, 0, FIXTURE_WISHES - 1);
        cancel_at[i] = between(&c, 0, 3) == 0 ? between(&c, 0, 60) : -1;
        fixture_submit(engine, wishes[i], between(&c, 0, 2) == 0, &heard[i]);
    }
    for (int32_t i = 0; i < n; i++) {
        if (cancel_at[i] < 0)
            continue;
        while (mill_request_get_progress(heard[i].request) < cancel_at[i] &&
               mill_request_wait(heard[i].request, 0.001) == MILL_AGAIN &&
               heard[i].request->wish.deliver) /* one that is not read may stand still */
            ;
        mill_request_cancel(heard[i].request);
    }
    for (int32_t i = 0; i < n; i++) {
        fixture_finish(&heard[i]);
        bool cancelled = heard[i].result.end == MILL_REQUEST_CANCELLED;
        assert_true(!cancelled || cancel_at[i] >= 0);
        if (!cancelled && hash_of(&heard[i]) != hashes[wishes[i]])
            fail_msg("schedule %llu: wish %d sounds different", (unsigned long long)c.seed,
                     wishes[i]);
        totals->n_requests++;
        totals->n_cancelled += cancelled;
        totals->n_preemptions += (uint64_t)heard[i].result.n_preemptions;
        totals->n_deliveries += (uint64_t)heard[i].n_deliveries;
        heard_free(&heard[i]);
    }
}

static void test_one_hash_a_wish(void **state) {
    (void)state;
    uint64_t hashes[FIXTURE_WISHES];
    const struct mill_engine_options alone = {.devices = "cpu:1", .max_running = 1, .cache = cache};
    struct mill_engine *engine = fixture_open(alone, NULL);
    for (int i = 0; i < FIXTURE_WISHES; i++) {
        struct heard heard;
        fixture_submit(engine, i, false, &heard);
        fixture_finish(&heard);
        hashes[i] = hash_of(&heard);
        heard_free(&heard);
        for (int j = 0; j < i; j++)
            assert_true(hashes[j] != hashes[i]);
    }
    struct totals totals = {0};
    for (uint64_t i = 0; i < n_schedules; i++) {
        struct chance chance = {.seed = first_seed + i};
        if (i % SCHEDULES_AN_ENGINE == 0) {
            mill_engine_close(engine);
            engine = open_engine(&chance);
        }
        run_schedule(engine, chance, hashes, &totals);
        if ((i + 1) % PROGRESS == 0)
            print_message("%llu of %llu schedules\n", (unsigned long long)i + 1,
                          (unsigned long long)n_schedules);
    }
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
    mill_engine_close(engine);
    print_message("%llu schedules, %llu requests, %llu cancelled, %llu preemptions, %llu "
                  "deliveries, %ld steps repeated: one hash for each of %d wishes\n",
                  (unsigned long long)n_schedules, (unsigned long long)totals.n_requests,
                  (unsigned long long)totals.n_cancelled, (unsigned long long)totals.n_preemptions,
                  (unsigned long long)totals.n_deliveries, lazy_backend_graphs(), FIXTURE_WISHES);
    assert_true(totals.n_requests > totals.n_cancelled);
    assert_true(n_schedules < 15 ||
                lazy_backend_graphs() > 0); /* a few engines, some of them lazy */
}

int main(int argc, char **argv) {
    if (argc > 1)
        n_schedules = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_hash_a_wish),
    };
    return cmocka_run_group_tests(tests, fixture_write_checkpoint, NULL);
}
