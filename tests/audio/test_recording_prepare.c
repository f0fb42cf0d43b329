/* test_recording_prepare.c - from a recording's samples to the encoders' input, against golden data
 * of the model's definition: the golden recordings through the decoder, resampling and volume
 * normalisation; then the corners of each. */
#include "runtime/audio/recording_prepare.h"
#include "runtime/audio/resample.h"
#include "runtime/audio/volume.h"
#include "runtime/io/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_golden(const char *name, struct mill_recording *r) {
    struct mill_recording_options options = {.decoder = MILL_DECODER};
    struct mill_error err;
    char path[512];
    snprintf(path, sizeof path, MILL_GOLDEN "/audio/%s.wav", name);
    if (mill_recording_read(r, path, &options, &err) != MILL_OK)
        fail_msg("%s", err.text);
}

static void check_golden(const char *name) {
    struct mill_recording recording;
    struct mill_prepared got;
    struct mill_npy want;
    struct mill_error err;
    char path[512];
    read_golden(name, &recording);
    struct mill_prepare_options options = {.sample_rate = 16000};
    assert_int_equal(mill_recording_prepare(&got, &recording, &options, &err), MILL_OK);
    snprintf(path, sizeof path, MILL_GOLDEN "/tiny/encode.%s.wave.npy", name);
    assert_int_equal(mill_npy_open(&want, path, &err), MILL_OK);
    assert_int_equal(got.n_samples, want.n_elements);
    assert_int_equal(got.sample_rate, 16000);

    const float *samples = want.data;
    double power = 0, error = 0;
    size_t n_differ = 0;
    for (size_t i = 0; i < got.n_samples; i++) {
        double difference = (double)got.samples[i] - (double)samples[i];
        power += (double)samples[i] * (double)samples[i];
        error += difference * difference;
        n_differ += got.samples[i] != samples[i];
    }
    double snr_db = 10 * log10(power / error);
    print_message("%s: %zu of %zu samples differ, %.0f dB\n", name, n_differ, got.n_samples,
                  snr_db);
    assert_true(snr_db >= 120);
    mill_npy_close(&want);
    mill_prepared_close(&got);
    mill_recording_close(&recording);
}

