/* quality.h - is what the model said a reading of the text? Findings from tokens and samples, as
 * they come, and what to do about them.
 *
 * Spark-TTS sometimes loops, falls silent, stops at once or never. Each of these shows in numbers
 * that cost nothing beside a step: how many frames the text can take, tokens that repeat in a
 * cycle, frames without sound, how the utterance ended. A finding never goes away, so a caller may
 * look after every token and stop a bad utterance early; a judgement of the whole needs
 * mill_quality_end. Everything is a pure function of what was fed: the same utterance gives the
 * same findings, whatever the cuts.
 *
 *     init ----> token, token, ... (each semantic token)    \
 *          ----> audio, audio, ... (samples, in order)      --> end --> verdict
 *
 * The caller's storage, nothing is allocated; one thread. */
#ifndef MILL_ENGINE_QUALITY_H
#define MILL_ENGINE_QUALITY_H

#include "runtime/text/measure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bit, name (in results and metrics), what was found */
#define MILL_QUALITY_MAP(X)                                                                        \
    X(NO_TOKENS, 0, "no_tokens")   /* ended before its first frame */                              \
    X(NOT_FINITE, 1, "not_finite") /* logits or samples that are no numbers */                     \
    X(NO_END, 2, "no_end")         /* the limit was reached, not the end token */                  \
    X(TOO_SHORT, 3, "too_short")   /* fewer frames than the text can be read in */                 \
    X(TOO_LONG, 4, "too_long")     /* more frames than the text can take */                        \
    X(CYCLE, 5, "cycle")           /* the same tokens over and over */                             \
    X(SILENCE, 6, "silence")       /* a run of silent frames beyond the limit */                   \
    X(NO_SOUND, 7, "no_sound")     /* silent from its first to its last frame */

enum mill_quality_finding {
#define X(name, bit, text) MILL_QUALITY_##name = 1 << bit,
    MILL_QUALITY_MAP(X)
#undef X
};
enum { MILL_QUALITY_FINDINGS = 8 };

/* Name of bit 0 .. MILL_QUALITY_FINDINGS - 1. */
const char *mill_quality_finding_name(int bit);

struct mill_quality_limits {
    double fastest, slowest; /* syllables a second within which a reading lies */
    double pause_s;          /* the longest rest allowed for each pause */
    double slack_s;          /* on top of the longest, off the shortest */
    double max_silence_s;    /* a run of silent frames: before, between or behind the words */
    double silence_rms;      /* a frame is silent below this */
    int32_t cycle_repeats;   /* the same period so many times, one behind the other ... */
    int32_t cycle_frames;    /* ... and for so many frames at least */
    uint32_t ignored;        /* findings that are not looked for */
};
/* Rates: training dropped readings above 10 syllables a second and calls less than 2.6 very slow,
 * pauses not counted: 10 and 1.8. Rests of 0.7 s, slack 1 s: what is flagged took some 2.5 times as
 * long as readings usually do. Silence of 2 s below -50 dB; 4 repeats over 1.5 s. */
struct mill_quality_limits mill_quality_limits_default(void);

/* Frames that the text can take, least and most, at `frame_rate` frames a second; for a text
 * without characters 1 and INT32_MAX. The most is also a good limit for a request that gives
 * none. */
void mill_quality_frames(const struct mill_quality_limits *limits,
                         const struct mill_text_size *text, double frame_rate, int32_t *least,
                         int32_t *most);

enum { MILL_QUALITY_MAX_PERIOD = 128 }; /* frames; longer cycles are not seen */

/* Readable, but for the functions to write. */
struct mill_quality {
    struct mill_quality_limits limits;
    double frame_rate;
    int32_t hop; /* samples a frame */
    int32_t least_frames, most_frames;
    uint32_t findings; /* so far */
    int32_t n_tokens;
    int32_t cycle_period;                               /* of the cycle found first; 0 = none */
    int32_t recent[MILL_QUALITY_MAX_PERIOD];            /* the last tokens, a ring */
    int32_t same_for[MILL_QUALITY_MAX_PERIOD + 1];      /* [p]: newest tokens, in a row, that equal
                                                           the one p before */
    int64_t n_frames;                                   /* whole frames of sound heard */
    int32_t silent_frames, longest_silence, n_in_frame; /* the run now; the longest; samples */
    double power[4]; /* of the frame so far: sums of every fourth sample */
    bool sounded;
};

void mill_quality_init(struct mill_quality *quality, const struct mill_quality_limits *limits,
                       const struct mill_text_size *text, int32_t sample_rate, int32_t hop);

/* Each returns the findings so far. A semantic token (code or id, as long as it is always the
 * same); samples in any pieces. */
uint32_t mill_quality_token(struct mill_quality *quality, int32_t token);
uint32_t mill_quality_audio(struct mill_quality *quality, const float *wave, size_t n_samples);

enum mill_quality_ending {
    MILL_QUALITY_ENDED,   /* by its end token */
    MILL_QUALITY_LIMIT,   /* by its frame limit */
    MILL_QUALITY_NUMERIC, /* by a draw from logits that are not finite */
    MILL_QUALITY_STOPPED  /* early, for what was already found */
};
/* Nothing more comes. `has_audio`: all samples were fed too. A limit below the least that the text
 * takes is no finding: no draw could have ended within it. */
uint32_t mill_quality_end(struct mill_quality *quality, enum mill_quality_ending ending,
                          bool has_audio);

enum mill_quality_verdict {
    MILL_QUALITY_OK,     /* deliver; findings, if any, belong into the result */
    MILL_QUALITY_REDRAW, /* say it again with the next derived seed */
    MILL_QUALITY_FAIL    /* no draw gave anything that could be delivered */
};
/* `n_redraws` were made of at most `max_redraws`. When none is left, an utterance with findings is
 * delivered all the same, unless it has no sound at all or sound that is not finite. */
enum mill_quality_verdict mill_quality_judge(uint32_t findings, int32_t n_redraws,
                                             int32_t max_redraws);

/* The seed of redraw n of a request: 0 gives the request's own, each other one its own stream. */
uint64_t mill_quality_seed(uint64_t seed, int32_t redraw);

#endif
