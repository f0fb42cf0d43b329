/* speak.h - one utterance, from prompt to samples, alone on a model: what the command line needs.
 *
 * Runs plan, step, accept, window for a single mill_utterance until it ends, and hands samples on
 * as they are made. Everything it uses is opened by the caller and borrowed. One thread; the same
 * request gives the same samples, whatever the thread count and the windows. */
#ifndef MILL_ENGINE_SPEAK_H
#define MILL_ENGINE_SPEAK_H

#include "runtime/engine/utterance.h"
#include "runtime/model/bicodec_decode.h"

#include <stdatomic.h>

struct mill_speak_parts {
    struct mill_qwen2 *lm;
    struct mill_qwen2_options lm_options; /* as it was opened; max_rows may be less */
    int32_t max_positions;                /* of mill_llm_shape */
    struct mill_kv_pool *pool;            /* lm_options.n_pages pages */
    struct mill_bicodec_decoder *decoder;
    int32_t max_window;   /* frames, at most what the decoder was opened for */
    int32_t context, hop; /* mill_bicodec_context; samples a frame */
    const struct mill_grammar_tokens *tokens;
};

struct mill_speak_result {
    int32_t n_prompt, n_draws, n_frames; /* prompt tokens; tokens drawn; frames voiced */
    enum mill_utterance_end end;
    double prefill_s, decode_s, vocoder_s; /* seconds: up to the first draw; from it on; sound */
    double first_audio_s;                  /* from the start to the first delivery; 0 = none */
};

struct mill_speak_listener {
    void *context;
    /* Samples in order. A failure ends the utterance and is what mill_speak returns. */
    mill_status (*deliver)(void *context, const float *wave, size_t n_samples,
                           struct mill_error *err);
    void (*progress)(void *context, int32_t n_semantic); /* after each step; NULL = silent */
    const atomic_bool *cancel;                           /* looked at in every step; NULL = never */
};

/* *result is filled as far as it came, also on failure; `voice`, [n_voice_tokens] or NULL, gets the
 * global tokens that were used. MILL_E_CANCELLED when cancelled,
 * MILL_E_INPUT when the request does not fit the model's pages or positions or ends without a
 * sound, MILL_E_NUMERIC when a result is not finite. */
mill_status mill_speak(const struct mill_speak_parts *parts,
                       const struct mill_utterance_options *options,
                       const struct mill_speak_listener *listener, struct mill_speak_result *result,
                       int32_t *voice, struct mill_error *err);

#endif
