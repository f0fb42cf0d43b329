/* test_operators.c - the operator case table on one backend:
 *
 *     test_operators BACKEND [ISA] [test | once | perf] [reverse | random | small] [only TEXT]
 *
 * `only` those cases whose name begins with TEXT. `test` compares every case with the reference
 * backend and with itself: row by row, cut at random, and with other thread counts, to the last
 * bit; `once` with the reference alone. An emulated card runs its threads and blocks in the order
 * that is asked for; a small one has one multiprocessor, so that its tiles are large. Exit status
 * 77 where the processor lacks ISA. */
#include "tests/kernels/harness.h"
#include "tests/support/emulated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    struct rig reference, other;
    int32_t n_refused; /* OPTIONAL variants */
};

static void open_pair(struct pair *pair, const struct options *options, int32_t n_threads) {
    struct mill_error err = {""};
    pair->n_refused = 0;
    if (!rig_open(&pair->reference, "reference", NULL, 1, &err) ||
        !rig_open(&pair->other, options->backend, options->isa, n_threads, &err))
        fail_msg("%s", err.text);
}

static void close_pair(struct pair *pair) {
    rig_close(&pair->reference);
    rig_close(&pair->other);
}

static bool visit_close(const struct variant *v, void *context) {
    struct pair *pair = context;
    struct fixture f;
    struct output expected, actual;
    fixture_init(&f, v);
    struct piece all = {0, fixture_rows(&f)};
    bool good = run(&pair->reference, &f, &all, 1, &expected);
    good &= run(&pair->other, &f, &all, 1, &actual);
    good = good && judge_written(&f, &expected) && judge_close(&f, &expected, &actual);
    pair->n_refused += actual.refused;
    output_deinit(&expected);
    output_deinit(&actual);
    fixture_deinit(&f);
    return good;
}

static void test_equals_reference(void **state) {
    struct pair pair;
    open_pair(&pair, *state, 2);
    assert_int_equal(each_variant(false, visit_close, &pair), 0);
    if (pair.n_refused)
        printf("%d optional variants are not supported\n", pair.n_refused);
    close_pair(&pair);
}

/* Cuts 0 .. rows into pieces of 1, or of random lengths. */
enum { MAX_PIECES = 4096 };
static int32_t cut(int32_t rows, bool single, uint64_t *random, struct piece *pieces) {
    int32_t n = 0;
    for (int32_t first = 0; first < rows; n++) {
        int32_t length = single ? 1 : 1 + (int32_t)random_below(random, (uint32_t)rows);
        length = length < rows - first ? length : rows - first;
        assert_in_range(n, 0, MAX_PIECES - 1);
        pieces[n] = (struct piece){first, length};
        first += length;
    }
    return n;
}

static bool check_cut(struct rig *rig, const struct fixture *f, const struct output *whole,
                      bool single, uint64_t random) {
    struct piece pieces[MAX_PIECES];
    struct output cut_up;
    int32_t n = cut(fixture_rows(f), single, &random, pieces);
    bool good = run(rig, f, pieces, n, &cut_up) &&
                judge_equal(f, whole, &cut_up, single ? "row by row" : "cut at random");
    output_deinit(&cut_up);
    return good;
}

static bool visit_cuts(const struct variant *v, void *context) {
    struct rig *rig = context;
    struct fixture f;
    struct output whole;
    fixture_init(&f, v);
    struct piece all = {0, fixture_rows(&f)};
    bool good = run(rig, &f, &all, 1, &whole) && check_cut(rig, &f, &whole, true, 0);
    for (uint64_t seed = 1; seed <= 3; seed++)
        good = good && check_cut(rig, &f, &whole, false, seed);
    output_deinit(&whole);
    fixture_deinit(&f);
    return good;
}

static void test_cuts_change_no_bit(void **state) {
    const struct options *options = *state;
    struct rig rig;
    assert_true(rig_open(&rig, options->backend, options->isa, 2, NULL));
    assert_int_equal(each_variant(false, visit_cuts, &rig), 0);
    rig_close(&rig);
}

static bool visit_fused(const struct variant *v, void *context) {
    struct rig *rig = context;
    if (v->c->op != OP_RESIDUAL_UNIT && !(v->c->flags & (NORMED | APPENDS)))
        return true;
    struct fixture f;
    struct output at_once, in_two;
    fixture_init(&f, v);
    struct piece all = {0, fixture_rows(&f)};
    bool good = run(rig, &f, &all, 1, &at_once);
    f.in_two = true;
    good &= run(rig, &f, &all, 1, &in_two);
    good = good && (at_once.refused || judge_equal(&f, &in_two, &at_once, "not its parts"));
    output_deinit(&at_once);
    output_deinit(&in_two);
    fixture_deinit(&f);
    return good;
}

