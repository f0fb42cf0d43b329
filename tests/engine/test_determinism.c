/* test_determinism.c - the audio of a request is a function of the request: random schedules on the
 * whole engine against every wish alone.
 *
 *   test_determinism [BACKEND [N_SCHEDULES [FIRST_SEED]]]
 *
 * A schedule draws which wishes come, in which order and how often, which are read and which
 * delivered, and who beside them is cancelled when; every few schedules a new engine draws how many
 * replicas there are, how many run at once, and how large steps, pages, windows and readers'
 * buffers are. Everything that was not cancelled must sound as it does alone, to the last bit: one
 * hash a wish and kind of device. (Of the language model a hash shows the tokens that were drawn;
 * its own last bits are compared by test_operators.)
 *
 * On the backend "cpu" an engine also draws threads, and which replicas compute at once and which
 * only when somebody waits for it (then steps are launched before the tokens of the one before are
 * seen). On "emulator", where everything runs like that, it draws the kind of card, how many
 * multiprocessors the kernels' plans go by, and in which order threads and blocks get to run; the
 * model is smaller and requests are shorter there. "cuda" is the first card of this machine. */
#include "runtime/base/philox.h"
#include "tests/engine/engine_fixture.h"
#include "tests/model/whole_checkpoint.h"
#include "tests/support/emulated.h"
#include "tests/support/lazy_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

enum { MAX_REQUESTS = 10, PROGRESS = 500 };
/* A wish more, for cards: where few rows are computed at once, several blocks share its keys. Only
 * engines with room for LONG_TOKENS take it. */
enum { LONG_WISH = FIXTURE_WISHES, MAX_WISHES, LONG_TEXT = 540, LONG_TOKENS = 1200 };

static uint64_t n_schedules = 15, first_seed = 1;

/* What has bits of its own. */
struct kind {
    const char *precision;
    int32_t capability; /* of a card; 0 = none */
};
enum { MAX_KINDS = 3 };

static const struct subject {
    const char *backend, *devices, *model, *cache; /* model NULL = the tiny one */
    bool on_cards;
    int32_t n_kinds;
    struct kind kinds[MAX_KINDS];
    int32_t n_requests; /* of a schedule, at most */
    int32_t n_frames;   /* of a wish, at most */
    int32_t n_wishes;
    uint64_t schedules_an_engine;
} processor = {.backend = "cpu",
               .devices = "cpu:1",
               .cache = MILL_SCRATCH "/determinism-cache",
               .n_kinds = 1,
               .kinds = {{"int8", 0}},
               .n_requests = MAX_REQUESTS,
               .n_frames = FIXTURE_FRAMES,
               .n_wishes = FIXTURE_WISHES,
               .schedules_an_engine = 3},
  emulator = {.backend = "emulator",
              .devices = "emulator",
              .on_cards = true,
              .model = MILL_SCRATCH "/determinism-small",
              .cache = MILL_SCRATCH "/determinism-small-cache",
              .n_kinds = MAX_KINDS,
              .kinds = {{"bf16", 90}, {"bf16", 80}, {"int8", 75}},
              .n_requests = 7,
              .n_frames = 8,
              .n_wishes = MAX_WISHES,
              .schedules_an_engine = 2},
  cuda = {.backend = "cuda",
          .devices = "0",
          .on_cards = true,
          .cache = MILL_SCRATCH "/determinism-cache",
          .n_kinds = 2,
          .kinds = {{"bf16", 0}, {"int8", 0}},
          .n_requests = MAX_REQUESTS,
          .n_frames = FIXTURE_FRAMES,
          .n_wishes = MAX_WISHES,
          .schedules_an_engine = 3};
static const struct subject *const subjects[] = {&processor, &emulator, &cuda};
static const struct subject *subject = &processor;

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

/* ------------------------------------------------------------------ engines */

/* What all engines of a kind have alike. */
static struct mill_engine_options options_of(const struct kind *kind) {
    return (struct mill_engine_options){.devices = subject->devices,
                                        .model = subject->model,
                                        .cache = subject->cache,
                                        .precision = kind->precision,
                                        .max_running = 1};
}

/* Bit i of *context: replica i is asynchronous. */
static const struct mill_backend_ops *find_backend(void *context, int32_t replica) {
    bool lazy = *(int32_t *)context >> replica & 1;
    return lazy ? lazy_backend_ops(mill_backend_find("cpu", NULL)) : NULL;
}

