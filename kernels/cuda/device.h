/* device.h - CUDA, for kernel files. Under nvcc it is NVIDIA's; under a host C++ compiler
 * <cuda_runtime.h> is the one of tests/emulator, and the same kernel text runs on a CPU.
 *
 * What differs between the two stands behind five words:
 *
 *     CU_SHARED(float, tile, [32][33]);        shared array; CU_SHARED(int, n) is one element
 *     CU_DYN_SHARED(float, row);               float *row, the launch's dynamic shared memory
 *     CU_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...);
 *     CU_LAUNCH((kernel<64, true>), ...);      a template kernel goes in parentheses
 *     CU_LAUNCH_EARLY(kernel, grid, block, shared_bytes, backend, arguments...);
 *                                              may begin before the launch in front of it has ended
 *     CU_LAUNCH_CLUSTERS(blocks, kernel, ...); the same of sm_90, in clusters of so many blocks
 *                                              beside each other in x (hopper.h)
 *
 * A kernel that is launched early calls grid_wait (ptx.h) before it reads what other launches write
 * and before it writes at all; one thread at least does, in every launch, so whoever has come
 * through it knows that all before are done. grid_start_next: the next launch may begin.
 *
 * Arguments of a launch are trivially copyable. Instructions without a CUDA word are functions of
 * ptx.h; no kernel file has inline assembly. */
#ifndef MILL_KERNELS_CUDA_DEVICE_H
#define MILL_KERNELS_CUDA_DEVICE_H

#include <cuda_runtime.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__

#define CU_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define CU_DYN_SHARED(T, name)                                                                     \
    extern __shared__ __align__(1024) unsigned char mill_dynamic_shared[];                         \
    T *name = reinterpret_cast<T *>(mill_dynamic_shared)
#define CU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define CU_LAUNCH_EARLY(...) CU_LAUNCH_CLUSTERS(1, __VA_ARGS__)
#define CU_LAUNCH_CLUSTERS(blocks, kernel, grid, block, shared_bytes, backend, ...)                \
    mill_cuda_launch_early(blocks, kernel, grid, block, shared_bytes, (backend)->stream,           \
                           (backend)->capability, __VA_ARGS__)

/* Both attributes are of sm_90 and later; before, a launch begins when the one before has ended.
 */
template <class... P, class... A>
static void mill_cuda_launch_early(unsigned cluster, void (*kernel)(P...), dim3 grid, dim3 block,
                                   size_t shared_bytes, cudaStream_t stream, int capability,
                                   const A &...args) {
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim = {cluster, 1, 1};
    cudaLaunchConfig_t launch = {};
    launch.gridDim = grid;
    launch.blockDim = block;
    launch.dynamicSmemBytes = shared_bytes;
    launch.stream = stream;
    launch.attrs = attributes;
    launch.numAttrs = capability < 90 ? 0 : cluster > 1 ? 2 : 1;
    cudaLaunchKernelEx(&launch, kernel, P(args)...);
}

/* The architecture device code is compiled for, 10 * its sm number. The host's pass only parses
 * device code and sees it as for the newest. */
#ifdef __CUDA_ARCH__
#define CU_ARCH __CUDA_ARCH__
#else
#define CU_ARCH 900
#endif

#endif
#endif
