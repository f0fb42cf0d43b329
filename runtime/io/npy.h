/* npy.h - NumPy's .npy files: one array each, for golden data and dumps.
 *
 * Reading: versions 1 to 3, little-endian numbers and truth values, C order; the file must hold
 * exactly the array. Writing: version 1. The layout is NumPy's numpy/lib/format.py. */
#ifndef MILL_IO_NPY_H
#define MILL_IO_NPY_H

#include "runtime/base/dtype.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

enum { MILL_NPY_DIMS = 8 };

struct mill_npy {
    struct mill_mapping mapping; /* of open; empty after parse */
    enum mill_dtype dtype;
    int32_t n_dims; /* 0 = a scalar */
    int64_t shape[MILL_NPY_DIMS];
    size_t n_elements;
    const void *data; /* n_elements, C-ordered, perhaps unaligned; borrowed from the file */
};

/* Messages start with the path. On failure there is nothing to close, but closing is harmless. */
mill_status mill_npy_open(struct mill_npy *out, const char *path, struct mill_error *err);
void mill_npy_close(struct mill_npy *npy);

/* The same from memory, which is borrowed and must outlive the result. */
mill_status mill_npy_parse(struct mill_npy *out, const char *path, const uint8_t *data, size_t size,
                           struct mill_error *err);

/* Write an array atomically. MILL_E_INPUT for types that NumPy lacks (bf16, fp8) and for more than
 * MILL_NPY_DIMS dimensions or negative sizes. */
mill_status mill_npy_write(const char *path, enum mill_dtype dtype, int32_t n_dims,
                           const int64_t *shape, const void *data, struct mill_error *err);

#endif
