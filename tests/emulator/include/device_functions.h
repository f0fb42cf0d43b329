/* device_functions.h - CUDA's device functions for the emulator: shuffles and votes, atomics, bits,
 * and arithmetic. Part of cuda_runtime.h. Functions that are approximations on a device are exact
 * here. */
#ifndef MILL_TESTS_EMULATOR_DEVICE_FUNCTIONS_H
#define MILL_TESTS_EMULATOR_DEVICE_FUNCTIONS_H

#include <cuda_runtime.h>

#include <algorithm>
#include <math.h>

#define EMULATOR_FN EMULATOR_UNCHECKED static inline
#define EMULATOR_AT ::emulator::site at = ::emulator::site::here()

/* ------------------------------------------------------------------ warps */

template <class T>
EMULATOR_FN T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, EMULATOR_AT) {
    int source = ::emulator::shuffle_source_indexed(lane, width);
    return ::emulator::shuffle_value(mask, value, source, "__shfl_sync", at);
}
template <class T>
EMULATOR_FN T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                               EMULATOR_AT) {
    int source = ::emulator::shuffle_source_down(delta, width);
    return ::emulator::shuffle_value(mask, value, source, "__shfl_down_sync", at);
}
template <class T>
EMULATOR_FN T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32, EMULATOR_AT) {
    int source = ::emulator::shuffle_source_xor(lane_mask, width);
    return ::emulator::shuffle_value(mask, value, source, "__shfl_xor_sync", at);
}
EMULATOR_FN unsigned __ballot_sync(uint32_t mask, int predicate, EMULATOR_AT) {
    return ::emulator::ballot(mask, predicate, "__ballot_sync", at);
}
EMULATOR_FN int __any_sync(uint32_t mask, int predicate, EMULATOR_AT) {
    return ::emulator::ballot(mask, predicate, "__any_sync", at) != 0;
}
EMULATOR_FN int __all_sync(uint32_t mask, int predicate, EMULATOR_AT) {
    return ::emulator::ballot(mask, !predicate, "__all_sync", at) == 0;
}
EMULATOR_FN void __syncwarp(uint32_t mask = 0xffffffff, EMULATOR_AT) {
    ::emulator::sync_warp(mask, at);
}
/* ------------------------------------------------------------------ memory */

#define EMULATOR_ATOMIC(name, result)                                                              \
    template <class T>                                                                             \
    EMULATOR_FN T name(T *address, std::common_type_t<T> operand, EMULATOR_AT) {                   \
        ::emulator::atomic_begin(address, sizeof *address, at);                                    \
        T old = *address;                                                                          \
        *address = (result);                                                                       \
        return old;                                                                                \
    }
EMULATOR_ATOMIC(atomicAdd, old + operand)
EMULATOR_ATOMIC(atomicExch, operand)
#undef EMULATOR_ATOMIC
EMULATOR_FN void __threadfence() {
    ::emulator::fence_device();
}
EMULATOR_FN void __threadfence_block() {
    ::emulator::fence_block();
}
EMULATOR_FN void __nanosleep(unsigned) {
    ::emulator::yield();
}

/* ------------------------------------------------------------------ bits and integers */

#define EMULATOR_CAST(name, From, To)                                                              \
    EMULATOR_FN To name(From from) {                                                               \
        To to;                                                                                     \
        memcpy(&to, &from, sizeof to);                                                             \
        return to;                                                                                 \
    }
EMULATOR_CAST(__float_as_uint, float, unsigned)
EMULATOR_CAST(__uint_as_float, unsigned, float)
EMULATOR_CAST(__double_as_longlong, double, long long)
EMULATOR_CAST(__longlong_as_double, long long, double)
#undef EMULATOR_CAST

#define __ffs(x) __builtin_ffs((int)(x))
/* Byte i of the result is the byte of {b, a} that nibble i of the selector names. */
EMULATOR_FN unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++)
        result |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}
/* ------------------------------------------------------------------ arithmetic */

using std::max;
using std::min;

#define __sinf(x) sinf(x)
EMULATOR_FN float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
#undef EMULATOR_FN
#undef EMULATOR_AT

#endif
