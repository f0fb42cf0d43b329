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
    const char *file, *name;
    void (*launch)(const defect_arguments &, cudaStream_t);
    const char *words; /* of the report */
};

/* All of them, of all files; test_checker.cpp. */
std::vector<defect_kernel> &defect_kernels();

/* Defines a kernel of n_blocks blocks with n_threads threads, and 16 KiB of dynamic shared memory,
 * that is in the list. The line with a comment DEFECT is where the report has to point to. */
#define DEFECT_KERNEL(name, n_blocks, n_threads, words)                                            \
    __global__ void name(float *y, const float *x, unsigned *count);                               \
    static void launch_##name(const defect_arguments &a, cudaStream_t stream) {                    \
        CU_LAUNCH(name, n_blocks, n_threads, 16384, stream, a.y, a.x, a.count);                    \
    }                                                                                              \
    DEFECT_LISTED(name, words)
/* The same of a kernel that may begin early, 64 threads, behind one that writes y and one that only
 * waits. */
#define DEFECT_EARLY(name, words)                                                                  \
    __global__ void name(float *y, const float *x, unsigned *count);                               \
    static void launch_##name(const defect_arguments &a, cudaStream_t stream) {                    \
        launch_two_in_front(a, stream);                                                            \
        const struct stream_of early = {stream};                                                   \
        CU_LAUNCH_EARLY(name, 1, 64, 0, &early, a.y, a.x, a.count);                                \
    }                                                                                              \
    DEFECT_LISTED(name, words)
/* The same of a cluster of two blocks with 64 threads. */
#define DEFECT_CLUSTER(name, words)                                                                \
    __global__ void name(float *y, const float *x, unsigned *count);                               \
    static void launch_##name(const defect_arguments &a, cudaStream_t stream) {                    \
        const struct stream_of early = {stream};                                                   \
        CU_LAUNCH_CLUSTERS(2, name, 2, 64, 0, &early, a.y, a.x, a.count);                          \
    }                                                                                              \
    DEFECT_LISTED(name, words)
struct stream_of {
    cudaStream_t stream;
};
void launch_two_in_front(const defect_arguments &, cudaStream_t);

#define DEFECT_LISTED(name, words)                                                                 \
    static const bool name##_listed =                                                              \
        (defect_kernels().push_back({__FILE__, #name, launch_##name, words}), true);               \
    __global__ void name(float *y [[maybe_unused]], const float *x [[maybe_unused]],               \
                         unsigned *count [[maybe_unused]])

#endif
