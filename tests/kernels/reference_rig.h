/* reference_rig.h - a reference backend, and small matrices and weights for it: what its tests
 * share. */
#ifndef MILL_TESTS_KERNELS_REFERENCE_RIG_H
#define MILL_TESTS_KERNELS_REFERENCE_RIG_H

#include "kernels/reference/reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A test with a backend of its own as its state. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_backend, close_backend)

static inline const struct mill_backend_ops *ops(void) {
    return mill_reference_ops();
}

static inline int open_backend(void **state) {
    return ops()->open((struct mill_backend **)state, NULL, NULL);
}

static inline int close_backend(void **state) {
    ops()->close(*state);
    return 0;
}

static inline struct mill_matrix matrix(float *data, int32_t rows, int32_t columns) {
    return (struct mill_matrix){data, MILL_F32, rows, columns, columns};
}

/* Packs weights into `image`, which is large and aligned enough. */
static inline struct mill_weight weight(enum mill_dtype dtype, int32_t n_out, int32_t n_taps,
                                        int32_t n_in, const float *rows, const float *bias,
                                        void *image) {
    struct mill_weight w = {{n_out, n_taps, n_in, dtype}, image, bias};
    ops()->weight_pack(&w.shape, 0, n_out, rows, image);
    return w;
}

static inline void assert_floats(const float *actual, const float *expected, size_t n,
                                 float epsilon) {
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(actual[i] - expected[i]) <= epsilon))
            fail_msg("value %zu is %.9g, expected %.9g", i, (double)actual[i], (double)expected[i]);
}

static inline float pseudo_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}

static inline void fill(float *values, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++)
        values[i] = pseudo_random(&seed);
}

#endif
