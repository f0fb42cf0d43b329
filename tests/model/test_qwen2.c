/* test_qwen2.c - the language model against golden data, and its promises: pieces equal the whole,
 * a batch equals its members alone, to the last bit; bad steps are refused; no step allocates.
 *
 * Runs on the reference backend with the tiny configuration's synthetic weights. */
#include "kernels/reference/reference.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"
#include "runtime/io/npy.h"
#include "runtime/model/qwen2.h"
#include "tests/model/checkpoint_fixture.h"
#include "tests/support/bad_input.h"
#include "tests/support/fail_alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IM_END = 151645,
    GLOBAL = 151665,
    SEMANTIC = 155761,
    PITCH = 163953,
    SPEED = 164975,
    START_SEMANTIC = 165151,
    MAX_ROWS = 512,
    MAX_SEQUENCES = 8,
    MAX_PAGES = 40,
    N_PAGES = 100,
    PAGE_TOKENS = 16
};

static const char *const names[] = {"clone", "long", "continue", "create"};
enum { N_NAMES = 4 };

struct model {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_shape shape;
    struct fixture_tokens tokens;
    struct mill_weights *weights;
    struct mill_qwen2 *lm;
};

static struct mill_weights *open_weights(struct model *model, enum mill_precision precision) {
    struct mill_weights *weights;
    struct mill_error err;
    struct mill_weights_options options = {.precision = precision, .full_head = true};
    if (fixture_open_weights(&weights, MILL_SCRATCH "/qwen2-tiny", &model->shape,
                             &model->tokens.tokens, model->ops, model->backend, &options, &err) < 0)
        fail_msg("%s", err.text);
    return weights;
}

static struct mill_qwen2 *open_lm(struct model *model, const struct mill_weights *weights) {
    struct mill_qwen2 *lm;
    struct mill_qwen2_options options = {MAX_ROWS, MAX_SEQUENCES, MAX_PAGES, N_PAGES, PAGE_TOKENS};
    struct mill_error err;
    if (mill_qwen2_open(&lm, model->ops, model->backend, &weights->lm, &options, &err) < 0)
        fail_msg("%s", err.text);
    return lm;
}

static int setup(void **state) {
    struct model *model = mill_alloc_array(1, sizeof *model);
    assert_non_null(model);
    struct mill_backend_options options = {0};
    struct mill_error err;
    model->ops = mill_reference_ops();
    assert_int_equal(model->ops->open(&model->backend, &options, &err), MILL_OK);
    mill_synth_shape(&model->shape, MILL_SYNTH_TINY);
    fixture_write(MILL_SCRATCH "/qwen2-tiny", &model->shape, MILL_F32);
    fixture_tokens_init(&model->tokens, &model->shape, IM_END, GLOBAL, SEMANTIC, PITCH, SPEED);
    model->weights = open_weights(model, MILL_PRECISION_FP32);
    model->lm = open_lm(model, model->weights);
    *state = model;
    return 0;
}

static int teardown(void **state) {
    struct model *model = *state;
    mill_qwen2_close(model->lm);
    mill_weights_close(model->weights);
    fixture_tokens_deinit(&model->tokens);
    model->ops->close(model->backend);
    free(model);
    return 0;
}

/* ------------------------------------------------------------------ golden arrays */

static struct mill_npy golden(const char *name, const char *array, enum mill_dtype dtype) {
    char path[512];
    struct mill_npy npy;
    struct mill_error err;
    snprintf(path, sizeof path, "%s/tiny/lm.%s.%s.npy", MILL_GOLDEN, name, array);
    if (mill_npy_open(&npy, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(npy.dtype, dtype);
    return npy;
}

/* Aligned copy in new memory. */
static void *golden_copy(const char *name, const char *array, enum mill_dtype dtype, size_t *n) {
    struct mill_npy npy = golden(name, array, dtype);
    void *out = mill_alloc_array(npy.n_elements, mill_dtype_bytes(dtype));
    assert_non_null(out);
    memcpy(out, npy.data, npy.n_elements * mill_dtype_bytes(dtype));
    *n = npy.n_elements;
    mill_npy_close(&npy);
    return out;
}

static double deviation(const float *x, size_t n) {
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    return sqrt(squares / (double)n - sum / (double)n * (sum / (double)n));
}

/* Largest difference relative to the wanted values' standard deviation. */
static double distance(const float *found, const float *wanted, size_t n) {
    double worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)found[i] - (double)wanted[i]);
        if (!(difference <= worst)) /* NaN counts as far away */
            worst = difference;
    }
    return worst / deviation(wanted, n);
}

