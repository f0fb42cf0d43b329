/* fuzz_tensors.h - what every file of tensors that was accepted must fulfil. */
#ifndef MILL_TESTS_FUZZ_TENSORS_H
#define MILL_TESTS_FUZZ_TENSORS_H

#include "runtime/io/tensors.h"
#include "tests/fuzz/fuzz.h"

static inline void require_tensors(mill_status status, struct mill_tensors *tensors, size_t size,
                                   const struct mill_error *err) {
    require_message(status, err);
    require((status == MILL_OK) == (tensors != NULL));
    for (size_t i = 0; tensors && i < tensors->n_entries; i++) {
        const struct mill_tensor_entry *e = &tensors->entries[i];
        require(e->offset <= size && e->bytes <= size - e->offset);
        size_t bytes = mill_dtype_bytes(e->dtype);
        require(e->n_dims >= 0 && e->n_dims <= MILL_TENSOR_DIMS);
        for (int32_t k = 0; k < e->n_dims; k++) {
            require(e->shape[k] >= 0);
            bytes *= (size_t)e->shape[k];
        }
        require(bytes == e->bytes);
        require(mill_tensors_find(tensors, e->name) == e); /* sorted, and no name twice */
    }
    mill_tensors_close(tensors);
}

#endif
