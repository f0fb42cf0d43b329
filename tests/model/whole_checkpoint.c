/* whole_checkpoint.c - see whole_checkpoint.h. */
#include "tests/model/whole_checkpoint.h"

#include "runtime/base/file.h"
#include "tests/text/small_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_BYTES = 256, N_MERGES = 300 };

/* Members of a family by the name of its tokens; 2 where any number does. */
static int32_t family_size(const char *name, const struct mill_shape *shape) {
    if (strstr(name, "semantic"))
        return shape->bicodec.quantizer.codebook_size;
    if (strstr(name, "global"))
        return mill_shape_global_codes(shape);
    if (strstr(name, "label"))
        return 5;
    if (strstr(name, "pitch_value"))
        return 70;
    return strstr(name, "speed_value") ? 11 : 2;
}

static void add_token(json_t *list, const char *content, size_t n) {
    json_t *token =
        json_pack("{s:i,s:s%,s:b,s:b,s:b,s:b,s:b}", "id", 0, "content", content, n, "single_word",
                  0, "lstrip", 0, "rstrip", 0, "normalized", 1, "special", 0);
    assert_non_null(token);
    json_array_append_new(list, token);
}

/* Those of the small tokenizer, each family at its full size. */
static json_t *added_tokens(const json_t *small, const struct mill_shape *shape) {
    json_t *list = json_array(), *token;
    size_t i;
    json_array_foreach(small, i, token) {
        const char *content = json_string_value(json_object_get(token, "content"));
        size_t length = strlen(content);
        if (length > 5 && strcmp(content + length - 4, "_1|>") == 0)
            continue;
        if (length < 5 || strcmp(content + length - 4, "_0|>") != 0) {
            add_token(list, content, length);
            continue;
        }
        for (int32_t k = 0; k < family_size(content, shape); k++) {
            char name[80];
            int n = snprintf(name, sizeof name, "%.*s_%d|>", (int)length - 4, content, k);
            add_token(list, name, (size_t)n);
        }
    }
    int32_t first = shape->llm.vocab - (int32_t)json_array_size(list);
    assert_true(first >= N_BYTES + N_MERGES);
    json_array_foreach(list, i, token)
        json_object_set_new(token, "id", json_integer(first + (json_int_t)i));
    return list;
}

static void write_tokenizer(const char *folder, const struct mill_shape *shape) {
    json_t *root = text_small_tokenizer();
    json_t *model = json_object_get(root, "model");
    json_t *vocab = json_object_get(model, "vocab"), *merges = json_array();
    json_object_del(vocab, "ab");
    json_object_del(vocab, "bc");
    json_object_del(vocab, "abc");
    for (int i = 0; i < N_MERGES; i++) {
        char left[2] = {(char)('a' + i % 26)}, right[2] = {(char)('a' + i / 26)}, both[3];
        snprintf(both, sizeof both, "%s%s", left, right);
        json_object_set_new(vocab, both, json_integer(N_BYTES + i));
        json_array_append_new(merges, json_pack("[s,s]", left, right));
    }
    json_object_set_new(model, "merges", merges);
    json_object_set_new(root, "added_tokens",
                        added_tokens(json_object_get(root, "added_tokens"), shape));
    char *path = mill_path_join(folder, "LLM/tokenizer.json");
    assert_non_null(path);
    assert_int_equal(json_dump_file(root, path, JSON_COMPACT), 0);
    free(path);
    json_decref(root);
}

void whole_checkpoint_write(const char *folder, const struct mill_shape *shape,
                            enum mill_dtype dtype) {
    struct mill_error err = {""};
    const struct mill_checkpoint_options options = {
        .dtype = dtype, .label = "whole", .without_tokenizer = true};
    if (mill_checkpoint_write(folder, shape, &options, &err) != MILL_OK)
        fail_msg("%s", err.text);
    write_tokenizer(folder, shape);
}

/* Some sums are long enough to have an order: of the 128 inputs that the CUDA kernels add up at a
 * time, five heads have two lots and the decoder's inner layers three. */
static void small_shape(struct mill_shape *out) {
    mill_synth_shape(out, MILL_SYNTH_TINY);
    out->wav2vec2.n_convs = 0;
    out->llm.hidden = 32;
    out->llm.intermediate = 32;
    out->llm.n_layers = 2;
    out->llm.n_heads = 5;
    out->llm.n_kv_heads = 1;
    out->llm.head_dim = 32; /* the least that they take */
    out->llm.vocab = 800;
    out->llm.max_positions = 2048;
    struct mill_bicodec_shape *b = &out->bicodec;
    b->sample_rate = 4000;
    b->hop = b->mel.hop = 6;
    b->mel.window = 12;
    b->mel.n_fft = 32;
    b->encoder.input = b->encoder.output = b->quantizer.input = 32;
    b->prenet = (struct mill_vocos_shape){.input = 32,
                                          .dim = 32,
                                          .intermediate = 272,
                                          .n_layers = 1,
                                          .output = 32,
                                          .n_samplings = 1,
                                          .condition = 32};
    b->postnet.input = b->postnet.output = 32;
    b->quantizer.codebook_size = 64;
    b->speaker.output = 32;
    b->speaker.n_tokens = 4;
    b->speaker.n_levels = 2;
    b->generator.input = 32;
    b->generator.channels = 32;
    b->generator.n_stages = 2;
    memcpy(b->generator.rates, (const int32_t[]){3, 2}, 2 * sizeof(int32_t));
    memcpy(b->generator.kernels, (const int32_t[]){5, 4}, 2 * sizeof(int32_t));
}

void whole_checkpoint_write_small(const char *folder) {
    struct mill_shape shape;
    small_shape(&shape);
    whole_checkpoint_write(folder, &shape, MILL_F32);
}
