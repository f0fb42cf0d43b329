/* tokenizer_bench.c - how fast this repository's encoder is: reads a JSON list of texts,
 * encodes all of them again and again for about a second, and prints bytes, tokens and seconds of
 * the fastest round. With --write it writes the published tokenizer's files. bench/tokenizer runs
 * it in turn with the `tokenizers` package. */
#include "runtime/base/clock.h"
#include "runtime/text/published_tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *text) {
    fprintf(stderr, "tokenizer_bench: %s\n", text);
    return 1;
}

/* One round over all texts; tokens, or -1. */
static long encode_all(struct mill_encoder *encoder, const json_t *texts, struct mill_error *err) {
    long n_tokens = 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        const int32_t *ids;
        size_t n;
        if (mill_encoder_encode(encoder, json_string_value(text), json_string_length(text), true,
                                &ids, &n, err) < 0)
            return -1;
        n_tokens += (long)n;
    }
    return n_tokens;
}

int main(int argc, char **argv) {
    struct mill_error err = {0};
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return mill_published_tokenizer_write(argv[2], &err) < 0 ? fail(err.text) : 0;
    if (argc != 2)
        return fail("usage: tokenizer_bench TEXTS.json (a list of texts), or --write FOLDER");
    json_t *texts = json_load_file(argv[1], JSON_ALLOW_NUL, NULL);
    struct mill_tokenizer *tokenizer;
    struct mill_encoder *encoder;
    if (!json_is_array(texts))
        return fail("the file is not a list of texts");
    if (mill_published_tokenizer_open(&tokenizer, &err) < 0 ||
        mill_encoder_open(&encoder, tokenizer, &err) < 0)
        return fail(err.text);
    size_t bytes = 0;
    for (size_t i = 0; i < json_array_size(texts); i++)
        bytes += json_string_length(json_array_get(texts, i));
    double best = 1e9, end = mill_clock_seconds() + 1;
    long n_tokens = 0;
    for (double start = mill_clock_seconds(), now; start < end && n_tokens >= 0; start = now) {
        n_tokens = encode_all(encoder, texts, &err);
        now = mill_clock_seconds();
        best = now - start < best ? now - start : best;
    }
    if (n_tokens < 0)
        return fail(err.text);
    printf("%zu %ld %.9f\n", bytes, n_tokens, best);
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
    json_decref(texts);
    return 0;
}
