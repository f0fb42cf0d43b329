/* defect_kernels.h - kernels with one planted defect each, most of which give the right result in
 * some order of the threads; and what the checker has to say of them. */
#ifndef MILL_TESTS_EMULATOR_DEFECT_KERNELS_H
#define MILL_TESTS_EMULATOR_DEFECT_KERNELS_H

#include <cuda_runtime_api.h>

#include <vector>

/* y and x: 256 elements; count: one 0. */
struct defect_arguments {
    float *y;
    const float *x;
    unsigned *count;
};

struct defect_kernel {
    const char *name;
    void (*launch)(const defect_arguments &, cudaStream_t);
    const char *words; /* of the report */
};

/* The line marked DEFECT in the kernel's source is where the report has to point to. */
const std::vector<defect_kernel> &defect_kernels();

#endif
