/* fuzz_dialogue.c - text of several voices as FlashTTS writes it: what becomes markup of it is XML
 * that the reader of markup takes, or refuses with words. */
#include "runtime/server/dialogue.h"
#include "runtime/text/script.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_error err;
    struct mill_buffer markup;
    struct mill_script script;
    char *text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    mill_buffer_init(&markup, 1 << 20);
    mill_status status = mill_dialogue_mark_up(text, &markup, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        status = mill_script_from_markup(&script, markup.data, markup.size, NULL, &err);
        require_message(status, &err);
        if (status == MILL_OK)
            mill_script_deinit(&script);
        /* Nothing of the text can become an element. */
        require(status == MILL_OK || !strstr(err.text, "there is no such element"));
    }
    mill_buffer_deinit(&markup);
    free(text);
    return 0;
}