/* ------------------------------------------------------------------ steps */

/* Pages in an order without any: a permutation of the pool. */
static void scatter(int32_t *pages, int n) {
    for (int i = 0; i < n; i++)
        pages[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(mill_philox_uniform(5, (uint64_t)i) * (i + 1));
        int32_t kept = pages[i];
        pages[i] = pages[j];
        pages[j] = kept;
    }
}

static void run(struct mill_qwen2 *lm, const struct mill_qwen2_step *step) {
    struct mill_error err;
    if (mill_qwen2_run(lm, step, &err) < 0)
        fail_msg("%s", err.text);
}

/* One sequence's rows; draws at their places. */
static void feed(struct mill_qwen2 *lm, const int32_t *pages, int32_t n_cached, const int32_t *ids,
                 int32_t n, struct mill_qwen2_step step) {
    const int32_t row_first[2] = {0, n};
    step.n_sequences = 1;
    step.n_rows = n;
    step.ids = ids;
    step.row_first = row_first;
    step.n_cached = &n_cached;
    step.pages = &pages;
    run(lm, &step);
}

static struct mill_draw draw_at(int32_t row, enum mill_legal_set legal) {
    return (struct mill_draw){
        .row = row, .legal = legal, .temperature = 0.8f, .top_p = 0.95f, .top_k = 50};
}

static int best(const float *x, int n) {
    int at = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[at])
            at = i;
    return at;
}

/* ------------------------------------------------------------------ tests */

static void check_top(const char *name, float *logits, int n) {
    size_t n_top;
    int32_t *top = golden_copy(name, "prompt_top", MILL_I32, &n_top);
    float *values = golden_copy(name, "prompt_top_logits", MILL_F32, &n_top);
    double scale = deviation(logits, (size_t)n);
    for (size_t i = 0; i < n_top; i++) {
        assert_true(fabs((double)(logits[top[i]] - values[i])) < 1e-4 * scale);
        double gap = i + 1 < n_top ? (double)(values[i] - values[i + 1]) : 0.0;
        if (gap > 1e-3 * scale)
            assert_int_equal(best(logits, n), top[i]);
        logits[top[i]] = -INFINITY;
    }
    free(top);
    free(values);
}

static void test_golden_logits(void **state) {
    struct model *model = *state;
    int32_t vocab = model->shape.llm.vocab, hidden = model->shape.llm.hidden;
    int32_t n_legal = model->weights->lm.legal[MILL_LEGAL_SEMANTIC].n_rows;
    assert_int_equal(n_legal, 8193);
    assert_int_equal(model->weights->lm.legal[MILL_LEGAL_SEMANTIC].ids[0], IM_END);
    size_t n_logits = 4 * (size_t)n_legal + (size_t)vocab;
    float *logits = mill_alloc_array(n_logits, sizeof *logits);
    float *states = mill_alloc_array(5 * (size_t)hidden, sizeof *states);
    assert_true(logits && states);
    for (int i = 0; i < N_NAMES; i++) {
        size_t n, n_prompt;
        int32_t *forced = golden_copy(names[i], "forced", MILL_I32, &n), pages[N_PAGES], tokens[5];
        free(golden_copy(names[i], "prompt", MILL_I32, &n_prompt));
        int32_t last = (int32_t)n - 1, end = (int32_t)n_prompt;
        const struct mill_draw draws[5] = {
            draw_at(0, MILL_LEGAL_SEMANTIC), draw_at(end - 1, MILL_LEGAL_ANY),
            draw_at(last, MILL_LEGAL_SEMANTIC), draw_at(end, MILL_LEGAL_SEMANTIC),
            draw_at(end + 17, MILL_LEGAL_SEMANTIC)};
        scatter(pages, N_PAGES);
        feed(model->lm, pages, 0, forced, (int32_t)n,
             (struct mill_qwen2_step){.n_draws = 5,
                                      .draws = draws,
                                      .tokens = tokens,
                                      .hidden = states,
                                      .logits = logits});
        size_t n_golden;
        float *wanted = golden_copy(names[i], "hidden", MILL_F32, &n_golden);
        assert_true(distance(states, wanted, n_golden) < 1e-4);
        free(wanted);
        wanted = golden_copy(names[i], "logits", MILL_F32, &n_golden);
        size_t legal = (size_t)n_legal, at_last = legal + (size_t)vocab;
        assert_true(distance(logits + at_last + legal, wanted, 2 * legal) < 1e-4);
        assert_true(distance(logits + at_last, wanted + 2 * legal, legal) < 1e-4);
        check_top(names[i], logits + legal, vocab);
        free(wanted);
        free(forced);
    }
    free(logits);
    free(states);
}

