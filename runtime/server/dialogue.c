/* dialogue.c - see dialogue.h. */
#include "runtime/server/dialogue.h"

#include <string.h>

/* Text as it stands in markup. */
static mill_status append_escaped(struct mill_buffer *out, const char *text, size_t size,
                                  struct mill_error *err) {
    for (size_t i = 0; i < size; i++) {
        const char *escape = text[i] == '<'   ? "&lt;"
                             : text[i] == '>' ? "&gt;"
                             : text[i] == '&' ? "&amp;"
                             : text[i] == '"' ? "&quot;"
                                              : NULL;
        MILL_TRY(
            mill_buffer_append(out, escape ? escape : text + i, escape ? strlen(escape) : 1, err));
    }
    return MILL_OK;
}

mill_status mill_dialogue_mark_up(const char *text, struct mill_buffer *out,
                                  struct mill_error *err) {
    static const char open[] = "<role:";
    const char *tag = strstr(text, open);
    if (!tag || strspn(text, " \t\r\n") != (size_t)(tag - text))
        return mill_fail(err, MILL_E_INPUT, "text: it begins with <role:NAME>, who speaks first");
    MILL_TRY(mill_buffer_printf(out, err, "<speak>"));
    while (tag) {
        tag += sizeof open - 1;
        const char *close = strchr(tag, '>'), *next = close ? strstr(close, open) : NULL;
        if (!close)
            return mill_fail(err, MILL_E_INPUT, "text: a role's tag has no end");
        const char *said = close + 1;
        MILL_TRY(mill_buffer_printf(out, err, "<voice name=\""));
        MILL_TRY(append_escaped(out, tag, (size_t)(close - tag), err));
        MILL_TRY(mill_buffer_printf(out, err, "\">"));
        MILL_TRY(append_escaped(out, said, next ? (size_t)(next - said) : strlen(said), err));
        MILL_TRY(mill_buffer_printf(out, err, "</voice>"));
        tag = next;
    }
    return mill_buffer_printf(out, err, "</speak>");
}
