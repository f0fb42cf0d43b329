/* prompt.c - see prompt.h. A prompt is sized first, then filled; text passes through the encoder
 * with added tokens unmatched, so it can never become a control token. */
#include "runtime/text/prompt.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void mill_prompt_deinit(struct mill_prompt *prompt) {
    free(prompt->ids);
    *prompt = (struct mill_prompt){0};
}

static void put(struct mill_prompt *prompt, int32_t id) {
    prompt->ids[prompt->n_ids++] = id;
}

/* All of `codes` must be members of the family. */
static mill_status check_codes(const char *name, const struct mill_token_family *family,
                               const int32_t *codes, int32_t n, struct mill_error *err) {
    for (int32_t i = 0; i < n; i++)
        if (codes[i] < 0 || codes[i] >= family->n)
            return mill_fail(err, MILL_E_INPUT, "%s %d is not in 0 .. %d", name, codes[i],
                             family->n - 1);
    return MILL_OK;
}

/* Begin a prompt with the task, the text and its markers, with room for n_more tokens behind. */
static mill_status begin_prompt(struct mill_prompt *out, struct mill_encoder *encoder,
                                const struct mill_control_tokens *tokens, int32_t task,
                                const char *text, size_t text_bytes, int32_t n_more,
                                struct mill_error *err) {
    const int32_t *ids;
    size_t n_ids;
    MILL_TRY(mill_encoder_encode(encoder, text, text_bytes, false, &ids, &n_ids, err));
    size_t n_all = n_ids + 3 + (size_t)n_more; /* each far below 2^31 */
    if (n_all > INT32_MAX)
        return mill_fail(err, MILL_E_INPUT, "a prompt of %zu tokens", n_all);
    out->ids = mill_alloc_array(n_all, sizeof *out->ids);
    if (!out->ids)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a prompt of %zu tokens", n_all);
    put(out, task);
    put(out, tokens->start_content);
    if (n_ids > 0)
        memcpy(out->ids + out->n_ids, ids, n_ids * sizeof *ids);
    out->n_ids += (int32_t)n_ids;
    put(out, tokens->end_content);
    return MILL_OK;
}

mill_status mill_prompt_clone(struct mill_prompt *out, struct mill_encoder *encoder,
                              const struct mill_control_tokens *tokens,
                              const struct mill_clone_prompt *clone, struct mill_error *err) {
    *out = (struct mill_prompt){0};
    int32_t n_more;
    if (clone->n_global < 0 || clone->n_semantic < 0 ||
        __builtin_add_overflow(clone->n_global, clone->n_semantic, &n_more) ||
        __builtin_add_overflow(n_more, 3, &n_more))
        return mill_fail(err, MILL_E_INPUT, "%d global and %d semantic tokens", clone->n_global,
                         clone->n_semantic);
    MILL_TRY(check_codes("global token", &tokens->global, clone->global, clone->n_global, err));
    MILL_TRY(
        check_codes("semantic token", &tokens->semantic, clone->semantic, clone->n_semantic, err));
    MILL_TRY(begin_prompt(out, encoder, tokens, tokens->task_tts, clone->text, clone->text_bytes,
                          n_more, err));
    put(out, tokens->start_global_token);
    for (int32_t i = 0; i < clone->n_global; i++)
        put(out, tokens->global.ids[clone->global[i]]);
    put(out, tokens->end_global_token);
    put(out, tokens->start_semantic_token);
    for (int32_t i = 0; i < clone->n_semantic; i++)
        put(out, tokens->semantic.ids[clone->semantic[i]]);
    return MILL_OK;
}

mill_status mill_prompt_create(struct mill_prompt *out, struct mill_encoder *encoder,
                               const struct mill_control_tokens *tokens,
                               const struct mill_create_prompt *create, struct mill_error *err) {
    *out = (struct mill_prompt){0};
    bool has_values = create->pitch_value >= 0;
    if (has_values != (create->speed_value >= 0))
        return mill_fail(err, MILL_E_INPUT,
                         "pitch value and speed value can only be given together");
    MILL_TRY(check_codes("gender", &tokens->gender, &create->gender, 1, err));
    MILL_TRY(check_codes("pitch", &tokens->pitch_label, &create->pitch, 1, err));
    MILL_TRY(check_codes("speed", &tokens->speed_label, &create->speed, 1, err));
    MILL_TRY(
        check_codes("pitch value", &tokens->pitch_value, &create->pitch_value, has_values, err));
    MILL_TRY(
        check_codes("speed value", &tokens->speed_value, &create->speed_value, has_values, err));
    MILL_TRY(begin_prompt(out, encoder, tokens, tokens->task_controllable_tts, create->text,
                          create->text_bytes, 9, err));
    put(out, tokens->start_style_label);
    put(out, tokens->gender.ids[create->gender]);
    put(out, tokens->pitch_label.ids[create->pitch]);
    put(out, tokens->speed_label.ids[create->speed]);
    put(out, tokens->end_style_label);
    put(out, tokens->start_acoustic_token);
    if (has_values) {
        put(out, tokens->pitch_value.ids[create->pitch_value]);
        put(out, tokens->speed_value.ids[create->speed_value]);
        put(out, tokens->end_acoustic_token);
    }
    return MILL_OK;
}

int32_t mill_pitch_value_from_hz(double hz) {
    if (!(hz > 0))
        return 0;
    double mel = 2595 * log10(1 + hz / 700);
    return mel < 1000 ? (int32_t)mel : 1000;
}