static void test_golden_draws(void **state) {
    struct model *model = *state;
    for (int i = 0; i < N_NAMES; i++) {
        size_t n_prompt, n;
        int32_t *forced = golden_copy(names[i], "prompt", MILL_I32, &n_prompt), pages[N_PAGES];
        int32_t *sampled = golden_copy(names[i], "sampled", MILL_I32, &n), token;
        double *uniforms = golden_copy(names[i], "uniforms", MILL_F64, &n);
        double *margins = golden_copy(names[i], "sampled_margin", MILL_F64, &n);
        int32_t *ids = mill_alloc_array(n_prompt + 1, sizeof *ids);
        assert_non_null(ids);
        memcpy(ids, forced, n_prompt * sizeof *ids);
        ids[n_prompt] = START_SEMANTIC;
        scatter(pages, N_PAGES);
        const int32_t *next = ids;
        int32_t n_next = (int32_t)n_prompt + 1, n_cached = 0;
        for (size_t k = 0; k < n; k++) {
            struct mill_draw draw = draw_at(n_next - 1, MILL_LEGAL_SEMANTIC);
            feed(model->lm, pages, n_cached, next, n_next,
                 (struct mill_qwen2_step){
                     .n_draws = 1, .draws = &draw, .u = &uniforms[k], .tokens = &token});
            if (margins[k] > 1e-4)
                assert_int_equal(token, sampled[k]);
            n_cached += n_next;
            next = &sampled[k];
            n_next = 1;
        }
        free(forced);
        free(sampled);
        free(uniforms);
        free(margins);
        free(ids);
    }
}

/* Logits after the last token of `ids`, fed in pieces of at most `longest` rows. */
static void logits_in_pieces(struct model *model, const int32_t *pages, const int32_t *ids,
                             int32_t n, int32_t longest, float *logits) {
    for (int32_t at = 0; at < n;) {
        int32_t piece = 1 + (int32_t)(mill_philox_uniform(11, (uint64_t)(at + longest)) * longest);
        piece = piece < n - at ? piece : n - at;
        struct mill_draw draw = draw_at(piece - 1, MILL_LEGAL_SEMANTIC);
        int32_t token;
        struct mill_qwen2_step step = {.draws = &draw, .tokens = &token, .logits = logits};
        step.n_draws = at + piece == n;
        feed(model->lm, pages, at, ids + at, piece, step);
        at += piece;
    }
}

