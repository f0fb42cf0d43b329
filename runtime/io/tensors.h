/* tensors.h - a file of named tensors, whatever its format, as checked entries over a read-only
 * mapping.
 *
 * Both readers (safetensors.c, torch.c) validate everything before they hand out an entry:
 * names are unique, byte ranges lie in the file, sizes equal the product of the shape and the
 * element size. Values are not looked at here. One owner; after open it is immutable and may be
 * read from any thread. */
#ifndef MILL_IO_TENSORS_H
#define MILL_IO_TENSORS_H

#include "runtime/base/dtype.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

enum { MILL_TENSOR_DIMS = 8 };

struct mill_tensor_entry {
    const char *name; /* owned by the file */
    enum mill_dtype dtype;
    int32_t n_dims; /* 0 = a scalar */
    int64_t shape[MILL_TENSOR_DIMS];
    size_t offset, bytes; /* in the file: at mapping.data + offset, C-ordered, perhaps unaligned */
};

struct mill_tensors {
    char *path;
    struct mill_mapping mapping;
    bool borrowed;                     /* the mapping is the caller's memory: close leaves it */
    struct mill_tensor_entry *entries; /* sorted by name, bytewise */
    size_t n_entries;
    char *names; /* storage behind entries' names */
};

/* Messages start with the path and name the tensor and the byte. On failure *out is NULL. */
mill_status mill_safetensors_open(struct mill_tensors **out, const char *path,
                                  struct mill_error *err);
mill_status mill_torch_open(struct mill_tensors **out, const char *path, struct mill_error *err);
void mill_tensors_close(struct mill_tensors *tensors);

/* The same from memory: `data` is borrowed and must outlive the result; `path` is only for
 * messages. For fuzzing and tests. */
mill_status mill_safetensors_parse(struct mill_tensors **out, const char *path, const uint8_t *data,
                                   size_t size, struct mill_error *err);
mill_status mill_torch_parse(struct mill_tensors **out, const char *path, const uint8_t *data,
                             size_t size, struct mill_error *err);

/* Borrowed; NULL when there is none of that name. */
const struct mill_tensor_entry *mill_tensors_find(const struct mill_tensors *tensors,
                                                  const char *name);

#endif
