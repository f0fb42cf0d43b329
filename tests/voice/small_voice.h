/* small_voice.h - a voice for tests: every part of the file is there, tokens are few. */
#ifndef MILL_TESTS_VOICE_SMALL_VOICE_H
#define MILL_TESTS_VOICE_SMALL_VOICE_H

#include "runtime/voice/voice.h"

/* A model of 3 global tokens below 20 and 8 codewords. */
static inline struct mill_shape small_shape(void) {
    struct mill_shape shape = {0};
    shape.bicodec.speaker.n_tokens = 3;
    shape.bicodec.speaker.n_levels = 2;
    shape.bicodec.speaker.levels[0] = 4;
    shape.bicodec.speaker.levels[1] = 5;
    shape.bicodec.quantizer.codebook_size = 8;
    return shape;
}

static inline struct mill_voice_model small_model(void) {
    struct mill_voice_model model;
    const struct mill_shape shape = small_shape();
    mill_voice_model_init(&model, &shape, "test", NULL);
    return model;
}

/* Tokens are borrowed here: the voice is not to be deinitialised. */
static inline struct mill_voice small_voice(const struct mill_voice_model *model, int32_t *global) {
    return (struct mill_voice){
        .model = model->id,
        .name = "anna",
        .provenance = {.created_by = "a test", .date = "2026-05-31T12:00:00Z"},
        .global = global,
        .n_global = 3};
}

#endif