static void test_pieces_equal_the_whole(void **state) {
    struct model *model = *state;
    size_t n, n_legal = (size_t)model->weights->lm.legal[MILL_LEGAL_SEMANTIC].n_rows;
    int32_t *ids = golden_copy("clone", "forced", MILL_I32, &n), pages[N_PAGES];
    float *whole = mill_alloc_array(n_legal, sizeof *whole);
    float *pieces = mill_alloc_array(n_legal, sizeof *pieces);
    assert_true(whole && pieces);
    scatter(pages, N_PAGES);
    feed(model->lm, pages, 0, ids, (int32_t)n,
         (struct mill_qwen2_step){
             .n_draws = 1,
             .draws = &(struct mill_draw){.row = (int32_t)n - 1, .temperature = 1, .top_p = 1},
             .tokens = &(int32_t){0},
             .logits = whole});
    const int32_t longest[] = {1, 7, 40, 100};
    for (size_t i = 0; i < sizeof longest / sizeof longest[0]; i++) {
        logits_in_pieces(model, pages + i, ids, (int32_t)n, longest[i], pieces);
        assert_memory_equal(whole, pieces, n_legal * sizeof *whole);
    }
    free(ids);
    free(whole);
    free(pieces);
}

/* Two sequences of one beginning: the second has the full pages of it that the first fills in the
 * same step. Each gives what it gives from its own pages. */
static void test_shared_pages(void **state) {
    struct model *model = *state;
    enum { BEGINNING = 40, ALL = 49, FULL = BEGINNING / PAGE_TOKENS, SHARED = FULL * PAGE_TOKENS };
    size_t n, n_legal = (size_t)model->weights->lm.legal[MILL_LEGAL_SEMANTIC].n_rows;
    int32_t *ids = golden_copy("clone", "forced", MILL_I32, &n), pages[N_PAGES];
    float *wanted = mill_alloc_array(2 * n_legal, sizeof *wanted);
    float *found = mill_alloc_array(2 * n_legal, sizeof *found);
    assert_true(wanted && found && n >= 2 * ALL - BEGINNING);
    scatter(pages, N_PAGES);
    int32_t other[ALL], rows[2 * ALL - SHARED], own[MAX_PAGES], tokens[2];
    memcpy(other, ids, BEGINNING * sizeof *ids);
    memcpy(other + BEGINNING, ids + ALL, (ALL - BEGINNING) * sizeof *ids);
    logits_in_pieces(model, pages + 50, ids, ALL, 100, wanted);
    logits_in_pieces(model, pages + 50, other, ALL, 100, wanted + n_legal);

    memcpy(rows, ids, ALL * sizeof *ids);
    memcpy(rows + ALL, other + SHARED, (ALL - SHARED) * sizeof *ids);
    memcpy(own, pages, FULL * sizeof *pages);
    memcpy(own + FULL, pages + 30, (MAX_PAGES - FULL) * sizeof *pages);
    const struct mill_draw draws[2] = {draw_at(ALL - 1, MILL_LEGAL_SEMANTIC),
                                       draw_at(2 * ALL - SHARED - 1, MILL_LEGAL_SEMANTIC)};
    run(model->lm, &(struct mill_qwen2_step){.n_sequences = 2,
                                             .n_rows = 2 * ALL - SHARED,
                                             .n_draws = 2,
                                             .ids = rows,
                                             .row_first = (int32_t[]){0, ALL, 2 * ALL - SHARED},
                                             .n_cached = (int32_t[]){0, SHARED},
                                             .pages = (const int32_t *const[]){pages, own},
                                             .draws = draws,
                                             .tokens = tokens,
                                             .logits = found});
    assert_memory_equal(wanted, found, 2 * n_legal * sizeof *wanted);
    free(ids);
    free(wanted);
    free(found);
}

