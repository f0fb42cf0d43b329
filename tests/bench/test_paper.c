/* test_paper.c - the paper model against figures worked out by hand for the published sizes. */
#include "bench/paper.h"

#include "runtime/model/synth_shape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int near(double a, double b, double share) {
    return fabs(a - b) <= share * fabs(b);
}

static void test_published(void **state) {
    (void)state;
    struct mill_shape published;
    mill_synth_shape(&published, MILL_SYNTH_FULL);
    struct bench_paper_model model = bench_paper_model_of(&published, MILL_BF16, MILL_BF16, 8193);
    assert_true(near(model.weight_bytes, 730e6, 0.005));
    assert_true(near(model.token_flop, 730e6, 0.005)); /* two of each weight, two bytes of each */
    assert_true(near(model.kv_bytes, 12288, 1e-9));
    assert_true(near(50 * model.frame_flop, 58.8e9, 0.02)); /* an audio second */

    /* A card of 4.3 TB/s and 790 TFLOP/s with 400 tokens held. */
    const struct bench_paper_device card = {4.3e12, 790e12, 790e12};
    assert_true(near(bench_paper_step_s(&model, &card, 1, 400), 0.171e-3, 0.01));
    /* 256 x (730 + 34 of attention) MFLOP, then 256 x 400 x 12,288 bytes */
    assert_true(near(bench_paper_step_s(&model, &card, 256, 400), 0.5403e-3, 0.002));
    assert_true(near(bench_paper_frames_per_s(&model, &card, 1, 400) / 50, 116, 0.01));
    assert_true(near(bench_paper_frames_per_s(&model, &card, 256, 400) / 50, 5557, 0.002));

    /* 8 bits and their scales: 2 x 2 heads of 64 + 4 bytes in each of 24 layers. */
    model = bench_paper_model_of(&published, MILL_I8, MILL_I8, 8193);
    assert_true(near(model.weight_bytes, 365e6, 0.005));
    assert_true(near(model.kv_bytes, 6528, 1e-9));
    assert_true(near(bench_paper_step_s(&model, &card, 256, 400), 0.4031e-3, 0.002));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
