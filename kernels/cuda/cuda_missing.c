/* cuda_missing.c - operators that are not written yet: they refuse. A definition elsewhere takes
 * the place of the weak one here. */
#include "kernels/cuda/cuda_backend.h"

#define MISSING(name)                                                                              \
    __attribute__((weak)) mill_status mill_cuda_##name(struct mill_backend *backend,               \
                                                       const struct mill_##name##_args *args) {    \
        (void)backend;                                                                             \
        (void)args;                                                                                \
        return MILL_E_UNSUPPORTED;                                                                 \
    }

MISSING(linear)
