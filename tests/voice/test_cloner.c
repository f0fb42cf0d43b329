/* test_cloner.c - a recording's file as the samples that the encoders take, as the model wants
 * them. */
#include "runtime/voice/cloner.h"
#include "runtime/voice/cloning.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static struct mill_prepared prepare(bool volume_normalize) {
    const struct mill_clone_source source = {.path = MILL_GOLDEN "/audio/loud-16k.wav",
                                             .keep_silence = true};
    struct mill_shape shape = {.volume_normalize = volume_normalize};
    struct mill_clone_findings findings;
    struct mill_prepared out;
    struct mill_error err;
    shape.bicodec.sample_rate = 16000;
    if (mill_clone_prepare(&source, &shape, &out, &findings, &err) != MILL_OK)
        fail_msg("%s", err.text);
    return out;
}

/* At the model's rate a recording is taken as it is, or all of it louder or quieter. */
static void test_volume(void **state) {
    (void)state;
    struct mill_recording recording;
    struct mill_prepared kept = prepare(false), normal = prepare(true);
    assert_int_equal(mill_recording_read(&recording, MILL_GOLDEN "/audio/loud-16k.wav", NULL, NULL),
                     MILL_OK);
    assert_int_equal(kept.n_samples, recording.n_samples);
    assert_memory_equal(kept.samples, recording.samples, kept.n_samples * sizeof *kept.samples);
    assert_int_equal(normal.n_samples, recording.n_samples);
    double power = 0, normal_power = 0;
    for (size_t i = 0; i < kept.n_samples; i++) {
        power += kept.samples[i] * (double)kept.samples[i];
        normal_power += normal.samples[i] * (double)normal.samples[i];
    }
    assert_true(fabs(normal_power / power - 1) > 0.1);
    mill_prepared_close(&normal);
    mill_prepared_close(&kept);
    mill_recording_close(&recording);
}

/* A model that listens to more than can be encoded, which would take gigabytes first. */
static void test_long_clip(void **state) {
    (void)state;
    const float wave[] = {0, 1, 0};
    struct mill_shape shape = {.reference_seconds = 3600};
    const struct mill_cloning cloning = {.folder = "model", .shape = &shape};
    struct mill_voice voice = {0};
    struct mill_error err = {""};
    shape.bicodec.sample_rate = 384000;
    shape.bicodec.hop = 1;
    assert_int_equal(mill_cloning_run(&cloning, wave, 3, false, &voice, &err), MILL_E_UNSUPPORTED);
    assert_non_null(
        strstr(err.text, "'model/config.yaml': ref_segment_duration 3600: at most 30 s"));
    mill_voice_deinit(&voice);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_volume),
                                       cmocka_unit_test(test_long_clip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
