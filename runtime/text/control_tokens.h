/* control_tokens.h - the ids of Spark-TTS's added tokens, looked up by name, never assumed.
 *
 * The language model speaks in these: single markers ("<|start_content|>") and numbered families
 * ("<|bicodec_semantic_17|>"). A family's ids need not be contiguous. Immutable after open; owned
 * by the tokenizer it came from. */
#ifndef MILL_TEXT_CONTROL_TOKENS_H
#define MILL_TEXT_CONTROL_TOKENS_H

#include <stdint.h>

struct mill_token_family {
    const int32_t *ids; /* [n]: id of member 0, 1, ... */
    int32_t n;
};

struct mill_control_tokens {
    int32_t im_end;
    int32_t task_tts, task_controllable_tts;
    int32_t start_content, end_content, start_style_label, end_style_label;
    int32_t start_acoustic_token, end_acoustic_token;
    int32_t start_global_token, end_global_token, start_semantic_token;
    struct mill_token_family global, semantic; /* bicodec_global_N, bicodec_semantic_N */
    struct mill_token_family gender, pitch_label, speed_label, pitch_value, speed_value;
};

#endif
