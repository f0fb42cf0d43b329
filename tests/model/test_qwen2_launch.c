/* test_qwen2_launch.c - steps that are launched before the tokens of the one before are seen: on a
 * backend that computes nothing until somebody waits, they give what steps one by one give, call by
 * call and from recorded graphs.
 *
 *   test_qwen2_launch [BACKEND]    on that backend; else on cpu, made asynchronous */
#include "runtime/model/qwen2.h"
#include "tests/model/checkpoint_fixture.h"
#include "tests/support/bad_input.h"
#include "tests/support/lazy_backend.h"

#include <stdlib.h>

enum {
    IM_END = 151645,
    GLOBAL = 151665,
    SEMANTIC = 155761,
    PITCH = 163953,
    SPEED = 164975,
    N_SEQUENCES = 19, /* rounded up to one size, and to the most there can be */
    N_STEPS = 30,
    N_DECODE = 14, /* from this step on all draw semantic tokens */
    MAX_PROMPT = 4,
    SEQUENCE_PAGES = 3,
    PAGE_TOKENS = 16,
    MAX_ROWS = N_SEQUENCES * MAX_PROMPT
};

static const struct mill_backend_ops *plain, *asynchronous;

struct model {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_shape shape;
    struct fixture_tokens tokens;
    struct mill_weights *weights;
    struct mill_qwen2 *lm;
};

