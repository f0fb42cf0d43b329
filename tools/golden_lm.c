/* golden_lm.c - golden_check's group "lm": hidden states, logits and draws of the language model.
 *
 * An item is a prompt. `forced` = the prompt, start_semantic and some semantic tokens, run in
 * pieces: `hidden` are the states after positions 0, the prompt's end and the last; `prompt_top`
 * the best of all ids after the prompt; `logits` those over im_end and the semantic ids, in this
 * order, after start_semantic, 17 positions later and at the last. `sampled` are tokens drawn with
 * `uniforms` after prompt + start_semantic, one by one. There golden tokens are fed back whatever
 * we drew, so that one allowed difference does not spoil the rest. One thread. */
#include "runtime/base/memory.h"
#include "tools/golden_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_STORED = 3, LOGITS_STEP = 17 };

/* What golden_check holds for an item. */
struct prompt_case {
    struct golden_run *run;
    const char *item;
    struct golden_array prompt;
    int32_t n_prompt;
    int32_t *pages;     /* every page of the model, in order */
    int32_t n_columns;  /* golden logits: im_end and the semantic ids */
    int32_t *row_of;    /* [n_columns]: where our legal rows have them */
    float *legal;       /* [legal rows] */
    float *hidden;      /* [N_STORED][hidden] */
    float *logits;      /* [N_STORED][n_columns] */
    float *every;       /* [vocabulary]: after the prompt */
    double logit_error; /* largest on the stored rows; NaN = not measured */
};

static const struct mill_legal_rows *legal_rows(const struct prompt_case *c,
                                                enum mill_legal_set set) {
    return &c->run->device.weights->lm.legal[set];
}

/* ------------------------------------------------------------------ running the model */

/* Where a piece of a sequence ends, and what is wanted after its last token. */
struct want {
    enum mill_legal_set legal;
    const double *u; /* NULL = the draw does not matter */
    int32_t token;   /* out */
    float *hidden, *logits;
};

/* Run ids[from .. end - 1] behind the `from` positions in the cache and draw after the last. */
static mill_status run_piece(const struct prompt_case *c, const int32_t *ids, int32_t from,
                             int32_t end, struct want *want, struct mill_error *err) {
    while (from < end) {
        int32_t n = end - from, max_rows = c->run->lm_options.max_rows;
        n = n < max_rows ? n : max_rows;
        struct mill_draw draw = {.row = n - 1,
                                 .legal = want->legal,
                                 .temperature = want->u ? GOLDEN_TEMPERATURE : 0,
                                 .top_p = want->u ? GOLDEN_TOP_P : 1,
                                 .top_k = want->u ? GOLDEN_TOP_K : 0};
        struct mill_qwen2_step step = {.n_sequences = 1,
                                       .n_rows = n,
                                       .n_draws = from + n == end,
                                       .ids = ids + from,
                                       .row_first = (const int32_t[]){0, n},
                                       .n_cached = &from,
                                       .pages = (const int32_t *const[]){c->pages},
                                       .draws = &draw,
                                       .u = want->u,
                                       .tokens = &want->token,
                                       .hidden = want->hidden,
                                       .logits = want->logits};
        mill_status status = mill_qwen2_run(c->run->lm, &step, err);
        if (status < 0)
            return mill_context(err, status, "%s: position %d", c->item, from);
        from += n;
    }
    return MILL_OK;
}

/* Our logits of the legal rows in golden order. */
static void reorder(const struct prompt_case *c, float *out) {
    for (int32_t i = 0; i < c->n_columns; i++)
        out[i] = c->legal[c->row_of[i]];
}

static mill_status run_forced(struct prompt_case *c, const struct golden_array *forced,
                              struct mill_error *err) {
    int32_t n = (int32_t)forced->n, hidden = c->run->model.shape.llm.hidden;
    const struct {
        int32_t position, hidden_row, logits_row; /* -1 = none */
    } places[] = {{0, 0, -1},
                  {c->n_prompt - 1, 1, -1},
                  {c->n_prompt, -1, 0},
                  {c->n_prompt + LOGITS_STEP, -1, 1},
                  {n - 1, 2, 2}};
    int32_t from = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool prompt_end = places[i].hidden_row == 1;
        struct want want = {.legal = prompt_end ? MILL_LEGAL_ANY : MILL_LEGAL_SEMANTIC,
                            .logits = prompt_end ? c->every : c->legal};
        if (places[i].hidden_row >= 0)
            want.hidden = c->hidden + (ptrdiff_t)places[i].hidden_row * hidden;
        int32_t end = places[i].position + 1;
        if (from >= end)
            from = end - 1; /* two places in one: its row is computed again */
        MILL_TRY(run_piece(c, forced->data, from, end, &want, err));
        if (places[i].logits_row >= 0)
            reorder(c, c->logits + (ptrdiff_t)places[i].logits_row * c->n_columns);
        from = end;
    }
    return MILL_OK;
}

