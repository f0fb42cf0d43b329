/* quality.c - see quality.h. The limits leave a factor of 2 to both sides of what the text is
 * estimated to take, and a wrong reading is off by far more. */
#include "runtime/engine/quality.h"

#include "runtime/base/philox.h"

#include <math.h>
#include <string.h>

const char *mill_quality_finding_name(int bit) {
    static const char *const names[] = {
#define X(name, bit, text) [bit] = text,
        MILL_QUALITY_MAP(X)
#undef X
    };
    return names[bit];
}

/* ------------------------------------------------------------------ limits */

struct mill_quality_limits mill_quality_limits_default(void) {
    return (struct mill_quality_limits){.fastest = 10,
                                        .slowest = 1.8,
                                        .pause_s = 0.7,
                                        .slack_s = 1,
                                        .max_silence_s = 2,
                                        .silence_rms = 0.003,
                                        .cycle_repeats = 4,
                                        .cycle_frames = 75};
}

static int32_t frames_of(double seconds, double frame_rate) {
    double frames = seconds * frame_rate;
    return frames < 1 ? 1 : frames < INT32_MAX ? (int32_t)(frames + 0.5) : INT32_MAX;
}

void mill_quality_frames(const struct mill_quality_limits *limits,
                         const struct mill_text_size *text, double frame_rate, int32_t *least,
                         int32_t *most) {
    *least = 1;
    *most = INT32_MAX;
    if (text->n_characters == 0)
        return;
    *least = frames_of(text->syllables / limits->fastest - limits->slack_s, frame_rate);
    *most = frames_of(text->syllables / limits->slowest + text->n_pauses * limits->pause_s +
                          limits->slack_s,
                      frame_rate);
}

/* ------------------------------------------------------------------ as it comes */

/* What is ignored is never noted, so that nobody stops for it. */
static uint32_t note(struct mill_quality *q, uint32_t findings) {
    q->findings |= findings & ~q->limits.ignored;
    return q->findings;
}

void mill_quality_init(struct mill_quality *quality, const struct mill_quality_limits *limits,
                       const struct mill_text_size *text, int32_t sample_rate, int32_t hop) {
    *quality = (struct mill_quality){
        .limits = *limits, .frame_rate = (double)sample_rate / hop, .hop = hop};
    mill_quality_frames(limits, text, quality->frame_rate, &quality->least_frames,
                        &quality->most_frames);
}

/* For each period p: how many of the newest tokens equal the one p before. k repeats of a period
 * are (k - 1) * p of them. */
static void look_for_cycle(struct mill_quality *q, int32_t token) {
    enum { PERIODS = MILL_QUALITY_MAX_PERIOD };
    for (int32_t p = 1; p <= PERIODS && p <= q->n_tokens; p++) {
        bool same = q->recent[(q->n_tokens - p) % PERIODS] == token;
        q->same_for[p] = same ? q->same_for[p] + 1 : 0;
        int64_t needed = (int64_t)(q->limits.cycle_repeats - 1) * p;
        if (same && q->cycle_period == 0 && q->same_for[p] >= needed &&
            q->same_for[p] + p >= q->limits.cycle_frames) {
            q->cycle_period = p;
            note(q, MILL_QUALITY_CYCLE);
        }
    }
    q->recent[q->n_tokens % PERIODS] = token;
}

uint32_t mill_quality_token(struct mill_quality *quality, int32_t token) {
    look_for_cycle(quality, token);
    quality->n_tokens++;
    return note(quality, quality->n_tokens > quality->most_frames ? MILL_QUALITY_TOO_LONG : 0);
}

/* n samples of one frame. A sum for every fourth place, so that additions do not wait for each
 * other, and the sums do not depend on the cuts. */
static void add_power(struct mill_quality *q, const float *wave, int32_t n) {
    double *p = q->power;
    int32_t i = 0;
    for (; i < n && (q->n_in_frame + i) % 4 != 0; i++)
        p[(q->n_in_frame + i) % 4] += (double)wave[i] * wave[i];
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            p[k] += (double)wave[i + k] * wave[i + k];
    for (int k = 0; i < n; i++, k++)
        p[k] += (double)wave[i] * wave[i];
    q->n_in_frame += n;
}

/* Not finite where a sample was not. */
static double power_of(const struct mill_quality *q) {
    return (q->power[0] + q->power[1]) + (q->power[2] + q->power[3]);
}

static void hear_frame(struct mill_quality *q) {
    bool silent = sqrt(power_of(q) / q->hop) < q->limits.silence_rms;
    q->n_frames++;
    memset(q->power, 0, sizeof q->power);
    q->n_in_frame = 0;
    q->sounded |= !silent;
    q->silent_frames = silent ? q->silent_frames + 1 : 0;
    if (q->silent_frames > q->longest_silence)
        q->longest_silence = q->silent_frames;
    if (q->silent_frames > q->limits.max_silence_s * q->frame_rate)
        note(q, MILL_QUALITY_SILENCE);
}

uint32_t mill_quality_audio(struct mill_quality *quality, const float *wave, size_t n_samples) {
    struct mill_quality *q = quality;
    while (n_samples > 0) {
        size_t n = (size_t)(q->hop - q->n_in_frame);
        n = n < n_samples ? n : n_samples;
        add_power(q, wave, (int32_t)n);
        wave += n;
        n_samples -= n;
        if (!isfinite(power_of(q)))
            note(q, MILL_QUALITY_NOT_FINITE);
        if (q->n_in_frame == q->hop)
            hear_frame(q);
    }
    return q->findings;
}

uint32_t mill_quality_end(struct mill_quality *quality, enum mill_quality_ending ending,
                          bool has_audio) {
    struct mill_quality *q = quality;
    if (ending == MILL_QUALITY_NUMERIC)
        note(q, MILL_QUALITY_NOT_FINITE);
    if (ending == MILL_QUALITY_LIMIT && q->n_tokens >= q->least_frames)
        note(q, MILL_QUALITY_NO_END);
    if (ending == MILL_QUALITY_ENDED && q->n_tokens == 0)
        note(q, MILL_QUALITY_NO_TOKENS);
    else if (ending == MILL_QUALITY_ENDED && q->n_tokens < q->least_frames)
        note(q, MILL_QUALITY_TOO_SHORT);
    if (has_audio && q->n_frames > 0 && !q->sounded)
        note(q, MILL_QUALITY_NO_SOUND);
    return q->findings;
}

enum mill_quality_verdict mill_quality_judge(uint32_t findings, int32_t n_redraws,
                                             int32_t max_redraws) {
    if (findings == 0)
        return MILL_QUALITY_OK;
    if (n_redraws < max_redraws)
        return MILL_QUALITY_REDRAW;
    bool useless =
        findings & (MILL_QUALITY_NO_TOKENS | MILL_QUALITY_NOT_FINITE | MILL_QUALITY_NO_SOUND);
    return useless ? MILL_QUALITY_FAIL : MILL_QUALITY_OK;
}

uint64_t mill_quality_seed(uint64_t seed, int32_t redraw) {
    return mill_philox_derive(seed, (uint64_t)redraw, 0x7265647261770000u); /* "redraw" */
}
