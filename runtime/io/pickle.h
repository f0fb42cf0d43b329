/* pickle.h - reads the pickle inside a PyTorch file as data: it never calls, imports or builds
 * anything.
 *
 * A pickle is a program for a small stack machine. This machine knows only the opcodes that
 * torch.save writes for a dictionary of tensors, and of calls only two, which it does not perform
 * but recognises: collections.OrderedDict and torch._utils._rebuild_tensor_v2. Everything else is
 * refused by the opcode's name and byte. Memory is bounded by a small multiple of the pickle's
 * size, and nothing recurses. */
#ifndef MILL_IO_PICKLE_H
#define MILL_IO_PICKLE_H

#include "runtime/base/status.h"
#include "runtime/io/tensors.h"

/* One entry of the outermost dictionary. Text is borrowed from the pickle, not zero-terminated,
 * and holds no zero byte. */
struct mill_pickle_tensor {
    const char *name;
    uint32_t name_length;
    const char *storage; /* the name of the storage's member, "0", "1", ... */
    uint32_t storage_length;
    enum mill_dtype dtype;
    uint64_t storage_elements; /* as the pickle says; to be compared with the member's size */
    uint64_t first;            /* element of the storage that the tensor begins with */
    int32_t n_dims;
    int64_t shape[MILL_TENSOR_DIMS]; /* >= 0; the tensor is contiguous in C order */
    size_t at;                       /* byte of the pickle that made it, for messages */
};

/* *out (n of them, in the dictionary's order) is owned by the caller: free. Messages name byte,
 * opcode and, where there is one, the key. */
mill_status mill_pickle_read_tensors(struct mill_pickle_tensor **out, size_t *n,
                                     const uint8_t *data, size_t size, struct mill_error *err);

#endif