/* Four sequences, some with a beginning in the cache, in one step; then each alone. */
static void test_batch_equals_alone(void **state) {
    struct model *model = *state;
    enum { N = 4 };
    size_t n, legal = (size_t)model->weights->lm.legal[MILL_LEGAL_SEMANTIC].n_rows;
    int32_t *ids = golden_copy("clone", "forced", MILL_I32, &n), pages[N_PAGES];
    float *together = mill_alloc_array(N * legal, sizeof *together);
    float *alone = mill_alloc_array(legal, sizeof *alone);
    assert_true(together && alone);
    scatter(pages, N_PAGES);
    const int32_t cached[N] = {0, 33, 16, 5}, rows[N] = {20, 1, 30, 1};
    int32_t row_first[N + 1] = {0}, batch[64], tokens[N];
    const int32_t *tables[N];
    struct mill_draw draws[N];
    for (int s = 0; s < N; s++) {
        tables[s] = pages + s * 20;
        if (cached[s])
            feed(model->lm, tables[s], 0, ids + s, cached[s], (struct mill_qwen2_step){0});
        memcpy(batch + row_first[s], ids + s + cached[s], (size_t)rows[s] * sizeof *ids);
        row_first[s + 1] = row_first[s] + rows[s];
        draws[N - 1 - s] = draw_at(row_first[s + 1] - 1, MILL_LEGAL_SEMANTIC);
        draws[N - 1 - s].seed = 9;
        draws[N - 1 - s].position = (uint64_t)s;
    }
    run(model->lm, &(struct mill_qwen2_step){.n_sequences = N,
                                             .n_rows = row_first[N],
                                             .n_draws = N,
                                             .ids = batch,
                                             .row_first = row_first,
                                             .n_cached = cached,
                                             .pages = tables,
                                             .draws = draws,
                                             .tokens = tokens,
                                             .logits = together});
    for (int s = 0; s < N; s++) {
        struct mill_draw draw = draws[N - 1 - s];
        int32_t token;
        draw.row = rows[s] - 1;
        feed(model->lm, pages + 3 * s, 0, ids + s, cached[s] ? cached[s] : 1,
             (struct mill_qwen2_step){0}); /* other pages, written again */
        feed(model->lm, pages + 3 * s, cached[s], ids + s + cached[s], rows[s],
             (struct mill_qwen2_step){
                 .n_draws = 1, .draws = &draw, .tokens = &token, .logits = alone});
        assert_memory_equal(alone, together + (size_t)(N - 1 - s) * legal, legal * sizeof *alone);
        assert_int_equal(token, tokens[N - 1 - s]);
    }
    free(ids);
    free(together);
    free(alone);
}

static void test_sets_and_order(void **state) {
    struct model *model = *state;
    const struct mill_legal_rows *legal = model->weights->lm.legal;
    const int32_t ids[3] = {START_SEMANTIC, SEMANTIC, SEMANTIC + 5}, table[MAX_PAGES] = {7};
    const enum mill_legal_set sets[5] = {MILL_LEGAL_SPEED, MILL_LEGAL_GLOBAL, MILL_LEGAL_PITCH,
                                         MILL_LEGAL_SPEED, MILL_LEGAL_GLOBAL};
    struct mill_draw draws[5];
    size_t n_logits = 0;
    for (int i = 0; i < 5; i++) {
        draws[i] = draw_at(i % 3, sets[i]);
        draws[i].temperature = 0.0f;
        n_logits += (size_t)legal[sets[i]].n_rows;
    }
    float *logits = mill_alloc_array(n_logits, sizeof *logits);
    assert_non_null(logits);
    int32_t tokens[5];
    feed(
        model->lm, table, 0, ids, 3,
        (struct mill_qwen2_step){.n_draws = 5, .draws = draws, .tokens = tokens, .logits = logits});
    const float *at = logits;
    for (int i = 0; i < 5; i++) {
        const struct mill_legal_rows *set = &legal[sets[i]];
        assert_int_equal(set->first_row % MILL_PACK_ROWS, 0);
        assert_int_equal(tokens[i], set->ids[best(at, set->n_rows)]);
        at += set->n_rows;
    }
    for (int i = 0; i < 5; i++) { /* every draw has its own settings */
        draws[i].temperature = 0.5f + 0.5f * (float)i;
        draws[i].top_k = 10 * i;
        draws[i].top_p = 1.0f - 0.1f * (float)i;
        draws[i].seed = 77 + (uint64_t)i;
        draws[i].position = 3 * (uint64_t)i;
    }
    struct mill_qwen2_step step = {.n_draws = 5, .draws = draws, .tokens = tokens};
    feed(model->lm, table, 0, ids, 3, step);
    for (int i = 0; i < 5; i++) {
        int32_t token;
        step = (struct mill_qwen2_step){.n_draws = 1, .draws = &draws[i], .tokens = &token};
        feed(model->lm, table, 0, ids, 3, step);
        assert_int_equal(token, tokens[i]);
    }
    assert_int_equal(legal[MILL_LEGAL_GLOBAL].n_rows, 4096);
    assert_int_equal(legal[MILL_LEGAL_SPEED].ids[10], SPEED + 10);
    free(logits);
}

