/* vector_types.h - CUDA's small vectors, with its alignments. */
#ifndef MILL_TESTS_EMULATOR_VECTOR_TYPES_H
#define MILL_TESTS_EMULATOR_VECTOR_TYPES_H

#include <stdint.h>

#define EMULATOR_VECTORS(T, name, bytes)                                                           \
    struct __attribute__((aligned(2 * bytes))) name##2 {                                           \
        T x, y;                                                                                    \
    };                                                                                             \
    struct name##3 {                                                                               \
        T x, y, z;                                                                                 \
    };                                                                                             \
    struct __attribute__((aligned(4 * bytes < 16 ? 4 * bytes : 16))) name##4 {                     \
        T x, y, z, w;                                                                              \
    };                                                                                             \
    static inline name##2 make_##name##2(T x, T y) {                                               \
        return {x, y};                                                                             \
    }                                                                                              \
    static inline name##3 make_##name##3(T x, T y, T z) {                                          \
        return {x, y, z};                                                                          \
    }                                                                                              \
    static inline name##4 make_##name##4(T x, T y, T z, T w) {                                     \
        return {x, y, z, w};                                                                       \
    }
EMULATOR_VECTORS(unsigned int, uint, 4)
EMULATOR_VECTORS(float, float, 4)
#undef EMULATOR_VECTORS

struct dim3 {
    unsigned int x, y, z;
    constexpr dim3(unsigned int x_ = 1, unsigned int y_ = 1, unsigned int z_ = 1)
        : x(x_), y(y_), z(z_) {
    }
};

#endif
