/* test_recording_check.c - the table of advice, and where speech is found, on made-up recordings
 * whose answers are known: bursts that rise and fall like syllables, over silence or noise. */
#include "runtime/audio/recording_check.h"
#include "runtime/audio/speech_activity.h"
#include "runtime/base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RATE = 16000 };

struct sketch {
    double seconds;
    double amplitude;   /* of the voice */
    double noise;       /* amplitude of white noise */
    double first, end;  /* seconds in which somebody speaks */
    double pause_every; /* seconds from pause to pause, of 0.3 s; 0 = none */
};

/* Syllables: 5 a second, raised cosine over a tone, so that levels move but never rest. */
static struct mill_recording draw(const struct sketch *s) {
    size_t n = (size_t)(s->seconds * RATE);
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        double t = (double)i / RATE, value = 0;
        bool speaks = t >= s->first && t < s->end &&
                      (s->pause_every == 0 || fmod(t, s->pause_every) < s->pause_every - 0.3);
        if (speaks)
            value = s->amplitude * sin(2 * M_PI * 200 * t) * (0.6 - 0.4 * cos(2 * M_PI * 5 * t));
        value += s->noise * (2 * mill_philox_uniform(1, i) - 1);
        x[i] = (float)fmin(fmax(value, -1), 1);
    }
    return (struct mill_recording){
        .samples = x, .n_samples = n, .sample_rate = RATE, .n_channels = 1, .memory = x};
}

static struct mill_recording_report check(const struct sketch *s, double max_seconds) {
    struct mill_recording r = draw(s);
    struct mill_recording_report report;
    struct mill_error err;
    assert_int_equal(mill_recording_check(&r, max_seconds, &report, &err), MILL_OK);
    mill_recording_close(&r);
    enum mill_check_verdict worst = MILL_CHECK_OK;
    for (int i = 0; i < MILL_CHECK_COUNT; i++) {
        const struct mill_recording_check_row *row = &report.rows[i];
        assert_non_null(row->name);
        assert_true(isfinite(row->value));
        size_t length = strlen(row->advice);
        assert_int_equal(length > 0, row->verdict != MILL_CHECK_OK);
        assert_true(length == 0 || row->advice[length - 1] == '.'); /* nothing was cut off */
        if (row->verdict > worst)
            worst = row->verdict;
    }
    assert_int_equal(worst, report.verdict);
    return report;
}

static void assert_row(const struct mill_recording_report *report, enum mill_check which,
                       double low, double high, enum mill_check_verdict verdict) {
    const struct mill_recording_check_row *row = &report->rows[which];
    if (row->value < low || row->value > high || row->verdict != verdict)
        fail_msg("%s: %g %s, %s", row->name, row->value, row->unit,
                 mill_check_verdict_name(row->verdict));
}

static const struct sketch good = {
    .seconds = 6, .amplitude = 0.5, .noise = 0.001, .first = 1, .end = 5.5, .pause_every = 2};

static void test_good(void **state) {
    (void)state;
    struct mill_recording_report report = check(&good, 30);
    assert_int_equal(report.verdict, MILL_CHECK_OK);
    assert_row(&report, MILL_CHECK_LENGTH, 6, 6, MILL_CHECK_OK);
    assert_row(&report, MILL_CHECK_SPEECH, 3.85, 3.95, MILL_CHECK_OK); /* two pauses of 0.3 s */
    assert_row(&report, MILL_CHECK_SILENCE, 34, 36, MILL_CHECK_OK);
    assert_row(&report, MILL_CHECK_LEVEL, -10, -8, MILL_CHECK_OK);
    assert_row(&report, MILL_CHECK_CLIPPED, 0, 0, MILL_CHECK_OK);
    assert_row(&report, MILL_CHECK_NOISE, 50, 60, MILL_CHECK_OK);
    assert_true(fabs(report.use_first_s - 0.95) < 0.025);
    assert_true(fabs(report.use_end_s - 5.55) < 0.025);
    assert_false(report.is_cut);
    assert_string_equal(report.rows[MILL_CHECK_NOISE].unit, "dB");
}

static void test_short(void **state) {
    (void)state;
    struct sketch s = good;
    s.end = 1.9;
    struct mill_recording_report report = check(&s, 30);
    assert_row(&report, MILL_CHECK_SPEECH, 0.6, 0.99, MILL_CHECK_REFUSE);
    s.end = 3;
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_SPEECH, 1.6, 1.8, MILL_CHECK_WARN);
    s.seconds = 0.01; /* not one frame */
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_SPEECH, 0, 0, MILL_CHECK_REFUSE);
}

static void test_silence_and_level(void **state) {
    (void)state;
    struct sketch s = good;
    s.seconds = 20;
    struct mill_recording_report report = check(&s, 30);
    assert_row(&report, MILL_CHECK_SILENCE, 79, 82, MILL_CHECK_WARN);
    s = good;
    s.noise = 0;
    s.amplitude = 0.004;
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_LEVEL, -53, -49, MILL_CHECK_WARN);
    assert_row(&report, MILL_CHECK_SPEECH, 3.8, 4, MILL_CHECK_OK);
    s.amplitude = 0.0005;
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_LEVEL, -71, -67, MILL_CHECK_REFUSE);
    assert_row(&report, MILL_CHECK_SPEECH, 0, 0, MILL_CHECK_REFUSE);
    s.amplitude = 0; /* digital silence */
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_LEVEL, -100, -100, MILL_CHECK_REFUSE);
    assert_true(report.use_first_s == 0 && report.use_end_s == 6);
}

