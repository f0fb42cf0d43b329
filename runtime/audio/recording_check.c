/* recording_check.c - see recording_check.h. A row is judged by two bounds; beyond the first it is
 * a warning, beyond the second a refusal. The bounds are experience with cloning in general, chosen
 * so that recordings the model can use are never refused. */
#include "runtime/audio/recording_check.h"

#include "runtime/audio/speech_activity.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name, *unit;
} names[] = {
#define X(name, text, unit) {text, unit},
    MILL_CHECK_MAP(X)
#undef X
};

const char *mill_check_verdict_name(enum mill_check_verdict verdict) {
    return verdict == MILL_CHECK_OK ? "ok" : verdict == MILL_CHECK_WARN ? "warning" : "refused";
}

/* Put in a row; the advice is for warnings and refusals. */
static void put(struct mill_recording_report *report, enum mill_check check, double value,
                enum mill_check_verdict verdict, const char *advice) {
    struct mill_recording_check_row *row = &report->rows[check];
    *row = (struct mill_recording_check_row){
        .name = names[check].name, .unit = names[check].unit, .value = value, .verdict = verdict};
    snprintf(row->advice, sizeof row->advice, "%s", verdict == MILL_CHECK_OK ? "" : advice);
    if (verdict > report->verdict)
        report->verdict = verdict;
}

static enum mill_check_verdict below(double value, double warn, double refuse) {
    return value < refuse ? MILL_CHECK_REFUSE : value < warn ? MILL_CHECK_WARN : MILL_CHECK_OK;
}

static enum mill_check_verdict above(double value, double warn, double refuse) {
    return below(-value, -warn, -refuse);
}

static void put_length(struct mill_recording_report *report, double seconds, bool at_pause,
                       double max_seconds) {
    char advice[160];
    snprintf(advice, sizeof advice,
             "Only %.2f to %.2f s are used (limit %g s), cut %s: a transcript must end there too.",
             report->use_first_s, report->use_end_s, max_seconds,
             at_pause ? "at a pause" : "at the quietest place, for there is no pause");
    put(report, MILL_CHECK_LENGTH, seconds, report->is_cut ? MILL_CHECK_WARN : MILL_CHECK_OK,
        advice);
}

static void put_speech(struct mill_recording_report *report, double speech_s, double total_s) {
    put(report, MILL_CHECK_SPEECH, speech_s, below(speech_s, 3, 1),
        speech_s < 1 ? "Less than 1 s of speech was found: record 3 to 10 s of one clear voice."
                     : "Voices are truer with 3 to 10 s of speech: record some more.");
    double silence = 100 * (1 - speech_s / total_s);
    put(report, MILL_CHECK_SILENCE, silence, above(silence, 60, INFINITY),
        "More than 60 % is silence, and the model learns it: speak without long pauses.");
}

static void put_levels(struct mill_recording_report *report,
                       const struct mill_speech_activity *activity) {
    double level = (double)activity->loud_db, noise = level - (double)activity->floor_db;
    put(report, MILL_CHECK_LEVEL, level, below(level, -45, -60),
        "It is very quiet: go closer to the microphone or raise its gain.");
    put(report, MILL_CHECK_NOISE, noise, below(noise, 15, 9),
        "There is much noise, hum or reverberation: record in a quiet room, close to the "
        "microphone.");
}

static double clipped_percent(const struct mill_recording *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_samples; i++)
        n += fabsf(r->samples[i]) >= 0.99f;
    return 100 * (double)n / (double)r->n_samples;
}

mill_status mill_recording_check(const struct mill_recording *recording, double max_seconds,
                                 struct mill_recording_report *report, struct mill_error *err) {
    const struct mill_recording *r = recording;
    struct mill_speech_activity activity;
    *report = (struct mill_recording_report){0};
    MILL_TRY(mill_speech_activity_init(&activity, r->samples, r->n_samples, r->sample_rate, err));
    double rate = r->sample_rate, total_s = (double)r->n_samples / rate;
    struct mill_speech_range range =
        mill_speech_activity_range(&activity, true, (size_t)(max_seconds * rate));
    report->use_first_s = (double)range.first / rate;
    report->use_end_s = (double)range.end / rate;
    report->is_cut = range.is_cut;

    size_t n_speech = 0;
    for (size_t i = 0; i < activity.n_frames; i++)
        n_speech += activity.is_speech[i];
    put_length(report, total_s, range.at_pause, max_seconds);
    put_speech(report, (double)(n_speech * activity.frame_samples) / rate, total_s);
    put_levels(report, &activity);
    double clipped = clipped_percent(r);
    put(report, MILL_CHECK_CLIPPED, clipped, above(clipped, 0.1, 10),
        "It is overdriven: record again with less gain, so that the loudest parts stay below full "
        "scale.");
    put(report, MILL_CHECK_RATE, rate, below(rate, 16000, 0),
        "The voice will sound dull: record at 16000 Hz or more.");
    put(report, MILL_CHECK_CHANNELS, r->n_channels, above(r->n_channels, 1, INFINITY),
        "Only the first channel is used: see that the voice is on it.");
    mill_speech_activity_deinit(&activity);
    return MILL_OK;
}
