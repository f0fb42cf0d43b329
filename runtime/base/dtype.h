/* dtype.h - the element types of tensors, in files and in memory, and the conversions between them.
 *
 * bf16 and f16 are carried as uint16_t bit patterns. Rounding is to nearest, ties to even,
 * everywhere. */
#ifndef MILL_BASE_DTYPE_H
#define MILL_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, bytes an element, the name in safetensors headers */
#define MILL_DTYPE_MAP(X)                                                                          \
    X(F64, 8, "F64")                                                                               \
    X(F32, 4, "F32")                                                                               \
    X(F16, 2, "F16")                                                                               \
    X(BF16, 2, "BF16")                                                                             \
    X(F8_E4M3, 1, "F8_E4M3")                                                                       \
    X(F8_E5M2, 1, "F8_E5M2")                                                                       \
    X(I64, 8, "I64")                                                                               \
    X(I32, 4, "I32")                                                                               \
    X(I16, 2, "I16")                                                                               \
    X(I8, 1, "I8")                                                                                 \
    X(U64, 8, "U64")                                                                               \
    X(U32, 4, "U32")                                                                               \
    X(U16, 2, "U16")                                                                               \
    X(U8, 1, "U8")                                                                                 \
    X(BOOL, 1, "BOOL")

enum mill_dtype {
#define X(name, bytes, text) MILL_##name,
    MILL_DTYPE_MAP(X)
#undef X
        MILL_DTYPE_COUNT
};

/* Bytes of one element. */
size_t mill_dtype_bytes(enum mill_dtype dtype);
/* "F32" and so on, as safetensors writes it; never NULL. */
const char *mill_dtype_name(enum mill_dtype dtype);
/* The type of that name; false when there is none. */
bool mill_dtype_find(const char *name, enum mill_dtype *out);

/* n elements of any type as float32. f64 and 64-bit integers are rounded once. */
void mill_dtype_to_f32(enum mill_dtype dtype, const void *from, float *to, size_t n);

static inline float mill_bf16_to_f32(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* NaN stays NaN: rounding its payload up could make it infinite. */
static inline uint16_t mill_bf16_from_f32(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float mill_f16_to_f32(uint16_t h);
uint16_t mill_f16_from_f32(float f);

#ifdef __cplusplus
}
#endif

#endif
