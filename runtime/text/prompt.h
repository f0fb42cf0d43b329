/* prompt.h - the language model's prompts, as token ids; text is never pasted into control tokens.
 *
 *     clone    task_tts start_content TEXT end_content start_global GLOBALS end_global
 *              start_semantic [PROMPT SEMANTICS]
 *     create   task_controllable_tts start_content TEXT end_content start_style gender pitch speed
 *              end_style start_acoustic [pitch_value speed_value end_acoustic]
 *
 * The last token shown is forced by the format, so it belongs to the prompt and is not drawn. */
#ifndef MILL_TEXT_PROMPT_H
#define MILL_TEXT_PROMPT_H

#include "runtime/base/status.h"
#include "runtime/text/tokenizer.h"

struct mill_prompt {
    int32_t *ids; /* owned */
    int32_t n_ids;
};
void mill_prompt_deinit(struct mill_prompt *prompt);

/* Voice given by global tokens (0-based codes). For continuation, text = transcript and target as
 * one string (the caller joins them) and semantic = the recording's codes; otherwise n_semantic =
 * 0. */
struct mill_clone_prompt {
    const char *text;
    size_t text_bytes;
    const int32_t *global;
    int32_t n_global;
    const int32_t *semantic;
    int32_t n_semantic;
};
mill_status mill_prompt_clone(struct mill_prompt *out, struct mill_encoder *encoder,
                              const struct mill_control_tokens *tokens,
                              const struct mill_clone_prompt *clone, struct mill_error *err);

/* A new voice from labels 0 .. 4 (gender 0 female, 1 male). pitch_value (mel, not Hz) and
 * speed_value (syllables a second) are forced where not negative; speed_value alone may not be
 * forced without pitch_value and the other way round: both or neither. */
struct mill_create_prompt {
    const char *text;
    size_t text_bytes;
    int32_t gender, pitch, speed;
    int32_t pitch_value, speed_value; /* -1 = the model chooses */
};
mill_status mill_prompt_create(struct mill_prompt *out, struct mill_encoder *encoder,
                               const struct mill_control_tokens *tokens,
                               const struct mill_create_prompt *create, struct mill_error *err);

/* The tokenizer's pitch scale: mel = 2595 log10(1 + hz / 700), cut to [0, 1000]. */
int32_t mill_pitch_value_from_hz(double hz);

#endif