/* bf16 and int8 are near fp32: what they do to quality is measured elsewhere. */
static void test_lower_precision(void **state) {
    struct model *model = *state;
    size_t n, legal = (size_t)model->weights->lm.legal[MILL_LEGAL_SEMANTIC].n_rows;
    int32_t *ids = golden_copy("clone", "forced", MILL_I32, &n), pages[N_PAGES], token;
    float *exact = mill_alloc_array(legal, sizeof *exact);
    float *found = mill_alloc_array(legal, sizeof *found);
    assert_true(exact && found);
    scatter(pages, N_PAGES);
    struct mill_draw draw = draw_at((int32_t)n - 1, MILL_LEGAL_SEMANTIC);
    struct mill_qwen2_step step = {.n_draws = 1, .draws = &draw, .tokens = &token};
    step.logits = exact;
    feed(model->lm, pages, 0, ids, (int32_t)n, step);
    for (int precision = MILL_PRECISION_BF16; precision <= MILL_PRECISION_INT8; precision++) {
        struct mill_weights *weights = open_weights(model, (enum mill_precision)precision);
        struct mill_qwen2 *lm = open_lm(model, weights);
        assert_int_equal(weights->lm.kv_dtype,
                         precision == MILL_PRECISION_INT8 ? MILL_I8 : MILL_BF16);
        assert_true(weights->image_bytes < model->weights->image_bytes);
        step.logits = found;
        feed(lm, pages, 0, ids, (int32_t)n, step);
        double far = distance(found, exact, legal);
        assert_true(far > 1e-6 && far < 0.2);
        mill_qwen2_close(lm);
        mill_weights_close(weights);
    }
    free(ids);
    free(exact);
    free(found);
}

static void test_not_finite_is_minus_one(void **state) {
    struct model *model = *state;
    float *gain = (float *)(uintptr_t)model->weights->lm.norm, kept = *gain;
    const int32_t ids[2] = {SEMANTIC, SEMANTIC + 1}, table[MAX_PAGES] = {3};
    struct mill_draw draw = draw_at(1, MILL_LEGAL_SEMANTIC);
    int32_t token = 0;
    *gain = NAN;
    feed(model->lm, table, 0, ids, 2,
         (struct mill_qwen2_step){.n_draws = 1, .draws = &draw, .tokens = &token});
    *gain = kept;
    assert_int_equal(token, -1);
}

