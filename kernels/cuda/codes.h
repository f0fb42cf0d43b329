/* codes.h - numbers as whole multiples of a scale (kernels/README.md): a row's scale from its
 * largest magnitude, codes from numbers, numbers from 8-bit codes. Device code. */
#ifndef MILL_KERNELS_CUDA_CODES_H
#define MILL_KERNELS_CUDA_CODES_H

#include "kernels/code_scale.h"
#include "kernels/cuda/device.h"

#include <math.h>

/* Whether elements of pages are codes. */
template <class T> constexpr bool has_scales = sizeof(T) == 1;

/* What a row's largest magnitude is the largest of: infinity where a value is not finite. */
static __device__ __forceinline__ float code_magnitude(float v) {
    return isfinite(v) ? fabsf(v) : INFINITY;
}

/* Codes of a row whose largest magnitude is `most`, from -top to top. */
struct code_range {
    float inverse; /* 0: all codes are 0 */
    float scale;   /* NaN: a value is not finite */
};

static __device__ __forceinline__ code_range code_range_of(float most, float top) {
    if (!isfinite(most))
        return {0, NAN};
    return most < MILL_SMALLEST_MAXIMUM ? code_range{0, 0} : code_range{top / most, most / top};
}

static __device__ __forceinline__ int32_t code_of(const code_range &range, float v) {
    return range.inverse > 0 ? (int32_t)rintf(v * range.inverse) : 0;
}

/* Byte i of a word, a code, as the bits of a float: in 2^23 + 128 + code it is the last byte. */
static __device__ __forceinline__ uint32_t code_bits(uint32_t word, int i) {
    uint32_t sum = __byte_perm(word ^ 0x80808080, 0x4b000000, 0x7440 + (uint32_t)i);
    return __float_as_uint(__uint_as_float(sum) - (float)(0x800000 + 128));
}

/* Two codes as two bf16, which they fit: byte i of each word. */
static __device__ __forceinline__ uint32_t code_pair(uint32_t low, int i, uint32_t high, int j) {
    return __byte_perm(code_bits(low, i), code_bits(high, j), 0x7632);
}

#endif
