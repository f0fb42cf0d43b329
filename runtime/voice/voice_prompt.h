/* voice_prompt.h - the prompt that lets a voice say a text. */
#ifndef MILL_VOICE_VOICE_PROMPT_H
#define MILL_VOICE_VOICE_PROMPT_H

#include "runtime/text/prompt.h"
#include "runtime/voice/voice.h"

/* A voice with a transcript is continued: the model is shown transcript and text as one, and the
 * recording's semantic tokens as what was said so far. Between the two comes one space where the
 * transcript ends with one of A-Z a-z 0-9 . , ; : ! ? and the text begins with a letter or digit of
 * ASCII, since words of such languages would run together; otherwise nothing, as upstream has it.
 * Else the voice gives the timbre alone. */
mill_status mill_voice_prompt(struct mill_prompt *out, struct mill_encoder *encoder,
                              const struct mill_control_tokens *tokens,
                              const struct mill_voice *voice, const char *text, size_t text_bytes,
                              struct mill_error *err);

#endif
