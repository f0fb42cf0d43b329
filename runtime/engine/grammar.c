/* grammar.c - see grammar.h. The format is one table of places, walked from top to bottom. */
#include "runtime/engine/grammar.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

/* meaning[id]: the kind in the upper bits, the number within its family in the lower ones. */
enum { KIND_SHIFT = 28, CODE_MASK = (1 << KIND_SHIFT) - 1 };
enum kind { KIND_OTHER, KIND_SEMANTIC, KIND_GLOBAL, KIND_PITCH, KIND_SPEED, KIND_END };

enum repeat { ONCE, VOICE_TOKENS, UNTIL_END };

static const struct place {
    bool forced;
    size_t token;              /* forced: where in struct mill_control_tokens its id is */
    enum mill_legal_set legal; /* drawn */
    enum kind kind;            /* what a drawn token must be */
    enum repeat repeat;
} places[] = {
#define FORCE(name)                                                                                \
    { .forced = true, .token = offsetof(struct mill_control_tokens, name) }
#define DRAW(set, repeat_)                                                                         \
    { .legal = MILL_LEGAL_##set, .kind = KIND_##set, .repeat = repeat_ }
    /* MILL_GRAMMAR_CREATE */
    DRAW(PITCH, ONCE),
    DRAW(SPEED, ONCE),
    FORCE(end_acoustic_token),
    /* MILL_GRAMMAR_CREATE_VALUES */
    FORCE(start_global_token),
    DRAW(GLOBAL, VOICE_TOKENS),
    FORCE(end_global_token),
    FORCE(start_semantic_token),
    /* MILL_GRAMMAR_SPEAK */
    DRAW(SEMANTIC, UNTIL_END),
#undef FORCE
#undef DRAW
};
enum { PLACE_CREATE = 0, PLACE_CREATE_VALUES = 3, PLACE_SPEAK = 7 };

/* ------------------------------------------------------------------ what tokens mean */

static int32_t largest_id(const struct mill_token_family *family, int32_t largest) {
    for (int32_t i = 0; i < family->n; i++)
        if (family->ids[i] > largest)
            largest = family->ids[i];
    return largest;
}

static void mark(int32_t *meaning, const struct mill_token_family *family, enum kind kind) {
    for (int32_t i = 0; i < family->n; i++)
        meaning[family->ids[i]] = (int32_t)kind << KIND_SHIFT | i;
}

mill_status mill_grammar_tokens_init(struct mill_grammar_tokens *tokens,
                                     const struct mill_control_tokens *control,
                                     int32_t n_voice_tokens, struct mill_error *err) {
    const struct {
        const struct mill_token_family *family;
        enum kind kind;
    } families[] = {{&control->semantic, KIND_SEMANTIC},
                    {&control->global, KIND_GLOBAL},
                    {&control->pitch_value, KIND_PITCH},
                    {&control->speed_value, KIND_SPEED}};
    enum { N_FAMILIES = sizeof families / sizeof *families };
    *tokens = (struct mill_grammar_tokens){.control = control, .n_voice_tokens = n_voice_tokens};
    int32_t largest = control->im_end;
    for (int i = 0; i < N_FAMILIES; i++)
        largest = largest_id(families[i].family, largest);
    tokens->n_ids = largest + 1;
    tokens->meaning = mill_alloc_array((size_t)tokens->n_ids, sizeof *tokens->meaning);
    if (!tokens->meaning)
        return mill_fail(err, MILL_E_MEMORY, "grammar: no memory");
    for (int i = 0; i < N_FAMILIES; i++)
        mark(tokens->meaning, families[i].family, families[i].kind);
    tokens->meaning[control->im_end] = (int32_t)KIND_END << KIND_SHIFT;
    return MILL_OK;
}

void mill_grammar_tokens_deinit(struct mill_grammar_tokens *tokens) {
    free(tokens->meaning);
    *tokens = (struct mill_grammar_tokens){0};
}

/* ------------------------------------------------------------------ walking */

void mill_grammar_start(struct mill_grammar *grammar, enum mill_grammar_start start,
                        bool unrestricted) {
    static const int32_t first[] = {[MILL_GRAMMAR_SPEAK] = PLACE_SPEAK,
                                    [MILL_GRAMMAR_CREATE] = PLACE_CREATE,
                                    [MILL_GRAMMAR_CREATE_VALUES] = PLACE_CREATE_VALUES};
    *grammar = (struct mill_grammar){.place = first[start],
                                     .unrestricted = unrestricted,
                                     .creating = start != MILL_GRAMMAR_SPEAK};
}

static int32_t forced_token(const struct mill_control_tokens *control, const struct place *place) {
    return *(const int32_t *)((const char *)control + place->token);
}

struct mill_grammar_next mill_grammar_next(const struct mill_grammar *grammar,
                                           const struct mill_grammar_tokens *tokens) {
    const struct place *place = &places[grammar->place];
    if (grammar->unrestricted)
        return (struct mill_grammar_next){.legal = MILL_LEGAL_ANY};
    if (place->forced)
        return (struct mill_grammar_next){.forced = true,
                                          .token = forced_token(tokens->control, place)};
    return (struct mill_grammar_next){.legal = place->legal};
}

static mill_status wrong_voice(const struct mill_grammar *grammar,
                               const struct mill_grammar_tokens *tokens, struct mill_error *err) {
    return mill_fail(
        err, MILL_E_INPUT,
        "the model said %d%s global tokens where %d make a voice: try another seed, or "
        "restricted drawing",
        grammar->n_global, grammar->n_global > tokens->n_voice_tokens ? " or more" : "",
        tokens->n_voice_tokens);
}

/* Unrestricted: nothing is out of place, but a voice must be complete when sound begins and may
 * not grow afterwards. */
static mill_status read_any(struct mill_grammar *grammar, const struct mill_grammar_tokens *tokens,
                            enum kind kind, enum mill_grammar_event *event,
                            struct mill_error *err) {
    if (kind == KIND_GLOBAL && grammar->creating) {
        if (++grammar->n_global > tokens->n_voice_tokens)
            return wrong_voice(grammar, tokens, err);
        *event = MILL_GRAMMAR_GLOBAL;
    } else if (kind == KIND_SEMANTIC) {
        if (grammar->creating && grammar->n_global != tokens->n_voice_tokens)
            return wrong_voice(grammar, tokens, err);
        *event = MILL_GRAMMAR_SEMANTIC;
    } else if (kind == KIND_END) {
        grammar->ended = true;
        *event = MILL_GRAMMAR_END;
    }
    return MILL_OK;
}

static void step_on(struct mill_grammar *grammar, int32_t n_wanted) {
    if (++grammar->n_repeats < n_wanted)
        return;
    grammar->place++;
    grammar->n_repeats = 0;
}

mill_status mill_grammar_accept(struct mill_grammar *grammar,
                                const struct mill_grammar_tokens *tokens, int32_t token,
                                enum mill_grammar_event *event, int32_t *code,
                                struct mill_error *err) {
    int32_t meaning = token >= 0 && token < tokens->n_ids ? tokens->meaning[token] : KIND_OTHER;
    enum kind kind = (enum kind)(meaning >> KIND_SHIFT);
    const struct place *place = &places[grammar->place];
    *event = MILL_GRAMMAR_NOTHING;
    *code = meaning & CODE_MASK;
    if (grammar->unrestricted)
        return read_any(grammar, tokens, kind, event, err);
    if (place->forced ? token != forced_token(tokens->control, place)
                      : kind != place->kind && !(kind == KIND_END && place->repeat == UNTIL_END))
        return mill_fail(err, MILL_E_INPUT, "token %d is out of place", token);
    if (place->repeat == UNTIL_END) {
        grammar->ended = kind == KIND_END;
        *event = grammar->ended ? MILL_GRAMMAR_END : MILL_GRAMMAR_SEMANTIC;
        return MILL_OK;
    }
    if (kind == KIND_GLOBAL && !place->forced) {
        grammar->n_global++;
        *event = MILL_GRAMMAR_GLOBAL;
    }
    step_on(grammar, place->repeat == VOICE_TOKENS ? tokens->n_voice_tokens : 1);
    return MILL_OK;
}

enum mill_grammar_event mill_grammar_expect(struct mill_grammar *grammar,
                                            const struct mill_grammar_tokens *tokens) {
    const struct place *place = &places[grammar->place];
    if (grammar->unrestricted)
        return MILL_GRAMMAR_NOTHING; /* it may be anything */
    if (place->repeat == UNTIL_END)
        return MILL_GRAMMAR_SEMANTIC;
    bool global = place->kind == KIND_GLOBAL;
    grammar->n_global += global;
    step_on(grammar, place->repeat == VOICE_TOKENS ? tokens->n_voice_tokens : 1);
    return global ? MILL_GRAMMAR_GLOBAL : MILL_GRAMMAR_NOTHING;
}

int32_t mill_grammar_overhead(const struct mill_grammar_tokens *tokens) {
    return (int32_t)(sizeof places / sizeof *places) + tokens->n_voice_tokens;
}
