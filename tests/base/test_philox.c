/* test_philox.c - the known answers of the Random123 library (kat_vectors, philox4x32 with 10
 * rounds) and the range of the uniform numbers. */
#include "runtime/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t key, low, high;
        uint32_t word[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x85a308d3243f6a88,
         0x0370734413198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        struct mill_philox r = mill_philox_words(cases[i].key, cases[i].low, cases[i].high);
        for (int k = 0; k < 4; k++)
            assert_int_equal(r.word[k], cases[i].word[k]);
    }
}

static void uniform(void **state) {
    (void)state;
    double sum = 0, lowest = 1, highest = 0;
    enum { N = 100000 };
    for (uint64_t i = 0; i < N; i++) {
        double u = mill_philox_uniform(42, i);
        assert_true(u >= 0 && u < 1);
        assert_true(u * 0x1p53 == (double)(uint64_t)(u * 0x1p53));
        sum += u;
        lowest = u < lowest ? u : lowest;
        highest = u > highest ? u : highest;
    }
    assert_true(sum / N > 0.495 && sum / N < 0.505); /* 5 standard deviations */
    assert_true(lowest < 1e-3 && highest > 1 - 1e-3);
    assert_true(mill_philox_uniform(1, 5) == mill_philox_uniform(1, 5));
    assert_true(mill_philox_uniform(1, 5) != mill_philox_uniform(2, 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
