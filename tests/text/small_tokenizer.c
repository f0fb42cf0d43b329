/* small_tokenizer.c - see small_tokenizer.h. */
#include "tests/text/small_tokenizer.h"

#include "runtime/text/vocabulary.h"

#include <stdio.h>

static void add_control_token(json_t *list, const char *name, int number) {
    char full[64];
    if (number < 0)
        snprintf(full, sizeof full, "<|%s|>", name);
    else
        snprintf(full, sizeof full, "<|%s_%d|>", name, number);
    json_t *token = json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id",
                              300 + (int)json_array_size(list), "content", full, "single_word", 0,
                              "lstrip", 0, "rstrip", 0, "normalized", 1, "special", 0);
    json_array_append_new(list, token);
}

json_t *text_small_tokenizer(void) {
    json_t *added = json_array(), *vocab = json_object();
    for (int i = 0; i < MILL_N_MARKERS; i++)
        add_control_token(added, mill_control_markers[i], -1);
    for (int i = 0; i < MILL_N_FAMILIES; i++)
        for (int k = 0; k < 2; k++)
            add_control_token(added, mill_control_families[i], k);
    for (int i = 0; i < 256; i++) {
        char symbol[2];
        size_t n = mill_byte_symbol(mill_byte_in_order(i), symbol);
        json_object_setn_new(vocab, symbol, n, json_integer(i));
    }
    json_object_set_new(vocab, "ab", json_integer(256));
    json_object_set_new(vocab, "bc", json_integer(257));
    json_object_set_new(vocab, "abc", json_integer(258));
    json_t *root =
        json_pack("{s:s,s:o,s:{s:s},s:{s:s,s:[{s:s,s:{s:s},s:s,s:b},{s:s,s:b,s:b,s:b}]},"
                  "s:{s:s,s:o,s:[s,s,[s,s]]}}",
                  "version", "1.0", "added_tokens", added, "normalizer", "type", "NFC",
                  "pre_tokenizer", "type", "Sequence", "pretokenizers", "type", "Split", "pattern",
                  "Regex", mill_published_pattern, "behavior", "Isolated", "invert", 0, "type",
                  "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex", 0, "model",
                  "type", "BPE", "vocab", vocab, "merges", "b c", "a b", "a", "bc");
    return root;
}
