/* fuzz_speech_markup.c - markup from anywhere, with a dictionary before its first empty line: a
 * script whose spans lie in its text, or a message. */
#include "runtime/base/utf8.h"
#include "runtime/text/dictionary.h"
#include "runtime/text/script.h"
#include "tests/fuzz/fuzz.h"

static void check_script(const struct mill_script *script) {
    size_t n, end = 0;
    const struct mill_script_span *spans = mill_script_spans(script, &n);
    for (size_t i = 0; i < n; i++) {
        const struct mill_script_span *s = &spans[i];
        require(s->at == end && s->bytes <= script->text.size - s->at);
        require(s->voice >= -1 && s->voice < script->n_voices && s->pause_ms >= -1);
        require(s->speed >= 0.25 && s->speed <= 4 && s->pitch >= 0.5 && s->pitch <= 2);
        require(s->voice < 0 || mill_script_voice(script, s->voice)[0] != '\0');
        end = s->at + s->bytes;
    }
    require(end == script->text.size);
    require(mill_utf8_valid_bytes(script->text.data, script->text.size) == script->text.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *line = memmem(data, size, "\n\n", 2);
    size_t n = line ? (size_t)(line - text) : size, markup = line ? n + 2 : 0;
    struct mill_dictionary *dictionary;
    struct mill_script script;
    struct mill_error err;
    mill_status status = mill_dictionary_parse(&dictionary, "fuzz", text, n, &err);
    require_message(status, &err);
    text += markup;
    size -= markup;
    status = mill_script_from_markup(&script, text, size, dictionary, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        check_script(&script);
        mill_script_deinit(&script);
    }
    status = mill_script_from_text(&script, text, size, dictionary, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        check_script(&script);
        mill_script_deinit(&script);
    }
    mill_dictionary_close(dictionary);
    return 0;
}
