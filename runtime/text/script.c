/* script.c - see script.h. */
#include "runtime/text/script_parts.h"

#include "runtime/base/utf8.h"

#include <string.h>

enum { MAX_LIST_BYTES = 1 << 26 };

void mill_script_deinit(struct mill_script *script) {
    mill_buffer_deinit(&script->text);
    mill_buffer_deinit(&script->span_list);
    mill_buffer_deinit(&script->voice_list);
}

const struct mill_script_span *mill_script_spans(const struct mill_script *script, size_t *n) {
    *n = script->span_list.size / sizeof(struct mill_script_span);
    return (const struct mill_script_span *)(const void *)script->span_list.data;
}

const char *mill_script_voice(const struct mill_script *script, int32_t voice) {
    const char *name = script->voice_list.data;
    for (int32_t i = 0; i < voice; i++)
        name += strlen(name) + 1;
    return name;
}

void mill_script_init(struct mill_script *script) {
    *script = (struct mill_script){0};
    mill_buffer_init(&script->text, MILL_SCRIPT_TEXT_BYTES);
    mill_buffer_init(&script->span_list, MAX_LIST_BYTES);
    mill_buffer_init(&script->voice_list, MAX_LIST_BYTES);
}

mill_status mill_script_from_text(struct mill_script *out, const char *text, size_t bytes,
                                  const struct mill_dictionary *dictionary,
                                  struct mill_error *err) {
    mill_script_init(out);
    MILL_TRY(mill_utf8_check(text, bytes, "the text", err));
    mill_status status = mill_dictionary_apply(dictionary, text, bytes, &out->text, err);
    if (status < 0)
        mill_context(err, status, "the text");
    const struct mill_script_span span = {.bytes = out->text.size,
                                          .voice = -1,
                                          .speed = 1,
                                          .pitch = 1,
                                          .end = MILL_SEGMENT_PARAGRAPH,
                                          .pause_ms = -1};
    if (status == MILL_OK)
        status = mill_buffer_append(&out->span_list, &span, sizeof span, err);
    if (status < 0)
        mill_script_deinit(out);
    return status;
}