/* A residual unit is two convolutions; a linear layer may have a norm before it, attention a rope
 * and an append. */
static void test_fused_is_its_parts(void **state) {
    const struct options *options = *state;
    struct rig rig;
    assert_true(rig_open(&rig, options->backend, options->isa, 2, NULL));
    assert_int_equal(each_variant(false, visit_fused, &rig), 0);
    rig_close(&rig);
}

static bool is_emulated(const struct options *options) {
    return strncmp(options->backend, "emulator", strlen("emulator")) == 0;
}

static void configure_card(const struct options *options, enum emulator_order order) {
    struct emulator_settings settings = emulated_as(options->backend)->defaults();
    settings.order = order;
    if (options->small)
        settings.n_multiprocessors = 1;
    emulated_as(options->backend)->configure(&settings);
}

/* Rigs of 1 to 4 threads; an emulated card's threads are its own, but have orders. */
struct threads {
    const struct options *options;
    struct rig rigs[4];
};

static bool run_with_threads(struct threads *t, int i, const struct fixture *f,
                             struct output *out) {
    struct piece all = {0, fixture_rows(f)};
    if (is_emulated(t->options))
        configure_card(t->options, (enum emulator_order)(i % 3));
    return run(&t->rigs[i], f, &all, 1, out);
}

static bool visit_threads(const struct variant *v, void *context) {
    struct threads *t = context;
    struct fixture f;
    struct output expected, actual;
    fixture_init(&f, v);
    bool good = run_with_threads(t, 0, &f, &expected);
    for (int i = 1; i < 4 && good; i++) {
        good = run_with_threads(t, i, &f, &actual) &&
               judge_equal(&f, &expected, &actual, "with other threads");
        output_deinit(&actual);
    }
    output_deinit(&expected);
    fixture_deinit(&f);
    return good;
}

static void test_threads_change_no_bit(void **state) {
    const struct options *options = *state;
    struct threads t = {.options = options};
    if (strcmp(options->backend, "reference") == 0)
        skip(); /* it has one thread */
    for (int i = 0; i < 4; i++)
        assert_true(rig_open(&t.rigs[i], options->backend, options->isa, i + 1, NULL));
    assert_int_equal(each_variant(false, visit_threads, &t), 0);
    for (int i = 0; i < 4; i++)
        rig_close(&t.rigs[i]);
}

static int test_once(struct options *options) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_equals_reference, options),
    };
    return cmocka_run_group_tests_name("operators", tests, NULL, NULL) ? 1 : 0;
}

static int test_all(struct options *options) {
    struct rig rig;
    struct mill_error err = {""};
    if (!rig_open(&rig, options->backend, options->isa, 1, &err)) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    printf("%s: %s\n", options->backend, rig.ops->describe(rig.backend));
    rig_close(&rig);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_equals_reference, options),
        cmocka_unit_test_prestate(test_cuts_change_no_bit, options),
        cmocka_unit_test_prestate(test_fused_is_its_parts, options),
        cmocka_unit_test_prestate(test_threads_change_no_bit, options),
    };
    int n_failed = contract_tests(options);
    return n_failed + cmocka_run_group_tests_name("operators", tests, NULL, NULL) ? 1 : 0;
}

int main(int argc, char **argv) {
    struct options options = {.backend = argc > 1 ? argv[1] : "reference"};
    bool perf = false, once = false;
    int32_t n_cases = 1;
    enum emulator_order order = EMULATOR_FORWARD;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "perf") == 0)
            perf = true;
        else if (strcmp(argv[i], "once") == 0)
            once = true;
        else if (strcmp(argv[i], "reverse") == 0)
            order = EMULATOR_REVERSE;
        else if (strcmp(argv[i], "random") == 0)
            order = EMULATOR_RANDOM;
        else if (strcmp(argv[i], "small") == 0)
            options.small = true;
        else if (strcmp(argv[i], "only") == 0 && i + 1 < argc)
            n_cases = each_variant_only(argv[++i]);
        else if (strcmp(argv[i], "test") != 0)
            options.isa = argv[i];
    }
    if (n_cases == 0) {
        fprintf(stderr,
                "test_operators: no case is called so; tests/kernels/cases_*.c have their names\n");
        return 2;
    }
    if (is_emulated(&options))
        configure_card(&options, order);
    return perf ? perf_run(&options) : once ? test_once(&options) : test_all(&options);
}
