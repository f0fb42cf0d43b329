/* test_dtype.c - names, sizes, and the conversions: every f16 there and back, ties to even. */
#include "runtime/base/dtype.h"

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void names(void **state) {
    (void)state;
    enum mill_dtype found;
    for (int i = 0; i < MILL_DTYPE_COUNT; i++) {
        assert_true(mill_dtype_find(mill_dtype_name((enum mill_dtype)i), &found));
        assert_int_equal(found, i);
    }
    assert_false(mill_dtype_find("F33", &found));
    assert_false(mill_dtype_find("", &found));
    assert_int_equal(mill_dtype_bytes(MILL_F64), 8);
    assert_int_equal(mill_dtype_bytes(MILL_BF16), 2);
    assert_int_equal(mill_dtype_bytes(MILL_BOOL), 1);
}

static void f16_there_and_back(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = mill_f16_to_f32((uint16_t)h);
        uint16_t back = mill_f16_from_f32(f);
        if ((h & 0x7fff) > 0x7c00)
            assert_true(isnan(f) && (back & 0x7fff) > 0x7c00);
        else
            assert_int_equal(back, h);
    }
}

/* Between each two neighbours: the middle goes to the even one, just beside it to the nearer. */
static void f16_ties(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float low = mill_f16_to_f32((uint16_t)h), high = mill_f16_to_f32((uint16_t)(h + 1));
        float middle = low + (high - low) / 2; /* exact: f32 has bits to spare */
        assert_int_equal(mill_f16_from_f32(middle), h & 1 ? h + 1 : h);
        assert_int_equal(mill_f16_from_f32(nextafterf(middle, -INFINITY)), h);
        assert_int_equal(mill_f16_from_f32(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(mill_f16_from_f32(-middle), (h & 1 ? h + 1 : h) | 0x8000);
    }
    assert_int_equal(mill_f16_from_f32(65519.996f), 0x7bff);
    assert_int_equal(mill_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(mill_f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(mill_f16_from_f32(-0.0f), 0x8000);
}

static void bf16(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        uint16_t back = mill_bf16_from_f32(mill_bf16_to_f32((uint16_t)b));
        if ((b & 0x7fff) > 0x7f80)
            assert_true((back & 0x7fff) > 0x7f80);
        else
            assert_int_equal(back, b);
    }
    assert_int_equal(mill_bf16_from_f32(float_of(0x3f808000)), 0x3f80); /* tie, down to even */
    assert_int_equal(mill_bf16_from_f32(float_of(0x3f818000)), 0x3f82); /* tie, up to even */
    assert_int_equal(mill_bf16_from_f32(float_of(0x3f808001)), 0x3f81);
    assert_int_equal(mill_bf16_from_f32(float_of(0x3f817fff)), 0x3f81);
    assert_int_equal(mill_bf16_from_f32(float_of(0x7f7fffff)), 0x7f80); /* past the largest */
    assert_int_equal(mill_bf16_from_f32(float_of(0x7f800001)), 0x7fc0); /* NaN stays NaN */
    assert_int_equal(mill_bf16_from_f32(float_of(0x7fffffff)), 0x7fff);
}

#define CHECK(dtype, type, from, wanted)                                                           \
    do {                                                                                           \
        const type value = from;                                                                   \
        float f = -7.0f;                                                                           \
        mill_dtype_to_f32(dtype, &value, &f, 1);                                                   \
        assert_int_equal(bits_of(f), bits_of(wanted));                                             \
    } while (0)

static void conversions(void **state) {
    (void)state;
    CHECK(MILL_F64, double, 0.1, 0.1f);
    CHECK(MILL_F32, float, 0.1f, 0.1f);
    CHECK(MILL_F16, uint16_t, 0x3c01, 1.0009765625f);
    CHECK(MILL_BF16, uint16_t, 0x3f81, 1.0078125f);
    CHECK(MILL_F8_E4M3, uint8_t, 0x38, 1.0f);
    CHECK(MILL_F8_E4M3, uint8_t, 0x7e, 448.0f);
    CHECK(MILL_F8_E4M3, uint8_t, 0x81, -0x1p-9f);
    CHECK(MILL_F8_E5M2, uint8_t, 0x3c, 1.0f);
    CHECK(MILL_F8_E5M2, uint8_t, 0x7b, 57344.0f);
    CHECK(MILL_F8_E5M2, uint8_t, 0xfc, -INFINITY);
    CHECK(MILL_F8_E5M2, uint8_t, 0x01, 0x1p-16f);
    CHECK(MILL_I64, int64_t, -16777217, -16777216.0f);
    CHECK(MILL_U64, uint64_t, UINT64_MAX, 0x1p64f);
    CHECK(MILL_I32, int32_t, -5, -5.0f);
    CHECK(MILL_U32, uint32_t, 4000000000u, 4e9f);
    CHECK(MILL_I16, int16_t, -300, -300.0f);
    CHECK(MILL_U16, uint16_t, 65535, 65535.0f);
    CHECK(MILL_I8, int8_t, -128, -128.0f);
    CHECK(MILL_U8, uint8_t, 255, 255.0f);
    CHECK(MILL_BOOL, uint8_t, 7, 1.0f);
    const uint8_t nan = 0x7f;
    float f;
    mill_dtype_to_f32(MILL_F8_E4M3, &nan, &f, 1);
    assert_true(isnan(f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(f16_there_and_back), cmocka_unit_test(f16_ties),
        cmocka_unit_test(bf16),  cmocka_unit_test(conversions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
