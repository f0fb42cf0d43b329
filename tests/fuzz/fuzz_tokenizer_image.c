/* fuzz_tokenizer_image.c - the compiled tokenizer, as the cache folder keeps it, damaged: the bytes
 * are places and values that a small valid image is changed in. What is mapped all the same must
 * give ids of its vocabulary. */
#include "runtime/text/tokenizer_files.h"
#include "tests/fuzz/fuzz.h"
#include "tests/text/small_tokenizer.h"

#include <stdlib.h>

static const char text[] = "abc ab\xc3\xa4 <|im_end|> 12";

/* Not freed: it lives as long as the process. */
static const void *valid_image(size_t *bytes) {
    static struct mill_tokenizer *tokenizer;
    if (!tokenizer) {
        json_t *root = text_small_tokenizer();
        char *json = json_dumps(root, 0);
        require(json &&
                mill_tokenizer_parse_json(&tokenizer, "f", json, strlen(json), NULL) == MILL_OK);
        free(json);
        json_decref(root);
    }
    return mill_tokenizer_image(tokenizer, bytes);
}

static void encode(const struct mill_tokenizer *tokenizer, bool match_added_tokens) {
    struct mill_encoder *encoder;
    const int32_t *ids;
    size_t n;
    struct mill_error err;
    require(mill_encoder_open(&encoder, tokenizer, NULL) == MILL_OK);
    mill_status status =
        mill_encoder_encode(encoder, text, sizeof text - 1, match_added_tokens, &ids, &n, &err);
    require_message(status, &err);
    for (size_t i = 0; i < n && status == MILL_OK; i++)
        require(ids[i] >= 0 && ids[i] < mill_tokenizer_vocabulary_size(tokenizer));
    mill_encoder_close(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t bytes;
    const void *image = valid_image(&bytes);
    char *copy = malloc(bytes);
    require(copy != NULL);
    memcpy(copy, image, bytes);
    for (size_t i = 0; i + 3 <= size && i < 3 * 64; i += 3)
        copy[(size_t)(data[i] | data[i + 1] << 8) % bytes] = (char)data[i + 2];
    struct mill_tokenizer *tokenizer;
    struct mill_error err;
    mill_status status = mill_tokenizer_map(&tokenizer, copy, bytes, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        encode(tokenizer, false);
        encode(tokenizer, true);
    }
    mill_tokenizer_close(tokenizer);
    free(copy);
    return 0;
}
