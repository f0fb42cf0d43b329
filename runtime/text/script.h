/* script.h - what is to be said: text that is read as it stands, in spans that differ in voice,
 * speed, pitch or the rest behind them. Made from plain text or from markup. */
#ifndef MILL_TEXT_SCRIPT_H
#define MILL_TEXT_SCRIPT_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"
#include "runtime/text/dictionary.h"
#include "runtime/text/segment.h"

enum { MILL_SCRIPT_TEXT_BYTES = 1 << 24, MILL_SCRIPT_LANGUAGE_BYTES = 36 };

struct mill_script_span {
    size_t at, bytes;          /* of the text; without bytes there is only the rest behind it */
    int32_t voice;             /* of the script's voices; -1 = the one that is spoken in anyway */
    double speed, pitch;       /* factors; 1 = as it is */
    enum mill_segment_end end; /* what it ends with */
    int32_t pause_ms;          /* the rest behind it, or -1 = the usual one of `end` */
};

struct mill_script {
    struct mill_buffer text;
    struct mill_buffer span_list;  /* struct mill_script_span: see mill_script_spans */
    struct mill_buffer voice_list; /* names, each with its final zero: see mill_script_voice */
    int32_t n_voices;
    char language[MILL_SCRIPT_LANGUAGE_BYTES]; /* empty = not said */
};

/* Through the dictionary, where it is not NULL. On failure there is nothing to free. */
mill_status mill_script_from_text(struct mill_script *out, const char *text, size_t bytes,
                                  const struct mill_dictionary *dictionary, struct mill_error *err);
/* Of markup: the subset of SSML in docs/text.md. Everything else is refused, by element and place;
 * nothing is fetched. */
mill_status mill_script_from_markup(struct mill_script *out, const char *markup, size_t bytes,
                                    const struct mill_dictionary *dictionary,
                                    struct mill_error *err);
void mill_script_deinit(struct mill_script *script);

/* Borrowed: [*n]. */
const struct mill_script_span *mill_script_spans(const struct mill_script *script, size_t *n);
const char *mill_script_voice(const struct mill_script *script, int32_t voice);

#endif
