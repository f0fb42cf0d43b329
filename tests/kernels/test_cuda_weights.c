/* test_cuda_weights.c - bricks hold what the reference's plain rows hold, where weights.h says, and
 * zeros around it. */
#include "kernels/cuda/weights.h"
#include "runtime/base/memory.h"
#include "runtime/base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Checks that a shape's weights are all found, and clears them from `image`. */
static void check_weights(const struct mill_weight_shape *s, const char *plain, char *image) {
    int32_t bytes = weight_input_bytes(s->dtype);
    for (int32_t o = 0; o < s->n_out; o++)
        for (int32_t tap = 0; tap < s->n_taps; tap++)
            for (int32_t i = 0; i < s->n_in; i++) {
                int32_t at = i * bytes;
                int64_t chunk = weight_chunk_at(s, o, tap, at / CHUNK_BYTES);
                char *found = image + chunk * CHUNK_BYTES + at % CHUNK_BYTES;
                assert_memory_equal(found, plain, (size_t)bytes);
                memset(found, 0, (size_t)bytes);
                plain += bytes;
            }
}

static void check_shape(struct mill_weight_shape s) {
    const struct mill_backend_ops *reference = mill_backend_find("reference", NULL);
    size_t n = (size_t)s.n_out * (size_t)s.n_taps * (size_t)s.n_in;
    size_t plain_bytes = reference->weight_bytes(&s), bytes = mill_cuda_weight_bytes(&s);
    float *rows = mill_alloc_array(n, sizeof *rows);
    char *plain = mill_alloc_aligned(plain_bytes), *image = mill_alloc_aligned(bytes);
    assert_true(rows && plain && image);
    for (size_t i = 0; i < n; i++) /* the first output's are too small to have 8-bit codes */
        rows[i] = (float)(mill_philox_uniform(1, i) - 0.5) * (i < n / (size_t)s.n_out ? 1e-32f : 1);
    if (s.n_out > 1)
        rows[n - 1] = NAN; /* the last output's scale, then, and no code */
    memset(image, 0x5a, bytes);
    reference->weight_pack(&s, 0, s.n_out, rows, plain);
    mill_cuda_weight_pack(&s, 0, s.n_out, rows, image);
    check_weights(&s, plain, image);
    size_t scales = s.dtype == MILL_I8 ? (size_t)s.n_out * sizeof(float) : 0;
    assert_int_equal(weight_scales_at(&s) + (int64_t)scales, bytes);
    assert_int_equal(weight_scales_at(&s) % BRICK_BYTES, 0);
    assert_memory_equal(image + weight_scales_at(&s), plain + plain_bytes - scales, scales);
    for (int64_t i = 0; i < weight_scales_at(&s); i++)
        assert_int_equal(image[i], 0);
    free(rows);
    free(plain);
    free(image);
}

static void test_bricks(void **state) {
    (void)state;
    static const int32_t outs[] = {1, 7, 8, 9, 65}, ins[] = {1, 16, 33, 64, 65, 130};
    static const enum mill_dtype dtypes[] = {MILL_F32, MILL_BF16, MILL_I8};
    for (size_t d = 0; d < 3; d++)
        for (size_t o = 0; o < 5; o++)
            for (size_t i = 0; i < 6; i++)
                for (int32_t taps = 1; taps <= (dtypes[d] == MILL_I8 ? 1 : 3); taps++)
                    check_shape((struct mill_weight_shape){outs[o], taps, ins[i], dtypes[d]});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bricks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
