/* published_tokenizer.c - see published_tokenizer.h.
 *
 * The token with id 256 + i is the merge i; below it stand the bytes in GPT-2's order, behind it
 * the added tokens of the table here. third_party/qwen2.5-bpe/ORIGIN says where the merges are
 * from. */
#include "runtime/text/published_tokenizer.h"

#include "runtime/base/cursor.h"
#include "runtime/base/file.h"
#include "runtime/text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

__asm__(".pushsection .rodata\n"
        ".global mill_published_merges_gz, mill_published_merges_gz_end\n"
        ".hidden mill_published_merges_gz, mill_published_merges_gz_end\n"
        "mill_published_merges_gz:\n"
        ".incbin \"" MILL_PUBLISHED_MERGES "\"\n"
        "mill_published_merges_gz_end:\n"
        ".popsection\n");
extern const uint8_t mill_published_merges_gz[], mill_published_merges_gz_end[];

enum {
    MERGES_BYTES = 1671853,
    FIRST_ADDED_ID = 151643,
    N_SPECIAL = 14, /* of the added tokens, from the first */
    N_QWEN = 22,    /* so many are Qwen's, and not normalised */
    N_ADDED = 13515,
    NAME_BYTES = 40,
};

/* In the order of their ids; n = 0: one token of that name, else a family NAME_0 .. NAME_(n-1). */
static const struct {
    const char *name;
    int n;
} added_tokens[] = {
    {"<|endoftext|>", 0},
    {"<|im_start|>", 0},
    {"<|im_end|>", 0},
    {"<|object_ref_start|>", 0},
    {"<|object_ref_end|>", 0},
    {"<|box_start|>", 0},
    {"<|box_end|>", 0},
    {"<|quad_start|>", 0},
    {"<|quad_end|>", 0},
    {"<|vision_start|>", 0},
    {"<|vision_end|>", 0},
    {"<|vision_pad|>", 0},
    {"<|image_pad|>", 0},
    {"<|video_pad|>", 0},
    {"<tool_call>", 0},
    {"</tool_call>", 0},
    {"<|fim_prefix|>", 0},
    {"<|fim_middle|>", 0},
    {"<|fim_suffix|>", 0},
    {"<|fim_pad|>", 0},
    {"<|repo_name|>", 0},
    {"<|file_sep|>", 0},
    {"bicodec_global", 4096},
    {"bicodec_semantic", 8192},
    {"pitch_value", 1001},
    {"pitch_var_value", 11},
    {"pitch_label", 5},
    {"pitch_var_label", 5},
    {"speed_value", 11},
    {"speed_label", 5},
    {"loudness_value", 31},
    {"loudness_label", 5},
    {"age", 5},
    {"gender", 3},
    {"emotion", 101},
    {"<|task_vc|>", 0},
    {"<|task_tts|>", 0},
    {"<|task_asr|>", 0},
    {"<|task_s2s|>", 0},
    {"<|task_t2s|>", 0},
    {"<|task_cap|>", 0},
    {"<|task_understand|>", 0},
    {"<|task_controllable_tts|>", 0},
    {"<|task_prompt_tts|>", 0},
    {"<|task_edit|>", 0},
    {"<|start_content|>", 0},
    {"<|start_style_label|>", 0},
    {"<|start_style_prompt|>", 0},
    {"<|start_acoustic_token|>", 0},
    {"<|start_global_token|>", 0},
    {"<|start_semantic_token|>", 0},
    {"<|end_content|>", 0},
    {"<|end_style_label|>", 0},
    {"<|end_style_prompt|>", 0},
    {"<|end_acoustic_token|>", 0},
    {"<|end_global_token|>", 0},
    {"<|end_semantic_token|>", 0},
};

bool mill_published_is_normalised(const char *name) {
    for (int i = 0; i < N_QWEN; i++)
        if (strcmp(name, added_tokens[i].name) == 0)
            return false;
    return true;
}

struct added_name {
    char text[NAME_BYTES];
    int id;
};

/* All added tokens by id; owned by the caller, NULL when memory is short. */
static struct added_name *list_added_tokens(void) {
    struct added_name *list = calloc(N_ADDED, sizeof *list);
    int n = 0;
    for (size_t i = 0; list && i < sizeof added_tokens / sizeof *added_tokens; i++)
        for (int k = 0; k < (added_tokens[i].n ? added_tokens[i].n : 1); k++, n++) {
            list[n].id = FIRST_ADDED_ID + n;
            if (added_tokens[i].n)
                snprintf(list[n].text, NAME_BYTES, "<|%s_%d|>", added_tokens[i].name, k);
            else
                snprintf(list[n].text, NAME_BYTES, "%s", added_tokens[i].name);
        }
    return list;
}