static void test_refusals(void **state) {
    struct model *model = *state;
    int32_t ids[3] = {SEMANTIC, SEMANTIC, SEMANTIC}, tables[2][MAX_PAGES] = {{0}, {1}}, tokens[2];
    int32_t row_first[3] = {0, 1, 3}, cached[2] = {0, 0};
    struct mill_draw draws[2] = {draw_at(0, MILL_LEGAL_SEMANTIC), draw_at(2, MILL_LEGAL_GLOBAL)};
    struct mill_qwen2_step step = {.n_sequences = 2,
                                   .n_rows = 3,
                                   .n_draws = 2,
                                   .ids = ids,
                                   .row_first = row_first,
                                   .n_cached = cached,
                                   .pages = (const int32_t *const[]){tables[0], tables[1]},
                                   .draws = draws,
                                   .tokens = tokens};
    struct mill_error err;
    run(model->lm, &step);
#define REFUSED(change, undo, parts)                                                               \
    do {                                                                                           \
        change;                                                                                    \
        assert_refused(mill_qwen2_run(model->lm, &step, &err), &err, parts);                       \
        undo;                                                                                      \
        assert_int_equal(mill_qwen2_run(model->lm, &step, &err), MILL_OK);                         \
    } while (0)
    REFUSED(ids[1] = 166000, ids[1] = 0, "row 1|166000|vocabulary");
    REFUSED(ids[2] = -3, ids[2] = -2, "row 2|-3|none of the 2 draws");
    REFUSED(tables[1][0] = N_PAGES, tables[1][0] = 1, "sequence 1|page 100 of 100");
    REFUSED(tables[0][0] = -1, tables[0][0] = 0, "sequence 0|page -1");
    REFUSED(row_first[1] = 3, row_first[1] = 1, "sequence 1|0 new");
    REFUSED(row_first[1] = -1, row_first[1] = 1, "sequence 0");
    REFUSED(row_first[0] = 1, row_first[0] = 0, "rows");
    REFUSED(step.n_rows = 4, step.n_rows = 3, "4 rows");
    REFUSED(step.n_rows = MAX_ROWS + 1, step.n_rows = 3, "513 rows");
    REFUSED(step.n_sequences = MAX_SEQUENCES + 1, step.n_sequences = 2, "9 sequences");
    REFUSED(step.n_draws = -1, step.n_draws = 2, "-1 draws");
    REFUSED(cached[1] = -1, cached[1] = 0, "sequence 1|-1 tokens cached");
    REFUSED(cached[0] = PAGE_TOKENS * MAX_PAGES, cached[0] = 0, "sequence 0|640 tokens cached");
    REFUSED(draws[0].row = 3, draws[0].row = 0, "draw 0|row 3");
    REFUSED(draws[1].legal = MILL_LEGAL_COUNT, draws[1].legal = MILL_LEGAL_ANY, "draw 1|set");
    REFUSED(draws[0].temperature = NAN, draws[0].temperature = 1, "draw 0|temperature");
    REFUSED(draws[0].top_p = 0, draws[0].top_p = 1, "draw 0|top-p 0");
    REFUSED(draws[0].top_k = -1, draws[0].top_k = 0, "draw 0|top-k -1");
#undef REFUSED
    struct mill_qwen2 *lm;
    struct mill_qwen2_options options = {MAX_ROWS, 0, MAX_PAGES, N_PAGES, PAGE_TOKENS};
    assert_refused(
        mill_qwen2_open(&lm, model->ops, model->backend, &model->weights->lm, &options, &err), &err,
        "at least 1");
}

static void test_a_step_allocates_nothing(void **state) {
    struct model *model = *state;
    if (!mill_fail_alloc_works())
        skip();
    const int32_t ids[2] = {SEMANTIC, SEMANTIC + 1}, table[MAX_PAGES] = {3};
    struct mill_draw draw = draw_at(1, MILL_LEGAL_SEMANTIC);
    int32_t token;
    mill_fail_alloc_at(0);
    feed(model->lm, table, 0, ids, 2,
         (struct mill_qwen2_step){.n_draws = 1, .draws = &draw, .tokens = &token});
    assert_int_equal(mill_fail_alloc_count(), 0);
}

static mill_status attempt_open(void *context, struct mill_error *err) {
    struct model *model = context;
    struct mill_qwen2 *lm;
    struct mill_qwen2_options options = {4, 2, 2, 3, 4};
    mill_status status =
        mill_qwen2_open(&lm, model->ops, model->backend, &model->weights->lm, &options, err);
    mill_qwen2_close(lm);
    return status;
}

static void test_open_without_memory(void **state) {
    if (!mill_fail_alloc_works())
        skip();
    assert_in_range(mill_fail_alloc_sweep(attempt_open, *state), 5, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_logits),
        cmocka_unit_test(test_golden_draws),
        cmocka_unit_test(test_pieces_equal_the_whole),
        cmocka_unit_test(test_shared_pages),
        cmocka_unit_test(test_batch_equals_alone),
        cmocka_unit_test(test_sets_and_order),
        cmocka_unit_test(test_lower_precision),
        cmocka_unit_test(test_not_finite_is_minus_one),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_step_allocates_nothing),
        cmocka_unit_test(test_open_without_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
