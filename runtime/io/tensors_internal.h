/* tensors_internal.h - what the readers of tensor files share: building, sorting and checking the
 * entries of struct mill_tensors. Only the files of this folder include it. */
#ifndef MILL_IO_TENSORS_INTERNAL_H
#define MILL_IO_TENSORS_INTERNAL_H

#include "runtime/io/tensors.h"

/* Names in messages are cut to this many bytes, so that the cause behind them is never cut off. */
#define MILL_NAME_SHOWN 100

typedef mill_status mill_tensors_parse_fn(struct mill_tensors **out, const char *path,
                                          const uint8_t *data, size_t size, struct mill_error *err);

/* Map `path` and read it with `parse`; the result owns the mapping. */
mill_status mill_tensors_open(struct mill_tensors **out, const char *path,
                              mill_tensors_parse_fn *parse, struct mill_error *err);

/* Room for n entries and `names_bytes` bytes of names; NULL when memory is short. The entries are
 * zeroed and the mapping is the borrowed (data, size). */
struct mill_tensors *mill_tensors_new(const char *path, const uint8_t *data, size_t size, size_t n,
                                      size_t names_bytes);

/* Sort the entries by name; MILL_E_INPUT when two have the same. */
mill_status mill_tensors_sort(struct mill_tensors *tensors, struct mill_error *err);

/* *out = product of the shape times the element size; false when that does not fit. Sizes are not
 * negative. */
bool mill_tensors_shape_bytes(enum mill_dtype dtype, int32_t n_dims, const int64_t *shape,
                              size_t *out);

#endif
