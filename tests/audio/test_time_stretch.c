/* test_time_stretch.c - a voice keeps its pitch when it is stretched, and its length when it is
 * lifted; how it is cut does not matter. */
#include "runtime/audio/time_stretch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RATE = 16000, N = 3 * RATE, MAX_OUT = 5 * N };

static float *make_voice(double pitch_hz) {
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int k = 1; k <= 10; k++)
            sum += sin(2 * M_PI * k * pitch_hz * i / RATE) / k;
        x[i] = (float)(0.4 * sum);
    }
    return x;
}

static size_t stretch(const float *x, size_t piece, double speed, double pitch, float *out) {
    struct mill_time_stretch *s;
    size_t n = 0;
    assert_int_equal(mill_time_stretch_open(&s, RATE, speed, pitch, NULL), MILL_OK);
    for (size_t at = 0; at < N; at += piece) {
        size_t take = piece < N - at ? piece : N - at;
        assert_int_equal(mill_time_stretch_write(s, x + at, take, NULL), MILL_OK);
        n += mill_time_stretch_read(s, out + n, MAX_OUT - n);
    }
    assert_int_equal(mill_time_stretch_finish(s, NULL), MILL_OK);
    n += mill_time_stretch_read(s, out + n, MAX_OUT - n);
    assert_int_equal(mill_time_stretch_read(s, out, 100), 0);
    mill_time_stretch_close(s);
    return n;
}

/* Of the middle of a sound, by autocorrelation. */
static double pitch_of(const float *x, size_t n) {
    double best = -1;
    int best_lag = 1;
    for (int lag = RATE / 400; lag < RATE / 60; lag++) {
        double sum = 0, power = 0;
        for (size_t i = n / 2; i < n / 2 + 4000; i++) {
            sum += (double)x[i] * (double)x[i + (size_t)lag];
            power += (double)x[i] * (double)x[i];
        }
        if (sum / power > best + 0.02) { /* not a multiple of the period */
            best = sum / power;
            best_lag = lag;
        }
    }
    assert_true(best > 0.9);
    return (double)RATE / best_lag;
}

static void test_speed_and_pitch(void **state) {
    (void)state;
    static const double cases[][2] = {{0.25, 1}, {0.5, 1},  {0.8, 1}, {1.25, 1}, {2, 1},
                                      {4, 1},    {1, 1.25}, {1, 0.8}, {1.5, 1.2}};
    float *x = make_voice(125), *y = malloc(MAX_OUT * sizeof *y);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = stretch(x, 1000, cases[i][0], cases[i][1], y);
        double want = N / cases[i][0], pitch = pitch_of(y, n), want_pitch = 125 * cases[i][1];
        if (fabs((double)n - want) > 0.02 * want + 300 || fabs(pitch - want_pitch) > 3)
            fail_msg("speed %g, pitch %g: %zu samples, not %.0f; %.1f Hz, not %.1f", cases[i][0],
                     cases[i][1], n, want, pitch, want_pitch);
    }
    free(x), free(y);
}

static void test_cuts_do_not_matter(void **state) {
    (void)state;
    float *x = make_voice(190), *y = malloc(MAX_OUT * sizeof *y), *z = malloc(MAX_OUT * sizeof *z);
    static const double speeds[] = {0.3, 0.9, 1.3, 3};
    for (size_t i = 0; i < 4; i++) {
        size_t n = stretch(x, N, speeds[i], 1.1, y);
        assert_int_equal(stretch(x, 37, speeds[i], 1.1, z), n);
        assert_memory_equal(y, z, n * sizeof *y);
    }
    free(x), free(y), free(z);
}

static void test_refused(void **state) {
    (void)state;
    struct mill_time_stretch *s;
    struct mill_error err = {""};
    static const double bad[][2] = {{0.2, 1}, {4.1, 1}, {1, 0.4}, {1, 2.1}, {NAN, 1}, {1, NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mill_time_stretch_open(&s, RATE, bad[i][0], bad[i][1], &err),
                         MILL_E_INPUT);
        assert_null(s);
    }
    assert_int_equal(mill_time_stretch_open(&s, 10, 2, 1, &err), MILL_E_INPUT);
    mill_time_stretch_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_speed_and_pitch),
        cmocka_unit_test(test_cuts_do_not_matter),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