/* ------------------------------------------------------------------ comparing */

static mill_status read_optional(const struct prompt_case *c, const char *leaf,
                                 enum mill_dtype dtype, int32_t n_dims, struct golden_array *out,
                                 struct mill_error *err) {
    *out = (struct golden_array){0};
    if (!golden_folder_has(&c->run->folder, c->item, leaf))
        return MILL_OK;
    return golden_folder_read(&c->run->folder, c->item, leaf, dtype, n_dims, out, err);
}

static void figure(const struct prompt_case *c, const char *leaf, const char *measure, double value,
                   enum golden_limit kind, double limit) {
    char name[GOLDEN_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", c->item, leaf);
    golden_table_figure(&c->run->table, name, measure, value, kind, limit);
}

static mill_status check_shape(const struct prompt_case *c, const char *leaf,
                               const struct golden_array *array, int64_t columns,
                               struct mill_error *err) {
    if (array->shape[0] == N_STORED && array->shape[1] == columns)
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "%s.%s: its shape is not %d rows of %lld", c->item, leaf,
                     N_STORED, (long long)columns);
}

static mill_status compare_hidden(struct prompt_case *c, struct mill_error *err) {
    struct golden_array golden;
    MILL_TRY(read_optional(c, "hidden", MILL_F32, 2, &golden, err));
    if (!golden.data)
        return MILL_OK;
    mill_status status = check_shape(c, "hidden", &golden, c->run->model.shape.llm.hidden, err);
    if (status >= 0)
        status = golden_check_snr(c->run, c->item, "hidden", &golden, c->hidden, err);
    free(golden.data);
    return status;
}

static mill_status compare_logits(struct prompt_case *c, struct mill_error *err) {
    struct golden_array golden;
    MILL_TRY(read_optional(c, "logits", MILL_F32, 2, &golden, err));
    if (!golden.data)
        return MILL_OK;
    mill_status status = check_shape(c, "logits", &golden, c->n_columns, err);
    double difference = 0, divergence = 0;
    c->logit_error = 0;
    for (int i = 0; status >= 0 && i < N_STORED; i++) {
        const float *theirs = (const float *)golden.data + (ptrdiff_t)i * c->n_columns;
        const float *ours = c->logits + (ptrdiff_t)i * c->n_columns;
        size_t n = (size_t)c->n_columns;
        double largest = golden_largest_difference(theirs, ours, n);
        double relative = largest / golden_spread(theirs, n);
        difference = relative > difference || isnan(relative) ? relative : difference;
        c->logit_error = largest > c->logit_error || isnan(largest) ? largest : c->logit_error;
        divergence = fmax(divergence, golden_divergence(theirs, ours, n));
    }
    if (status >= 0) {
        figure(c, "logits", "largest difference / spread", difference,
               c->run->exact ? GOLDEN_AT_MOST : GOLDEN_RECORDED, GOLDEN_EXACT_LOGITS);
        figure(c, "logits", "KL divergence, nats", divergence, GOLDEN_RECORDED, 0);
        c->run->table.n_compared++;
        status = golden_folder_dump(&c->run->folder, c->item, "logits", MILL_F32, &golden,
                                    c->logits, err);
    }
    free(golden.data);
    return status;
}

/* Rows of the `n` largest of our logits over every id, falling, ties by rising row. */
static void best_rows(const struct prompt_case *c, int32_t *rows, size_t n) {
    int32_t n_rows = legal_rows(c, MILL_LEGAL_ANY)->n_rows;
    for (size_t k = 0; k < n; k++) {
        rows[k] = -1;
        for (int32_t r = 0; r < n_rows; r++) {
            bool behind = k == 0 || c->every[r] < c->every[rows[k - 1]] ||
                          (c->every[r] == c->every[rows[k - 1]] && r > rows[k - 1]);
            if (behind && (rows[k] < 0 || c->every[r] > c->every[rows[k]]))
                rows[k] = r;
        }
        if (rows[k] < 0)
            rows[k] = 0; /* only where logits are not numbers, which the figure will say */
    }
}

