/* qwen2_state.h - the inside of the language model, for its own files only: qwen2.c (memory,
 * checks, what goes in and comes out), qwen2_layers.c (the operators of a step) and qwen2_graph.c
 * (decode steps recorded once and repeated). */
#ifndef MILL_MODEL_QWEN2_STATE_H
#define MILL_MODEL_QWEN2_STATE_H

#include "runtime/model/qwen2.h"

#include "runtime/base/memory.h"

/* Rows of padding in a step, at most; each has a page behind the pool's. */
enum { MILL_QWEN2_PADDING = 15 };

struct mill_qwen2_arrays {
    int32_t *ids, *row_first, *n_cached;
    int32_t *draw_rows, *top_k; /* draws in sorted order from here on */
    float *temperature, *top_p;
    uint64_t *seed, *position;
    double *u;
    int32_t *page_table; /* [n_sequences, table_pages], last: only what is used is copied */
};

/* What decides which operators a step calls and with which arguments; what the device finds in its
 * arrays then is another matter. */
struct mill_qwen2_layout {
    int32_t n_sequences, n_rows, table_pages;
    int32_t n_draws, n_draws_of[MILL_LEGAL_COUNT]; /* of all; of each legal set */
    bool given_u;
    bool decode; /* one row a sequence, and none reads what another appends: mill_attn_paged_args */
};

/* A step on its way: what it was laid out from, until the device has copied it, and what it drew.
 * Host memory is host_alloc's. */
struct mill_qwen2_slot {
    char *block;
    struct mill_qwen2_arrays arrays; /* in the block */
    int32_t *tokens;                 /* [max_sequences], sorted */
    int32_t *place;                  /* [max_sequences]: draw -> sorted place */
    int32_t n_draws;
    struct mill_event *done;
};

struct mill_qwen2_graph {
    bool seen;                /* such a step has run */
    struct mill_graph *graph; /* NULL = not recorded yet */
};

struct mill_qwen2 {
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    const struct mill_lm_weights *weights;
    struct mill_qwen2_options options;
    struct mill_kv_pages pages_of_layer; /* data NULL */
    int32_t logits_stride;               /* longest legal set */
    size_t bytes;

    void *pages, *activations, *block; /* device; pages: the pool's, then those of padding */
    struct mill_qwen2_arrays arrays;   /* in the block, laid out like a slot's */
    float *x, *qkv, *attended, *gated, *drawn, *logits; /* in activations */
    int32_t *tokens;                                    /* drawn ones, in activations */
    int32_t *legal_ids;                                 /* device: those of all legal sets */
    const int32_t *set_ids[MILL_LEGAL_COUNT];           /* in legal_ids */

    struct mill_qwen2_slot slots[MILL_QWEN2_SLOTS];
    uint64_t n_launched, n_collected; /* step number n is in slot n % MILL_QWEN2_SLOTS */

    struct mill_qwen2_graph *graphs; /* [n_sizes][n_widths]; NULL where the backend has none */
    int32_t n_sizes, n_widths;
};

/* ------------------------------------------------------------------ qwen2_layers.c */

/* All operators of a step over what lies in the device's arrays. */
mill_status mill_qwen2_run_layout(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout);

/* ------------------------------------------------------------------ qwen2_graph.c */

/* Memory for what will be recorded, where the backend can record. */
mill_status mill_qwen2_graphs_open(struct mill_qwen2 *lm, struct mill_error *err);
void mill_qwen2_graphs_close(struct mill_qwen2 *lm);
/* Whether a step of this layout is worth recording: then it grows to a size that other steps will
 * have too. The rows behind those of the step are padding: see stage_padding. */
bool mill_qwen2_round_up(const struct mill_qwen2 *lm, struct mill_qwen2_layout *layout);
/* As mill_qwen2_run_layout, of a layout that was rounded up: recorded when it comes again. */
mill_status mill_qwen2_run_rounded(struct mill_qwen2 *lm, const struct mill_qwen2_layout *layout);

#endif
