/* weight_walk.c - see weight_walk.h. */
#include "runtime/model/weight_walk.h"

#include "runtime/base/memory.h"
#include "runtime/model/bicodec_plan.h"
#include "runtime/model/weight_balance.h"

#include <stdarg.h>
#include <stdio.h>

/* ------------------------------------------------------------------ single entries */

void mill_walk_find(struct mill_weight_walk *walk, struct mill_tensor_ref *out,
                    const struct mill_tensors *file, size_t n_elements, const char *format, ...) {
    char name[MILL_NAME_BYTES + 32];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (walk->status == MILL_OK)
        walk->status = mill_tensor_ref_find(out, file, name, n_elements, walk->err);
}

void mill_walk_add(struct mill_weight_walk *walk, enum mill_image_form form, enum mill_dtype dtype,
                   const struct mill_row_source *source, void *slot, const char *format, ...) {
    struct mill_image_entry entry = {.form = form, .source = *source, .slot = slot};
    va_list args;
    va_start(args, format);
    vsnprintf(entry.name, sizeof entry.name, format, args);
    va_end(args);
    if (walk->status == MILL_OK)
        walk->status = mill_image_plan_add(walk->plan, &entry, dtype, walk->err);
}

void mill_walk_add_packed(struct mill_weight_walk *walk, enum mill_dtype dtype,
                          const struct mill_row_source *source, struct mill_weight *weight,
                          const char *name) {
    weight->shape = (struct mill_weight_shape){source->n_rows, source->n_taps, source->n_in, dtype};
    mill_walk_add(walk, MILL_IMAGE_PACKED, dtype, source, &weight->image, "%s", name);
}

void mill_walk_add_vector(struct mill_weight_walk *walk, const struct mill_tensors *file, int32_t n,
                          void *slot, const char *prefix, const char *leaf) {
    struct mill_row_source source = {.make = mill_rows_plain,
                                     .file = file,
                                     .n_rows = n,
                                     .n_taps = 1,
                                     .n_in = 1,
                                     .tensor_rows = {n},
                                     .scale = 1.0};
    mill_walk_find(walk, &source.tensor[0], file, (size_t)n, "%s%s", prefix, leaf);
    mill_walk_add(walk, MILL_IMAGE_TABLE, MILL_F32, &source, slot, "%s%s", prefix, leaf);
}

/* ------------------------------------------------------------------ matrices */