static void open_model(struct model *model, const struct mill_backend_ops *ops) {
    struct mill_error err;
    const struct mill_backend_options one_thread = {.n_threads = 1};
    const struct mill_weights_options precision = {.precision = MILL_PRECISION_BF16};
    const struct mill_qwen2_options options = {.max_rows = MAX_ROWS,
                                               .max_sequences = N_SEQUENCES + 1,
                                               .max_pages = SEQUENCE_PAGES,
                                               .n_pages = N_SEQUENCES * SEQUENCE_PAGES,
                                               .page_tokens = PAGE_TOKENS};
    mill_synth_shape(&model->shape, MILL_SYNTH_TINY);
    fixture_write(MILL_SCRATCH "/qwen2-launch-tiny", &model->shape, MILL_F32);
    fixture_tokens_init(&model->tokens, &model->shape, IM_END, GLOBAL, SEMANTIC, PITCH, SPEED);
    model->ops = ops;
    if (ops->open(&model->backend, &one_thread, &err) < 0 ||
        fixture_open_weights(&model->weights, MILL_SCRATCH "/qwen2-launch-tiny", &model->shape,
                             &model->tokens.tokens, ops, model->backend, &precision, &err) < 0 ||
        mill_qwen2_open(&model->lm, ops, model->backend, &model->weights->lm, &options, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_model(struct model *model) {
    mill_qwen2_close(model->lm);
    mill_weights_close(model->weights);
    fixture_tokens_deinit(&model->tokens);
    model->ops->close(model->backend);
}

/* ------------------------------------------------------------------ what runs */

/* Whether sequence s is in step t: each rests now and then, and the batch shrinks in the end. */
static bool runs(int s, int t) {
    return (s + t) % 7 != 3 && (t < N_STEPS - 8 || s < 5);
}

static enum mill_legal_set set_of(int s, int t) {
    return t < N_DECODE && (s + t) % 3 == 0 ? MILL_LEGAL_GLOBAL : MILL_LEGAL_SEMANTIC;
}

/* A step over all that run. */
struct batch {
    int32_t ids[MAX_ROWS], row_first[N_SEQUENCES + 1], n_cached[N_SEQUENCES];
    const int32_t *pages[N_SEQUENCES];
    struct mill_draw draws[N_SEQUENCES];
    int sequences[N_SEQUENCES]; /* of draw i */
    int32_t n, n_rows;
};

/* What is known of the sequences: tokens drawn, and which draw of the step before was theirs. */
struct state {
    int32_t pages[N_SEQUENCES][SEQUENCE_PAGES];
    int32_t n_cached[N_SEQUENCES], token[N_SEQUENCES], drawn[N_SEQUENCES];
};

static void init_state(struct state *state) {
    memset(state, 0, sizeof *state);
    for (int s = 0; s < N_SEQUENCES; s++)
        for (int p = 0; p < SEQUENCE_PAGES; p++)
            state->pages[s][p] = p * N_SEQUENCES + (s * 5 + p) % N_SEQUENCES;
}

/* Draws stand in the reverse order of sequences. `ahead`: tokens of the step before are not seen.
 */
static void make_batch(struct batch *b, struct state *state, int t, bool ahead) {
    memset(b, 0, sizeof *b);
    for (int s = 0; s < N_SEQUENCES; s++) {
        if (!runs(s, t))
            continue;
        bool begins = state->n_cached[s] == 0;
        int32_t n_rows = begins ? 1 + s % MAX_PROMPT : 1;
        for (int32_t r = 0; r < n_rows; r++)
            b->ids[b->n_rows + r] = begins                          ? 100 * s + r
                                    : ahead && state->drawn[s] >= 0 ? -1 - state->drawn[s]
                                                                    : state->token[s];
        b->n_cached[b->n] = state->n_cached[s];
        b->pages[b->n] = state->pages[s];
        b->n_rows += n_rows;
        b->row_first[++b->n] = b->n_rows;
        state->n_cached[s] += n_rows;
    }
    int32_t at = b->n;
    for (int s = 0; s < N_SEQUENCES; s++) {
        state->drawn[s] = -1;
        if (!runs(s, t))
            continue;
        b->draws[--at] = (struct mill_draw){.row = b->row_first[b->n - at] - 1,
                                            .legal = set_of(s, t),
                                            .temperature = 0.9f,
                                            .top_p = 0.95f,
                                            .top_k = 50,
                                            .seed = (uint64_t)s,
                                            .position = (uint64_t)t};
        b->sequences[at] = s;
        state->drawn[s] = at;
    }
}

static struct mill_qwen2_step step_of(const struct batch *b, int32_t *tokens) {
    return (struct mill_qwen2_step){.n_sequences = b->n,
                                    .n_rows = b->n_rows,
                                    .n_draws = b->n,
                                    .apart = true,
                                    .ids = b->ids,
                                    .row_first = b->row_first,
                                    .n_cached = b->n_cached,
                                    .pages = b->pages,
                                    .draws = b->draws,
                                    .tokens = tokens};
}

/* ------------------------------------------------------------------ tests */

typedef int32_t tokens_of_steps[N_STEPS][N_SEQUENCES]; /* -1 = none */

static void note(const struct batch *b, const int32_t *tokens, struct state *state,
                 int32_t *of_step) {
    for (int s = 0; s < N_SEQUENCES; s++)
        of_step[s] = -1;
    for (int32_t i = 0; i < b->n; i++)
        of_step[b->sequences[i]] = state->token[b->sequences[i]] = tokens[i];
}

static void run_one_by_one(tokens_of_steps found) {
    struct model model;
    struct state state;
    struct batch batch;
    struct mill_error err;
    int32_t tokens[N_SEQUENCES];
    open_model(&model, plain);
    init_state(&state);
    for (int t = 0; t < N_STEPS; t++) {
        make_batch(&batch, &state, t, false);
        const struct mill_qwen2_step step = step_of(&batch, tokens);
        if (mill_qwen2_run(model.lm, &step, &err) < 0)
            fail_msg("%s", err.text);
        note(&batch, tokens, &state, found[t]);
    }
    close_model(&model);
}

/* Step t + 1 goes out before the tokens of step t are looked at. */
static void run_ahead(tokens_of_steps found) {
    struct model model;
    struct state state;
    struct batch batches[2];
    struct mill_error err;
    int32_t tokens[N_SEQUENCES];
    open_model(&model, asynchronous);
    init_state(&state);
    for (int t = 0; t <= N_STEPS; t++) {
        if (t < N_STEPS) {
            make_batch(&batches[t % 2], &state, t, true);
            const struct mill_qwen2_step step = step_of(&batches[t % 2], NULL);
            if (mill_qwen2_launch(model.lm, &step, &err) < 0)
                fail_msg("%s", err.text);
            memset(&batches[t % 2].ids, 0x7f, sizeof batches[t % 2].ids); /* ours again */
        }
        if (t == 0)
            continue;
        if (mill_qwen2_collect(model.lm, tokens, &err) < 0)
            fail_msg("%s", err.text);
        note(&batches[(t - 1) % 2], tokens, &state, found[t - 1]);
    }
    close_model(&model);
}

static void test_ahead_equals_one_by_one(void **unused) {
    (void)unused;
    static tokens_of_steps wanted, found;
    run_one_by_one(wanted);
    run_ahead(found);
    for (int t = 0; t < N_STEPS; t++)
        for (int s = 0; s < N_SEQUENCES; s++) {
            assert_int_equal(wanted[t][s] >= 0, runs(s, t));
            assert_int_equal(wanted[t][s], found[t][s]);
        }
    /* All but the first of each size: 16 or so rows, and five or fewer. */
    if (asynchronous != plain)
        assert_in_range(lazy_backend_graphs(), N_STEPS - N_DECODE - 5, N_STEPS - N_DECODE - 2);
}

/* Rows first .. first + n - 1 of a sequence of tokens 100, 101 ..; `hidden` of the last, or NULL.
 */
static void run_rows(struct model *model, const int32_t *pages, int32_t first, int32_t n,
                     float *hidden) {
    int32_t ids[MAX_ROWS], token;
    for (int32_t i = 0; i < n; i++)
        ids[i] = 100 + first + i;
    const struct mill_draw draw = {.row = n - 1, .legal = MILL_LEGAL_SEMANTIC, .top_p = 1};
    struct mill_error err;
    if (mill_qwen2_run(model->lm,
                       &(struct mill_qwen2_step){.n_sequences = 1,
                                                 .n_rows = n,
                                                 .n_draws = hidden ? 1 : 0,
                                                 .ids = ids,
                                                 .row_first = (int32_t[]){0, n},
                                                 .n_cached = &first,
                                                 .pages = &pages,
                                                 .draws = &draw,
                                                 .tokens = &token,
                                                 .hidden = hidden},
                       &err) < 0)
        fail_msg("%s", err.text);
}

/* A step of single rows, one of which reads the page that another one fills. */
static void test_page_filled_beside(void **unused) {
    (void)unused;
    struct model model;
    open_model(&model, asynchronous);
    size_t n = (size_t)model.shape.llm.hidden;
    float *wanted = calloc(2 * n, sizeof *wanted);
    float *found = calloc(2 * n, sizeof *found);
    assert_true(wanted && found);
    const int32_t shared[] = {0, 1}, own[] = {2, 3};
    run_rows(&model, own, 0, PAGE_TOKENS + 1, wanted);
    run_rows(&model, own, 0, PAGE_TOKENS, wanted + n);
    run_rows(&model, shared, 0, PAGE_TOKENS - 1, NULL);
    const struct mill_draw draws[] = {{.row = 0, .legal = MILL_LEGAL_SEMANTIC, .top_p = 1},
                                      {.row = 1, .legal = MILL_LEGAL_SEMANTIC, .top_p = 1}};
    struct mill_error err;
    if (mill_qwen2_run(
            model.lm,
            &(struct mill_qwen2_step){.n_sequences = 2,
                                      .n_rows = 2,
                                      .n_draws = 2,
                                      .ids = (int32_t[]){100 + PAGE_TOKENS, 99 + PAGE_TOKENS},
                                      .row_first = (int32_t[]){0, 1, 2},
                                      .n_cached = (int32_t[]){PAGE_TOKENS, PAGE_TOKENS - 1},
                                      .pages = (const int32_t *const[]){shared, shared},
                                      .draws = draws,
                                      .tokens = (int32_t[2]){0},
                                      .hidden = found},
            &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(wanted, found, 2 * n * sizeof *wanted);
    free(wanted);
    free(found);
    close_model(&model);
}

static void test_refusals(void **unused) {
    (void)unused;
    struct model model;
    struct state state;
    struct batch batch;
    struct mill_error err;
    int32_t tokens[N_SEQUENCES];
    open_model(&model, asynchronous);
    init_state(&state);
    make_batch(&batch, &state, 0, false);
    struct mill_qwen2_step step = step_of(&batch, NULL);
    assert_refused(mill_qwen2_collect(model.lm, tokens, &err), &err, "no step");
    batch.ids[0] = -1; /* of no step before */
    assert_refused(mill_qwen2_launch(model.lm, &step, &err), &err, "row 0|none of the 0 draws");
    batch.ids[0] = 0;
    for (int i = 0; i < MILL_QWEN2_SLOTS; i++)
        assert_int_equal(mill_qwen2_launch(model.lm, &step, &err), MILL_OK);
    assert_refused(mill_qwen2_launch(model.lm, &step, &err), &err, "2 steps are on their way");
    close_model(&model); /* what nobody collects harms nobody */
}

int main(int argc, char **argv) {
    struct mill_error err = {""};
    plain = mill_backend_find(argc > 1 ? argv[1] : "cpu", &err);
    if (!plain) {
        print_error("%s\n", err.text);
        return EXIT_FAILURE;
    }
    asynchronous = argc > 1 ? plain : lazy_backend_ops(plain);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ahead_equals_one_by_one),
        cmocka_unit_test(test_page_filled_beside),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
