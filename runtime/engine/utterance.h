/* utterance.h - one utterance from its prompt to its last token: what was said so far and what is
 * to be drawn next.
 *
 * Only state and small functions over it; nothing here computes, waits or looks at a clock, so a
 * replica may hold hundreds. `ids` are all its known tokens; the scheduler says which of them the
 * model runs next, and after the last known one a token is drawn and accepted. Draw number i uses
 * random number i of the request's seed, so the audio does not depend on how the steps were cut, or
 * on how often they were run.
 *
 * A step may go out before the tokens of the one before it are seen. So an utterance also has an
 * end that is ahead of what is known: behind tokens that are expected, whatever they are, unless
 * one of them ends it. The caller's storage; one thread. */
#ifndef MILL_ENGINE_UTTERANCE_H
#define MILL_ENGINE_UTTERANCE_H

#include "runtime/engine/grammar.h"
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
    int32_t max_frames; /* semantic tokens at most, 1 or more */
};

enum mill_utterance_end {
    MILL_UTTERANCE_RUNNING,
    MILL_UTTERANCE_IM_END, /* the model ended it */
    MILL_UTTERANCE_LIMIT   /* max_frames, or as many other tokens as can be right */
};

struct mill_utterance {
    const struct mill_grammar_tokens *tokens; /* borrowed */
    struct mill_grammar grammar;
    struct mill_utterance_options options; /* pointers cleared */
    int32_t *ids; /* owned: [max_ids], the prompt, then what was said, then what is expected */
    int32_t n_ids, max_ids;
    int32_t *global; /* owned: [n_voice_tokens] */
    int32_t n_global;
    int32_t *semantic; /* owned: [max_frames] */
    int32_t n_semantic;
    int32_t n_draws; /* im_end included */
    enum mill_utterance_end end;
    struct mill_utterance_ahead {
        struct mill_grammar grammar;
        int32_t n_ids, n_semantic, n_draws;
    } ahead; /* the same behind what is expected */
};

mill_status mill_utterance_init(struct mill_utterance *utterance,
                                const struct mill_utterance_options *options,
                                const struct mill_grammar_tokens *tokens, struct mill_error *err);
/* Harmless on a zeroed one. */
void mill_utterance_deinit(struct mill_utterance *utterance);
/* Back to the prompt, with another seed. */
mill_status mill_utterance_restart(struct mill_utterance *utterance, uint64_t seed,
                                   struct mill_error *err);

/* Tokens that an utterance of these options may need in the cache, at most. */
int64_t mill_utterance_max_tokens(const struct mill_utterance_options *options,
                                  const struct mill_grammar_tokens *tokens);

/* What to draw after the last known or expected token, which is row `row` of the step; only while
 * running. */
struct mill_draw mill_utterance_draw(const struct mill_utterance *utterance, int32_t row);
/* That draw, number `index` of its step, is on its way: -1 - index stands for it in `ids`, and what
 * the format forces behind it follows. Tokens that are known or expected then; as many as before
 * where this draw is the last one for sure. */
int32_t mill_utterance_expect(struct mill_utterance *utterance, int32_t index);
/* Go on over the drawn token, the first expected one if any is, and what the format forces behind
 * it. MILL_E_NUMERIC for -1; MILL_E_INPUT, see mill_grammar_accept; MILL_E_NOT_FOUND where speech
 * ends before its first frame. */
mill_status mill_utterance_accept(struct mill_utterance *utterance, int32_t token,
                                  struct mill_error *err);

#endif