static void test_clipped_and_noisy(void **state) {
    (void)state;
    struct sketch s = good;
    s.amplitude = 1.2;
    struct mill_recording_report report = check(&s, 30);
    assert_row(&report, MILL_CHECK_CLIPPED, 1, 9.9, MILL_CHECK_WARN);
    s.amplitude = 8;
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_CLIPPED, 20, 70, MILL_CHECK_REFUSE);
    s = good;
    s.noise = 0.14;
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_NOISE, 10, 15, MILL_CHECK_WARN);
    assert_row(&report, MILL_CHECK_SPEECH, 3.2, 4.2, MILL_CHECK_OK);
    s.amplitude = 0; /* nothing but noise is no speech */
    report = check(&s, 30);
    assert_row(&report, MILL_CHECK_NOISE, 0, 3, MILL_CHECK_REFUSE);
    assert_row(&report, MILL_CHECK_SPEECH, 0, 0, MILL_CHECK_REFUSE);
}

static void test_rate_and_channels(void **state) {
    (void)state;
    struct mill_recording r = draw(&good);
    struct mill_recording_report report;
    r.sample_rate = 8000;
    r.n_channels = 2;
    assert_int_equal(mill_recording_check(&r, 30, &report, NULL), MILL_OK);
    assert_row(&report, MILL_CHECK_RATE, 8000, 8000, MILL_CHECK_WARN);
    assert_row(&report, MILL_CHECK_CHANNELS, 2, 2, MILL_CHECK_WARN);
    mill_recording_close(&r);
}

/* Pauses lie at 1.7, 3.7, 5.7 ... s. From 0.95 s on, 10 s may stay: the last pause that fits begins
 * at 9.7 s. */
static void test_cut_at_pause(void **state) {
    (void)state;
    struct sketch s = good;
    s.seconds = 60;
    s.end = 59;
    struct mill_recording_report report = check(&s, 10);
    assert_row(&report, MILL_CHECK_LENGTH, 60, 60, MILL_CHECK_WARN);
    assert_true(report.is_cut);
    assert_non_null(strstr(report.rows[MILL_CHECK_LENGTH].advice, "cut at a pause"));
    assert_true(fabs(report.use_end_s - 9.75) < 0.025);
    s.pause_every = 0;
    report = check(&s, 10);
    assert_non_null(strstr(report.rows[MILL_CHECK_LENGTH].advice, "no pause"));
    /* Between syllables: at a multiple of 0.2 s. */
    assert_true(report.use_end_s > 8.4 && report.use_end_s <= 10.95);
    assert_true(fabs(remainder(report.use_end_s, 0.2)) < 0.021);
    assert_int_equal(check(&s, 0).is_cut, false);
}

/* Clicks are no speech, a gap of 9 frames does not end it, one of 10 does; a limit shorter than a
 * frame holds too. */
static void test_hysteresis(void **state) {
    (void)state;
    enum { FRAME = RATE / 50, FRAMES = 200, SAMPLES = FRAME * FRAMES };
    static const struct {
        int first, end;
        bool is_speech;
    } runs[] = {{10, 11, false}, {30, 60, true}, {69, 100, true}, {110, 150, true}};
    float *x = calloc(SAMPLES, sizeof *x);
    struct mill_speech_activity a;
    assert_non_null(x);
    for (int k = 0; k < 4; k++)
        for (int i = runs[k].first * FRAME; i < runs[k].end * FRAME; i++)
            x[i] = i % 2 ? 0.1f : -0.1f;
    assert_int_equal(mill_speech_activity_init(&a, x, SAMPLES, RATE, NULL), MILL_OK);
    assert_int_equal(a.n_frames, FRAMES);
    for (int i = 0; i < FRAMES; i++)
        assert_int_equal(a.is_speech[i], (i >= 30 && i < 100) || (i >= 110 && i < 150));
    struct mill_speech_range range = mill_speech_activity_range(&a, true, 0);
    assert_int_equal(range.first, 30 * FRAME - FRAME * 5 / 2);
    assert_int_equal(range.end, 150 * FRAME + FRAME * 5 / 2);
    range = mill_speech_activity_range(&a, true, FRAME * 100);
    assert_true(range.is_cut && range.at_pause);
    assert_int_equal(range.end, 100 * FRAME + FRAME * 5 / 2);
    for (size_t limit = 1; limit < SAMPLES; limit = limit * 2 + 1) {
        range = mill_speech_activity_range(&a, false, limit);
        assert_int_equal(range.first, 0);
        assert_true(range.end > 0 && range.end <= limit);
    }
    mill_speech_activity_deinit(&a);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_silence_and_level),
        cmocka_unit_test(test_clipped_and_noisy),
        cmocka_unit_test(test_rate_and_channels),
        cmocka_unit_test(test_cut_at_pause),
        cmocka_unit_test(test_hysteresis),
    };
    return cmocka_run_group_tests_name("recording_check", tests, NULL, NULL);
}
