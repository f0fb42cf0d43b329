/* residual_unit.h - what the kernels of residual_unit and their launcher share. */
#ifndef MILL_KERNELS_CUDA_RESIDUAL_UNIT_H
#define MILL_KERNELS_CUDA_RESIDUAL_UNIT_H

#include "kernels/cuda/conv.h"

/* The parameter of a kernel. */
struct unit_args {
    struct conv_args dilated; /* from x to y, x the residual */
    struct mill_weight pointwise;
    const float *alpha2;
};

/* A kernel whose blocks hold all channels of their rows. */
struct unit_kernel {
    int32_t n_out, n_rows; /* of a block */
    size_t shared_bytes;
    mill_status (*launch)(struct mill_backend *, const struct unit_args *, int32_t n_spans,
                          const struct unit_kernel *); /* NULL = there is none */
};

/* The narrowest that is wide enough; and the way of conv_wide, at once or in steps, for any. */
struct unit_kernel mill_cuda_unit_mma(const struct conv_args *dilated);
struct unit_kernel mill_cuda_unit_wide(const struct conv_args *dilated);

#endif