void mill_walk_add_matrix(struct mill_weight_walk *walk, struct mill_weight *weight,
                          const struct mill_walk_matrix *matrix) {
    struct mill_row_source source = {.make = mill_rows_plain,
                                     .file = matrix->file,
                                     .n_taps = matrix->n_taps,
                                     .n_in = matrix->n_in,
                                     .scale = matrix->scale != 0.0 ? matrix->scale : 1.0,
                                     .paired = matrix->paired};
    size_t row_elements = (size_t)matrix->n_taps * (size_t)matrix->n_in;
    source.scratch_values = row_elements;
    for (int i = 0; i < MILL_ROW_TENSORS && matrix->modules[i]; i++) {
        source.tensor_rows[i] = matrix->rows[i];
        source.n_rows += matrix->rows[i];
        mill_walk_find(walk, &source.tensor[i], matrix->file,
                       (size_t)matrix->rows[i] * row_elements, "%s%s.weight", matrix->prefix,
                       matrix->modules[i]);
    }
    if (matrix->balance) {
        source.prepare = mill_rows_prepare_balance;
        source.keys = *matrix->balance;
    }
    if (matrix->gain)
        mill_walk_find(walk, &source.gain, matrix->file, (size_t)source.n_rows, "%s%s",
                       matrix->prefix, matrix->gain);
    char name[MILL_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", matrix->prefix, matrix->modules[0]);
    mill_walk_add_packed(walk, matrix->dtype, &source, weight, name);
    if (!matrix->bias)
        return;
    source.n_taps = source.n_in = 1;
    source.scale = 1.0;
    for (int i = 0; i < MILL_ROW_TENSORS && matrix->modules[i]; i++)
        mill_walk_find(walk, &source.tensor[i], matrix->file, (size_t)matrix->rows[i], "%s%s.bias",
                       matrix->prefix, matrix->modules[i]);
    mill_walk_add(walk, MILL_IMAGE_TABLE, MILL_F32, &source, &weight->bias, "%s.bias", name);
}

void mill_walk_add_normed(struct mill_weight_walk *walk, const struct mill_tensors *file,
                          struct mill_weight *weight, const char *prefix, int32_t n_out,
                          int32_t n_taps, int32_t n_in, bool transposed, enum mill_dtype dtype) {
    struct mill_row_source source = {.make = transposed ? mill_rows_weight_norm_transposed
                                                        : mill_rows_weight_norm,
                                     .prepare = transposed ? mill_rows_prepare_transposed : NULL,
                                     .file = file,
                                     .n_rows = n_out,
                                     .n_taps = n_taps,
                                     .n_in = n_in};
    size_t taps = (size_t)n_taps;
    source.scratch_values = transposed ? taps * MILL_PACK_ROWS : taps * (size_t)n_in;
    mill_walk_find(walk, &source.tensor[0], file, (size_t)n_out * taps * (size_t)n_in, "%sweight_v",
                   prefix);
    mill_walk_find(walk, &source.tensor[1], file, (size_t)(transposed ? n_in : n_out), "%sweight_g",
                   prefix);
    mill_walk_add_packed(walk, dtype, &source, weight, prefix);
    mill_walk_add_vector(walk, file, n_out, &weight->bias, prefix, "bias");
}

/* ------------------------------------------------------------------ ConvNeXt stacks */

static void add_norm(struct mill_weight_walk *walk, const struct mill_walk_vocos *stack,
                     const char *prefix, const float **gain, const float **shift) {
    if (stack->adaptive)
        return;
    mill_walk_add_vector(walk, stack->file, stack->shape->dim, gain, prefix, "norm.weight");
    mill_walk_add_vector(walk, stack->file, stack->shape->dim, shift, prefix, "norm.bias");
}

static void add_convnext(struct mill_weight_walk *walk, struct mill_convnext_weights *block,
                         const struct mill_walk_vocos *stack, const char *prefix) {
    const struct mill_vocos_shape *s = stack->shape;
    struct mill_walk_matrix matrix = {
        .file = stack->file, .prefix = prefix, .n_taps = 1, .bias = true};
    struct mill_walk_matrix depthwise = matrix;
    depthwise.modules[0] = "dwconv", depthwise.rows[0] = s->dim;
    depthwise.n_taps = MILL_BICODEC_TAPS, depthwise.n_in = 1;
    depthwise.dtype = MILL_F32;
    mill_walk_add_matrix(walk, &block->depthwise, &depthwise);
    add_norm(walk, stack, prefix, &block->norm_gain, &block->norm_shift);
    matrix.dtype = stack->dtype;
    struct mill_walk_matrix up = matrix;
    up.modules[0] = "pwconv1", up.rows[0] = s->intermediate;
    up.n_in = s->dim;
    mill_walk_add_matrix(walk, &block->up, &up);
    struct mill_walk_matrix down = matrix;
    down.modules[0] = "pwconv2", down.rows[0] = s->dim;
    down.n_in = s->intermediate;
    down.gain = "gamma";
    mill_walk_add_matrix(walk, &block->down, &down);
}

void mill_walk_add_vocos(struct mill_weight_walk *walk, struct mill_vocos_weights *vocos,
                         const struct mill_walk_vocos *stack) {
    const struct mill_vocos_shape *s = stack->shape;
    vocos->blocks = mill_alloc_array((size_t)stack->n_blocks, sizeof *vocos->blocks);
    if (!vocos->blocks) {
        if (walk->status == MILL_OK)
            walk->status = mill_fail(walk->err, MILL_E_MEMORY, "no memory for the weights");
        return;
    }
    vocos->n_blocks = stack->n_blocks;
    struct mill_walk_matrix embed = {.file = stack->file,
                                     .prefix = stack->prefix,
                                     .modules = {"embed"},
                                     .rows = {s->dim},
                                     .n_taps = MILL_BICODEC_TAPS,
                                     .n_in = stack->n_in,
                                     .dtype = stack->dtype,
                                     .bias = true,
                                     .scale = stack->scale};
    mill_walk_add_matrix(walk, &vocos->embed, &embed);
    add_norm(walk, stack, stack->prefix, &vocos->norm_gain, &vocos->norm_shift);
    for (int32_t i = 0; i < vocos->n_blocks; i++) {
        char block[MILL_NAME_BYTES];
        snprintf(block, sizeof block, "%sconvnext.%d.", stack->prefix, i);
        add_convnext(walk, &vocos->blocks[i], stack, block);
    }
    mill_walk_add_vector(walk, stack->file, s->dim, &vocos->final_gain, stack->prefix,
                         "final_layer_norm.weight");
    mill_walk_add_vector(walk, stack->file, s->dim, &vocos->final_shift, stack->prefix,
                         "final_layer_norm.bias");
}

void mill_walk_add_samplings(struct mill_weight_walk *walk, struct mill_vocos_weights *vocos,
                             const struct mill_tensors *file, const struct mill_vocos_shape *shape,
                             const char *module, enum mill_dtype dtype) {
    for (int32_t i = 0; i < shape->n_samplings; i++) {
        char prefix[MILL_PREFIX_BYTES];
        snprintf(prefix, sizeof prefix, "%s.downsample.%d.1.", module, i);
        struct mill_walk_vocos stack = {.file = file,
                                        .shape = shape,
                                        .prefix = prefix,
                                        .n_in = shape->dim,
                                        .n_blocks = MILL_BICODEC_SAMPLING_BLOCKS,
                                        .scale = 3.0,
                                        .dtype = dtype};
        mill_walk_add_vocos(walk, &vocos[i], &stack);
    }
}
