/* checkpoint_fixture.h - checkpoints for tests of the model: the two weight files with the tensors
 * that speaking needs, filled by the synthetic recipe, and control tokens with made-up ids. */
#ifndef MILL_TESTS_CHECKPOINT_FIXTURE_H
#define MILL_TESTS_CHECKPOINT_FIXTURE_H

#include "runtime/model/synth.h"
#include "runtime/model/weights.h"
#include "runtime/text/control_tokens.h"

/* Sizes that are as small as they can be and all different. */
void fixture_small_shape(struct mill_shape *out);

/* Write LLM/model.safetensors and BiCodec/model.safetensors below `folder`, elements stored as F64,
 * F32, BF16 or F16. Asserts through cmocka. */
void fixture_write(const char *folder, const struct mill_shape *shape, enum mill_dtype dtype);

/* Control tokens with consecutive ids: im_end, then the families global, semantic, pitch and speed
 * values from the given ids on. Owned by the struct; fixture_tokens_deinit frees it. */
struct fixture_tokens {
    struct mill_control_tokens tokens;
    int32_t *ids;
};
void fixture_tokens_init(struct fixture_tokens *out, const struct mill_shape *shape, int32_t im_end,
                         int32_t global, int32_t semantic, int32_t pitch, int32_t speed);
void fixture_tokens_deinit(struct fixture_tokens *tokens);

/* Planned and loaded at once. */
mill_status fixture_open_weights(struct mill_weights **out, const char *folder,
                                 const struct mill_shape *shape,
                                 const struct mill_control_tokens *tokens,
                                 const struct mill_backend_ops *ops, struct mill_backend *backend,
                                 const struct mill_weights_options *options,
                                 struct mill_error *err);

enum { FIXTURE_PITCHES = 70, FIXTURE_SPEEDS = 11 };

#endif