static void draw_processors(struct chance *c, struct mill_engine_options *options, int32_t *lazy) {
    /* Seldom more threads than a small machine has: they wait for each other, and that is most of
     * what they do. */
    static const char *const devices[] = {"cpu:1",       "cpu:1",       "cpu:1",
                                          "cpu:1",       "cpu:1,cpu:1", "cpu:1,cpu:1",
                                          "cpu:1,cpu:1", "cpu:1,cpu:2"};
    options->devices = devices[between(c, 0, 7)];
    options->max_tokens = 220;
    options->max_window = between(c, 8, 100);
    options->max_unread_s = between(c, 0, 1) ? 0 : 0.1 * between(c, 2, 10);
    *lazy = between(c, 0, 3);
}

static void draw_emulator(struct chance *c, const struct kind *kind) {
    static const int multiprocessors[] = {1, 4, 8, 132};
    struct emulator_settings settings = emulated()->defaults();
    settings.capability = kind->capability;
    settings.n_devices = between(c, 0, 2) ? 1 : 2;
    settings.n_multiprocessors = multiprocessors[between(c, 0, 3)];
    settings.order = (enum emulator_order)between(c, EMULATOR_FORWARD, EMULATOR_RANDOM);
    settings.seed = c->seed;
    emulated()->configure(&settings);
}

static void draw_cards(struct chance *c, const struct kind *kind,
                       struct mill_engine_options *options) {
    if (subject == &emulator)
        draw_emulator(c, kind);
    options->max_tokens = between(c, 0, 3) ? 220 : LONG_TOKENS;
    options->max_window = between(c, 2, 16);
    options->max_unread_s = between(c, 0, 1) ? 0 : 0.002 * between(c, 1, 6);
}

static struct mill_engine *open_engine(struct chance *c, const struct kind *kind) {
    static int32_t lazy;
    struct mill_engine_options options = options_of(kind);
    struct mill_engine_hooks hooks = {.context = &lazy, .audit = true};
    if (subject->on_cards)
        draw_cards(c, kind, &options);
    else
        draw_processors(c, &options, &lazy);
    hooks.find_backend = subject->on_cards ? NULL : find_backend;
    hooks.prompt_rows = between(c, options.max_tokens < LONG_TOKENS ? 6 : 40, 80);
    options.max_running = between(c, 1, 6);
    options.cache_tokens = options.max_tokens + between(c, 0, 600);
    return fixture_open(options, &hooks);
}

/* ------------------------------------------------------------------ schedules */

/* Letters that no merge of the small tokenizer has on its right: a token each. */
static const char *long_text(void) {
    static char text[LONG_TEXT];
    for (int i = 0; i < LONG_TEXT; i++)
        text[i] = (char)('m' + i % 13);
    return text;
}

static void submit(struct mill_engine *engine, int i, bool polled, struct heard *heard) {
    struct mill_engine_request wish = fixture_wish(engine, i, heard);
    if (polled)
        wish.deliver = NULL;
    wish.later = i % 2;
    if (subject == &emulator) {
        wish.max_frames = subject->n_frames - i % 5;
        wish.max_redraws = wish.max_redraws > 0;
        wish.lookahead = i % 3 ? 2 : -1;
    }
    if (i == LONG_WISH) {
        wish.text = long_text();
        wish.text_bytes = LONG_TEXT;
    }
    fixture_submit_wish(engine, &wish, heard);
}

/* The long one often, where there is room. */
static int32_t draw_wish(struct chance *c, const struct mill_engine *engine) {
    bool has_room = mill_engine_get_info(engine)->max_tokens >= LONG_TOKENS;
    int32_t i = between(c, 0, has_room ? LONG_WISH + 3 : FIXTURE_WISHES - 1);
    return i < LONG_WISH ? i : LONG_WISH;
}

struct totals {
    uint64_t n_requests, n_cancelled, n_preemptions, n_deliveries;
};

/* Until it has come so far, or will not come further by itself. */
static void await_progress(const struct heard *heard, int32_t n_frames) {
    while (mill_request_get_progress(heard->request) < n_frames &&
           mill_request_wait(heard->request, 0.001) == MILL_AGAIN && heard->request->wish.deliver)
        ;
}

