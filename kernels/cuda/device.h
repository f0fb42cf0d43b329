/* device.h - the first include of every kernel file. Under nvcc it is CUDA; under a host C++
 * compiler <cuda_runtime.h> is the one of tests/emulator, and the same kernel text runs on a CPU.
 *
 * What differs between the two stands behind three words:
 *
 *     CU_SHARED(float, tile, [32][33]);        shared array; CU_SHARED(int, n) is one element
 *     CU_DYN_SHARED(float, row);               float *row, the launch's dynamic shared memory
 *     CU_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...);
 *     CU_LAUNCH((kernel<64, true>), ...);      a template kernel goes in parentheses
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

/* The architecture device code is compiled for, 10 * its sm number. The host's pass only parses
 * device code and sees it as for the newest. */
#ifdef __CUDA_ARCH__
#define CU_ARCH __CUDA_ARCH__
#else
#define CU_ARCH 900
#endif

#endif
#endif
