/* recording_check.h - is this recording fit to clone a voice from? A table of measures, each with a
 * verdict and a sentence of advice.
 *
 * Not checked: whether there is more than one speaker, music, or reverberation, and whether a
 * transcript fits. Documentation tells people to listen for those. */
#ifndef MILL_AUDIO_RECORDING_CHECK_H
#define MILL_AUDIO_RECORDING_CHECK_H

#include "runtime/audio/recording.h"

#include <stdbool.h>

enum mill_check_verdict { MILL_CHECK_OK, MILL_CHECK_WARN, MILL_CHECK_REFUSE };

/* name in tables, unit. Values:
 * length    of the whole recording
 * speech    seconds of it in which somebody speaks (speech_activity.h)
 * silence   the rest, in per cent of the recording
 * level     the 95th percentile of the levels of 20 ms frames, against full scale
 * clipped   samples at 0.99 of full scale or above, in per cent of all
 * noise     signal to noise: the 95th less the 10th percentile of the frames' levels; a lower bound
 *           where the speaker makes no pauses
 * rate, channels: the file's */
#define MILL_CHECK_MAP(X)                                                                          \
    X(LENGTH, "length", "s")                                                                       \
    X(SPEECH, "speech", "s")                                                                       \
    X(SILENCE, "silence", "%")                                                                     \
    X(LEVEL, "level", "dBFS")                                                                      \
    X(CLIPPED, "clipped", "%")                                                                     \
    X(NOISE, "signal to noise", "dB")                                                              \
    X(RATE, "sample rate", "Hz")                                                                   \
    X(CHANNELS, "channels", "")

enum mill_check {
#define X(name, text, unit) MILL_CHECK_##name,
    MILL_CHECK_MAP(X)
#undef X
        MILL_CHECK_COUNT
};

struct mill_recording_check_row {
    const char *name, *unit;
    double value;
    enum mill_check_verdict verdict;
    char advice[160]; /* one sentence; empty when there is nothing to do */
};

struct mill_recording_report {
    struct mill_recording_check_row rows[MILL_CHECK_COUNT]; /* in the map's order */
    enum mill_check_verdict verdict;                        /* the worst of the rows' */
    double use_first_s, use_end_s; /* what is used: silence trimmed, cut at max_seconds */
    bool is_cut;
};

/* For a recording of at least one sample. max_seconds as in mill_recording_prepare
 * (recording_prepare.h), 0 = no limit. A report with verdict REFUSE is no failure of this call;
 * MILL_E_MEMORY only. */
mill_status mill_recording_check(const struct mill_recording *recording, double max_seconds,
                                 struct mill_recording_report *report, struct mill_error *err);

/* "ok", "warning", "refused"; never NULL. */
const char *mill_check_verdict_name(enum mill_check_verdict verdict);

#endif
