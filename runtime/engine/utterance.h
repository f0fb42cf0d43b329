/* utterance.h - one utterance between its prompt and its last sample: what was said so far, what
 * the model is to compute next, which frames can become sound.
 *
 * Only state and small functions over it; nothing here computes, waits or looks at a clock, so a
 * scheduler may hold hundreds. The turn of one step:
 *
 *     plan ----> (the model runs the rows) ----> accept ----> window ----> (the decoder runs) ---->
 * voiced
 *
 * Rows are the tokens that the cache does not hold yet: first the prompt, in pieces, then each
 * drawn token together with the tokens that the format forces behind it. Draw number i uses random
 * number i of the request's seed, so the audio does not depend on how the steps were cut. The
 * caller's storage; one thread. */
#ifndef MILL_ENGINE_UTTERANCE_H
#define MILL_ENGINE_UTTERANCE_H

#include "runtime/engine/grammar.h"
#include "runtime/engine/kv_pages.h"
#include "runtime/model/qwen2.h"

struct mill_utterance_options {
    const int32_t *prompt; /* [n_prompt], copied */
    int32_t n_prompt;
    enum mill_grammar_start start; /* where the prompt ends */
    bool unrestricted;             /* needs weights with a full head */
    const int32_t *global;         /* [n_voice_tokens], copied: the voice; NULL in creation */
    float temperature, top_p;      /* see mill_sample_args */
    int32_t top_k;
    uint64_t seed;
    int32_t max_frames;   /* semantic tokens at most, 1 or more */
    int32_t first_window; /* frames of the first window; 0 = as large as the others */
};

enum mill_utterance_end {
    MILL_UTTERANCE_RUNNING,
    MILL_UTTERANCE_IM_END,   /* the model ended it */
    MILL_UTTERANCE_LIMIT,    /* max_frames, or as many other tokens as can be right */
    MILL_UTTERANCE_CANCELLED /* by the caller */
};

struct mill_utterance {
    const struct mill_grammar_tokens *tokens; /* borrowed */
    struct mill_grammar grammar;
    struct mill_utterance_options options; /* pointers cleared */
    int32_t *ids;                          /* owned: [max_ids], the prompt, then what was said */
    int32_t n_ids, max_ids;
    int32_t n_cached; /* ids whose keys and values are in the pages */
    int32_t *global;  /* owned: [n_voice_tokens] */
    int32_t n_global;
    int32_t *semantic; /* owned: [max_frames] */
    int32_t n_semantic;
    int32_t n_draws; /* im_end included */
    enum mill_utterance_end end;
    int32_t n_voiced; /* frames that have become sound */
    int32_t window;   /* frames of the next window while the utterance runs; 0 = the largest */
    struct mill_kv_table pages; /* filled and cleared by the caller */
};

/* max_pages: of mill_qwen2_options. */
mill_status mill_utterance_init(struct mill_utterance *utterance,
                                const struct mill_utterance_options *options,
                                const struct mill_grammar_tokens *tokens, int32_t max_pages,
                                struct mill_error *err);
/* The page table must be clear. Harmless on a zeroed one. */
void mill_utterance_deinit(struct mill_utterance *utterance);

/* Tokens that an utterance of these options may need in the cache, at most. */
int64_t mill_utterance_max_tokens(const struct mill_utterance_options *options,
                                  const struct mill_grammar_tokens *tokens);

struct mill_utterance_rows {
    const int32_t *ids; /* borrowed: [n_rows] */
    int32_t n_rows, n_cached;
    bool draws;            /* a token is wanted after the last row */
    struct mill_draw draw; /* row counts from this utterance's first */
};
/* The next rows, at most max_rows; only while running. */
struct mill_utterance_rows mill_utterance_plan(const struct mill_utterance *utterance,
                                               int32_t max_rows);
/* The model has run them; `token` is what it drew. MILL_E_NUMERIC for -1; MILL_E_INPUT, see
 * mill_grammar_accept, and where speech ends before its first frame. */
mill_status mill_utterance_accept(struct mill_utterance *utterance,
                                  const struct mill_utterance_rows *rows, int32_t token,
                                  struct mill_error *err);

/* Frames [*first, *end) that can become sound now: while running, those `context` frames behind
 * the newest, as soon as they fill a window; at the end the rest. Windows begin small where the
 * first sound is wanted early and double up to max_window, since every window computes its context
 * again. False when there is nothing to do yet, or no more. */
bool mill_utterance_window(const struct mill_utterance *utterance, int32_t context,
                           int32_t max_window, int32_t *first, int32_t *end);
/* Frames before `end` have become sound. */
void mill_utterance_voiced(struct mill_utterance *utterance, int32_t end, int32_t max_window);

#endif