/* merges.txt into `out`. */
static mill_status unpack_merges(struct mill_buffer *out, struct mill_error *err) {
    mill_buffer_init(out, MERGES_BYTES);
    MILL_TRY(mill_buffer_reserve(out, MERGES_BYTES, err));
    z_stream stream = {
        .next_in = (Bytef *)(uintptr_t)mill_published_merges_gz,
        .avail_in = (uInt)(mill_published_merges_gz_end - mill_published_merges_gz),
        .next_out = (Bytef *)out->data,
        .avail_out = MERGES_BYTES,
    };
    int result = inflateInit2(&stream, 16 + MAX_WBITS);
    if (result == Z_OK) {
        result = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
    }
    if (result == Z_STREAM_END && stream.total_out == MERGES_BYTES) {
        out->size = MERGES_BYTES;
        return MILL_OK;
    }
    mill_status code = result == Z_MEM_ERROR ? MILL_E_MEMORY : MILL_E_INPUT;
    return mill_fail(err, code, "the merges inside the program cannot be unpacked");
}

/* The two parts of the next merge; false at the end. The first line is a comment. */
struct merge_text {
    const char *left, *right;
    size_t left_bytes, right_bytes;
};
static bool next_merge(struct mill_cursor *cursor, struct merge_text *merge) {
    size_t length;
    if (cursor->at == 0)
        mill_cursor_line(cursor, &length);
    merge->left = (const char *)mill_cursor_line(cursor, &length);
    if (!merge->left)
        return false;
    merge->right = (const char *)memchr(merge->left, ' ', length) + 1;
    merge->left_bytes = (size_t)(merge->right - merge->left) - 1;
    merge->right_bytes = length - merge->left_bytes - 1;
    return true;
}

static mill_status fill_vocabulary(struct mill_vocabulary *vocabulary,
                                   const struct mill_buffer *merges, struct mill_error *err) {
    for (int i = 0; i < 256; i++) {
        char symbol[2];
        size_t n = mill_byte_symbol(mill_byte_in_order(i), symbol);
        MILL_TRY(mill_vocabulary_add_token(vocabulary, symbol, n, i, err));
    }
    struct mill_cursor cursor = {.data = (const uint8_t *)merges->data, .size = merges->size};
    struct merge_text m;
    for (int id = 256; next_merge(&cursor, &m); id++) {
        char whole[512];
        int n = snprintf(whole, sizeof whole, "%.*s%.*s", (int)m.left_bytes, m.left,
                         (int)m.right_bytes, m.right);
        MILL_TRY(mill_vocabulary_add_token(vocabulary, whole, (size_t)n, id, err));
        MILL_TRY(mill_vocabulary_add_merge(vocabulary, m.left, m.left_bytes, m.right, m.right_bytes,
                                           err));
    }
    struct added_name *added = list_added_tokens();
    if (!added)
        return mill_fail(err, MILL_E_MEMORY, "no memory for the added tokens");
    mill_status status = MILL_OK;
    for (int i = 0; i < N_ADDED && status == MILL_OK; i++)
        status = mill_vocabulary_add_added(vocabulary, added[i].text, strlen(added[i].text),
                                           added[i].id, i >= N_QWEN, err);
    free(added);
    return status;
}

mill_status mill_published_tokenizer_open(struct mill_tokenizer **out, struct mill_error *err) {
    *out = NULL;
    struct mill_buffer merges;
    struct mill_vocabulary vocabulary;
    MILL_TRY(mill_vocabulary_init(&vocabulary, err));
    mill_status status = unpack_merges(&merges, err);
    if (status == MILL_OK)
        status = fill_vocabulary(&vocabulary, &merges, err);
    if (status == MILL_OK)
        status = mill_vocabulary_compile(&vocabulary, out, err);
    mill_vocabulary_deinit(&vocabulary);
    mill_buffer_deinit(&merges);
    return status;
}

/* A file being written in large pieces. The first failure stays in `status` and later calls do
 * nothing, so that what follows reads like the file. */
struct writer {
    struct mill_output output;
    struct mill_buffer pending;
    mill_status status;
    struct mill_error *err;
};
enum { PIECE_BYTES = 1 << 18 };

