/* fuzz_tokenizer_encode.c - text from anywhere through the published tokenizer: ids of the model,
 * or a message. The first byte chooses whether added tokens are matched. */
#include "runtime/text/published_tokenizer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct mill_tokenizer *tokenizer; /* made once: it takes a tenth of a second */
    static struct mill_encoder *encoder;
    if (!tokenizer) {
        require(mill_published_tokenizer_open(&tokenizer, NULL) == MILL_OK);
        require(mill_encoder_open(&encoder, tokenizer, NULL) == MILL_OK);
    }
    if (size == 0)
        return 0;
    bool match_added_tokens = data[0] & 1;
    const int32_t *ids;
    size_t n;
    struct mill_error err;
    mill_status status = mill_encoder_encode(encoder, (const char *)data + 1, size - 1,
                                             match_added_tokens, &ids, &n, &err);
    require_message(status, &err);
    require(n <= 3 * (size - 1));
    for (size_t i = 0; i < n; i++)
        require(ids[i] >= 0 && ids[i] < (match_added_tokens ? 165158 : 151643));
    return 0;
}
