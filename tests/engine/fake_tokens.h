/* fake_tokens.h - a small set of control tokens for tests of the engine: three global tokens make a
 * voice, families are not contiguous. */
#ifndef MILL_TESTS_ENGINE_FAKE_TOKENS_H
#define MILL_TESTS_ENGINE_FAKE_TOKENS_H

#include "runtime/engine/grammar.h"

enum {
    TEXT = 1,
    IM_END = 2,
    START_ACOUSTIC = 3,
    END_ACOUSTIC = 4,
    START_GLOBAL = 5,
    END_GLOBAL = 6,
    START_SEMANTIC = 7,
    N_VOICE = 3
};

static const int32_t fake_semantic[] = {40, 41, 42, 60, 61};
static const int32_t fake_global[] = {30, 20, 31, 21};
static const int32_t fake_pitch[] = {10, 11};
static const int32_t fake_speed[] = {12, 13};

static const struct mill_control_tokens fake_control = {
    .im_end = IM_END,
    .start_acoustic_token = START_ACOUSTIC,
    .end_acoustic_token = END_ACOUSTIC,
    .start_global_token = START_GLOBAL,
    .end_global_token = END_GLOBAL,
    .start_semantic_token = START_SEMANTIC,
    .semantic = {fake_semantic, 5},
    .global = {fake_global, 4},
    .pitch_value = {fake_pitch, 2},
    .speed_value = {fake_speed, 2},
};

#endif
