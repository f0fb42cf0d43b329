/* weight_walk.h - the steps of a walk over the model that plans an image of weights.
 *
 * Each step names the tensors behind one pointer of a struct of weights, and appends what makes it
 * to the plan. The first failure sticks in `status` and turns every later step into nothing, so a
 * walk reads like the list of weights that it is. Used by weight_layout.c and encoder_layout.c. */
#ifndef MILL_MODEL_WEIGHT_WALK_H
#define MILL_MODEL_WEIGHT_WALK_H

#include "runtime/model/weight_image.h"
#include "runtime/model/weights.h"

enum { MILL_PREFIX_BYTES = 80, MILL_NAME_BYTES = 128 };

struct mill_weight_walk {
    struct mill_image_plan *plan;
    mill_status status;
    struct mill_error *err;
};

/* A tensor of a recipe, by its formatted name. */
void mill_walk_find(struct mill_weight_walk *walk, struct mill_tensor_ref *out,
                    const struct mill_tensors *file, size_t n_elements, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* An entry, with its formatted name. */
void mill_walk_add(struct mill_weight_walk *walk, enum mill_image_form form, enum mill_dtype dtype,
                   const struct mill_row_source *source, void *slot, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* A packed entry; sets the shape in the weight it belongs to. */
void mill_walk_add_packed(struct mill_weight_walk *walk, enum mill_dtype dtype,
                          const struct mill_row_source *source, struct mill_weight *weight,
                          const char *name);
/* A whole tensor of n elements as it is, F32. */
void mill_walk_add_vector(struct mill_weight_walk *walk, const struct mill_tensors *file, int32_t n,
                          void *slot, const char *prefix, const char *leaf);

/* Up to three modules' weights (and biases) one below the other. */
struct mill_walk_matrix {
    const struct mill_tensors *file;
    const char *prefix, *modules[MILL_ROW_TENSORS]; /* tensors: prefix module .weight | .bias */
    int32_t rows[MILL_ROW_TENSORS], n_taps, n_in;
    enum mill_dtype dtype;
    bool bias, paired;                   /* paired: rows as mill_row_source says */
    double scale;                        /* of the weights, not of the bias; 0 = 1 */
    const char *gain;                    /* tensor prefix gain, of weights and bias; NULL = none */
    const struct mill_row_keys *balance; /* of modules q, k and v: weight_balance.h; NULL = none */
};
void mill_walk_add_matrix(struct mill_weight_walk *walk, struct mill_weight *weight,
                          const struct mill_walk_matrix *matrix);
/* A weight-normed convolution with its bias; stride is of no concern here. */
void mill_walk_add_normed(struct mill_weight_walk *walk, const struct mill_tensors *file,
                          struct mill_weight *weight, const char *prefix, int32_t n_out,
                          int32_t n_taps, int32_t n_in, bool transposed, enum mill_dtype dtype);

/* A ConvNeXt stack. `scale` multiplies the input; the bias and the zero padding are not affected.
 */
struct mill_walk_vocos {
    const struct mill_tensors *file;
    const struct mill_vocos_shape *shape;
    const char *prefix;
    int32_t n_in, n_blocks; /* channels of the input; ConvNeXt blocks */
    bool adaptive;
    double scale;
    enum mill_dtype dtype;
};
/* vocos->blocks is allocated, whatever becomes of the rest: free() it. */
void mill_walk_add_vocos(struct mill_weight_walk *walk, struct mill_vocos_weights *vocos,
                         const struct mill_walk_vocos *stack);
/* The stacks "<module>.downsample.<i>.1." of sampling blocks, whose 3x is moved into the first
 * convolution; `vocos` [shape->n_samplings], as above. */
void mill_walk_add_samplings(struct mill_weight_walk *walk, struct mill_vocos_weights *vocos,
                             const struct mill_tensors *file, const struct mill_vocos_shape *shape,
                             const char *module, enum mill_dtype dtype);

#endif