static void put(struct writer *w, const char *text, size_t bytes) {
    if (w->status == MILL_OK && w->pending.size + bytes > PIECE_BYTES) {
        w->status = mill_output_write(&w->output, w->pending.data, w->pending.size, w->err);
        w->pending.size = 0;
    }
    if (w->status == MILL_OK)
        w->status = mill_buffer_append(&w->pending, text, bytes, w->err);
}
static void put_text(struct writer *w, const char *text) {
    put(w, text, strlen(text));
}
static void put_number(struct writer *w, int number) {
    char text[16];
    put(w, text, (size_t)snprintf(text, sizeof text, "%d", number));
}

/* A name in quotes, in one or two parts; of what JSON escapes only these two occur. */
static void put_name(struct writer *w, const char *part, size_t part_bytes, const char *part2,
                     size_t part2_bytes) {
    put(w, "\"", 1);
    for (size_t i = 0; i < part_bytes + part2_bytes; i++) {
        const char *c = i < part_bytes ? part + i : part2 + (i - part_bytes);
        if (*c == '"' || *c == '\\')
            put(w, "\\", 1);
        put(w, c, 1);
    }
    put(w, "\"", 1);
}

/* The model's vocabulary: before each name stands `before`, between name and id `between`. */
static void put_vocabulary(struct writer *w, const struct mill_buffer *merges, const char *before,
                           const char *between) {
    for (int i = 0; i < 256; i++) {
        char symbol[2];
        size_t n = mill_byte_symbol(mill_byte_in_order(i), symbol);
        put_text(w, i ? "," : "");
        put_text(w, before);
        put_name(w, symbol, n, NULL, 0);
        put_text(w, between);
        put_number(w, i);
    }
    struct mill_cursor cursor = {.data = (const uint8_t *)merges->data, .size = merges->size};
    struct merge_text m;
    for (int id = 256; next_merge(&cursor, &m); id++) {
        put(w, ",", 1);
        put_text(w, before);
        put_name(w, m.left, m.left_bytes, m.right, m.right_bytes);
        put_text(w, between);
        put_number(w, id);
    }
}

static void put_vocab_json(struct writer *w, const struct mill_buffer *merges,
                           struct added_name *added) {
    (void)added;
    put_text(w, "{");
    put_vocabulary(w, merges, "", ":");
    put_text(w, "}");
}

static void put_merges_txt(struct writer *w, const struct mill_buffer *merges,
                           struct added_name *added) {
    (void)added;
    put(w, merges->data, merges->size);
}

