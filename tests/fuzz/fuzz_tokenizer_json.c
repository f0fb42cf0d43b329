/* fuzz_tokenizer_json.c - the bytes as a tokenizer.json, and as changes (a JSON object merged into
 * each member) to a small valid one, which reach everything behind the first checks. */
#include "runtime/text/tokenizer_files.h"
#include "tests/fuzz/fuzz.h"
#include "tests/text/small_tokenizer.h"

#include <stdlib.h>

static void try_file(const char *text, size_t size) {
    struct mill_tokenizer *tokenizer;
    struct mill_error err;
    mill_status status = mill_tokenizer_parse_json(&tokenizer, "f", text, size, &err);
    require_message(status, &err);
    require((status == MILL_OK) == (tokenizer != NULL));
    if (tokenizer) {
        struct mill_encoder *encoder;
        require(mill_encoder_open(&encoder, tokenizer, NULL) == MILL_OK);
        const int32_t *ids;
        size_t n;
        require(mill_encoder_encode(encoder, "abc <|im_end|>", 14, true, &ids, &n, NULL) ==
                MILL_OK);
        for (size_t i = 0; i < n; i++)
            require(ids[i] >= 0 && ids[i] < mill_tokenizer_vocabulary_size(tokenizer));
        mill_encoder_close(encoder);
    }
    mill_tokenizer_close(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_file((const char *)data, size);
    json_t *changes = json_loadb((const char *)data, size, 0, NULL);
    if (!json_is_object(changes)) {
        json_decref(changes);
        return 0;
    }
    json_t *root = text_small_tokenizer();
    json_object_update_recursive(root, changes);
    char *text = json_dumps(root, 0);
    require(text != NULL);
    try_file(text, strlen(text));
    free(text);
    json_decref(root);
    json_decref(changes);
    return 0;
}
