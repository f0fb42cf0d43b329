/* weight_layout.h - which weights there are: the walk over the model that plans the image.
 *
 * For every pointer of mill_lm_weights and mill_decoder_weights it names the tensors behind it, how
 * they are folded, and in which dtype and order the result lies in the image. */
#ifndef MILL_MODEL_WEIGHT_LAYOUT_H
#define MILL_MODEL_WEIGHT_LAYOUT_H

#include "runtime/model/weight_image.h"
#include "runtime/model/weights.h"

/* Rows of the head: `row_ids` [n_rows] gets the token id of every row, -1 for the rows that fill a
 * set up to MILL_PACK_ROWS; owned by the caller (free). The token families must fit the shape. */
mill_status mill_weight_layout_head(struct mill_lm_weights *lm, int32_t **row_ids,
                                    const struct mill_shape *shape,
                                    const struct mill_control_tokens *tokens, bool full_head,
                                    struct mill_error *err);

/* Set every shape in `weights` and plan its entries; `weights->lm.layers` and the arrays of blocks
 * are allocated here and freed by mill_weight_layout_free. Needs weights->precision and the head's
 * rows. `shape` must outlive the plan. */
mill_status mill_weight_layout_plan(struct mill_weights *weights, struct mill_image_plan *plan,
                                    const struct mill_shape *shape, const int32_t *head_row_ids,
                                    const struct mill_tensors *llm,
                                    const struct mill_tensors *bicodec, struct mill_error *err);
void mill_weight_layout_free(struct mill_weights *weights);

#endif
