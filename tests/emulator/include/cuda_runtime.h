/* cuda_runtime.h - the words of CUDA C++ for kernels that run on the emulator: what kernels/cuda/
 * device.h includes where there is no nvcc. How it works: tests/emulator/README.md.
 *
 * A kernel is an ordinary function; a thread of a block is a fiber that calls it. `threadIdx` and
 * so on read the running fiber's place. Whatever waits (barriers, warp operations) calls into the
 * emulator with the place in the source it was called from. */
#ifndef MILL_TESTS_EMULATOR_CUDA_RUNTIME_H
#define MILL_TESTS_EMULATOR_CUDA_RUNTIME_H

#include <cuda_runtime_api.h>
#include <vector_types.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__ __attribute__((unused))
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))

/* Kernels are compiled for this architecture (CU_ARCH of device.h). */
#ifndef CU_ARCH
#define CU_ARCH 900
#endif

/* Code that runs in a fiber but is the emulator's: the checker does not look at its accesses. */
#define EMULATOR_UNCHECKED __attribute__((no_sanitize("thread")))

namespace emulator {

/* A place in the source; `serial` tells apart what stands in one line. */
struct site {
    const char *file;
    int line, serial;
    static constexpr site here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line, 0};
    }
};

struct place {
    uint3 thread, block;
    dim3 block_size, grid_size;
};
/* The running fiber's. It never changes during a fiber's life, hence const. */
const place *here() __attribute__((const));

/* ------------------------------------------------------------------ launch */

struct launch {
    const char *kernel;
    dim3 grid, block;
    size_t shared_bytes;
    const void *function;         /* the key of cudaFuncSetAttribute */
    void (*call)(const launch &); /* the kernel with these arguments, in a fiber */
    const void *arguments;
    size_t argument_bytes;
    bool is_early;              /* CU_LAUNCH_EARLY */
    unsigned cluster;           /* blocks of one, beside each other in x */
    struct launch_chain *chain; /* block.h; when it is enqueued */
    bool is_chained;            /* it is not the first of these */
};
/* The arguments are copied. */
void launch_enqueue(const launch &, cudaStream_t);

/* CU_LAUNCH in two calls, so that arguments convert to the kernel's parameters as in a call. */
template <class... P> struct prepared_launch {
    const char *kernel;
    void (*function)(P...);
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
    bool is_early;
    unsigned cluster;

    template <size_t... I>
    EMULATOR_UNCHECKED static void call_with(const launch &l, std::index_sequence<I...>) {
        auto to_call = reinterpret_cast<void (*)(P...)>(const_cast<void *>(l.function));
        [[maybe_unused]] auto *arguments = static_cast<const std::tuple<P...> *>(l.arguments);
        to_call(std::get<I>(*arguments)...);
    }
    EMULATOR_UNCHECKED static void call(const launch &l) {
        call_with(l, std::index_sequence_for<P...>{});
    }
    void operator()(P... arguments) const {
        static_assert((std::is_trivially_copyable_v<P> && ...), "an argument is copied as bytes");
        std::tuple<P...> copies(arguments...);
        launch_enqueue({kernel, grid, block, shared_bytes, reinterpret_cast<const void *>(function),
                        call, &copies, sizeof copies, is_early, cluster, nullptr, false},
                       stream);
    }
};
template <class... P>
prepared_launch<P...> prepare_launch(const char *kernel, void (*function)(P...), dim3 grid,
                                     dim3 block, size_t shared_bytes, cudaStream_t stream,
                                     bool is_early, unsigned cluster) {
    return {kernel, function, grid, block, shared_bytes, stream, is_early, cluster};
}

/* ------------------------------------------------------------------ shared memory */

struct shared_site {
    size_t bytes, alignment;
    const char *name;
    site at;
};
/* The block's memory of one CU_SHARED; poisoned when the block asks for the first time. */
void *shared_get(const shared_site *);
void *shared_dynamic();

/* ------------------------------------------------------------------ barriers and warps */

/* count 0: all threads of the block. */
void barrier_wait(unsigned barrier, unsigned count, const char *what, site);
/* Of all threads, those with a predicate that is not 0. */
int barrier_count(int predicate, site);
void yield();
/* The launches in front of this one are done, as far as the running thread is concerned. */
void launch_wait();

/* All lanes of `mask` meet; the last one calls fn with the arguments of all (indexed by lane),
 * which reads all inputs and writes all results; then all go on. */
using meeting_function = void (*)(void *const arguments[32], uint32_t mask);
void meet(uint32_t mask, meeting_function, void *argument, const char *what, site);
void sync_warp(uint32_t mask, site);

/* A lane's source lane; -1 keeps its own value. */
uint64_t shuffle(uint32_t mask, uint64_t value, int source_lane, const char *what, site);
int shuffle_source_indexed(int lane, int width);
int shuffle_source_down(unsigned delta, int width);
int shuffle_source_xor(int lane_mask, int width);

uint32_t ballot(uint32_t mask, int predicate, const char *what, site);

/* Lets others run before an atomic, so that a loop of them makes progress. */
void atomic_begin(const void *address, size_t bytes, site);
void fence_block();
void fence_device();

template <class T>
EMULATOR_UNCHECKED inline T shuffle_value(uint32_t mask, T value, int source, const char *what,
                                          site at) {
    static_assert(sizeof(T) <= 8 && std::is_arithmetic_v<T>);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = shuffle(mask, bits, source, what, at);
    memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace emulator

#define threadIdx (::emulator::here()->thread)
#define blockIdx (::emulator::here()->block)
#define blockDim (::emulator::here()->block_size)
#define gridDim (::emulator::here()->grid_size)

#define CU_SHARED(T, name, ...)                                                                    \
    typedef T name##_type __VA_ARGS__;                                                             \
    static constexpr ::emulator::shared_site name##_site = {                                       \
        sizeof(name##_type), alignof(name##_type) > 16 ? alignof(name##_type) : 16, #name,         \
        ::emulator::site{__FILE__, __LINE__, __COUNTER__}};                                        \
    name##_type &name = *static_cast<name##_type *>(::emulator::shared_get(&name##_site))
#define CU_DYN_SHARED(T, name) T *name = static_cast<T *>(::emulator::shared_dynamic())
#define CU_LAUNCH_EARLY(...) CU_LAUNCH_CLUSTERS(1, __VA_ARGS__)
#define CU_LAUNCH_CLUSTERS(blocks, kernel, grid, block, shared_bytes, backend, ...)                \
    ::emulator::prepare_launch(#kernel, kernel, grid, block, shared_bytes, (backend)->stream,      \
                               true, blocks)(__VA_ARGS__)
#define CU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    ::emulator::prepare_launch(#kernel, kernel, grid, block, shared_bytes, stream, false,          \
                               1)(__VA_ARGS__)

#define EMULATOR_SITE (::emulator::site{__FILE__, __LINE__, __COUNTER__})
#define __syncthreads() ::emulator::barrier_wait(0, 0, "__syncthreads", EMULATOR_SITE)
#define __syncthreads_count(predicate) ::emulator::barrier_count(predicate, EMULATOR_SITE)
#define __syncthreads_or(predicate) (::emulator::barrier_count(predicate, EMULATOR_SITE) != 0)

#include <device_functions.h>

#endif
