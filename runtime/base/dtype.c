/* dtype.c - names, sizes and slow, plain conversions of element types. The fast paths live where
 * they are needed. */
#include "runtime/base/dtype.h"

#include <math.h>

size_t mill_dtype_bytes(enum mill_dtype dtype) {
    static const uint8_t bytes[MILL_DTYPE_COUNT] = {
#define X(name, size, text) [MILL_##name] = size,
        MILL_DTYPE_MAP(X)
#undef X
    };
    return bytes[dtype];
}

static const char *const dtype_names[MILL_DTYPE_COUNT] = {
#define X(name, size, text) [MILL_##name] = text,
    MILL_DTYPE_MAP(X)
#undef X
};

const char *mill_dtype_name(enum mill_dtype dtype) {
    return dtype_names[dtype];
}

bool mill_dtype_find(const char *name, enum mill_dtype *out) {
    for (int i = 0; i < MILL_DTYPE_COUNT; i++)
        if (strcmp(name, dtype_names[i]) == 0) {
            *out = (enum mill_dtype)i;
            return true;
        }
    return false;
}

/* A small float of `exponent_bits` and `mantissa_bits`; with `finite` the all-ones exponent is a
 * number (e4m3fn), except that all ones in both is NaN. */
static float small_float(uint32_t bits, int exponent_bits, int mantissa_bits, bool finite) {
    uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    uint32_t top = (1u << exponent_bits) - 1;
    uint32_t exponent = bits >> mantissa_bits & top;
    float sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1.0f : 1.0f;
    int bias = (1 << (exponent_bits - 1)) - 1;
    if (exponent == top && !finite)
        return mantissa ? NAN : sign * INFINITY;
    if (exponent == top && mantissa == (1u << mantissa_bits) - 1)
        return NAN;
    if (exponent == 0)
        return sign * ldexpf((float)mantissa, 1 - bias - mantissa_bits);
    return sign *
           ldexpf((float)(mantissa | 1u << mantissa_bits), (int)exponent - bias - mantissa_bits);
}

float mill_f16_to_f32(uint16_t h) {
    return small_float(h, 5, 10, false);
}

uint16_t mill_f16_from_f32(float f) {
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    f = fabsf(f);
    if (isnan(f))
        return sign | 0x7e00;
    if (f >= 65520.0f) /* half way to the first number past the largest */
        return sign | 0x7c00;
    if (f < 0x1p-14f) /* subnormal: units of 2^-24; nearbyint rounds ties to even */
        return sign | (uint16_t)nearbyintf(ldexpf(f, 24));
    int exponent;
    float fraction = frexpf(f, &exponent);                       /* [0.5, 1) */
    uint32_t units = (uint32_t)nearbyintf(ldexpf(fraction, 11)); /* 1024 .. 2048 */
    return sign | (uint16_t)((uint32_t)(exponent + 14) * 1024 + (units - 1024));
}

void mill_dtype_to_f32(enum mill_dtype dtype, const void *from, float *to, size_t n) {
    const uint8_t *p = from;
#define CONVERT(type, value)                                                                       \
    for (size_t i = 0; i < n; i++) {                                                               \
        type v;                                                                                    \
        memcpy(&v, p + i * sizeof v, sizeof v);                                                    \
        to[i] = value;                                                                             \
    }                                                                                              \
    return
    switch (dtype) {
    case MILL_F32:
        memcpy(to, from, n * sizeof *to);
        return;
    case MILL_F64:
        CONVERT(double, (float)v);
    case MILL_F16:
        CONVERT(uint16_t, mill_f16_to_f32(v));
    case MILL_BF16:
        CONVERT(uint16_t, mill_bf16_to_f32(v));
    case MILL_F8_E4M3:
        CONVERT(uint8_t, small_float(v, 4, 3, true));
    case MILL_F8_E5M2:
        CONVERT(uint8_t, small_float(v, 5, 2, false));
    case MILL_I64:
        CONVERT(int64_t, (float)v);
    case MILL_I32:
        CONVERT(int32_t, (float)v);
    case MILL_I16:
        CONVERT(int16_t, (float)v);
    case MILL_I8:
        CONVERT(int8_t, (float)v);
    case MILL_U64:
        CONVERT(uint64_t, (float)v);
    case MILL_U32:
        CONVERT(uint32_t, (float)v);
    case MILL_U16:
        CONVERT(uint16_t, (float)v);
    case MILL_U8:
        CONVERT(uint8_t, (float)v);
    case MILL_BOOL:
        CONVERT(uint8_t, v ? 1.0f : 0.0f);
    case MILL_DTYPE_COUNT:
        return;
    }
#undef CONVERT
}
