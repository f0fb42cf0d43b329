/* ptx.h - the instructions that CUDA has no word for, one function each, and the few reductions
 * every kernel needs. Under nvcc a function is inline PTX; under the emulator it is a model of the
 * instruction (tests/emulator/include/ptx_models.h). Nowhere else is there inline assembly.
 *
 * Fragments, with g = lane / 4 and q = lane % 4:
 *
 *   mma_bf16, 16 outputs x 8 rows x 16 products. a[r] holds two A[g + 8 * (r & 1)][2q + 8 * (r >>
 *   1) + 0..1]; b[r] two B[2q + 8r + 0..1][g]; d[e] is D[g + 8 * (e >> 1)][2q + (e & 1)].
 *
 *   mma_s8, 16 x 8 x 32. a[r] holds four A[g + 8 * (r & 1)][4q + 16 * (r >> 1) + 0..3]; b[r] four
 *   B[4q + 16r + 0..3][g]; d as above.
 *
 * mma, ldmatrix, warp_sum and warp_max are for whole warps. */
#ifndef MILL_KERNELS_CUDA_PTX_H
#define MILL_KERNELS_CUDA_PTX_H

#include "kernels/cuda/device.h"

#define PTX static __device__ __forceinline__

/* ------------------------------------------------------------------ conversions */

PTX float bf16_to_f32(uint16_t b) {
    return __uint_as_float((uint32_t)b << 16);
}

/* To nearest, ties to even; a NaN becomes 0x7fff. */
#if defined(__CUDACC__) && CU_ARCH >= 800
PTX uint32_t pack_bf16(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
PTX uint16_t f32_to_bf16(float f) {
    return (uint16_t)pack_bf16(f, 0.0f);
}
#else
PTX uint16_t f32_to_bf16(float f) {
    uint32_t bits = __float_as_uint(f);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
PTX uint32_t pack_bf16(float low, float high) {
    return f32_to_bf16(low) | (uint32_t)f32_to_bf16(high) << 16;
}
#endif

#ifndef __CUDACC__
#include <ptx_models.h>
#else

/* ------------------------------------------------------------------ matrix products */

#if CU_ARCH >= 800
/* d += a b. There is none before sm_80: kernels multiply with fmaf there. */
PTX void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#define PTX_MMA_S8(name, a_type)                                                                   \
    PTX void name(int32_t d[4], const uint32_t a[4], const uint32_t b[2]) {                        \
        asm("mma.sync.aligned.m16n8k32.row.col.s32." a_type ".s8.s32 "                             \
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                      \
            : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                       \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                   \
    }
#else
/* Turing's is a quarter: 8 x 8 x 16. */
#define PTX_MMA_S8(name, a_type)                                                                   \
    PTX void name##_quarter(int32_t d[2], uint32_t a, uint32_t b) {                                \
        asm("mma.sync.aligned.m8n8k16.row.col.s32." a_type ".s8.s32 "                              \
            "{%0, %1}, {%2}, {%3}, {%0, %1};"                                                      \
            : "+r"(d[0]), "+r"(d[1])                                                               \
            : "r"(a), "r"(b));                                                                     \
    }                                                                                              \
    PTX void name(int32_t d[4], const uint32_t a[4], const uint32_t b[2]) {                        \
        name##_quarter(d, a[0], b[0]);                                                             \
        name##_quarter(d, a[2], b[1]);                                                             \
        name##_quarter(d + 2, a[1], b[0]);                                                         \
        name##_quarter(d + 2, a[3], b[1]);                                                         \
    }
#endif
/* d += a b, exactly; of the second, A is unsigned. */
PTX_MMA_S8(mma_s8, "s8")
PTX_MMA_S8(mma_u8_s8, "u8")
#undef PTX_MMA_S8

PTX uint32_t shared_address(const void *shared) {
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* Matrices of 8 x 8 16-bit elements: lane 8m + i names row i of matrix m, 16 bytes aligned to 16;
 * r[m] gets the elements 2q and 2q + 1 of row g. */
PTX void ldmatrix_x4(uint32_t r[4], const void *shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row))
                 : "memory");
}

/* ------------------------------------------------------------------ asynchronous copies
 * Both addresses aligned to the size. Not valid: zeros are written, `global` is not read. A thread
 * sees its own copies behind cp_async_wait, other threads see them behind a barrier after it.
 * Before sm_80 a copy is a load and a store. */

#if CU_ARCH >= 800
#define PTX_CP_ASYNC(name, cache, bytes, T)                                                        \
    PTX void name(void *shared, const void *global, bool valid) {                                  \
        asm volatile("cp.async." cache ".shared.global [%0], [%1], " #bytes                        \
                     ", %2;" ::"r"(shared_address(shared)),                                        \
                     "l"(__cvta_generic_to_global(global)), "r"(valid ? bytes : 0)                 \
                     : "memory");                                                                  \
    }
PTX void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Waits for all groups of this thread but the newest N. */
template <int N> PTX void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#else
#define PTX_CP_ASYNC(name, cache, bytes, T)                                                        \
    PTX void name(void *shared, const void *global, bool valid) {                                  \
        T value = {};                                                                              \
        if (valid)                                                                                 \
            value = *static_cast<const T *>(global);                                               \
        *static_cast<T *>(shared) = value;                                                         \
    }
PTX void cp_async_commit() {
}
template <int N> PTX void cp_async_wait() {
}
#endif
PTX_CP_ASYNC(cp_async_16, "cg", 16, uint4)
PTX_CP_ASYNC(cp_async_4, "ca", 4, uint32_t)
#undef PTX_CP_ASYNC

/* ------------------------------------------------------------------ barriers of some warps
 * Barriers 1 to 15 (0 is __syncthreads) of n_threads, whole warps. */

PTX void barrier_sync(int barrier, int n_threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(n_threads) : "memory");
}

/* ------------------------------------------------------------------ launches that begin early
 * All launches before this one are done, and what they wrote is seen. The next one may begin when
 * all blocks have said so. */

PTX void grid_wait() {
#if CU_ARCH >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
PTX void grid_start_next() {
#if CU_ARCH >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* ------------------------------------------------------------------ approximations
 * 2^x within 2 units; sin(x) within 2^-20.9 for |x| up to pi. The emulator's are exact. */

PTX float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
PTX float fast_sin(float x) {
    return __sinf(x);
}

#endif

#undef PTX

#include "kernels/cuda/reduce.h"
#endif
