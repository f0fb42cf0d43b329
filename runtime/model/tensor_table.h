/* tensor_table.h - every tensor that a checkpoint of a given shape has: name, shape, who needs it.
 *
 * One table a file: the language model, BiCodec, wav2vec2. The weight loader asks it whether a file
 * is what its configuration promises, `inspect` shows it, and the synthetic checkpoint is written
 * from it. Immutable after open; owned by the caller. */
#ifndef MILL_MODEL_TENSOR_TABLE_H
#define MILL_MODEL_TENSOR_TABLE_H

#include "runtime/io/tensors.h"
#include "runtime/model/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mill_tensor_file { MILL_FILE_LLM, MILL_FILE_BICODEC, MILL_FILE_WAV2VEC2, MILL_FILE_COUNT };

/* What a tensor is for, as flags; a tensor with none of them is stored but never used. */
enum mill_tensor_use {
    MILL_USE_SPEAK = 1,     /* text to speech: the whole LLM; 319 tensors of published BiCodec */
    MILL_USE_VOICE = 2,     /* a recording to its global tokens: 202, without training counters */
    MILL_USE_TRANSCRIPT = 4 /* a recording to semantic tokens: wav2vec2, 168 tensors of BiCodec */
};

enum { MILL_TENSOR_NAME_BYTES = 112 };

struct mill_tensor_spec {
    char name[MILL_TENSOR_NAME_BYTES]; /* as in the file; wav2vec2's begin with "wav2vec2." */
    int32_t n_dims;                    /* 0 = a scalar */
    int64_t shape[4];
    unsigned uses; /* of enum mill_tensor_use */
};

struct mill_tensor_table {
    enum mill_tensor_file file;
    struct mill_tensor_spec *specs; /* in the order of the modules */
    int32_t *by_name;               /* indices of specs, names ascending bytewise */
    int32_t n_specs;
};

/* Path of the file below a checkpoint's folder, for instance "LLM/model.safetensors". */
const char *mill_tensor_file_path(enum mill_tensor_file file);

/* The table of one file; wav2vec2's is empty where the shape has none. */
mill_status mill_tensor_table_open(struct mill_tensor_table **out, const struct mill_shape *shape,
                                   enum mill_tensor_file file, struct mill_error *err);
void mill_tensor_table_close(struct mill_tensor_table *table);

/* Borrowed; NULL when there is none of that name. */
const struct mill_tensor_spec *mill_tensor_table_find(const struct mill_tensor_table *table,
                                                      const char *name);
/* Product of the shape. */
size_t mill_tensor_spec_elements(const struct mill_tensor_spec *spec);
/* The sum over all tensors. */
size_t mill_tensor_table_elements(const struct mill_tensor_table *table);

/* Compare a file with the table. Missing is a tensor of which a use is in `needed_uses`; shape and
 * element type (floating point) are checked for every tensor that is there and needed, the shape
 * for the others too. A tensor that the table does not know is a problem, save in wav2vec2's file,
 * which holds pre-training leftovers. */
enum mill_tensor_problem {
    MILL_TENSOR_MISSING,
    MILL_TENSOR_WRONG_SHAPE,
    MILL_TENSOR_WRONG_DTYPE,
    MILL_TENSOR_UNEXPECTED,
    MILL_TENSOR_PROBLEM_COUNT
};
/* `line` names tensor and cause; false stops the comparison. */
typedef bool mill_tensor_report(void *context, enum mill_tensor_problem problem, const char *line);
void mill_tensor_table_compare(const struct mill_tensor_table *table,
                               const struct mill_tensors *file, unsigned needed_uses,
                               mill_tensor_report *report, void *context);

/* The same for a loader: MILL_E_INPUT with the first problem, the file's path in front. */
mill_status mill_tensor_table_check(const struct mill_tensor_table *table,
                                    const struct mill_tensors *file, unsigned needed_uses,
                                    struct mill_error *err);

#endif
