/* encoder_layout.h - which weights the encoders have: the walk that plans their image. */
#ifndef MILL_MODEL_ENCODER_LAYOUT_H
#define MILL_MODEL_ENCODER_LAYOUT_H

#include "runtime/model/encoder_weights.h"
#include "runtime/model/weight_image.h"

/* Plan the entries for weights->uses, its shape being set, and set every weight's shape; `dtype` is
 * that of the semantic encoder's matrices. What is allocated here is freed by
 * mill_encoder_layout_free. `wav2vec2` is read for MILL_USE_TRANSCRIPT only. */
mill_status mill_encoder_layout_plan(struct mill_encoder_weights *weights,
                                     struct mill_image_plan *plan,
                                     const struct mill_tensors *bicodec,
                                     const struct mill_tensors *wav2vec2, enum mill_dtype dtype,
                                     struct mill_error *err);
void mill_encoder_layout_free(struct mill_encoder_weights *weights);

#endif
