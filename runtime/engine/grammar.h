/* grammar.h - what the model may say next: the published output format as a small state machine.
 *
 *     create    PITCH SPEED end_acoustic
 *     values    start_global GLOBAL x n end_global start_semantic
 *     speak     SEMANTIC ... im_end
 *
 * An utterance enters where its prompt ended, and goes on to the end of the last line: the first
 * line behind start_acoustic (a voice is created from labels), the second behind end_acoustic (from
 * values that were given), the third behind start_semantic (the voice is known).
 *
 * At each place the next token is either forced by the format, and then not drawn, or drawn from
 * one legal set. Unrestricted, every token is drawn from the whole vocabulary, as upstream does,
 * and only read: semantic tokens count, in creation global tokens too, the rest passes by. State is
 * a few numbers the caller owns; functions are pure. */
#ifndef MILL_ENGINE_GRAMMAR_H
#define MILL_ENGINE_GRAMMAR_H

#include "runtime/model/weights.h"

#include <stdbool.h>

/* What tokens mean, for reading a drawn one: made once for a tokenizer, then immutable. */
struct mill_grammar_tokens {
    const struct mill_control_tokens *control; /* borrowed */
    int32_t n_voice_tokens;                    /* global tokens that make a voice */
    int32_t *meaning;                          /* owned: [n_ids], see grammar.c */
    int32_t n_ids;
};

mill_status mill_grammar_tokens_init(struct mill_grammar_tokens *tokens,
                                     const struct mill_control_tokens *control,
                                     int32_t n_voice_tokens, struct mill_error *err);
void mill_grammar_tokens_deinit(struct mill_grammar_tokens *tokens);

/* Where the prompt ended. */
enum mill_grammar_start {
    MILL_GRAMMAR_SPEAK,        /* start_semantic, or behind the semantic tokens of a recording */
    MILL_GRAMMAR_CREATE,       /* start_acoustic */
    MILL_GRAMMAR_CREATE_VALUES /* end_acoustic: pitch and speed values were given */
};

struct mill_grammar {
    int32_t place;     /* row of the format's table */
    int32_t n_repeats; /* tokens taken at this place */
    bool unrestricted, creating, ended;
    int32_t n_global; /* global tokens seen, where they make the voice */
};

void mill_grammar_start(struct mill_grammar *grammar, enum mill_grammar_start start,
                        bool unrestricted);

struct mill_grammar_next {
    bool forced;
    int32_t token;             /* forced */
    enum mill_legal_set legal; /* drawn */
};
/* What comes next; not to be asked after the end. */
struct mill_grammar_next mill_grammar_next(const struct mill_grammar *grammar,
                                           const struct mill_grammar_tokens *tokens);

enum mill_grammar_event {
    MILL_GRAMMAR_NOTHING,
    MILL_GRAMMAR_GLOBAL,   /* code: the next token of the new voice */
    MILL_GRAMMAR_SEMANTIC, /* code: the next frame */
    MILL_GRAMMAR_END
};
/* Go on over a token, forced or drawn. MILL_E_INPUT where the format does not allow it, or where
 * creation, unrestricted, did not say as many global tokens as make a voice. */
mill_status mill_grammar_accept(struct mill_grammar *grammar,
                                const struct mill_grammar_tokens *tokens, int32_t token,
                                enum mill_grammar_event *event, int32_t *code,
                                struct mill_error *err);

/* Go on over a drawn token that is on its way: whatever it is, unless it is the end. What comes
 * after it is known from how many were drawn. */
enum mill_grammar_event mill_grammar_expect(struct mill_grammar *grammar,
                                            const struct mill_grammar_tokens *tokens);

/* The most tokens that can come beside max_frames semantic ones, im_end included. */
int32_t mill_grammar_overhead(const struct mill_grammar_tokens *tokens);

#endif
