/* segment.h - a text of any length as segments, each short enough to be one utterance.
 *
 * Paragraphs are cut into sentences (Unicode's rules by ICU; abbreviations, initials, ordinals,
 * quotes and list numbers of the language on top), and sentences packed together while they fit. A
 * segment never reaches across a paragraph's end. A sentence that does not fit is halved, at
 * punctuation where there is some near its middle, else between words, else wherever it must be,
 * until the parts fit. What has no letter and no digit is not spoken and in no segment. A pure
 * function: the same text gives the same segments. */
#ifndef MILL_TEXT_SEGMENT_H
#define MILL_TEXT_SEGMENT_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a segment ends with, hence how long the rest behind it is. */
enum mill_segment_end {
    MILL_SEGMENT_WORD, /* in the middle of an over-long sentence, the next two as well */
    MILL_SEGMENT_CLAUSE,
    MILL_SEGMENT_SENTENCE,
    MILL_SEGMENT_PARAGRAPH
};

struct mill_segment {
    size_t at, bytes; /* in the text, without white space at its ends */
    enum mill_segment_end end;
};

struct mill_segments {
    struct mill_segment *items; /* owned */
    size_t n;
};
void mill_segments_deinit(struct mill_segments *segments);

struct mill_segment_limits {
    int32_t max_characters; /* code points of a segment: 16 or more */
    double max_s;           /* its length as estimated: 1 or more */
    double syllables_per_s; /* the reader's: 1.5 or more */
    bool each_sentence;     /* sentences are not packed together */
};
/* 500 characters, 24 s, 4 a second: the model loses its way past some 30 s. */
struct mill_segment_limits mill_segment_limits_default(void);

/* `language` as BCP 47 has it, or NULL: it is detected. At most 2^26 bytes; MILL_E_INPUT for what
 * is not UTF-8. A text without a letter or digit has no segments. */
mill_status mill_segment_text(struct mill_segments *out, const char *text, size_t bytes,
                              const char *language, const struct mill_segment_limits *limits,
                              struct mill_error *err);

/* What of a text is read aloud, behind what `out` holds: white space, line ends and control
 * characters as one space, none at the ends and none between ideographs or kana. */
mill_status mill_segment_spoken(struct mill_buffer *out, const char *text, size_t bytes,
                                struct mill_error *err);

#endif