static void run_schedule(struct mill_engine *engine, struct chance c, const uint64_t *hashes,
                         struct totals *totals) {
    const int32_t far = subject->n_frames;
    struct heard heard[MAX_REQUESTS];
    int32_t wishes[MAX_REQUESTS], cancel_at[MAX_REQUESTS];
    int32_t n = between(&c, 3, subject->n_requests);
    for (int32_t i = 0; i < n; i++) {
        wishes[i] = draw_wish(&c, engine);
        cancel_at[i] = between(&c, 0, 3) == 0 ? between(&c, 0, far) : -1;
        if (i > 0 && between(&c, 0, 3) == 0)
            await_progress(&heard[i - 1], between(&c, 0, far));
        submit(engine, wishes[i], between(&c, 0, 2) == 0, &heard[i]);
    }
    for (int32_t i = 0; i < n; i++) {
        if (cancel_at[i] < 0) {
            mill_request_listen(heard[i].request); /* the others stay later, where they were */
            continue;
        }
        await_progress(&heard[i], cancel_at[i]);
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

/* ------------------------------------------------------------------ the test */

/* The hash of every wish, alone. */
static void hear_alone(const struct kind *kind, uint64_t hashes[MAX_WISHES]) {
    if (subject == &emulator) {
        struct emulator_settings settings = emulated()->defaults();
        settings.capability = kind->capability;
        emulated()->configure(&settings);
    }
    struct mill_engine *engine = fixture_open(options_of(kind), NULL);
    for (int i = 0; i < subject->n_wishes; i++) {
        struct heard heard;
        submit(engine, i, false, &heard);
        fixture_finish(&heard);
        hashes[i] = hash_of(&heard);
        heard_free(&heard);
        for (int j = 0; j < i; j++)
            assert_true(hashes[j] != hashes[i]);
    }
    mill_engine_close(engine);
}

/* Steps that were repeated as a graph; a real card does not tell. */
static uint64_t n_repeated(void) {
    return subject == &emulator ? emulated()->n_calls(EMULATOR_GRAPH)
                                : (uint64_t)lazy_backend_graphs();
}

static void test_one_hash_a_wish(void **state) {
    (void)state;
    uint64_t hashes[MAX_KINDS][MAX_WISHES];
    struct mill_engine *engine = NULL;
    struct totals totals = {0};
    for (int32_t k = 0; k < subject->n_kinds; k++)
        hear_alone(&subject->kinds[k], hashes[k]);
    for (uint64_t i = 0; i < n_schedules; i++) {
        struct chance chance = {.seed = first_seed + i};
        int32_t kind = (int32_t)(i / subject->schedules_an_engine % (uint64_t)subject->n_kinds);
        if (i % subject->schedules_an_engine == 0) {
            mill_engine_close(engine);
            engine = open_engine(&chance, &subject->kinds[kind]);
        }
        run_schedule(engine, chance, hashes[kind], &totals);
        if ((i + 1) % PROGRESS == 0)
            print_message("%llu of %llu schedules\n", (unsigned long long)i + 1,
                          (unsigned long long)n_schedules);
    }
    assert_int_equal(mill_engine_drain(engine, -1), MILL_OK);
    mill_engine_close(engine);
    print_message("%llu schedules, %llu requests, %llu cancelled, %llu preemptions, %llu "
                  "deliveries, %llu steps repeated: one hash for each of %d wishes\n",
                  (unsigned long long)n_schedules, (unsigned long long)totals.n_requests,
                  (unsigned long long)totals.n_cancelled, (unsigned long long)totals.n_preemptions,
                  (unsigned long long)totals.n_deliveries, (unsigned long long)n_repeated(),
                  subject->n_wishes);
    assert_true(totals.n_requests > totals.n_cancelled);
    /* A few engines, some of them lazy. */
    assert_true(n_schedules < 15 || subject == &cuda || n_repeated() > 0);
}

static int write_checkpoint(void **state) {
    if (subject != &emulator)
        return fixture_write_checkpoint(state);
    whole_checkpoint_write_small(emulator.model);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        subject = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof subjects / sizeof *subjects; i++)
        if (strcmp(argv[1], subjects[i]->backend) == 0)
            subject = subjects[i];
    if (!subject) {
        print_error("'%s' is no backend: cpu, emulator or cuda\n", argv[1]);
        return 2;
    }
    if (argc > 2)
        n_schedules = strtoull(argv[2], NULL, 10);
    if (argc > 3)
        first_seed = strtoull(argv[3], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_hash_a_wish),
    };
    return cmocka_run_group_tests(tests, write_checkpoint, NULL);
}