static int by_value(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Row of a legal set that has an id; -1 where none has. */
static int32_t row_of_id(const struct mill_legal_rows *legal, int32_t id) {
    const int32_t *found =
        bsearch(&id, legal->ids, (size_t)legal->n_rows, sizeof *legal->ids, by_value);
    return found ? (int32_t)(found - legal->ids) : -1;
}

/* `top` and `top_logits` are golden. Ranks may differ only among ids whose golden logits lie within
 * twice the error that the golden ids' own logits show: those two could have changed places. */
static mill_status compare_top(struct prompt_case *c, const struct golden_array *top,
                               const struct golden_array *top_logits, struct mill_error *err) {
    const struct mill_legal_rows *legal = legal_rows(c, MILL_LEGAL_ANY);
    const int32_t *ids = top->data;
    const float *golden = top_logits->data;
    size_t n = top->n, n_wrong = 0;
    int32_t *rows = mill_alloc_array(n, sizeof *rows);
    int32_t *our_ids = mill_alloc_array(n, sizeof *our_ids);
    float *ours = mill_alloc_array(n, sizeof *ours), *values = mill_alloc_array(n, sizeof *values);
    mill_status status = MILL_OK;
    if (!rows || !our_ids || !ours || !values)
        status = mill_fail(err, MILL_E_MEMORY, "%s: no memory", c->item);
    for (size_t i = 0; status >= 0 && i < n; i++) {
        int32_t row = row_of_id(legal, ids[i]);
        if (row < 0)
            status = mill_fail(err, MILL_E_INPUT, "%s.prompt_top: the model has no id %d", c->item,
                               ids[i]);
        else
            ours[i] = c->every[row];
    }
    if (status >= 0) {
        double error = golden_largest_difference(golden, ours, n);
        double spread = golden_spread(c->every, (size_t)legal->n_rows);
        best_rows(c, rows, n);
        for (size_t i = 0; i < n; i++) {
            size_t at = 0;
            our_ids[i] = legal->ids[rows[i]];
            values[i] = c->every[rows[i]];
            while (at < n && ids[at] != our_ids[i])
                at++;
            double theirs = at < n ? golden[at] : values[i];
            n_wrong += at != i && !(fabs(theirs - golden[i]) <= 2 * error);
        }
        figure(c, "prompt_top", "ranks wrong beyond twice the error", (double)n_wrong,
               GOLDEN_AT_MOST, 0);
        figure(c, "prompt_top_logits", "largest difference / spread", error / spread,
               c->run->exact ? GOLDEN_AT_MOST : GOLDEN_RECORDED, GOLDEN_EXACT_LOGITS);
        c->run->table.n_compared += 2;
        status =
            golden_folder_dump(&c->run->folder, c->item, "prompt_top", MILL_I32, top, our_ids, err);
    }
    if (status >= 0)
        status = golden_folder_dump(&c->run->folder, c->item, "prompt_top_logits", MILL_F32,
                                    top_logits, values, err);
    free(rows);
    free(our_ids);
    free(ours);
    free(values);
    return status;
}

static mill_status check_top(struct prompt_case *c, struct mill_error *err) {
    struct golden_array top, logits = {0};
    MILL_TRY(read_optional(c, "prompt_top", MILL_I32, 1, &top, err));
    if (!top.data)
        return MILL_OK;
    mill_status status = golden_folder_read(&c->run->folder, c->item, "prompt_top_logits", MILL_F32,
                                            1, &logits, err);
    if (status >= 0 && (top.n != logits.n || top.n > (size_t)legal_rows(c, MILL_LEGAL_ANY)->n_rows))
        status = mill_fail(err, MILL_E_INPUT, "%s.prompt_top: %zu ids and %zu logits", c->item,
                           top.n, logits.n);
    if (status >= 0)
        status = compare_top(c, &top, &logits, err);
    free(top.data);
    free(logits.data);
    return status;
}

static mill_status check_forced(struct prompt_case *c, struct mill_error *err) {
    struct golden_array forced;
    MILL_TRY(read_optional(c, "forced", MILL_I32, 1, &forced, err));
    if (!forced.data)
        return MILL_OK;
    mill_status status = MILL_OK;
    if (forced.n <= c->prompt.n + LOGITS_STEP ||
        memcmp(forced.data, c->prompt.data, c->prompt.n * sizeof(int32_t)) != 0)
        status = mill_fail(err, MILL_E_INPUT,
                           "%s.forced: not the prompt and more than %d tokens behind it", c->item,
                           LOGITS_STEP);
    if (status >= 0)
        status = run_forced(c, &forced, err);
    if (status >= 0)
        status = compare_hidden(c, err);
    if (status >= 0)
        status = check_top(c, err);
    if (status >= 0)
        status = compare_logits(c, err);
    free(forced.data);
    return status;
}

/* ------------------------------------------------------------------ draws */

struct draws {
    struct golden_array uniforms, sampled, margin;
    int32_t *ids;    /* the prompt, start_semantic, then the golden tokens */
    int32_t *tokens; /* ours */
    size_t n_equal, n_wrong, n_inconsistent;
};

/* Whether a draw other than the golden one is an error; see the program's --help. */
static bool draw_is_wrong(const struct prompt_case *c, const struct draws *draws, size_t k) {
    bool near_edge = ((const double *)draws->margin.data)[k] <= GOLDEN_EXACT_MARGIN;
    if (near_edge || c->run->exact || isnan(c->logit_error))
        return !near_edge;
    int32_t golden = ((const int32_t *)draws->sampled.data)[k];
    const struct mill_legal_rows *legal = legal_rows(c, MILL_LEGAL_SEMANTIC);
    int32_t row = row_of_id(legal, golden);
    double u = ((const double *)draws->uniforms.data)[k];
    return row < 0 || !golden_draw_possible(c->legal, legal->n_rows, row, u, 2 * c->logit_error);
}

/* Whether our draw is another than our own logits give. */
static bool draw_is_inconsistent(const struct prompt_case *c, const struct draws *draws, size_t k) {
    const struct mill_legal_rows *legal = legal_rows(c, MILL_LEGAL_SEMANTIC);
    double margin, u = ((const double *)draws->uniforms.data)[k];
    int32_t row = golden_draw(c->legal, legal->n_rows, u, &margin);
    if (row < 0) /* the logits are not numbers */
        return true;
    return draws->tokens[k] != legal->ids[row] && margin > GOLDEN_EXACT_MARGIN;
}

static mill_status run_draws(struct prompt_case *c, struct draws *draws, struct mill_error *err) {
    int32_t n_prompt = c->n_prompt, from = 0;
    memcpy(draws->ids, c->prompt.data, c->prompt.n * sizeof *draws->ids);
    draws->ids[n_prompt] = c->run->model.control->start_semantic_token;
    for (size_t k = 0; k < draws->sampled.n; k++) {
        struct want want = {.legal = MILL_LEGAL_SEMANTIC,
                            .u = (const double *)draws->uniforms.data + k,
                            .logits = c->legal};
        int32_t end = n_prompt + 1 + (int32_t)k;
        MILL_TRY(run_piece(c, draws->ids, from, end, &want, err));
        int32_t golden = ((const int32_t *)draws->sampled.data)[k];
        draws->tokens[k] = want.token;
        draws->n_inconsistent += draw_is_inconsistent(c, draws, k);
        if (want.token == golden)
            draws->n_equal++;
        else
            draws->n_wrong += draw_is_wrong(c, draws, k);
        draws->ids[end] = golden;
        from = end;
    }
    return MILL_OK;
}

static mill_status read_draws(struct prompt_case *c, struct draws *draws, struct mill_error *err) {
    struct golden_folder *folder = &c->run->folder;
    MILL_TRY(golden_folder_read(folder, c->item, "uniforms", MILL_F64, 1, &draws->uniforms, err));
    MILL_TRY(
        golden_folder_read(folder, c->item, "sampled_margin", MILL_F64, 1, &draws->margin, err));
    if (draws->uniforms.n < draws->sampled.n || draws->margin.n != draws->sampled.n)
        return mill_fail(err, MILL_E_INPUT, "%s.sampled: %zu tokens, %zu uniforms, %zu margins",
                         c->item, draws->sampled.n, draws->uniforms.n, draws->margin.n);
    draws->ids = mill_alloc_array(c->prompt.n + 1 + draws->sampled.n, sizeof *draws->ids);
    draws->tokens = mill_alloc_array(draws->sampled.n, sizeof *draws->tokens);
    if (!draws->ids || !draws->tokens)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", c->item);
    return MILL_OK;
}

static mill_status check_draws(struct prompt_case *c, struct mill_error *err) {
    struct draws draws = {0};
    MILL_TRY(read_optional(c, "sampled", MILL_I32, 1, &draws.sampled, err));
    if (!draws.sampled.data)
        return MILL_OK;
    mill_status status = read_draws(c, &draws, err);
    if (status >= 0)
        status = run_draws(c, &draws, err);
    if (status >= 0) {
        figure(c, "sampled", "share of equal draws",
               (double)draws.n_equal / (double)draws.sampled.n, GOLDEN_RECORDED, 0);
        figure(c, "sampled", "draws that the error does not explain", (double)draws.n_wrong,
               GOLDEN_AT_MOST, 0);
        figure(c, "sampled", "draws that our own logits do not give", (double)draws.n_inconsistent,
               GOLDEN_AT_MOST, 0);
        c->run->table.n_compared++;
        status = golden_folder_dump(&c->run->folder, c->item, "sampled", MILL_I32, &draws.sampled,
                                    draws.tokens, err);
    }
    free(draws.uniforms.data);
    free(draws.sampled.data);
    free(draws.margin.data);
    free(draws.ids);
    free(draws.tokens);
    return status;
}

/* ------------------------------------------------------------------ items */

static mill_status map_columns(struct prompt_case *c, struct mill_error *err) {
    const struct mill_control_tokens *tokens = c->run->model.control;
    for (int32_t i = 0; i < c->n_columns; i++) {
        int32_t id = i ? tokens->semantic.ids[i - 1] : tokens->im_end;
        c->row_of[i] = row_of_id(legal_rows(c, MILL_LEGAL_SEMANTIC), id);
        if (c->row_of[i] < 0)
            return mill_fail(err, MILL_E_INPUT, "the model cannot say the semantic token %d", id);
    }
    return MILL_OK;
}

static mill_status case_init(struct prompt_case *c, struct golden_run *run, const char *item,
                             struct mill_error *err) {
    int32_t n_pages = run->lm_options.max_pages;
    *c = (struct prompt_case){.run = run,
                              .item = item,
                              .n_columns = 1 + run->model.control->semantic.n,
                              .logit_error = NAN};
    MILL_TRY(golden_folder_read(&run->folder, item, "prompt", MILL_I32, 1, &c->prompt, err));
    c->n_prompt = (int32_t)c->prompt.n;
    c->pages = mill_alloc_array((size_t)n_pages, sizeof *c->pages);
    c->row_of = mill_alloc_array((size_t)c->n_columns, sizeof *c->row_of);
    c->legal = mill_alloc_array((size_t)legal_rows(c, MILL_LEGAL_SEMANTIC)->n_rows, sizeof(float));
    c->hidden = mill_alloc_array((size_t)run->model.shape.llm.hidden * N_STORED, sizeof(float));
    c->logits = mill_alloc_array((size_t)c->n_columns * N_STORED, sizeof(float));
    c->every = mill_alloc_array((size_t)legal_rows(c, MILL_LEGAL_ANY)->n_rows, sizeof(float));
    if (!c->pages || !c->row_of || !c->legal || !c->hidden || !c->logits || !c->every)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", item);
    for (int32_t i = 0; i < n_pages; i++)
        c->pages[i] = i;
    return map_columns(c, err);
}

static void case_deinit(struct prompt_case *c) {
    free(c->prompt.data);
    free(c->pages);
    free(c->row_of);
    free(c->legal);
    free(c->hidden);
    free(c->logits);
    free(c->every);
}

mill_status golden_longest_sequence(struct golden_run *run, int64_t *out, struct mill_error *err) {
    char item[GOLDEN_NAME];
    *out = 1;
    for (int at = 0; golden_folder_next(&run->folder, &at, "lm", "prompt", item);) {
        const char *const leaves[] = {"prompt", "forced", "sampled"};
        int64_t n[3] = {0};
        for (int i = 0; i < 3; i++) {
            struct golden_array array;
            if (!golden_folder_has(&run->folder, item, leaves[i]))
                continue;
            MILL_TRY(golden_folder_read(&run->folder, item, leaves[i], MILL_I32, 1, &array, err));
            n[i] = (int64_t)array.n;
            free(array.data);
        }
        int64_t drawn = n[0] + 1 + n[2];
        *out = drawn > *out ? drawn : *out;
        *out = n[1] > *out ? n[1] : *out;
    }
    return MILL_OK;
}

mill_status golden_check_language_model(struct golden_run *run, struct mill_error *err) {
    char item[GOLDEN_NAME];
    mill_status status = MILL_OK;
    for (int at = 0; status >= 0 && golden_folder_next(&run->folder, &at, "lm", "prompt", item);) {
        struct prompt_case c;
        status = case_init(&c, run, item, err);
        if (status >= 0)
            status = check_forced(&c, err);
        if (status >= 0)
            status = check_draws(&c, err);
        case_deinit(&c);
    }
    return status;
}