static void test_golden(void **state) {
    (void)state;
    static const char *const names[] = {"en-22k",   "loud-16k",   "quiet-48k",
                                        "short-8k", "stereo-44k", "zh-22k"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_golden(names[i]);
}

/* Trimming and the limit only choose a part; the part is then treated as any recording. */
static void test_part(void **state) {
    (void)state;
    struct mill_recording recording;
    struct mill_prepared whole, part;
    struct mill_error err;
    read_golden("loud-16k", &recording);
    struct mill_prepare_options options = {.sample_rate = 16000};
    assert_int_equal(mill_recording_prepare(&whole, &recording, &options, &err), MILL_OK);
    options.trim = true;
    assert_int_equal(mill_recording_prepare(&part, &recording, &options, &err), MILL_OK);
    assert_true(part.n_samples < whole.n_samples && part.n_samples > 16000);
    mill_prepared_close(&part);
    options.max_seconds = 3;
    assert_int_equal(mill_recording_prepare(&part, &recording, &options, &err), MILL_OK);
    assert_true(part.n_samples <= 48000 && part.n_samples >= 24000);
    mill_prepared_close(&part);
    mill_prepared_close(&whole);
    recording.n_samples = 0;
    assert_int_equal(mill_recording_prepare(&part, &recording, &options, &err), MILL_E_INPUT);
    mill_prepared_close(&part);
    mill_recording_close(&recording);
}

/* ------------------------------------------------------------------ resampling */

/* A tone stays where it is, and one above the new band goes. */
static double tone_power(int32_t from_hz, int32_t to_hz, double tone_hz, double *snr_db) {
    size_t n = (size_t)from_hz, n_out;
    double *x = malloc(n * sizeof *x), *y, power = 0, error = 0;
    struct mill_error err;
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = sin(2 * M_PI * tone_hz * (double)i / from_hz);
    assert_int_equal(mill_resample(&y, &n_out, x, n, from_hz, to_hz, &err), MILL_OK);
    assert_int_equal(n_out, to_hz);
    for (size_t i = n_out / 4; i < n_out * 3 / 4; i++) {
        double want = sin(2 * M_PI * tone_hz * (double)i / to_hz);
        power += y[i] * y[i];
        error += (y[i] - want) * (y[i] - want);
    }
    *snr_db = 10 * log10(power / fmax(error, 1e-300));
    free(x);
    free(y);
    return power / ((double)n_out / 2);
}

static void test_resample_tones(void **state) {
    (void)state;
    static const int32_t rates[] = {4000, 8000, 11025, 22050, 32000, 44100, 48000, 96000, 384000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        double snr_db, power = tone_power(rates[i], 16000, 1000, &snr_db);
        if (snr_db < 140 || fabs(power - 0.5) > 0.01)
            fail_msg("%d Hz: %.0f dB, power %g", rates[i], snr_db, power);
    }
    double unused;
    assert_true(tone_power(48000, 16000, 9000, &unused) < 1e-14);
}

static void test_resample_corners(void **state) {
    (void)state;
    double x[3] = {0.25, -0.5, 1}, *y;
    size_t n;
    struct mill_error err;
    assert_int_equal(mill_resample(&y, &n, x, 3, 16000, 16000, &err), MILL_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(y, x, sizeof x);
    free(y);
    assert_int_equal(mill_resample(&y, &n, x, 3, 48000, 16000, &err), MILL_OK);
    assert_int_equal(n, 1);
    free(y);
    assert_int_equal(mill_resample(&y, &n, x, 0, 48000, 16000, &err), MILL_OK);
    assert_int_equal(n, 0);
    free(y);
    assert_int_equal(mill_resample(&y, &n, x, 3, 0, 16000, &err), MILL_E_INPUT);
    assert_int_equal(mill_resample(&y, &n, x, 3, 16000, -1, &err), MILL_E_INPUT);
    assert_null(y);
}

/* ------------------------------------------------------------------ volume */

enum { N = 1000 };

static void normalise(double *x) {
    struct mill_error err;
    assert_int_equal(mill_volume_normalise(x, N, &err), MILL_OK);
}

static void test_volume(void **state) {
    (void)state;
    double x[N];
    /* Silence stays silence. */
    memset(x, 0, sizeof x);
    normalise(x);
    for (int i = 0; i < N; i++)
        assert_true(x[i] == 0);
    /* Ten loud samples are too few to judge by; below a peak of 0.1 there is only the raising. */
    for (int n_loud = 10; n_loud <= 11; n_loud++) {
        memset(x, 0, sizeof x);
        for (int i = 0; i < n_loud; i++)
            x[i] = 0.095;
        normalise(x);
        /* Raised to 0.1; then, with eleven, by 0.2 / 0.095, the level before the raising. */
        assert_true(fabs(x[0] - (n_loud == 10 ? 0.1 : 0.1 * 0.2 / 0.095)) < 1e-15);
    }
    /* So quiet that the raising itself is bounded: by 100. */
    for (int i = 0; i < N; i++)
        x[i] = 1e-5;
    normalise(x);
    assert_true(fabs(x[0] - 1e-3) < 1e-18);
    /* The gain is at least 0.1 and the peak at most 1, at most 10. */
    for (int i = 0; i < N; i++)
        x[i] = i % 2 ? -8 : 8;
    normalise(x);
    assert_true(fabs(x[0] - 0.8) < 1e-15 && fabs(x[1] + 0.8) < 1e-15);
    for (int i = 0; i < N; i++)
        x[i] = 0.011;
    x[0] = 0.5;
    normalise(x);
    assert_true(x[0] == 1 && fabs(x[1] - 0.11 / 5) < 1e-15);
}

/* The level is the mean of sorted[int(0.9 n)] .. sorted[int(0.99 n) - 1]. */
static void test_volume_slice(void **state) {
    (void)state;
    double x[N];
    for (int i = 0; i < N; i++)
        x[i] = 0.5 * (i + 1) / N;
    double level = 0;
    for (int i = 900; i < 990; i++)
        level += 0.5 * (i + 1) / N / 90;
    /* Magnitudes up to 0.01 do not count, so the slice of the 980 others lies a little higher. */
    double counted = 0;
    for (int i = 20 + 882; i < 20 + 970; i++)
        counted += 0.5 * (i + 1) / N / 88;
    assert_true(counted > level);
    normalise(x);
    assert_true(fabs(x[499] - 0.25 * 0.2 / counted) < 1e-14);
}

static void test_reference_clip(void **state) {
    (void)state;
    const float x[3] = {1, 2, 3};
    float clip[8];
    mill_reference_clip(x, 3, clip, 8);
    for (int i = 0; i < 8; i++)
        assert_true(clip[i] == x[i % 3]);
    mill_reference_clip(x, 3, clip, 2);
    assert_true(clip[0] == 1 && clip[1] == 2);
    mill_reference_clip(x, 0, clip, 1);
    assert_true(clip[0] == 0);
    assert_int_equal(mill_reference_clip_samples(16000, 6, 320), 96000);
    assert_int_equal(mill_reference_clip_samples(16000, 0.05, 320), 640);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),         cmocka_unit_test(test_part),
        cmocka_unit_test(test_resample_tones), cmocka_unit_test(test_resample_corners),
        cmocka_unit_test(test_volume),         cmocka_unit_test(test_volume_slice),
        cmocka_unit_test(test_reference_clip),
    };
    return cmocka_run_group_tests_name("recording_prepare", tests, NULL, NULL);
}
