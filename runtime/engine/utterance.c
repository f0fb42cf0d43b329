/* utterance.c - see utterance.h. */
#include "runtime/engine/utterance.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

int64_t mill_utterance_max_tokens(const struct mill_utterance_options *options,
                                  const struct mill_grammar_tokens *tokens) {
    return (int64_t)options->n_prompt + options->max_frames + mill_grammar_overhead(tokens);
}

/* Take a token, drawn or forced, for what it means. */
static mill_status say(struct mill_utterance *u, int32_t token, struct mill_error *err) {
    enum mill_grammar_event event;
    int32_t code;
    MILL_TRY(mill_grammar_accept(&u->grammar, u->tokens, token, &event, &code, err));
    if (event == MILL_GRAMMAR_END) {
        u->end = MILL_UTTERANCE_IM_END;
        return MILL_OK;
    }
    u->ids[u->n_ids++] = token;
    if (event == MILL_GRAMMAR_GLOBAL)
        u->global[u->n_global++] = code;
    if (event == MILL_GRAMMAR_SEMANTIC)
        u->semantic[u->n_semantic++] = code;
    if (u->n_semantic == u->options.max_frames || u->n_ids == u->max_ids)
        u->end = MILL_UTTERANCE_LIMIT;
    return MILL_OK;
}

static mill_status say_forced(struct mill_utterance *u, struct mill_error *err) {
    while (u->end == MILL_UTTERANCE_RUNNING) {
        struct mill_grammar_next next = mill_grammar_next(&u->grammar, u->tokens);
        if (!next.forced)
            break;
        MILL_TRY(say(u, next.token, err));
    }
    return MILL_OK;
}

/* Nothing is expected. */
static void catch_up(struct mill_utterance *u) {
    u->ahead = (struct mill_utterance_ahead){.grammar = u->grammar,
                                             .n_ids = u->n_ids,
                                             .n_semantic = u->n_semantic,
                                             .n_draws = u->n_draws};
}

/* At a beginning. */
static mill_status go_on(struct mill_utterance *u, struct mill_error *err) {
    mill_grammar_start(&u->grammar, u->options.start, u->options.unrestricted);
    mill_status status = say_forced(u, err);
    catch_up(u);
    return status;
}

static mill_status allocate(struct mill_utterance *u, struct mill_error *err) {
    u->ids = mill_alloc_array((size_t)u->max_ids, sizeof *u->ids);
    u->global = mill_alloc_array((size_t)u->tokens->n_voice_tokens, sizeof *u->global);
    u->semantic = mill_alloc_array((size_t)u->options.max_frames, sizeof *u->semantic);
    if (!u->ids || !u->global || !u->semantic)
        return mill_fail(err, MILL_E_MEMORY, "no memory for an utterance of %d tokens", u->max_ids);
    return MILL_OK;
}

static mill_status begin(struct mill_utterance *u, const struct mill_utterance_options *options,
                         struct mill_error *err) {
    memcpy(u->ids, options->prompt, (size_t)options->n_prompt * sizeof *u->ids);
    u->n_ids = options->n_prompt;
    if (options->global) {
        u->n_global = u->tokens->n_voice_tokens;
        memcpy(u->global, options->global, (size_t)u->n_global * sizeof *u->global);
    }
    u->options.prompt = u->options.global = NULL;
    return go_on(u, err);
}

mill_status mill_utterance_init(struct mill_utterance *utterance,
                                const struct mill_utterance_options *options,
                                const struct mill_grammar_tokens *tokens, struct mill_error *err) {
    *utterance = (struct mill_utterance){.tokens = tokens, .options = *options};
    int64_t max_ids = mill_utterance_max_tokens(options, tokens);
    if (options->n_prompt < 1 || options->max_frames < 1 || max_ids > INT32_MAX ||
        !options->global != (options->start != MILL_GRAMMAR_SPEAK))
        return mill_fail(err, MILL_E_INPUT,
                         "an utterance needs a prompt, room for a frame, and a voice or its "
                         "creation");
    utterance->max_ids = (int32_t)max_ids;
    mill_status status = allocate(utterance, err);
    if (status == MILL_OK)
        status = begin(utterance, options, err);
    if (status < 0)
        mill_utterance_deinit(utterance);
    return status;
}

void mill_utterance_deinit(struct mill_utterance *utterance) {
    free(utterance->ids);
    free(utterance->global);
    free(utterance->semantic);
    *utterance = (struct mill_utterance){0};
}

mill_status mill_utterance_restart(struct mill_utterance *utterance, uint64_t seed,
                                   struct mill_error *err) {
    struct mill_utterance *u = utterance;
    u->options.seed = seed;
    u->n_ids = u->options.n_prompt;
    u->n_semantic = u->n_draws = 0;
    if (u->options.start != MILL_GRAMMAR_SPEAK)
        u->n_global = 0;
    u->end = MILL_UTTERANCE_RUNNING;
    return go_on(u, err);
}

struct mill_draw mill_utterance_draw(const struct mill_utterance *utterance, int32_t row) {
    const struct mill_utterance *u = utterance;
    return (struct mill_draw){.row = row,
                              .legal = mill_grammar_next(&u->ahead.grammar, u->tokens).legal,
                              .temperature = u->options.temperature,
                              .top_p = u->options.top_p,
                              .top_k = u->options.top_k,
                              .seed = u->options.seed,
                              .position = (uint64_t)u->ahead.n_draws};
}

int32_t mill_utterance_expect(struct mill_utterance *utterance, int32_t index) {
    struct mill_utterance *u = utterance;
    struct mill_utterance_ahead *ahead = &u->ahead;
    int32_t n_before = ahead->n_ids;
    ahead->n_draws++;
    u->ids[ahead->n_ids++] = -1 - index;
    ahead->n_semantic += mill_grammar_expect(&ahead->grammar, u->tokens) == MILL_GRAMMAR_SEMANTIC;
    if (ahead->n_semantic == u->options.max_frames || ahead->n_ids == u->max_ids)
        return n_before;
    for (struct mill_grammar_next next;
         next = mill_grammar_next(&ahead->grammar, u->tokens), next.forced;) {
        enum mill_grammar_event event;
        int32_t code;
        mill_grammar_accept(&ahead->grammar, u->tokens, next.token, &event, &code, NULL);
        u->ids[ahead->n_ids++] = next.token;
    }
    return ahead->n_ids;
}

mill_status mill_utterance_accept(struct mill_utterance *utterance, int32_t token,
                                  struct mill_error *err) {
    struct mill_utterance *u = utterance;
    if (token < 0)
        return mill_fail(err, MILL_E_NUMERIC,
                         "the model's logits are not finite after token %d of the utterance",
                         u->n_ids);
    u->n_draws++;
    MILL_TRY(say(u, token, err));
    MILL_TRY(say_forced(u, err));
    if (u->ahead.n_draws <= u->n_draws)
        catch_up(u);
    if (u->end != MILL_UTTERANCE_RUNNING && u->n_semantic == 0)
        return mill_fail(err, MILL_E_NOT_FOUND,
                         "the model ended before its first sound (%d tokens drawn): try another "
                         "seed or text",
                         u->n_draws);
    return MILL_OK;
}
