/* qwen2.h - the language model: one step over a ragged batch of prompt pieces and single tokens,
 * keys and values in pages.
 *
 * The caller (engine/) owns what a sequence is: which pages it has, how many tokens they hold. A
 * step appends its rows to the cache and draws a token after the rows it is asked to. Sequences may
 * share pages that no row is appended to, and pages that another one fills in the same step. Memory
 * is planned at open; a step allocates nothing. One thread. */
#ifndef MILL_MODEL_QWEN2_H
#define MILL_MODEL_QWEN2_H

#include "runtime/model/weights.h"

struct mill_qwen2;

enum { MILL_QWEN2_SLOTS = 2 }; /* steps that may be on their way at once */

struct mill_qwen2_options {
    int32_t max_rows;      /* rows of a step (prompt tokens and decode rows together) */
    int32_t max_sequences; /* sequences, and draws, of a step */
    int32_t max_pages;     /* pages of one sequence */
    int32_t n_pages;       /* pages in the pool */
    int32_t page_tokens;   /* positions a page holds */
};

/* The weights are borrowed and must outlive it. */
mill_status mill_qwen2_open(struct mill_qwen2 **out, const struct mill_backend_ops *ops,
                            struct mill_backend *backend, const struct mill_lm_weights *weights,
                            const struct mill_qwen2_options *options, struct mill_error *err);
void mill_qwen2_close(struct mill_qwen2 *lm);

struct mill_draw {
    int32_t row; /* the row after which a token is drawn */
    enum mill_legal_set legal;
    float temperature, top_p; /* see mill_sample_args */
    int32_t top_k;
    uint64_t seed, position;
};

/* All arrays are host memory. */
struct mill_qwen2_step {
    int32_t n_sequences, n_rows, n_draws;
    /* No sequence reads what another one appends in this step: the caller's promise. Where each has
     * one row besides, attention can append by itself, and the step can be recorded. */
    bool apart;
    /* [n_rows]; -1 - k stands for what draw k of the step launched before this one gave, seen or
     * not. */
    const int32_t *ids;
    const int32_t *row_first;    /* [n_sequences + 1] */
    const int32_t *n_cached;     /* [n_sequences] */
    const int32_t *const *pages; /* [n_sequences]: those of its tokens, in order of position */
    const struct mill_draw *draws;
    const double *u; /* [n_draws] in place of seed and position, or NULL; for tests */
    /* Out, of mill_qwen2_run alone: */
    int32_t *tokens; /* [n_draws]: token ids; -1 where the logits are not finite */
    float *hidden;   /* [n_draws, hidden] after the final norm, or NULL */
    float *logits;   /* draw after draw, legal.n_rows each, or NULL */
};
/* Begin a step. Where the backend is asynchronous this returns while it is computed; what the step
 * points to is the caller's again. */
mill_status mill_qwen2_launch(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                              struct mill_error *err);
/* Wait for the one launched first of those on their way: tokens [n_draws] in the order of its
 * draws. */
mill_status mill_qwen2_collect(struct mill_qwen2 *lm, int32_t *tokens, struct mill_error *err);
/* Both, when no other step is on its way. */
mill_status mill_qwen2_run(struct mill_qwen2 *lm, const struct mill_qwen2_step *step,
                           struct mill_error *err);

#endif
