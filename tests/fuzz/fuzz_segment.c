/* fuzz_segment.c - any text into segments: in order, within the limits, nothing that can be said
 * left out. The first two bytes choose the language and the limits. */
#include "runtime/text/measure.h"
#include "runtime/text/segment.h"
#include "tests/fuzz/fuzz.h"

static void check_segment(const char *text, const struct mill_segment *s,
                          const struct mill_segment_limits *limits) {
    struct mill_text_size size = mill_text_measure(text + s->at, s->bytes);
    struct mill_buffer spoken;
    mill_buffer_init(&spoken, s->bytes);
    require(size.n_characters > 0 && size.n_characters <= limits->max_characters);
    require(size.syllables / limits->syllables_per_s <= limits->max_s + 1e-9);
    require(mill_segment_spoken(&spoken, text + s->at, s->bytes, NULL) == MILL_OK);
    require(mill_text_measure(spoken.data, spoken.size).n_characters == size.n_characters);
    mill_buffer_deinit(&spoken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const languages[] = {NULL, "de", "en", "zh", "ru", "xx"};
    struct mill_segment_limits limits = mill_segment_limits_default();
    struct mill_segments segments;
    struct mill_error err;
    if (size < 2)
        return 0;
    limits.max_characters = 16 + data[1] % 64;
    limits.max_s = 1 + data[1] / 16;
    limits.each_sentence = data[0] & 128;
    const char *text = (const char *)data + 2;
    size -= 2;
    mill_status status =
        mill_segment_text(&segments, text, size, languages[data[0] % 6], &limits, &err);
    require_message(status, &err);
    if (status < 0)
        return 0;
    size_t end = 0;
    for (size_t i = 0; i < segments.n; i++) {
        const struct mill_segment *s = &segments.items[i];
        require(s->at >= end && s->bytes > 0 && s->bytes <= size && s->at <= size - s->bytes);
        require(mill_text_measure(text + end, s->at - end).n_characters == 0);
        check_segment(text, s, &limits);
        end = s->at + s->bytes;
    }
    require(mill_text_measure(text + end, size - end).n_characters == 0);
    mill_segments_deinit(&segments);
    return 0;
}