static int compare_names(const void *a, const void *b) {
    const struct added_name *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* Sorts `added`, so it comes last. */
static void put_added_tokens_json(struct writer *w, const struct mill_buffer *merges,
                                  struct added_name *added) {
    (void)merges;
    qsort(added, N_ADDED, sizeof *added, compare_names);
    put_text(w, "{");
    for (int i = 0; i < N_ADDED; i++) {
        put_text(w, i ? ",\n  " : "\n  ");
        put_name(w, added[i].text, strlen(added[i].text), NULL, 0);
        put_text(w, ": ");
        put_number(w, added[i].id);
    }
    put_text(w, "\n}\n");
}

/* What stands in tokenizer.json between the added tokens and the vocabulary. */
static const char tokenizer_json_head[] = "{\n"
                                          "  \"version\": \"1.0\",\n"
                                          "  \"truncation\": null,\n"
                                          "  \"padding\": null,\n"
                                          "  \"added_tokens\": [";
#define BYTE_LEVEL(indent)                                                                         \
    "{\n" indent "  \"type\": \"ByteLevel\",\n" indent "  \"add_prefix_space\": false,\n" indent   \
    "  \"trim_offsets\": false,\n" indent "  \"use_regex\": false\n" indent "}"
static const char tokenizer_json_settings[] = "\n  ],\n"
                                              "  \"normalizer\": {\n"
                                              "    \"type\": \"NFC\"\n"
                                              "  },\n"
                                              "  \"pre_tokenizer\": {\n"
                                              "    \"type\": \"Sequence\",\n"
                                              "    \"pretokenizers\": [\n"
                                              "      {\n"
                                              "        \"type\": \"Split\",\n"
                                              "        \"pattern\": {\n"
                                              "          \"Regex\": ";
static const char tokenizer_json_model[] =
    "\n        },\n"
    "        \"behavior\": \"Isolated\",\n"
    "        \"invert\": false\n"
    "      },\n"
    "      " BYTE_LEVEL("      ") "\n"
                                  "    ]\n"
                                  "  },\n"
                                  "  \"post_processor\": " BYTE_LEVEL(
                                      "  ") ",\n"
                                            "  \"decoder\": " BYTE_LEVEL(
                                                "  ") ",\n"
                                                      "  \"model\": {\n"
                                                      "    \"type\": \"BPE\",\n"
                                                      "    \"dropout\": null,\n"
                                                      "    \"unk_token\": null,\n"
                                                      "    \"continuing_subword_prefix\": \"\",\n"
                                                      "    \"end_of_word_suffix\": \"\",\n"
                                                      "    \"fuse_unk\": false,\n"
                                                      "    \"byte_fallback\": false,\n"
                                                      "    \"ignore_merges\": false,\n"
                                                      "    \"vocab\": {";

static void put_added_entry(struct writer *w, const struct added_name *token, int i) {
    put_text(w, i ? ",\n    {\n      \"id\": " : "\n    {\n      \"id\": ");
    put_number(w, token->id);
    put_text(w, ",\n      \"content\": ");
    put_name(w, token->text, strlen(token->text), NULL, 0);
    put_text(w, ",\n      \"single_word\": false,\n      \"lstrip\": false,\n"
                "      \"rstrip\": false,\n      \"normalized\": ");
    put_text(w, i < N_QWEN ? "false" : "true");
    put_text(w, ",\n      \"special\": ");
    put_text(w, i < N_SPECIAL ? "true\n    }" : "false\n    }");
}

static void put_tokenizer_json(struct writer *w, const struct mill_buffer *merges,
                               struct added_name *added) {
    put_text(w, tokenizer_json_head);
    for (int i = 0; i < N_ADDED; i++)
        put_added_entry(w, &added[i], i);
    put_text(w, tokenizer_json_settings);
    put_name(w, mill_published_pattern, strlen(mill_published_pattern), NULL, 0);
    put_text(w, tokenizer_json_model);
    put_vocabulary(w, merges, "\n      ", ": ");
    put_text(w, "\n    },\n    \"merges\": [");
    struct mill_cursor cursor = {.data = (const uint8_t *)merges->data, .size = merges->size};
    struct merge_text m;
    for (int i = 0; next_merge(&cursor, &m); i++) {
        put_text(w, i ? ",\n      [\n        " : "\n      [\n        ");
        put_name(w, m.left, m.left_bytes, NULL, 0);
        put_text(w, ",\n        ");
        put_name(w, m.right, m.right_bytes, NULL, 0);
        put_text(w, "\n      ]");
    }
    put_text(w, "\n    ]\n  }\n}");
}

typedef void put_content(struct writer *w, const struct mill_buffer *merges,
                         struct added_name *added);

static mill_status write_file(const char *folder, const char *name, put_content *content,
                              const struct mill_buffer *merges, struct added_name *added,
                              struct mill_error *err) {
    char *path = mill_path_join(folder, name);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", folder);
    struct writer w = {.err = err};
    mill_buffer_init(&w.pending, (size_t)MERGES_BYTES + PIECE_BYTES);
    w.status = mill_output_open(&w.output, path, err);
    content(&w, merges, added);
    if (w.status == MILL_OK)
        w.status = mill_output_write(&w.output, w.pending.data, w.pending.size, err);
    if (w.status == MILL_OK)
        w.status = mill_output_commit(&w.output, err);
    mill_output_close(&w.output);
    mill_buffer_deinit(&w.pending);
    free(path);
    return w.status;
}

mill_status mill_published_tokenizer_write(const char *folder, struct mill_error *err) {
    static const struct {
        const char *name;
        put_content *content;
    } files[] = {{"vocab.json", put_vocab_json},
                 {"merges.txt", put_merges_txt},
                 {"tokenizer.json", put_tokenizer_json},
                 {"added_tokens.json", put_added_tokens_json}};
    struct mill_buffer merges;
    mill_status status = unpack_merges(&merges, err);
    struct added_name *added = list_added_tokens();
    if (status == MILL_OK && !added)
        status = mill_fail(err, MILL_E_MEMORY, "no memory for the added tokens");
    for (size_t i = 0; i < sizeof files / sizeof *files && status == MILL_OK; i++)
        status = write_file(folder, files[i].name, files[i].content, &merges, added, err);
    free(added);
    mill_buffer_deinit(&merges);
    return status;
}
