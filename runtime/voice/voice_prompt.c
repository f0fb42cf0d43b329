/* voice_prompt.c - see voice_prompt.h. */
#include "runtime/voice/voice_prompt.h"

#include "runtime/base/buffer.h"

#include <string.h>

static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool wants_space(const char *transcript, const char *text, size_t text_bytes) {
    char last = transcript[strlen(transcript) - 1]; /* it is not empty */
    return text_bytes > 0 && is_letter_or_digit(text[0]) &&
           (is_letter_or_digit(last) || strchr(".,;:!?", last));
}

static mill_status join(struct mill_buffer *out, const char *transcript, const char *text,
                        size_t text_bytes, struct mill_error *err) {
    MILL_TRY(mill_buffer_append(out, transcript, strlen(transcript), err));
    if (wants_space(transcript, text, text_bytes))
        MILL_TRY(mill_buffer_append(out, " ", 1, err));
    return mill_buffer_append(out, text, text_bytes, err);
}

mill_status mill_voice_prompt(struct mill_prompt *out, struct mill_encoder *encoder,
                              const struct mill_control_tokens *tokens,
                              const struct mill_voice *voice, const char *text, size_t text_bytes,
                              struct mill_error *err) {
    *out = (struct mill_prompt){0};
    struct mill_clone_prompt clone = {.text = text,
                                      .text_bytes = text_bytes,
                                      .global = voice->global,
                                      .n_global = voice->n_global,
                                      .semantic = voice->semantic,
                                      .n_semantic = voice->n_semantic};
    if (!voice->transcript)
        return mill_prompt_clone(out, encoder, tokens, &clone, err);
    struct mill_buffer joined;
    mill_buffer_init(&joined, strlen(voice->transcript) + 1 + text_bytes);
    mill_status status = join(&joined, voice->transcript, text, text_bytes, err);
    clone.text = joined.data;
    clone.text_bytes = joined.size;
    if (status == MILL_OK)
        status = mill_prompt_clone(out, encoder, tokens, &clone, err);
    mill_buffer_deinit(&joined);
    return status;
}
