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
EMULATOR_FN T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, EMULATOR_AT) {
    int source = ::emulator::shuffle_source_up(delta, width);
    return ::emulator::shuffle_value(mask, value, source, "__shfl_up_sync", at);
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
template <class T> EMULATOR_FN unsigned __match_any_sync(uint32_t mask, T value, EMULATOR_AT) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return ::emulator::match_any(mask, bits, at);
}
EMULATOR_FN void __syncwarp(uint32_t mask = 0xffffffff, EMULATOR_AT) {
    ::emulator::sync_warp(mask, at);
}
EMULATOR_FN unsigned __reduce_add_sync(uint32_t mask, unsigned value, EMULATOR_AT) {
    return ::emulator::reduce(mask, value, ::emulator::reduction::add, at);
}
EMULATOR_FN unsigned __reduce_min_sync(uint32_t mask, unsigned value, EMULATOR_AT) {
    return ::emulator::reduce(mask, value, ::emulator::reduction::min, at);
}
EMULATOR_FN unsigned __reduce_max_sync(uint32_t mask, unsigned value, EMULATOR_AT) {
    return ::emulator::reduce(mask, value, ::emulator::reduction::max, at);
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
EMULATOR_ATOMIC(atomicSub, old - operand)
EMULATOR_ATOMIC(atomicMin, operand < old ? operand : old)
EMULATOR_ATOMIC(atomicMax, old < operand ? operand : old)
EMULATOR_ATOMIC(atomicAnd, old &operand)
EMULATOR_ATOMIC(atomicOr, old | operand)
EMULATOR_ATOMIC(atomicXor, old ^ operand)
EMULATOR_ATOMIC(atomicExch, operand)
EMULATOR_ATOMIC(atomicInc, old >= operand ? 0 : old + 1)
#undef EMULATOR_ATOMIC
template <class T>
EMULATOR_FN T atomicCAS(T *address, std::common_type_t<T> compare, std::common_type_t<T> value,
                        EMULATOR_AT) {
    ::emulator::atomic_begin(address, sizeof *address, at);
    T old = *address;
    if (old == compare)
        *address = value;
    return old;
}

EMULATOR_FN void __threadfence() {
    ::emulator::fence_device();
}
EMULATOR_FN void __threadfence_block() {
    ::emulator::fence_block();
}
EMULATOR_FN void __nanosleep(unsigned) {
    ::emulator::yield();
}

/* Loads and stores with a cache hint. Not EMULATOR_FN: they are the kernel's own accesses. */
#define EMULATOR_LOAD(name)                                                                        \
    template <class T> __forceinline__ static T name(const T *from) {                              \
        return *from;                                                                              \
    }
EMULATOR_LOAD(__ldg)
EMULATOR_LOAD(__ldcg)
EMULATOR_LOAD(__ldca)
EMULATOR_LOAD(__ldcs)
EMULATOR_LOAD(__ldlu)
#undef EMULATOR_LOAD
#define EMULATOR_STORE(name)                                                                       \
    template <class T> __forceinline__ static void name(T *to, std::common_type_t<T> value) {      \
        *to = value;                                                                               \
    }
EMULATOR_STORE(__stcg)
EMULATOR_STORE(__stcs)
EMULATOR_STORE(__stwb)
#undef EMULATOR_STORE

/* ------------------------------------------------------------------ bits and integers */

#define EMULATOR_CAST(name, From, To)                                                              \
    EMULATOR_FN To name(From from) {                                                               \
        To to;                                                                                     \
        memcpy(&to, &from, sizeof to);                                                             \
        return to;                                                                                 \
    }
EMULATOR_CAST(__float_as_uint, float, unsigned)
EMULATOR_CAST(__float_as_int, float, int)
EMULATOR_CAST(__uint_as_float, unsigned, float)
EMULATOR_CAST(__int_as_float, int, float)
EMULATOR_CAST(__double_as_longlong, double, long long)
EMULATOR_CAST(__longlong_as_double, long long, double)
#undef EMULATOR_CAST

#define __popc(x) __builtin_popcount(x)
#define __popcll(x) __builtin_popcountll(x)
#define __ffs(x) __builtin_ffs((int)(x))
EMULATOR_FN int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
EMULATOR_FN unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((uint64_t)a * b >> 32);
}
EMULATOR_FN uint64_t __umul64hi(uint64_t a, uint64_t b) {
    return (uint64_t)((unsigned __int128)a * b >> 64);
}
/* Byte i of the result is the byte of {b, a} that nibble i of the selector names. */
EMULATOR_FN unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++)
        result |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}
EMULATOR_FN int __dp4a(int a, int b, int sum) {
    for (int i = 0; i < 32; i += 8)
        sum += (int8_t)(a >> i) * (int8_t)(b >> i);
    return sum;
}

/* ------------------------------------------------------------------ arithmetic */

using std::max;
using std::min;

#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __fdividef(a, b) ((a) / (b))
#define __frcp_rn(x) (1.0f / (x))
#define __fsqrt_rn(x) sqrtf(x)
#define __fadd_rn(a, b) ((a) + (b))
#define __fsub_rn(a, b) ((a) - (b))
#define __fmul_rn(a, b) ((a) * (b))
#define __fdiv_rn(a, b) ((a) / (b))
#define __fmaf_rn(a, b, c) fmaf(a, b, c)
#define __float2int_rn(x) ((int)lrintf(x))
#define __int2float_rn(x) ((float)(x))
EMULATOR_FN float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
EMULATOR_FN float __saturatef(float x) {
    return fminf(fmaxf(x, 0.0f), 1.0f);
}

#undef EMULATOR_FN
#undef EMULATOR_AT

#endif
